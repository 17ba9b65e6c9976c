"""Confidence intervals: exact for one rate, bootstrap over subjects for compound figures and paired differences.

Frames of one session are not independent, so an exact binomial interval over frames is too narrow as a statement about
new people; the bootstrap over subjects is the honest one there, and is itself too narrow for fewer than some ten
subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError
from ratta.metrics.rates import Counts, count

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ratta.metrics.score_set import ScoreSet

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval; `nan` where undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Paired differences between two methods on the same presentations, first minus second, worst species' APCER."""

    acer: Estimate
    apcer: Estimate
    bpcer: Estimate
    apcer_by_species: dict[str, Estimate]


def clopper_pearson(errors: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of a rate, after Clopper and Pearson (1934); `(nan, nan)` for `n = 0`.

    Parameters
    ----------
    errors, n : int
        `0 <= errors <= n`.
    confidence : float
        In (0, 1).

    Returns
    -------
    tuple of float
        Lower and upper end.

    Examples
    --------
    >>> low, high = clopper_pearson(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    if not 0 <= errors <= n:
        raise InputError(f"errors: expected 0 <= errors <= n, got {errors} of {n}")
    tail = (1 - _checked(confidence)) / 2
    if n == 0:
        return float("nan"), float("nan")
    high = 1.0 if errors == n else _rate_at(errors, n, tail)
    low = 0.0 if errors == 0 else _rate_at(errors - 1, n, 1 - tail)
    return low, high


def bootstrap(
    figure: Callable[[Counts], Floats], counts: Counts, *, seed: int, resamples: int = 1000, confidence: float = 0.95
) -> Estimate:
    """Percentile bootstrap over subjects of a figure at a fixed threshold.

    Subjects are drawn with replacement; a resample in which the figure is undefined (a class not drawn) is left out.

    Parameters
    ----------
    figure : callable
        From `Counts` with leading axes `(R,)` to `(R,)`, such as `lambda c: c.acer`.
    counts : Counts
        One row per subject, from `count`.

    Returns
    -------
    Estimate
        The interval is `nan` for fewer than two subjects.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> scores = ScoreSet(live_scores=[.9, .4, .8, .1], is_live=[1, 1, 1, 0], subjects=["a", "a", "b", "b"])
    >>> bootstrap(lambda c: c.bpcer, count(scores, 0.5), seed=0)
    Estimate(value=0.3333333333333333, low=0.0, high=0.5)
    """
    value = float(figure(counts.total()))
    weights = _resamples(len(counts.presented), resamples, seed)
    return _percentiles(value, figure(counts.weighted(weights)), len(counts.presented), confidence)


def bootstrap_statistic(
    statistic: Callable[[ScoreSet], float],
    scores: ScoreSet,
    *,
    seed: int,
    resamples: int = 200,
    confidence: float = 0.95,
) -> Estimate:
    """Percentile bootstrap over subjects of any statistic, such as `auc` or `eer`; slower than `bootstrap`."""
    value = statistic(scores)
    if scores.subjects is None:
        return Estimate(value, float("nan"), float("nan"))
    names, subject = np.unique(scores.subjects, return_inverse=True)
    members = np.split(np.argsort(subject, kind="stable"), np.cumsum(np.bincount(subject))[:-1]) if len(names) else []
    draws = np.random.default_rng(seed).integers(0, max(len(names), 1), size=(resamples, len(names)))
    values = np.full(resamples, np.nan)
    if len(names) > 1:
        values[:] = [statistic(scores.take(np.concatenate([members[i] for i in draw]))) for draw in draws]
    return _percentiles(value, values, len(names), confidence)


def paired_difference(
    first: ScoreSet,
    second: ScoreSet,
    *,
    threshold: float,
    second_threshold: float | None = None,
    seed: int,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Difference:
    """Differences `first - second` of two methods on the same presentations; the same subjects are drawn for both.

    Parameters
    ----------
    first, second : ScoreSet
        The same presentations in the same order, with subjects.
    threshold : float
        Of `first`, and of `second` unless `second_threshold` is given.

    Raises
    ------
    InputError
        If the presentations differ.
    """
    _check_paired(first, second)
    a = count(first, threshold)
    b = count(second, threshold if second_threshold is None else second_threshold)
    weights = _resamples(len(a.presented), resamples, seed)
    a_total, b_total, a_drawn, b_drawn = a.total(), b.total(), a.weighted(weights), b.weighted(weights)

    def difference(figure: Callable[[Counts], Floats]) -> Estimate:
        value = float(figure(a_total) - figure(b_total))
        return _percentiles(value, figure(a_drawn) - figure(b_drawn), len(a.presented), confidence)

    species = {
        name: difference(lambda c, column=column: c.apcer_by_species[..., column])  # type: ignore[misc]
        for column, name in enumerate(a.species)
    }
    return Difference(
        difference(lambda c: c.acer), difference(lambda c: c.apcer), difference(lambda c: c.bpcer), species
    )


def _check_paired(first: ScoreSet, second: ScoreSet) -> None:
    same = len(first) == len(second) and np.array_equal(first.species, second.species)
    subjects = [s.subjects for s in (first, second)]
    if not same or (subjects[0] is None) != (subjects[1] is None):
        raise InputError("paired difference: expected the same presentations in the same order, got different ones")
    if subjects[0] is not None and subjects[1] is not None and not np.array_equal(subjects[0], subjects[1]):
        raise InputError("paired difference: expected the same subjects in the same order, got different ones")


def _resamples(subjects: int, resamples: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    if not subjects:
        return np.zeros((resamples, 0))
    return rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples).astype(np.float64)


def _percentiles(value: float, values: Floats, subjects: int, confidence: float) -> Estimate:
    tail = (1 - _checked(confidence)) / 2
    defined = values[~np.isnan(values)]
    if subjects < 2 or not len(defined):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a share in (0, 1), got {confidence}; 0.95 is customary")
    return confidence


def _rate_at(errors: int, n: int, tail: float) -> float:
    """Find the rate at which at most `errors` of `n` happen with probability `tail`, by bisection of the exact sum."""
    if errors > n / 2:
        return 1 - _rate_at(n - errors - 1, n, 1 - tail)
    k = np.arange(errors + 1)
    steps = np.log(n + 1 - k[1:]) - np.log(k[1:])
    log_choose = np.concatenate([[0.0], np.cumsum(steps)])
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        terms = log_choose + k * np.log(rate) + (n - k) * np.log1p(-rate)
        probability = np.exp(terms.max()) * np.exp(terms - terms.max()).sum()
        low, high = (rate, high) if probability > tail else (low, rate)
    return (low + high) / 2
