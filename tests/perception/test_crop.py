"""Where the square lies and what is cut."""

import numpy as np
import pytest

from ratta.perception.crop import Square, cut, square_around, within
from ratta.records import Box


@pytest.mark.parametrize(
    ("box", "scale", "expected"),
    [
        (Box(100, 100, 200, 180), 2.0, Square(50, 40, 200)),
        (Box(100, 100, 180, 200), 2.0, Square(40, 50, 200)),
        (Box(0, 0, 100, 100), 2.0, Square(0, 0, 200)),
        (Box(540, 380, 640, 480), 2.0, Square(440, 280, 200)),
        (Box(100, 100, 400, 400), 2.0, Square(10, 0, 480)),
        (Box(-30, -30, 70, 70), 1.0, Square(0, 0, 100)),
        (Box(10.4, 10.4, 10.6, 10.6), 1.0, Square(10, 10, 1)),
    ],
)
def test_square_of_the_crop_rule(box, scale, expected):
    """Scaled around the center, shrunk to the frame's shorter side, shifted inside."""
    assert square_around(box, scale=scale, height=480, width=640) == expected


def test_square_never_leaves_the_frame():
    """For any box the square lies inside: nothing is padded."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        x, y = rng.uniform(-200, 800, 2)
        box = Box(x, y, x + rng.uniform(1, 900), y + rng.uniform(1, 900))
        height, width = (int(v) for v in rng.integers(1, 700, 2))
        found = square_around(box, scale=float(rng.uniform(1, 4)), height=height, width=width)
        assert found.side >= 1
        assert 0 <= found.left <= width - found.side
        assert 0 <= found.top <= height - found.side


@pytest.mark.parametrize(("color", "expected"), [("bgr", [30, 20, 10]), ("rgb", [10, 20, 30])])
def test_cut_is_rgb_inside(color, expected):
    """The caller's colour order ends at the crop."""
    frame = np.full((100, 120, 3), (10, 20, 30), np.uint8)
    assert cut(frame, Square(5, 5, 64), size=32, color=color)[7, 9].tolist() == expected


def test_cut_takes_the_square():
    """At scale one the crop is the part of the frame."""
    frame = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    found = cut(frame, Square(left=40, top=10, side=64), size=64, color="rgb")
    np.testing.assert_array_equal(found, frame[10:74, 40:104])


def test_within_maps_corners_of_the_square_to_corners_of_the_crop():
    """The square itself is the whole crop."""
    assert within(Box(40, 10, 140, 110), Square(40, 10, 100), size=128) == Box(0, 0, 128, 128)


@pytest.mark.parametrize(
    ("border", "flag"), [("reflect", "BORDER_REFLECT_101"), ("edge", "BORDER_REPLICATE"), ("black", "BORDER_CONSTANT")]
)
@pytest.mark.parametrize("box", [Box(-10, 5, 30, 55), Box(40, 20, 79, 59), Box(20, 20, 60, 50)])
def test_a_border_rule_continues_the_frame(border, flag, box):
    """As OpenCV pads, whichever side the square leaves, and not at all where it stays inside."""
    cv2 = pytest.importorskip("cv2")
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    square = square_around(box, scale=1.7, height=60, width=80, border=border)
    padded = cv2.copyMakeBorder(frame, 50, 50, 50, 50, getattr(cv2, flag))
    view = padded[50 + square.top :, 50 + square.left :][: square.side, : square.side]
    expected = cut(view, Square(0, 0, square.side), size=32, color="bgr")
    np.testing.assert_array_equal(cut(frame, square, size=32, color="bgr", border=border), expected)
    assert abs(2 * square.left + square.side - 2 * box.center[0]) <= 2


def test_a_huge_square_outside_the_frame_costs_little():
    """A face that fills a large frame, under a wide rule: lines are left out, memory stays bounded."""
    frame = np.full((600, 800, 3), 9, np.uint8)
    square = square_around(Box(0, 0, 800, 600), scale=10, height=600, width=800, border="edge")
    assert 8000 == square.side
    assert (cut(frame, square, size=64, color="rgb", border="edge") == 9).all()
