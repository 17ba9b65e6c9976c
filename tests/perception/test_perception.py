"""The facade: the order of the checks, a caller's box, purity, and the frozen frame."""

import math

import numpy as np
import pytest

from ratta.contract import CropRule
from ratta.errors import InputError
from ratta.perception import Perception, QualityLimits
from ratta.records import Box, Crop, Face, Reason, Refusal

BOX = Box(200, 150, 360, 310)


class Detector:
    def __init__(self, *faces):
        self.faces = faces
        self.colors = []

    def detect(self, frame, *, color="bgr"):
        self.colors.append(color)
        return self.faces


def _frame(seed=0):
    """Skin-coloured texture everywhere, BGR."""
    texture = np.random.default_rng(seed).normal(0, 25, (120, 160, 1)).repeat(4, 0).repeat(4, 1)
    return (np.array([100, 120, 170]) + texture).clip(0, 255).astype(np.uint8)


RULE = CropRule(size=128, scale=1.5)


def _perception(*faces, **arguments):
    faces = faces or (Face(BOX, 0.9),)
    return Perception(**({"detector": Detector(*faces), "crops": (RULE,)} | arguments))


def _assert_same(one, other):
    assert one.face == other.face
    np.testing.assert_array_equal(one.pixels[0], other.pixels[0])


def test_a_good_frame_becomes_a_crop():
    """RGB bytes of the contract's size around the face that was found."""
    seen = _perception().look(_frame())
    assert isinstance(seen, Crop)
    assert (seen.pixels[0].shape, seen.pixels[0].dtype) == ((128, 128, 3), np.uint8)
    assert seen.pixels[0].flags.c_contiguous
    assert seen.face == Face(BOX, 0.9)
    assert seen.pixels[0][..., 0].mean() > seen.pixels[0][..., 2].mean()


def test_color_order_gives_the_same_crop():
    """BGR, and the same frame as RGB with `color="rgb"`, are one picture."""
    frame = _frame()
    perception = _perception()
    _assert_same(perception.look(frame), perception.look(frame[..., ::-1], color="rgb"))
    assert perception.detector.colors == ["bgr", "rgb"]


@pytest.mark.parametrize("color", ["BGR", "gray", "", None, 3, math.nan, ["bgr"], np.array(["bgr", "rgb"])])
def test_other_colors_raise(color):
    """A colour order that does not exist is the caller's mistake, in both ways of looking."""
    with pytest.raises(InputError, match="color"):
        _perception().look(_frame(), color=color)
    with pytest.raises(InputError, match="color"):
        _perception().follow(_frame(), t=0.0, color=color)


def test_swapped_channels_are_refused():
    """RGB given for BGR cannot happen silently."""
    refused = _perception().look(_frame()[..., ::-1])
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.COLOR_ORDER
    assert 'color="rgb"' in refused.detail


def test_input_is_checked_before_anything_runs():
    """The detector never sees an unusable frame."""
    perception = _perception()
    assert perception.look(np.zeros((480, 640))).reason is Reason.UNUSABLE_INPUT
    assert perception.detector.colors == []


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(-50, 150, 110, 310), Reason.FACE_CUT),
        (Box(1000, 1000, 1200, 1200), Reason.FACE_CUT),
        (Box(200, 150, 240, 190), Reason.FACE_TOO_SMALL),
    ],
)
def test_a_callers_box_is_checked(box, expected):
    """It is trusted for the place, not for being usable."""
    assert _perception().look(_frame(), box=box).reason is expected
    assert _perception().follow(_frame(), t=0.0, box=box).reason is expected


def test_a_callers_box_spares_the_detector():
    """The crop is the same as if the detector had found the box."""
    perception = _perception()
    seen = perception.look(_frame(), box=BOX)
    assert perception.detector.colors == []
    assert seen.face == Face(BOX, 1.0)
    np.testing.assert_array_equal(seen.pixels[0], _perception().look(_frame()).pixels[0])


@pytest.mark.parametrize("box", [(200, 150, 360, 310), "box", 5])
def test_a_box_of_another_type_raises(box):
    """Only a `Box` says which corners it means."""
    with pytest.raises(InputError, match="box"):
        _perception().look(_frame(), box=box)


def test_look_is_pure():
    """Looking twice at one frame gives the same and changes nothing, also for a later `follow`."""
    perception, frame = _perception(), _frame()
    before = frame.copy()
    _assert_same(perception.look(frame), perception.look(frame))
    np.testing.assert_array_equal(frame, before)
    assert isinstance(perception.follow(frame, t=0.0), Crop)
    assert isinstance(perception.look(frame), Crop)


def test_follow_refuses_a_frozen_frame():
    """The same pixels twice are one look; a change thaws it."""
    perception = _perception()
    assert isinstance(perception.follow(_frame(0), t=0.0), Crop)
    assert perception.follow(_frame(0), t=0.1).reason is Reason.FROZEN
    assert perception.follow(_frame(0), t=0.2, box=BOX).reason is Reason.FROZEN
    assert isinstance(perception.follow(_frame(1), t=0.3), Crop)


