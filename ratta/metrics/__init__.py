"""Error rates of ISO/IEC 30107-3, curves, thresholds, intervals and stream figures; needs NumPy alone.

Every function takes a `ScoreSet`. Scores are live scores (higher = live), `score >= threshold` is classified live,
`nan` is a refused presentation, and a figure that is undefined is `nan`.
"""

from ratta.metrics.curves import Curve, auc, bpcer_at_apcer, curve, eer, probit
from ratta.metrics.intervals import (
    Difference,
    Estimate,
    bootstrap,
    bootstrap_statistic,
    clopper_pearson,
    paired_difference,
)
from ratta.metrics.rates import Counts, acer, apcer, apcer_by_species, bpcer, count, hter
from ratta.metrics.score_set import ScoreSet
from ratta.metrics.streams import Detection, RunningError, detection, running_error
from ratta.metrics.summary import Rate, Summary, summary
from ratta.metrics.thresholds import Threshold, choose_threshold

__all__ = [
    "Counts",
    "Curve",
    "Detection",
    "Difference",
    "Estimate",
    "Rate",
    "RunningError",
    "ScoreSet",
    "Summary",
    "Threshold",
    "acer",
    "apcer",
    "apcer_by_species",
    "auc",
    "bootstrap",
    "bootstrap_statistic",
    "bpcer",
    "bpcer_at_apcer",
    "choose_threshold",
    "clopper_pearson",
    "count",
    "curve",
    "detection",
    "eer",
    "hter",
    "paired_difference",
    "probit",
    "running_error",
    "summary",
]
