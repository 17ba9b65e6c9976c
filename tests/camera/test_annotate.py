"""What is drawn: the verdict's color, a bar as long as the score, and never into the caller's frame."""

import math

import numpy as np
import pytest

from ratta.camera import annotate
from ratta.camera.annotate import COLORS
from ratta.records import Box, Verdict

BOX = Box(200, 100, 400, 340)


def count(picture, color):
    return int((picture == np.array(color, np.uint8)).all(axis=2).sum())


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_box_has_the_color_of_the_verdict(verdict):
    """Green, red, amber or grey around the face, and none of the others."""
    picture = annotate(np.zeros((480, 640, 3), np.uint8), verdict=verdict, reason="r", score=math.nan, box=BOX)
    around = picture[90:350, 190:410]
    assert count(around, COLORS[verdict]) > 500
    assert [count(around, COLORS[other]) for other in Verdict if other is not verdict] == [0, 0, 0]


def test_the_colors_are_what_they_are_called():
    """BGR: live is green, spoof red, uncertain red and green, refused grey."""
    strongest = {verdict: int(np.argmax(color)) for verdict, color in COLORS.items()}
    assert (strongest[Verdict.LIVE], strongest[Verdict.SPOOF], strongest[Verdict.UNCERTAIN]) == (1, 2, 2)
    assert len(set(COLORS[Verdict.REFUSED])) == 1


def test_the_bar_is_as_long_as_the_score():
    """Half the score is half the bar, and no score is none."""
    widths = []
    for score in (math.nan, 0.0, 0.25, 0.5, 1.0):
        picture = annotate(np.zeros((480, 640, 3), np.uint8), verdict=Verdict.LIVE, reason="r", score=score)
        widths.append(int((picture[465] == np.array(COLORS[Verdict.LIVE])).all(axis=1).sum()))
    full = widths[-1] - 1
    assert full > 400
    assert widths[0] == 0
    assert [w - 1 for w in widths[1:]] == [0, full // 4, full // 2, full]


def test_the_frame_is_not_touched():
    """The picture is a copy."""
    frame = np.full((480, 640, 3), 50, np.uint8)
    annotate(frame, verdict=Verdict.SPOOF, reason="stable", score=0.1, box=BOX, thresholds=(0.4, 0.6))
    assert (frame == 50).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 30, 3), (64, 2000, 3), (2160, 3840, 3)])
def test_any_size_can_be_drawn_on(shape):
    """Tiny and huge frames come back at their size, also with a box that leaves them."""
    picture = annotate(
        np.zeros(shape, np.uint8), verdict=Verdict.LIVE, reason="stable", score=0.9, box=Box(-9, -9, 5e3, 5e3)
    )
    assert picture.shape == shape
