"""The records: boxes are checked, enumerations are words, logistic and log-odds are inverse."""

import math

import pytest

from ratta.errors import InputError
from ratta.records import Box, Decision, Reason, Score, Verdict, logit, sigmoid


@pytest.mark.parametrize(
    "corners",
    [
        (10, 10, 10, 20),
        (10, 10, 20, 10),
        (20, 10, 10, 20),
        (math.nan, 0, 1, 1),
        (0, 0, math.inf, 1),
        (0, 0, 1e-200, 1e-200),
        ("a", 1, 2, 3),
        (0, 0, 10**400, 5),
    ],
)
def test_a_box_has_an_area_and_finite_corners(corners):
    """An inverted, empty or not finite box is an error that says what boxes are."""
    with pytest.raises(InputError, match="box: expected"):
        Box(*corners)


def test_boxes_overlap():
    """Intersection over union of hand-made boxes."""
    assert Box(0, 0, 4, 4).iou(Box(0, 0, 4, 4)) == 1.0
    assert Box(0, 0, 4, 4).iou(Box(0, 0, 4, 2)) == 0.5
    assert Box(0, 0, 4, 4).iou(Box(4, 0, 8, 4)) == 0.0


@pytest.mark.parametrize("p", [0.01, 0.4, 0.5, 0.99])
def test_sigmoid_inverts_logit(p):
    """Scores survive the way to log-odds and back."""
    assert sigmoid(logit(p)) == pytest.approx(p, rel=1e-12)


def test_only_live_is_real():
    """`is_real` is LIVE and nothing else."""
    made = {v: Decision(v, 0.5, 0.5, Reason.STABLE, "", 0.0, None, 1, False).is_real for v in Verdict}
    assert made == {Verdict.LIVE: True, Verdict.SPOOF: False, Verdict.UNCERTAIN: False, Verdict.REFUSED: False}


def test_a_refused_score_says_so():
    """A score with a reason was refused."""
    assert Score(math.nan, None, Reason.NO_FACE).refused
    assert not Score(0.5, Box(0, 0, 1, 1), None).refused
