"""The tracker on synthetic scenes: what it follows, and what it must never follow."""

import math

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.perception import FaceTracker
from ratta.records import Box, Face


def _smooth(seed, height, width):
    """A picture with structure at the scale of a face: noise in cells of 12 pixels, interpolated."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (height // 12 + 2, width // 12 + 2))
    y, x = np.arange(height) / 12, np.arange(width) / 12
    top, left = y.astype(int)[:, None], x.astype(int)[None]
    v, u = (y % 1)[:, None], (x % 1)[None]
    upper = coarse[top, left] * (1 - u) + coarse[top, left + 1] * u
    lower = coarse[top + 1, left] * (1 - u) + coarse[top + 1, left + 1] * u
    return np.repeat((upper * (1 - v) + lower * v)[..., None], 3, axis=2).astype(np.uint8)


BACKGROUND, FACE, OTHER = _smooth(1, 480, 640), _smooth(2, 150, 150), _smooth(3, 150, 150)


def _scene(x, y, face=FACE, gain=1.0):
    frame = BACKGROUND.copy()
    frame[y : y + 150, x : x + 150] = face
    return (frame * gain).clip(0, 255).astype(np.uint8)


class Detector:
    """Says what it is told to and counts how often it is asked."""

    def __init__(self, *faces):
        self.faces = faces
        self.calls = 0

    def detect(self, frame, *, color="bgr"):
        self.calls += 1
        return self.faces


def _face(x, y, side=150):
    return Face(Box(x, y, x + side, y + side), 0.9, ((x + 50.0, y + 60.0),))


def test_first_update_detects():
    """There is nothing to follow yet."""
    tracker = FaceTracker(detector=Detector(_face(200, 100)))
    assert tracker.update(_scene(200, 100), t=0.0) == (_face(200, 100),)
    assert tracker.detected


@pytest.mark.parametrize(("x", "y"), [(0, 0), (7, 0), (0, -9), (13, 11), (-14, 5), (-3, -13)])
def test_follows_a_moving_face_within_a_pixel_and_a_half(x, y):
    """The box and the keypoints move with the picture, also between the cells of the template."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector)
    tracker.update(_scene(200, 100), t=0.0)
    (found,) = tracker.update(_scene(200 + x, 100 + y), t=0.03)
    assert not tracker.detected
    assert found.box.x_min == pytest.approx(200 + x, abs=1.5)
    assert found.box.y_min == pytest.approx(100 + y, abs=1.5)
    assert found.keypoints[0] == pytest.approx((found.box.x_min + 50, found.box.y_min + 60))


def test_does_not_drift():
    """After a walk of 40 steps there and back the box is where it began."""
    tracker = FaceTracker(detector=Detector(_face(200, 100)), redetect_s=100)
    tracker.update(_scene(200, 100), t=0.0)
    for step in [*range(1, 21), *range(19, -1, -1)]:
        (found,) = tracker.update(_scene(200 + 7 * step, 100 + 3 * step), t=0.1)
        assert not tracker.detected
    assert found.box.center == pytest.approx((275, 175), abs=1.5)


@pytest.mark.parametrize("scene", [_scene(200, 100, OTHER), BACKGROUND, np.full_like(BACKGROUND, 90)])
def test_something_else_in_front_is_detected_anew(scene):
    """Another face, the bare scene, a blank sheet: in the same frame, long before the schedule."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector, redetect_s=100)
    tracker.update(_scene(200, 100), t=0.0)
    detector.faces = ()
    assert tracker.update(scene, t=0.03) == ()
    assert tracker.detected


def test_negative_picture_is_detected_anew():
    """An inverted face matches with the wrong sign."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector, redetect_s=100)
    tracker.update(_scene(200, 100), t=0.0)
    tracker.update(255 - _scene(200, 100), t=0.03)
    assert detector.calls == 2


@pytest.mark.parametrize(("gain", "calls"), [(0.95, 1), (1.05, 1), (0.6, 2)])
def test_a_change_of_light_is_detected_anew(gain, calls):
    """A flicker is followed; another light is another scene."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector)
    tracker.update(_scene(200, 100), t=0.0)
    tracker.update(_scene(200, 100, gain=gain), t=0.03)
    assert detector.calls == calls


def test_a_leap_is_detected_anew():
    """Beyond the reach of the search the detector has to look."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector)
    tracker.update(_scene(200, 100), t=0.0)
    detector.faces = (_face(300, 100),)
    assert tracker.update(_scene(300, 100), t=0.03) == (_face(300, 100),)


