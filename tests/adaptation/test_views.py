import numpy as np
import pytest

from ratta.adaptation.views import VIEWS, augmented, zoom_matrix


def views(crop: np.ndarray) -> list[np.ndarray]:
    return [augmented((crop,), view)[0] for view in range(VIEWS)]


def test_the_first_view_is_the_mirror_image():
    """Columns change places, rows and colours do not."""
    crop = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]], np.uint8)
    assert [[[4, 5, 6], [1, 2, 3]], [[10, 11, 12], [7, 8, 9]]] == views(crop)[0].tolist()


def test_the_second_view_of_an_even_crop_is_only_darker():
    """`255 (v / 255) ** 1.12` of every level; black and white stay."""
    for level, expected in ((0, 0), (1, 1), (64, 54), (128, 118), (200, 194), (255, 255)):
        assert [expected] == np.unique(views(np.full((5, 5, 3), level, np.uint8))[1]).tolist()


def test_the_zoom_keeps_the_middle_95_percent():
    """Pixel i of 40 comes from 1 + 0.95 (i + 0.5) - 0.5, by linear interpolation of a ramp; the centre stays put."""
    at = zoom_matrix(40, 0.025) @ np.arange(40.0)
    expected = 1 + 0.95 * (np.arange(40) + 0.5) - 0.5
    assert pytest.approx(expected, abs=1e-4) == at
    assert pytest.approx(19.5, abs=1e-4) == at.mean()


def test_the_zoom_of_a_tiny_line_by_hand():
    """Two pixels: 5 % of the other is mixed in at margin 0.05 (places 0.05 and 0.95)."""
    assert pytest.approx(np.array([[0.95, 0.05], [0.05, 0.95]]), abs=1e-6) == zoom_matrix(2, 0.05)


def test_zooming_mixes_no_colours_and_both_directions_alike():
    """A transposed crop gives the transposed view, and each colour is treated by itself."""
    crop = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    nearer = views(crop)[1]
    assert np.abs(views(crop.transpose(1, 0, 2))[1].transpose(1, 0, 2).astype(int) - nearer).max() <= 1  # rounding
    assert np.array_equal(nearer[..., ::-1], views(crop[..., ::-1])[1])


def test_the_second_view_by_hand_on_a_step():
    """Two columns, black and white, two pixels wide: 2.5 % of 255 comes over the edge."""
    crop = np.zeros((2, 2, 3), np.uint8)
    crop[:, 1] = 255
    assert [[6, 249], [6, 249]] == views(crop)[1][..., 0].tolist()


def test_every_crop_of_a_frame_is_changed_alike():
    """Two crops, also of different sizes, give two views in their order."""
    rng = np.random.default_rng(6)
    wide, tight = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (8, 6))
    for view in range(VIEWS):
        both = augmented((wide, tight), view)
        assert [views(wide)[view].tolist(), views(tight)[view].tolist()] == [crop.tolist() for crop in both]


def test_views_are_new_arrays_and_leave_the_crop_alone():
    """What is returned shares no memory with what was given, which may be read-only."""
    crop = np.random.default_rng(6).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    before = crop.copy()
    crop.setflags(write=False)
    for view in views(crop):
        assert (np.uint8, (8, 8, 3), True) == (view.dtype, view.shape, view.flags.c_contiguous)
        assert not np.shares_memory(view, crop)
        view[:] = 0
    assert np.array_equal(before, crop)
