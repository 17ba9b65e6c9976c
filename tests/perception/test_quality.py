"""Each refusal on the smallest picture that earns it, and none on a picture that does not."""

import math

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.perception import QualityLimits
from ratta.perception.quality import check_face, check_frame, check_light, sharpness
from ratta.records import Box, Face, Reason

LIMITS = QualityLimits()
FRAME = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
WHOLE = Box(0, 0, 128, 128)


@pytest.mark.parametrize(
    ("frame", "advice"),
    [
        (None, "source delivered"),
        ("frame.jpg", "decode"),
        (b"\xff\xd8\xff", "decode"),
        ([[1, 2], [3, 4]], "numpy.asarray"),
        (np.float64(3), "numpy.asarray"),
        (np.zeros((480, 640), np.uint8), "colour"),
        (np.zeros((480, 640, 1), np.uint8), "colour"),
        (np.zeros((480, 640, 2), np.uint8), "colour"),
        (np.zeros((480, 640, 4), np.uint8), "alpha"),
        (np.zeros((3, 480, 640), np.uint8), "channels last"),
        (np.zeros((1, 480, 640, 3), np.uint8), "one frame"),
        (np.zeros(7, np.uint8), "decode"),
        (np.array(7, np.uint8), "decode"),
        (np.zeros((0, 640, 3), np.uint8), "not empty"),
        (np.zeros((480, 0, 3), np.uint8), "not empty"),
        (np.zeros(0, np.uint8), "not empty"),
        (FRAME.astype(np.float32) / 255, "0..255 as uint8, not float32"),
        (np.full((480, 640, 3), np.nan), "not float64"),
        (FRAME.astype(np.uint16), "not uint16"),
        (FRAME.astype(np.int8), "not int8"),
        (FRAME > 127, "not bool"),
        (FRAME.astype(complex), "not complex128"),
        (FRAME.astype(object), "numbers"),
        (np.full((480, 640, 3), "a"), "not <U1"),
        (FRAME // 128, "0..255"),
        (FRAME[:20], "smaller than any face"),
        (FRAME[:1, :1], "smaller than any face"),
        (np.broadcast_to(np.uint8(7), (5000, 5000, 3)), "scale it down"),
    ],
)
def test_unusable_frames_are_refused_with_advice(frame, advice):
    """Whatever comes in, the answer says what was expected, what came, and what to do."""
    refused = check_frame(frame, LIMITS)
    assert refused is not None
    assert refused.reason is Reason.UNUSABLE_INPUT
    assert refused.detail.startswith("frame: expected (H, W, 3) uint8, got ")
    assert advice in refused.detail


@pytest.mark.parametrize(
    "frame", [FRAME, FRAME[::-1, ::-1], FRAME[::2, ::2], FRAME[..., ::-1], FRAME.transpose(1, 0, 2), FRAME[:64, :64]]
)
def test_any_view_of_a_colour_picture_is_usable(frame):
    """Order in memory does not matter."""
    assert check_frame(frame, LIMITS) is None


def test_black_frame_is_too_dark():
    """A covered lens is not a wrong value range."""
    refused = check_frame(np.zeros((480, 640, 3), np.uint8), LIMITS)
    assert refused is not None
    assert refused.reason is Reason.TOO_DARK


def _face(x_min, y_min, x_max, y_max):
    return Face(Box(x_min, y_min, x_max, y_max), 0.9)


LARGE = _face(100, 100, 300, 300)


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ((), Reason.NO_FACE),
        ((LARGE,), None),
        ((LARGE, _face(400, 100, 590, 290)), Reason.SEVERAL_FACES),
        ((LARGE, _face(400, 100, 500, 150)), Reason.SEVERAL_FACES),
        ((LARGE, _face(400, 100, 499, 199)), None),
        ((_face(-20, 100, 180, 300),), Reason.FACE_CUT),
        ((_face(-9, 100, 191, 300),), None),
        ((_face(500, 350, 700, 550),), Reason.FACE_CUT),
        ((_face(700, 100, 900, 300),), Reason.FACE_CUT),
        ((_face(-100, -100, 740, 580),), Reason.FACE_CUT),
        ((_face(100, 100, 163, 300),), Reason.FACE_TOO_SMALL),
        ((_face(100, 100, 164, 164),), None),
    ],
)
def test_one_large_whole_face(faces, expected):
    """None, several of comparable size, cut by the edge, too small; a small one behind is tolerated."""
    refused = check_face(faces, height=480, width=640, limits=LIMITS)
    assert (refused and refused.reason) is expected


