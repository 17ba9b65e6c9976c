import numpy as np
import pytest

from ratta.bench.frames import Stream, portrait_frames
from ratta.errors import InputError


def test_frames_are_what_a_camera_delivers() -> None:
    """640x480 BGR bytes, no two frames alike."""
    scene = portrait_frames(3)
    assert {((480, 640, 3), "uint8")} == {(frame.shape, str(frame.dtype)) for frame in scene.frames}
    assert not np.array_equal(scene.frames[0], scene.frames[1])


def test_the_same_seed_gives_the_same_frames() -> None:
    """The noise is reproducible."""
    one, two, other = (portrait_frames(1, seed=seed).frames[0] for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("zoom", "height"), [(1, 114), (1.5, 171), (2, 228)])
def test_the_box_follows_the_zoom(zoom: float, height: float) -> None:
    """The face is 114 pixels high times the zoom, and lies inside the frame."""
    scene = portrait_frames(4, zoom=zoom)
    assert height == scene.face_px
    for box in scene.boxes:
        assert min(box.x_min, box.y_min) > 0
        assert box.x_max < 640
        assert box.y_max < 480


def test_the_colours_are_blue_first() -> None:
    """Skin is redder than blue: the last channel of a BGR face is the larger."""
    scene = portrait_frames(1)
    box = scene.boxes[0]
    face = scene.frames[0][round(box.y_min) : round(box.y_max), round(box.x_min) : round(box.x_max)]
    assert face[..., 2].mean() > face[..., 0].mean() + 20


def test_a_stream_goes_round_while_time_goes_on() -> None:
    """Two frames played five times over; t rises by one thirtieth."""
    scene = portrait_frames(2)
    stream = Stream(scene, fps=30)
    played = [stream.next() for _ in range(5)]
    assert [next(i for i, f in enumerate(scene.frames) if f is frame) for frame, _, _ in played] == [0, 1, 0, 1, 0]
    assert pytest.approx([30 * t for _, _, t in played]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("number", "zoom"), [(0, 1.5), (1, 0.5), (1, 3)])
def test_impossible_scenes_are_refused(number: int, zoom: float) -> None:
    """No frames, or a face that does not fit, is an error."""
    with pytest.raises(InputError, match="portrait_frames"):
        portrait_frames(number, zoom=zoom)