@pytest.mark.parametrize("stills", [1, 2, 3, 7])
@pytest.mark.parametrize("pause_s", [0.05, 0.2])
def test_stills_in_turn_are_seen_once_each(stills, pause_s):
    """Whatever moves beside the face, and however the caller's box jitters, an old picture of it is no new one."""
    perception, rng = _perception(), np.random.default_rng(0)
    fresh = 0
    for i in range(80):
        frame = _frame(i % stills)
        frame[:100] = rng.integers(0, 256, (100, 640, 3), dtype=np.uint8)
        frame[400:, :150] = 255 * (i % 2)
        shift = rng.uniform(-8, 8, 4)
        box = Box(*(np.array([200, 150, 360, 310]) + shift)) if i % 4 else None
        seen = perception.follow(frame, t=i * pause_s, box=box)
        fresh += isinstance(seen, Crop)
        assert isinstance(seen, Crop) or not seen.counts
    assert fresh == stills


def test_a_picture_is_forgotten_after_some_seconds():
    """What was last there long ago is new again."""
    perception = _perception()
    perception.follow(_frame(0), t=0.0)
    assert perception.follow(_frame(0), t=2.9).reason is Reason.FROZEN
    assert isinstance(perception.follow(_frame(0), t=6.0), Crop)


def test_one_grey_level_in_the_face_is_new():
    """A sensor's noise is never taken for a copy."""
    perception, rng = _perception(), np.random.default_rng(0)
    for i in range(40):
        frame = (_frame().astype(int) + rng.integers(-1, 2, (480, 640, 3))).clip(0, 255).astype(np.uint8)
        assert isinstance(perception.follow(frame, t=i / 30), Crop)


def test_a_frame_that_never_came_says_nothing_of_anybody():
    """No frame, and a copy, are not held against the attempt; a dark one is."""
    perception = _perception()
    assert not perception.follow(None, t=0.0).counts
    assert perception.follow(_frame() // 8, t=0.1).counts


def test_follow_detects_once_while_nothing_happens():
    """Between detections the face is followed."""
    perception = _perception()
    rng = np.random.default_rng(0)
    for k in range(6):
        frame = (_frame().astype(int) + rng.integers(-1, 2, (480, 640, 3))).clip(0, 255).astype(np.uint8)
        assert isinstance(perception.follow(frame, t=k / 30), Crop)
    assert len(perception.detector.colors) == 1


def test_a_refused_frame_is_followed_by_a_detection():
    """Light that was refused may have been the wrong place."""
    perception = _perception()
    perception.follow(_frame(0), t=0.0)
    assert perception.follow(_frame(0) // 8, t=0.1).reason is Reason.TOO_DARK
    calls = len(perception.detector.colors)
    assert isinstance(perception.follow(_frame(1), t=0.2), Crop)
    assert len(perception.detector.colors) == calls + 1


def test_reset_is_fresh():
    """After `reset` the frame before is forgotten and the detector runs."""
    perception = _perception()
    first = perception.follow(_frame(), t=5.0)
    perception.reset()
    _assert_same(perception.follow(_frame(), t=0.0), first)
    assert len(perception.detector.colors) == 2


def test_instances_share_nothing():
    """One instance's frame is not another's frame before."""
    one, other = _perception(), _perception()
    one.follow(_frame(), t=0.0)
    assert isinstance(other.follow(_frame(), t=0.0), Crop)


def test_limits_are_the_callers():
    """A lower limit lets a smaller face through."""
    limits = QualityLimits(min_face_px=32)
    assert isinstance(_perception(limits=limits).look(_frame(), box=Box(200, 150, 262, 212)), Crop)


@pytest.mark.parametrize("seed", range(8))
def test_any_box_gives_a_crop_or_a_reason(seed):
    """No box makes it crash, wherever and however large it is."""
    rng = np.random.default_rng(seed)
    perception = _perception()
    for _ in range(25):
        x, y = rng.uniform(-300, 900, 2)
        box = Box(x, y, x + rng.uniform(0.01, 1000), y + rng.uniform(0.01, 1000))
        seen = perception.look(_frame(), box=box)
        assert isinstance(seen, (Crop, Refusal))


@pytest.mark.parametrize(
    "arguments",
    [{"crops": ()}, {"crops": (1.5,)}, {"redetect_s": -1}],
)
def test_parameters_are_validated(arguments):
    """Out of range raises at once."""
    with pytest.raises(InputError, match=next(iter(arguments))):
        _perception(**arguments)


def test_every_crop_rule_gives_its_crop():
    """In the order of the rules, each as if it were the only one."""
    rules = CropRule(size=64, scale=1.0), CropRule(size=64, scale=1.5), CropRule(size=96, scale=1.2, border="reflect")
    seen = _perception(crops=rules).look(_frame())
    for rule, pixels in zip(rules, seen.pixels, strict=True):
        (alone,) = _perception(crops=(rule,)).look(_frame()).pixels
        assert (rule.size, rule.size, 3) == pixels.shape
        np.testing.assert_array_equal(pixels, alone)
