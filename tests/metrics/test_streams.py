"""Figures along a stream, on streams short enough to follow by eye."""

import math

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.metrics import Detection, ScoreSet, apcer, bpcer, detection, running_error

NAN = float("nan")


def test_window_of_each_class() -> None:
    """Each class has its own window, which only its own answered presentations move."""
    stream = ScoreSet(
        live_scores=[0.9, 0.1, NAN, 0.1, 0.8, 0.7, 0.2],
        is_live=[1, 1, 1, 0, 0, 1, 0],
    )
    error = running_error(stream, 0.5, window=2)
    np.testing.assert_array_equal([0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], error.bpcer)
    np.testing.assert_array_equal([NAN, NAN, NAN, 0, 0.5, 0.5, 0.5], error.apcer)
    assert 0.5 == error.worst_acer


def test_window_as_long_as_the_stream() -> None:
    """With a window of the whole length the last point is the rate of the set."""
    rng = np.random.default_rng(0)
    stream = ScoreSet(live_scores=rng.random(200), is_live=rng.random(200) < 0.5)
    error = running_error(stream, 0.5, window=200)
    late = running_error(stream, 0.5, window=150)
    assert math.isnan(error.apcer[50])
    assert pytest.approx((apcer(stream, 0.5), bpcer(stream, 0.5))) == (late.apcer[-1], late.bpcer[-1])


def test_one_class_has_no_worst_point() -> None:
    """A live-only stream has a BPCER but no ACER."""
    error = running_error(ScoreSet(live_scores=[0.1, 0.9], is_live=[1, 1]), 0.5, window=2)
    assert (0.5, True) == (error.bpcer[-1], math.isnan(error.worst_acer))


def test_window_must_be_positive() -> None:
    """A window of nothing is refused."""
    with pytest.raises(InputError, match="window: expected at least 1"):
        running_error(ScoreSet(live_scores=[], is_live=[]), 0.5, window=0)


@pytest.mark.parametrize(
    ("alarms", "change", "expected"),
    [
        ([], 5.0, (0, NAN)),
        ([5.0], 5.0, (0, 0.0)),
        ([1.0, 2.0, 9.0, 12.0], 5.0, (2, 4.0)),
        ([1.0, 2.0], None, (2, NAN)),
    ],
)
def test_detection(alarms: list[float], change: float | None, expected: tuple[int, float]) -> None:
    """Alarms before the change are false, the first one after it ends the delay, a miss has none."""
    found = detection(alarms, change=change)
    assert str(Detection(*expected)) == str(found)
