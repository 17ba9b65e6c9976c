"""From development readings to temperature, bias and thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ratta.bundle import Calibration
from ratta.errors import DataError
from ratta.metrics import ScoreSet, choose_threshold

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.calibration.readings import SourceReadings

    Floats = npt.NDArray[np.float64]

SCORE_RANGE = (0.02, 0.98)
"""Thresholds stay inside it: a development set without errors must not ask for certainty."""


def calibrate(
    readings: SourceReadings,
    *,
    origin: str,
    live_policy: str = "apcer=0.05",
    spoof_policy: str = "bpcer=0.02",
) -> Calibration:
    """Choose temperature, bias and the two thresholds.

    Parameters
    ----------
    readings : SourceReadings
        Of the development set.
    origin : str
        Names the set; the policies and counts are added.
    live_policy, spoof_policy : str
        Policies of `ratta.metrics.choose_threshold`. Where the first would lie below the second, the set is separated
        better than they ask for, and both become their midpoint.
    """
    temperature, bias = fit_temperature(readings.margins, readings.is_live, readings.species)
    scores = 1 / (1 + np.exp(-(readings.margins / temperature + bias)))
    development = ScoreSet(
        live_scores=scores, is_live=readings.is_live, species=readings.species, subjects=readings.subjects
    )
    live = choose_threshold(development, policy=live_policy, origin=origin).value
    spoof = choose_threshold(development, policy=spoof_policy, origin=origin).value
    if live < spoof:
        live = spoof = (live + spoof) / 2
    if live > SCORE_RANGE[1]:
        raise DataError(
            f"calibration: expected a live threshold of at most {SCORE_RANGE[1]}, got {live:.4f} for {live_policy}; "
            "some attacks score like the surest live faces: ask for less, or train further"
        )
    people = len(np.unique(readings.subjects))
    counts = f"{len(scores)} crops" + (f" of {people} subjects" if people > 1 else "")
    return Calibration(
        temperature=temperature,
        bias=bias,
        live_threshold=float(np.clip(live, *SCORE_RANGE)),
        spoof_threshold=float(np.clip(spoof, *SCORE_RANGE)),
        origin=f"{origin}; {counts}; live {live_policy}, spoof {spoof_policy}",
    )


def fit_temperature(
    margins: Floats, is_live: npt.NDArray[np.bool_], species: npt.NDArray[np.str_]
) -> tuple[float, float]:
    """Fit `P(live) = sigmoid(margin / temperature + bias)` (Platt 1999, with his smoothed targets).

    Live counts as much as all attacks together, and every attack species as much as any other.

    Returns
    -------
    temperature, bias : float

    Raises
    ------
    DataError
        If larger margins do not mean live more often: the class order is wrong, or the network has learnt nothing.

    Examples
    --------
    >>> margins = np.array([2.0, 1.0, -0.5, -1.0, -2.0, 0.5])
    >>> temperature, bias = fit_temperature(margins, margins > 0, np.where(margins > 0, "", "print"))
    >>> temperature > 0
    True
    """
    kinds, index, counts = np.unique(np.where(is_live, "", species), return_inverse=True, return_counts=True)
    share = np.where(kinds == "", 0.5, 0.5 / max(1, len(kinds) - 1))
    weights = (share / counts)[index] * len(margins)
    target = np.where(is_live, 1 - 1 / (is_live.sum() + 2), 1 / ((~is_live).sum() + 2))
    spread = float(margins.std()) or 1.0
    design = np.stack([margins / spread, np.ones_like(margins)], axis=1)
    theta = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -30, 30)))
        gradient = design.T @ (weights * (p - target)) + 1e-3 * theta
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta -= step * min(1.0, 1.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-9:
            break
    if theta[0] <= 0:
        raise DataError(
            f"calibration: expected larger margins for live, got a slope of {theta[0]:.3g}; check the class order"
        )
    return float(spread / theta[0]), float(theta[1])