def _skin(mean=(170, 120, 100), spread=25, seed=0):
    """A textured crop, RGB, in the colour of skin."""
    texture = np.random.default_rng(seed).normal(0, spread, (32, 32, 1)).repeat(4, 0).repeat(4, 1)
    return (np.array(mean) + texture).clip(0, 255).astype(np.uint8)


def _blurred(pixels, passes):
    out = pixels.astype(float)
    for _ in range(passes):
        for axis in (0, 1):
            out = (np.roll(out, 1, axis) + out + np.roll(out, -1, axis)) / 3
    return out.astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (_skin(), None),
        (_skin((90, 55, 40), spread=10), None),
        (_skin((240, 215, 200), spread=8), None),
        (_skin((25, 18, 15), spread=4), Reason.TOO_DARK),
        (_skin((248, 240, 235), spread=4), Reason.TOO_BRIGHT),
        (np.where(_skin()[..., 1:2] > 115, 255, _skin() // 3).astype(np.uint8), Reason.SATURATED),
        (_skin((120, 120, 120)), Reason.GREYSCALE),
        (_skin()[..., ::-1], Reason.COLOR_ORDER),
        (_skin((110, 120, 125)), Reason.COLOR_ORDER),
        (_skin((120, 121, 124)), None),
        (_blurred(_skin(), 60), Reason.TOO_BLURRED),
        (np.full((128, 128, 3), (170, 120, 100), np.uint8), Reason.TOO_BLURRED),
    ],
)
def test_light_colour_and_focus(pixels, expected):
    """Dark, bright, burnt out, grey, swapped channels, blurred; skin of any tone passes."""
    refused = check_light(pixels, WHOLE, LIMITS)
    assert (refused and refused.reason) is expected


def test_only_the_face_is_judged():
    """A dark background around a well-lit face does no harm, and the reverse does not help."""
    pixels = _skin()
    pixels[:32] = pixels[96:] = pixels[:, :32] = pixels[:, 96:] = 0
    assert check_light(pixels, Box(32, 32, 96, 96), LIMITS) is None
    refused = check_light(pixels, Box(0, 0, 32, 32), LIMITS)
    assert refused is not None
    assert refused.reason is Reason.TOO_DARK


@pytest.mark.parametrize("box", [Box(-500, -500, -400, -400), Box(900, 900, 901, 901), Box(50, 50, 50.1, 50.1)])
def test_a_face_outside_the_crop_does_not_crash(box):
    """The part that is judged is clipped to the crop."""
    check_light(_skin(), box, LIMITS)


def test_sharpness_falls_with_blur_and_forgives_noise():
    """Each pass of blur lowers it; noise on top of a blur does not restore it."""
    passes = [0, 10, 20, 40, 80]
    values = [sharpness(_blurred(_skin(), n)[..., 1]) for n in passes]
    assert values == sorted(values, reverse=True)
    noise = np.random.default_rng(1).normal(0, 1.5, (128, 128))
    noisy = (_blurred(_skin(spread=80), 40)[..., 1] + noise).clip(0, 255).astype(np.uint8)
    assert sharpness(noisy) < LIMITS.min_sharpness


@pytest.mark.parametrize("gain", [0.5, 0.25])
def test_sharpness_does_not_depend_on_contrast(gain):
    """Half the contrast is as sharp."""
    plane = _skin()[..., 1]
    assert sharpness((plane * gain).astype(np.uint8)) == pytest.approx(sharpness(plane), abs=0.02)


@pytest.mark.parametrize("shape", [(2, 2), (3, 50), (1, 1), (8, 8)])
def test_sharpness_of_almost_nothing_is_zero(shape):
    """Too few pixels to tell are not sharp."""
    assert sharpness(np.full(shape, 9, np.uint8)) == 0


@pytest.mark.parametrize(
    "limit",
    [
        {"min_face_px": -1},
        {"max_outside": 1.5},
        {"min_brightness": 256},
        {"min_sharpness": math.nan},
        {"max_saturated": "0.5"},
        {"max_pixels": True},
        {"min_chroma": None},
    ],
)
def test_limits_are_validated(limit):
    """A limit that is not a number in its range raises and names itself."""
    with pytest.raises(InputError, match=next(iter(limit))):
        QualityLimits(**limit)
