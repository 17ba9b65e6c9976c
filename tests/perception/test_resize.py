"""Resizing against a slow reference that follows the definition."""

import math

import numpy as np
import pytest

from ratta.perception.resize import resize


def _reference_weights(n_in, n_out):
    """(n_out, n_in): overlap of intervals when shrinking, linear interpolation between pixel centers when growing."""
    weights = np.zeros((n_out, n_in))
    scale = n_in / n_out
    for i in range(n_out):
        if n_in > n_out:
            for j in range(math.floor(i * scale), min(n_in, math.ceil((i + 1) * scale))):
                weights[i, j] = max(0.0, min(j + 1, (i + 1) * scale) - max(j, i * scale)) / scale
        else:
            place = min(max((i + 0.5) * scale - 0.5, 0), n_in - 1)
            weights[i, int(place)] += 1 - (place - int(place))
            weights[i, min(int(place) + 1, n_in - 1)] += place - int(place)
    return weights


def _reference(pixels, height, width):
    down, across = _reference_weights(pixels.shape[0], height), _reference_weights(pixels.shape[1], width)
    exact = np.einsum("ij,jkc,lk->ilc", down, pixels.astype(float), across, optimize=True)
    return np.floor(exact + 0.5).astype(int)


def _pictures(height, width):
    rng = np.random.default_rng(height * 1000 + width)
    yield "noise", rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    yield "extremes", rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * np.uint8(255)
    stripes = (np.arange(height) % 2 * 255).astype(np.uint8)[:, None, None]
    yield "stripes", np.ascontiguousarray(np.broadcast_to(stripes, (height, width, 3)))


@pytest.mark.parametrize("side", [32, 33, 50, 63, 64, 75, 96, 97, 128, 150, 250, 31, 17, 5, 1])
def test_agrees_with_the_reference_within_one_level(side):
    """Whatever the ratio and the content, no value is more than one grey level off."""
    for name, pixels in _pictures(side, side):
        found = resize(pixels, height=32, width=32).astype(int)
        assert np.abs(found - _reference(pixels, 32, 32)).max() <= 1, name


@pytest.mark.parametrize(("height", "width"), [(48, 200), (200, 48), (20, 90), (7, 300)])
def test_axes_are_independent(height, width):
    """One axis may shrink while the other grows."""
    for name, pixels in _pictures(height, width):
        found = resize(pixels, height=40, width=60).astype(int)
        assert np.abs(found - _reference(pixels, 40, 60)).max() <= 1, name


@pytest.mark.parametrize("side", [64, 75, 128, 150, 300])
def test_agrees_with_opencv_within_one_level(side):
    """Downwards it is OpenCV's INTER_AREA."""
    cv2 = pytest.importorskip("cv2")
    for name, pixels in _pictures(side, side):
        expected = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(resize(pixels, height=32, width=32) - expected).max() <= 1, name


def test_whole_ratios_are_exact():
    """Where four pixels become one, the result is their rounded mean."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = np.floor(pixels.reshape(32, 2, 32, 2, 3).mean((1, 3)) + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(resize(pixels, height=32, width=32), expected)


def test_same_size_is_a_copy():
    """A crop that already has the size keeps every value."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = resize(pixels, height=32, width=32)
    np.testing.assert_array_equal(found, pixels)
    assert not np.shares_memory(found, pixels)


def test_fine_stripes_become_grey():
    """A pattern finer than the output does not alias into a coarser one."""
    pixels = np.zeros((90, 90, 3), np.uint8)
    pixels[:, ::2] = 255
    spread = np.ptp(resize(pixels, height=9, width=9).astype(int), axis=(0, 1)).tolist()
    assert spread == [0, 0, 0]


def test_flip_reverses_the_channels():
    """Flipping on the way is flipping afterwards."""
    pixels = np.random.default_rng(0).integers(0, 256, (75, 75, 3), dtype=np.uint8)
    plain, flipped = (resize(pixels, height=32, width=32, flip=flip) for flip in (False, True))
    np.testing.assert_array_equal(flipped, plain[..., ::-1])


def test_views_are_read_as_they_are():
    """Cuts, mirrored and strided views give what their copies give; the source stays as it was."""
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    before = frame.copy()
    for view in (frame[10:80, 20:100], frame[::-1, ::-1], frame[::2, ::3], frame[..., ::-1], frame.transpose(1, 0, 2)):
        expected = resize(view.copy(), height=32, width=32)
        np.testing.assert_array_equal(resize(view, height=32, width=32), expected)
    np.testing.assert_array_equal(frame, before)


def test_result_is_contiguous_bytes():
    """Inference takes the result without another copy."""
    found = resize(np.zeros((50, 70, 3), np.uint8), height=32, width=24, flip=True)
    assert found.flags.c_contiguous
    assert (found.shape, found.dtype) == ((32, 24, 3), np.uint8)


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("side", [20, 45, 150])
def test_a_flat_picture_stays_flat(side, value):
    """The weights sum to one exactly: no level is lost or gained."""
    found = resize(np.full((side, side, 3), value, np.uint8), height=32, width=32)
    assert np.unique(found).tolist() == [value]
