"""Thresholds from a development set, by policies that have a name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError
from ratta.metrics.curves import Curve, curve, equal_point

if TYPE_CHECKING:
    from ratta.metrics.score_set import ScoreSet

_POLICIES = "'eer', 'apcer=0.05', 'bpcer=0.05', 'cost=0.5' or 'fixed=0.5'"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A decision threshold and where it comes from: `score >= value` is classified live.

    Attributes
    ----------
    value : float
        On the scale of the scores; `nan` (accept nothing) if the policy was undefined on the set.
    policy : str
        As given to `choose_threshold`.
    origin : str
        The set it was chosen on.
    """

    value: float
    policy: str
    origin: str


def choose_threshold(scores: ScoreSet, *, policy: str, origin: str) -> Threshold:
    """Choose a threshold on a development set.

    Policies
    --------
    `eer`
        Pooled APCER and BPCER nearest to each other.
    `apcer=R`
        Least BPCER with a worst-species APCER of at most `R`.
    `bpcer=R`
        Least worst-species APCER with a BPCER of at most `R`.
    `cost=W`
        Least `W APCER + (1 - W) BPCER`, worst species; `W` in (0, 1) weighs security against convenience
        (after Stets and Konovalenko 2024).
    `fixed=V`
        `V` itself; the scores are not looked at. For comparisons with work that used 0.5.

    A tie goes to the higher threshold, the side of security; the value lies midway between neighbouring scores.
    A set without both classes has no threshold but a fixed one: `nan`, which classifies nothing as live.

    Parameters
    ----------
    scores : ScoreSet
        The development set; refusals are left out.
    policy : str
        One of the above.
    origin : str
        Name of the development set, kept with the value.

    Raises
    ------
    InputError
        If the policy is unknown or its number out of range.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> development = ScoreSet(live_scores=[0.9, 0.7, 0.5, 0.1], is_live=[1, 1, 0, 0])
    >>> round(choose_threshold(development, policy="eer", origin="development").value, 3)
    0.6
    """
    name, number = _parse(policy)
    if name == "fixed":
        return Threshold(number, policy, origin)
    points = curve(scores, worst_species=name != "eer")
    index = _choose(points, name, number)
    return Threshold(float("nan") if index is None else float(points.thresholds[index]), policy, origin)


def _choose(points: Curve, name: str, number: float) -> int | None:
    if not len(points.thresholds) or np.isnan(points.apcer + points.bpcer).any():
        return None
    if name == "eer":
        return equal_point(points)
    if name == "apcer":
        least = points.bpcer[points.apcer <= number].min()
        return int(np.flatnonzero(points.bpcer <= least)[-1])
    if name == "bpcer":
        return int(np.flatnonzero(points.bpcer <= number)[-1])
    cost = number * points.apcer + (1 - number) * points.bpcer
    return int(np.flatnonzero(cost <= cost.min() + 1e-12)[-1])


def _parse(policy: str) -> tuple[str, float]:
    name, _, text = policy.partition("=")
    if policy == "eer":
        return name, math.nan
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    known = name in {"apcer", "bpcer", "cost", "fixed"} and math.isfinite(number)
    in_range = name == "fixed" or (0 < number < 1 if name == "cost" else 0 <= number <= 1)
    if not (known and in_range):
        raise InputError(f"policy: expected {_POLICIES}, rates in [0, 1] and weights in (0, 1), got {policy!r}")
    return name, number