def test_detects_on_schedule():
    """At 10 frames a second and 0.5 s the detector runs in every fifth frame."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector, redetect_s=0.5)
    ran = []
    for k in range(12):
        tracker.update(_scene(200, 100), t=k / 10)
        ran.append(tracker.detected)
    assert [k for k, was in enumerate(ran) if was] == [0, 5, 10]


@pytest.mark.parametrize("t", [-1.0, math.nan, 100.0])
def test_a_time_that_cannot_be_trusted_detects(t):
    """Backwards, NaN, or long after: look again."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector)
    tracker.update(_scene(200, 100), t=0.0)
    tracker.update(_scene(200, 100), t=t)
    assert detector.calls == 2


def test_searches_in_every_frame_while_there_is_no_face():
    """Nothing is followed when nothing was found."""
    detector = Detector()
    tracker = FaceTracker(detector=detector)
    for k in range(3):
        assert tracker.update(BACKGROUND, t=k / 30) == ()
    assert detector.calls == 3


def test_other_faces_are_remembered_until_the_next_detection():
    """A second face does not vanish between detections."""
    tracker = FaceTracker(detector=Detector(_face(200, 100), _face(450, 200, side=60)))
    tracker.update(_scene(200, 100), t=0.0)
    assert len(tracker.update(_scene(205, 100), t=0.03)) == 2


def test_smoothing_steadies_a_trembling_detector():
    """A detection near the followed box is averaged with it; one elsewhere is taken as it is."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector, redetect_s=0, smoothing=0.5)
    tracker.update(_scene(200, 100), t=0.0)
    detector.faces = (_face(204, 100),)
    assert tracker.update(_scene(200, 100), t=0.1)[0].box.x_min == pytest.approx(202, abs=0.5)
    detector.faces = (_face(400, 300),)
    assert tracker.update(_scene(200, 100), t=0.2)[0].box.x_min == 400


def test_follows_at_the_edge_of_the_frame():
    """A face that leans out of the frame is followed by the part that is inside."""
    tracker = FaceTracker(detector=Detector(_face(-20, 0)))
    frame = np.roll(_scene(0, 0), -20, axis=1)
    tracker.update(frame, t=0.0)
    (found,) = tracker.update(frame, t=0.03)
    assert not tracker.detected
    assert found.box.x_min == pytest.approx(-20, abs=0.5)


def test_another_frame_size_is_detected_anew():
    """A camera that switches resolution starts afresh."""
    detector = Detector(_face(200, 100))
    tracker = FaceTracker(detector=detector)
    tracker.update(_scene(200, 100), t=0.0)
    tracker.update(_scene(200, 100)[:400, :500], t=0.03)
    assert detector.calls == 2


@pytest.mark.parametrize("box", [Box(600, 440, 900, 900), Box(700, 500, 800, 600), Box(10, 10, 12, 12)])
def test_boxes_too_small_or_outside_are_not_followed(box):
    """With too little to recognise the detector runs every time."""
    detector = Detector(Face(box, 0.9))
    tracker = FaceTracker(detector=detector)
    for k in range(2):
        tracker.update(BACKGROUND, t=k / 30)
    assert detector.calls == 2


def test_reset_is_fresh():
    """After `reset` the tracker does what a new one does."""
    scenes = [_scene(200 + 4 * k, 100) for k in range(4)]
    tracker = FaceTracker(detector=Detector(_face(200, 100)))
    first = [tracker.update(s, t=k / 30) for k, s in enumerate(scenes)]
    tracker.reset()
    assert not tracker.detected
    assert [tracker.update(s, t=k / 30) for k, s in enumerate(scenes)] == first


def test_frame_is_not_changed():
    """Following reads only."""
    tracker = FaceTracker(detector=Detector(_face(200, 100)))
    frame = _scene(200, 100)
    frame.setflags(write=False)
    tracker.update(frame, t=0.0)
    tracker.update(frame, t=0.03)


@pytest.mark.parametrize(
    "arguments",
    [{"redetect_s": -1}, {"redetect_s": math.nan}, {"min_match": 2}, {"min_match": math.nan}, {"smoothing": 1}],
)
def test_parameters_are_validated(arguments):
    """Out of range raises at once."""
    with pytest.raises(InputError, match=next(iter(arguments))):
        FaceTracker(detector=Detector(), **arguments)
