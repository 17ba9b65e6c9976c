"""Figures over all thresholds: ROC and DET curves, AUC, equal error rate, BPCER at a fixed APCER."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.metrics.score_set import ScoreSet

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Both error rates at every threshold that makes a difference, thresholds ascending.

    Attributes
    ----------
    thresholds : (T,) float64
        The lowest score (everything is accepted), the midpoints between neighbouring distinct scores, and the
        float after the highest score (nothing is accepted).
    apcer : (T,) float64
        Falling from 1 to 0; of the worst species, or of all attacks pooled.
    bpcer : (T,) float64
        Rising from 0 to 1.
    """

    thresholds: Floats
    apcer: Floats
    bpcer: Floats


def curve(scores: ScoreSet, *, worst_species: bool = False) -> Curve:
    """Both error rates at every threshold, over answered presentations.

    Attacks are pooled, as in a ROC curve, unless `worst_species`: then the APCER at each threshold is that of the
    species which is worst there. The rates of an absent class are `nan`; with no answered presentation at all the
    curve has no point.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> c = curve(ScoreSet(live_scores=[0.2, 0.4, 0.8], is_live=[0, 1, 1]))
    >>> c.thresholds.round(3).tolist(), c.apcer.tolist(), c.bpcer.tolist()
    ([0.2, 0.3, 0.6, 0.8], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0])
    """
    live, attacks = scores.answered()
    thresholds = _thresholds(np.concatenate([live, attacks]))
    apcer = _accepted(attacks, thresholds)
    if worst_species and len(attacks):
        answered = ~scores.refused
        each = [np.sort(scores.live_scores[answered & (scores.species == name)]) for name in scores.attack_species]
        apcer = np.max([_accepted(one, thresholds) for one in each if len(one)], axis=0)
    return Curve(thresholds, apcer, _rejected(live, thresholds))


def auc(scores: ScoreSet) -> float:
    """Area under the ROC curve: the chance that a live presentation scores above an attack, ties counted half.

    Attacks are pooled, refusals left out; `nan` unless both classes were answered. (Mann and Whitney 1947.)

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> auc(ScoreSet(live_scores=[0.9, 0.5, 0.5, 0.1], is_live=[1, 1, 0, 0]))
    0.875
    """
    live, attacks = scores.answered()
    if not len(live) or not len(attacks):
        return float("nan")
    below = np.searchsorted(attacks, live, side="left")
    not_above = np.searchsorted(attacks, live, side="right")
    return float((below + not_above).mean() / (2 * len(attacks)))


def eer(scores: ScoreSet) -> float:
    """Equal error rate: the mean of pooled APCER and BPCER where they are nearest to each other.

    Read off the set itself, so it is a figure of separability and no operating point; `nan` for one class alone.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> eer(ScoreSet(live_scores=[0.9, 0.4, 0.6, 0.1], is_live=[1, 1, 0, 0]))
    0.5
    """
    points = curve(scores)
    best = equal_point(points)
    return float("nan") if best is None else float(points.apcer[best] + points.bpcer[best]) / 2


def equal_point(points: Curve) -> int | None:
    """Index where the rates are nearest to each other, the highest such threshold; `None` for one class alone."""
    gap = np.abs(points.apcer - points.bpcer)
    if not len(gap) or np.isnan(gap).any():
        return None
    # Rates that differ by rounding alone are tied, and a tie goes to the side of security.
    return int(np.flatnonzero(gap <= gap.min() + 1e-12)[-1])


def bpcer_at_apcer(scores: ScoreSet, max_apcer: float) -> float:
    """Lowest BPCER with a worst-species APCER of at most `max_apcer`, both on this very set.

    BPCER20 is `max_apcer=0.05`, BPCER100 is `max_apcer=0.01`. For the figure with a threshold from a development set
    use `choose_threshold(development, policy="apcer=0.05")` and `bpcer(test, threshold.value)`. `nan` for one class
    alone.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> bpcer_at_apcer(ScoreSet(live_scores=[0.9, 0.4, 0.6, 0.1], is_live=[1, 1, 0, 0]), 0.05)
    0.5
    """
    if not 0 <= max_apcer <= 1:
        raise InputError(f"max_apcer: expected a share in [0, 1], got {max_apcer}; 0.05 gives BPCER20")
    points = curve(scores, worst_species=True)
    if not len(points.thresholds) or np.isnan(points.apcer + points.bpcer).any():
        return float("nan")
    return float(points.bpcer[points.apcer <= max_apcer].min())


def probit(rates: Floats) -> Floats:
    """Map rates to normal deviates, the axes of a DET curve (Martin et al. 1997); 0 and 1 become -inf and inf.

    Examples
    --------
    >>> probit(np.array([0.0, 0.5, 1.0])).tolist()
    [-inf, 0.0, inf]
    """
    inverse = NormalDist().inv_cdf
    inner = [inverse(float(rate)) if 0 < rate < 1 else (rate - 0.5) * np.inf for rate in rates]
    return np.array(inner, dtype=np.float64)


def _thresholds(values: Floats) -> Floats:
    distinct = np.unique(values)
    if not len(distinct):
        return distinct
    low, high = distinct[:-1], distinct[1:]
    middle = np.where(np.isinf(low) | np.isinf(high), high, low / 2 + high / 2)
    # Between neighbouring floats the midpoint may round down to the lower score, which must be rejected there.
    middle = np.where(middle > low, middle, high)
    return np.concatenate([distinct[:1], middle, [np.nextafter(distinct[-1], np.inf)]])


def _rejected(ordered: Floats, thresholds: Floats) -> Floats:
    if not len(ordered):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(ordered, thresholds, side="left") / len(ordered)


def _accepted(ordered: Floats, thresholds: Floats) -> Floats:
    # Counted rather than 1 - rejected: 1 - 0.95 is above 0.05 by rounding, and a policy of 0.05 must see 0.05.
    if not len(ordered):
        return np.full(len(thresholds), np.nan)
    return (len(ordered) - np.searchsorted(ordered, thresholds, side="left")) / len(ordered)
