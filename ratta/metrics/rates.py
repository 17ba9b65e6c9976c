"""Error rates of ISO/IEC 30107-3 at one threshold, from counts.

Two views, both always reported:

*Classification* (ISO): APCER and BPCER over the presentations that were **answered**. Refusals stand beside them as
non-response rates: APNRR for attacks, BPNRR for bona fide presentations.

*System* (what the person at the door meets): over **all** presentations a refused attack is a correct rejection and a
refused bona fide presentation is a false rejection: `FAR = FPR (1 - FtA)`, `FRR = FtA + FNR (1 - FtA)`, with the
failure to acquire FtA of the class concerned. Nobody can lower BPCER by refusing what is difficult without raising FRR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ratta.metrics.score_set import BONA_FIDE

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.metrics.score_set import ScoreSet

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """How many were presented, refused and wrongly classified, per kind of presentation.

    The last axis is the kind: bona fide first, then `species` in order. Leading axes are free: subjects, or bootstrap
    resamples; every rate keeps them. A rate without an answered presentation is `nan`.

    Attributes
    ----------
    species : tuple of str
        K attack species, sorted.
    presented, refused, errors : (..., 1 + K) float64
        `errors` are attacks scored live, or bona fide presentations scored attack.
    """

    species: tuple[str, ...]
    presented: Floats
    refused: Floats
    errors: Floats

    def total(self) -> Self:
        """Sum over the first axis."""
        return self.weighted(np.ones(len(self.presented)))

    def weighted(self, weights: Floats) -> Self:
        """Sum over the first axis with weights `(..., S)`: one bootstrap resample a row."""
        return type(self)(self.species, weights @ self.presented, weights @ self.refused, weights @ self.errors)

    @property
    def bpcer(self) -> Floats:
        """Share of answered bona fide presentations classified as attack, `(...)`."""
        return self._error_rates()[..., 0]

    @property
    def apcer_by_species(self) -> Floats:
        """Share of answered attacks of each species classified as live, `(..., K)`."""
        return self._error_rates()[..., 1:]

    @property
    def apcer(self) -> Floats:
        """APCER of the worst species, `(...)`."""
        rates = self.apcer_by_species
        worst: Floats = np.max(np.where(np.isnan(rates), -np.inf, rates), axis=-1, initial=-np.inf)
        return np.where(np.isneginf(worst), np.nan, worst)

    @property
    def acer(self) -> Floats:
        """Mean of worst-species APCER and BPCER, `(...)`."""
        return (self.apcer + self.bpcer) / 2

    @property
    def far(self) -> Floats:
        """Share of all attacks, species pooled, that were classified live; a refused attack is a correct rejection."""
        return _ratio(self.errors[..., 1:].sum(axis=-1), self.presented[..., 1:].sum(axis=-1))

    @property
    def frr(self) -> Floats:
        """Share of all bona fide presentations that were classified as attack or refused."""
        return _ratio(self.errors[..., 0] + self.refused[..., 0], self.presented[..., 0])

    @property
    def hter(self) -> Floats:
        """Half total error rate: mean of FAR and FRR, attacks pooled."""
        return (self.far + self.frr) / 2

    def _error_rates(self) -> Floats:
        return _ratio(self.errors, self.presented - self.refused)


def count(scores: ScoreSet, threshold: float) -> Counts:
    """Count errors and refusals at a threshold, one row per subject (one row in all without subjects).

    Parameters
    ----------
    scores : ScoreSet
        N presentations.
    threshold : float
        `score >= threshold` is classified live.

    Returns
    -------
    Counts
        Of shape `(S, 1 + K)`.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> counts = count(ScoreSet(live_scores=[0.9, 0.4, 0.6, 0.1], is_live=[1, 1, 0, 0]), 0.5).total()
    >>> float(counts.bpcer), float(counts.apcer), float(counts.acer)
    (0.5, 0.5, 0.5)
    """
    species = scores.attack_species
    kinds = np.searchsorted(np.array([BONA_FIDE, *species]), scores.species)
    rows, subject = (1, np.zeros(len(scores), dtype=np.intp))
    if scores.subjects is not None:
        names, subject = np.unique(scores.subjects, return_inverse=True)
        rows = len(names)
    cell = subject * (1 + len(species)) + kinds
    accepted = scores.live_scores >= threshold
    refused = scores.refused

    def tally(weights: npt.NDArray[np.bool_]) -> Floats:
        flat = np.bincount(cell, weights=weights, minlength=rows * (1 + len(species)))
        return flat.astype(np.float64).reshape(rows, 1 + len(species))

    everyone = np.ones(len(scores), dtype=np.bool_)
    return Counts(species, tally(everyone), tally(refused), tally(~refused & (accepted != scores.is_live)))


def bpcer(scores: ScoreSet, threshold: float) -> float:
    """Bona fide presentation classification error rate; `nan` without an answered bona fide presentation."""
    return float(count(scores, threshold).total().bpcer)


def apcer(scores: ScoreSet, threshold: float) -> float:
    """Attack presentation classification error rate of the worst species; `nan` without an answered attack."""
    return float(count(scores, threshold).total().apcer)


def apcer_by_species(scores: ScoreSet, threshold: float) -> dict[str, float]:
    """APCER of each species; `nan` where every presentation of a species was refused."""
    counts = count(scores, threshold).total()
    return dict(zip(counts.species, counts.apcer_by_species.tolist(), strict=True))


def acer(scores: ScoreSet, threshold: float) -> float:
    """Average classification error rate `(APCER + BPCER) / 2` with the worst species' APCER; `nan` if either is."""
    return float(count(scores, threshold).total().acer)


def hter(scores: ScoreSet, threshold: float) -> float:
    """Half total error rate `(FAR + FRR) / 2`, attacks pooled and refusals counted; `nan` for one class alone."""
    return float(count(scores, threshold).total().hter)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, np.nan)
