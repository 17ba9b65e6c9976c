"""Exact intervals against SciPy; the bootstrap against its definition."""

import math

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.metrics import (
    ScoreSet,
    auc,
    bootstrap,
    bootstrap_statistic,
    clopper_pearson,
    count,
    paired_difference,
)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("errors", "n"), [(0, 1), (1, 1), (0, 40), (1, 40), (20, 40), (39, 40), (40, 40), (3, 20_000), (19_000, 20_000)]
)
def test_clopper_pearson_parity(errors: int, n: int, confidence: float) -> None:
    """The ends are SciPy's beta quantiles."""
    tail = (1 - confidence) / 2
    beta = pytest.importorskip("scipy.stats").beta
    low = beta.ppf(tail, errors, n - errors + 1) if errors else 0.0
    high = beta.ppf(1 - tail, errors + 1, n - errors) if errors < n else 1.0
    assert pytest.approx((low, high), rel=1e-9) == clopper_pearson(errors, n, confidence=confidence)


def test_clopper_pearson_of_nothing() -> None:
    """No presentation, no interval."""
    assert all(math.isnan(end) for end in clopper_pearson(0, 0))


@pytest.mark.parametrize(("errors", "n", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (0, 1, 95)])
def test_clopper_pearson_refusals(errors: int, n: int, confidence: float) -> None:
    """Impossible counts and a confidence in percent are refused."""
    with pytest.raises(InputError, match="expected"):
        clopper_pearson(errors, n, confidence=confidence)


def clustered(seed: int, subjects: int = 30, frames: int = 20) -> ScoreSet:
    """Subjects whose frames agree with each other: the case in which frames are not independent."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(subjects), frames)
    is_live = np.tile(np.arange(frames) % 2 == 0, subjects)
    scores = rng.normal(size=subjects)[who] + 1.5 * is_live + 0.1 * rng.normal(size=len(who))
    return ScoreSet(live_scores=scores, is_live=is_live, subjects=[f"s{i}" for i in who])


def test_bootstrap_draws_whole_subjects() -> None:
    """With two subjects, all wrong and all right, a resample has both, one or none: BPCER 0, 1/2 or 1."""
    scores = ScoreSet(live_scores=[0.9, 0.9, 0.1, 0.1], is_live=[1] * 4, subjects=["a", "a", "b", "b"])
    estimate = bootstrap(lambda c: c.bpcer, count(scores, 0.5), seed=1)
    assert (0.5, 0.0, 1.0) == (estimate.value, estimate.low, estimate.high)


def test_bootstrap_is_wider_than_frames_suggest() -> None:
    """Where frames of a subject agree, the subject interval is far wider than the exact one over frames."""
    scores = clustered(0)
    totals = count(scores, 0.75).total()
    exact = clopper_pearson(int(totals.errors[0]), int(totals.presented[0]))
    drawn = bootstrap(lambda c: c.bpcer, count(scores, 0.75), seed=0)
    assert drawn.high - drawn.low > 1.5 * (exact[1] - exact[0])


def test_bootstrap_of_statistic_agrees_with_counts() -> None:
    """The general and the fast bootstrap of the same figure agree within Monte Carlo error."""
    scores = clustered(1)
    fast = bootstrap(lambda c: c.bpcer, count(scores, 0.75), seed=0, resamples=2000)
    slow = bootstrap_statistic(lambda s: float(count(s, 0.75).total().bpcer), scores, seed=1, resamples=1000)
    assert pytest.approx((fast.value, fast.low, fast.high), abs=0.03) == (slow.value, slow.low, slow.high)


def test_bootstrap_covers() -> None:
    """Over 100 worlds the 90 % interval of the AUC holds the long-run value about as often as it says."""
    truth = auc(clustered(10_000, subjects=4000))
    hits = 0
    for seed in range(100):
        e = bootstrap_statistic(auc, clustered(seed, frames=4), seed=seed, resamples=100, confidence=0.9)
        hits += e.low <= truth <= e.high
    assert 75 <= hits <= 98


def test_same_seed_same_interval() -> None:
    """The seed is the only chance in it."""
    scores = clustered(2)
    assert bootstrap_statistic(auc, scores, seed=3) == bootstrap_statistic(auc, scores, seed=3)


@pytest.mark.parametrize("subjects", [None, ["a"] * 4])
def test_too_few_subjects(subjects: list[str] | None) -> None:
    """Without two subjects the value stands and the interval is undefined."""
    scores = ScoreSet(live_scores=[0.9, 0.4, 0.6, 0.1], is_live=[1, 1, 0, 0], subjects=subjects)
    fast = bootstrap(lambda c: c.acer, count(scores, 0.5), seed=0)
    slow = bootstrap_statistic(auc, scores, seed=0)
    assert (0.5, True, 0.75, True) == (fast.value, math.isnan(fast.low), slow.value, math.isnan(slow.high))


def test_empty_set() -> None:
    """Nothing in, `nan` out, and no warning."""
    scores = ScoreSet(live_scores=[], is_live=[], subjects=[])
    assert math.isnan(bootstrap_statistic(auc, scores, seed=0).low)
    assert math.isnan(bootstrap(lambda c: c.acer, count(scores, 0.5), seed=0).low)


def test_paired_difference_of_equals_is_zero() -> None:
    """A method does not differ from itself, in any resample."""
    scores = clustered(3)
    d = paired_difference(scores, scores, threshold=0.75, seed=0)
    assert (0.0, 0.0, 0.0) == (d.acer.value, d.acer.low, d.acer.high)


def test_pairing_removes_what_subjects_share() -> None:
    """A method that gains a little on everyone differs surely, although the single intervals overlap widely."""
    first = clustered(4)
    second = ScoreSet(
        live_scores=first.live_scores + 0.5 * first.is_live, is_live=first.is_live, subjects=first.subjects
    )
    d = paired_difference(second, first, threshold=0.75, seed=0)
    alone = bootstrap(lambda c: c.acer, count(first, 0.75), seed=0)
    assert d.bpcer.high < 0
    assert d.acer.high - d.acer.low < alone.high - alone.low
    assert (0.0, 0.0) == (d.apcer.low, d.apcer.high)


def test_paired_difference_per_species() -> None:
    """Differences are given per species; thresholds may differ between the two."""
    s = ScoreSet(live_scores=[0.9, 0.6, 0.2], is_live=[1, 0, 0], species=["", "print", "replay"])
    d = paired_difference(s, s, threshold=0.5, second_threshold=0.7, seed=0)
    assert (1.0, 0.0, 1.0, 0.5) == (
        d.apcer_by_species["print"].value,
        d.apcer_by_species["replay"].value,
        d.apcer.value,
        d.acer.value,
    )


def test_paired_difference_wants_the_same_presentations() -> None:
    """Two sets of different presentations are not a pair."""
    first = ScoreSet(live_scores=[0.9, 0.1], is_live=[1, 0], subjects=["a", "b"])
    for second in (
        ScoreSet(live_scores=[0.9], is_live=[1], subjects=["a"]),
        ScoreSet(live_scores=[0.9, 0.1], is_live=[0, 1], subjects=["a", "b"]),
        ScoreSet(live_scores=[0.9, 0.1], is_live=[1, 0], subjects=["b", "a"]),
        ScoreSet(live_scores=[0.9, 0.1], is_live=[1, 0]),
    ):
        with pytest.raises(InputError, match="paired difference: expected the same"):
            paired_difference(first, second, threshold=0.5, seed=0)
