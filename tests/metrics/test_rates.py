"""Error rates against tables worked out by hand."""

import math

import numpy as np
import pytest

from ratta.metrics import ScoreSet, acer, apcer, apcer_by_species, bpcer, count, hter

NAN = float("nan")

# Threshold 0.5.   accepted  rejected  refused
#   live      10:      7         2        1
#   print      4:      1         3        0
#   replay     5:      2         1        2
#   mask       1:      0         0        1
TABLE = ScoreSet(
    live_scores=[0.9] * 7 + [0.1] * 2 + [NAN] + [0.5] + [0.2] * 3 + [0.6, 0.7, 0.0] + [NAN] * 3,
    is_live=[1] * 10 + [0] * 10,
    species=["live"] * 10 + ["print"] * 4 + ["replay"] * 5 + ["mask"],
)


def test_bpcer_over_answered() -> None:
    """Two of nine answered bona fide presentations were rejected; the refused one is not in the count."""
    assert 2 / 9 == bpcer(TABLE, 0.5)


def test_apcer_by_species() -> None:
    """A score on the threshold is accepted; a species refused throughout has no rate."""
    rates = apcer_by_species(TABLE, 0.5)
    assert (["mask", "print", "replay"], 1 / 4, 2 / 3, True) == (
        list(rates),
        rates["print"],
        rates["replay"],
        math.isnan(rates["mask"]),
    )


def test_apcer_is_the_worst_species() -> None:
    """The headline is the replay attack, not the mean over attacks (3 of 7)."""
    assert 2 / 3 == apcer(TABLE, 0.5)


def test_acer_averages_worst_apcer_and_bpcer() -> None:
    """ACER = (2/3 + 2/9) / 2."""
    assert (2 / 3 + 2 / 9) / 2 == acer(TABLE, 0.5)


def test_system_rates_count_refusals() -> None:
    """Refused attacks are rejected rightly (3 of 10 accepted), the refused live one wrongly (3 of 10 turned away)."""
    totals = count(TABLE, 0.5).total()
    assert (0.3, 0.3, 0.3) == (float(totals.far), float(totals.frr), hter(TABLE, 0.5))


def test_system_rates_agree_with_fta_formula() -> None:
    """FAR = FPR (1 - FtA) and FRR = FtA + FNR (1 - FtA) with the failure to acquire of each class."""
    totals = count(TABLE, 0.5).total()
    fpr, fnr, fta_attack, fta_live = 3 / 7, 2 / 9, 3 / 10, 1 / 10
    assert pytest.approx((fpr * (1 - fta_attack), fta_live + fnr * (1 - fta_live))) == (totals.far, totals.frr)


@pytest.mark.parametrize(("threshold", "expected"), [(-1.0, (1.0, 0.0)), (2.0, (0.0, 1.0)), (NAN, (0.0, 1.0))])
def test_extreme_thresholds(threshold: float, expected: tuple[float, float]) -> None:
    """Below all scores everything is accepted; above them, and at an undefined threshold, nothing is."""
    assert expected == (apcer(TABLE, threshold), bpcer(TABLE, threshold))


@pytest.mark.parametrize("is_live", [[1, 1], [0, 0], [1, 0]])
def test_one_class_or_all_refused(is_live: list[int]) -> None:
    """Without an answered presentation of both classes ACER is undefined."""
    live_scores = [NAN, NAN] if is_live == [1, 0] else [0.3, 0.7]
    assert math.isnan(acer(ScoreSet(live_scores=live_scores, is_live=is_live), 0.5))


def test_empty() -> None:
    """An empty set has no rate at all."""
    totals = count(ScoreSet(live_scores=[], is_live=[]), 0.5).total()
    assert np.isnan([totals.apcer, totals.bpcer, totals.far, totals.frr, totals.hter]).all()


def test_counts_per_subject() -> None:
    """Counts keep one row per subject, in the order of their names, and sum to the whole."""
    scores = ScoreSet(live_scores=[0.9, 0.1, 0.9, 0.9], is_live=[1, 1, 0, 0], subjects=["b", "a", "b", "b"])
    counts = count(scores, 0.5)
    assert ([[1, 0], [1, 2]], [[1, 0], [0, 2]], [1, 2]) == (
        counts.presented.tolist(),
        counts.errors.tolist(),
        counts.total().errors.tolist(),
    )
