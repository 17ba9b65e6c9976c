"""Live anchors: what living faces look like on this camera, learnt from live sessions, and allowed only to deny.

The anchor is a Gaussian in the whitened space of the source: the live prototype of this camera with its covariance.
A session conforms as far as its frames are near the anchor and the source calls them live. A session that conforms
less than nearly all live sessions did has its log-odds lowered; nothing ever raises them.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.stats import conformal_threshold
from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.source import Space

    Doubles = npt.NDArray[np.float64]

PRIOR_SESSIONS = 5.0
LOGIT_WEIGHT = 0.3
MEMORY = 64
"""Sessions after which evidence has lost most of its weight, and scores that a threshold is taken from."""
LEAST_SESSIONS = 10
STEEPNESS = 100.0
GREATEST_PENALTY = 50.0
"""More than any source logit and any policy's bound: a denied frame says nothing for live."""
HIGHEST_LEVEL = 0.3
TINY = 1e-9


class Worth(StrEnum):
    """How evidence is known to be live."""

    CONFIRMED = "confirmed"
    GATED = "gated"


@dataclass(slots=True, eq=False)
class Evidence:
    """Live sessions of one worth: exponentially forgotten sums of `z`, and conformity scores.

    No frame and no single session can be had from it, once there are several.

    Attributes
    ----------
    weight : float
        Effective number of sessions.
    total : (K,) float64
    second : (K, K) float64
        Sums of `z` and of `z z^T`, each session counting once.
    scores : deque of float
        Of the last 64 sessions, each under the anchor as it was before the session was learnt.
    """

    weight: float
    total: Doubles
    second: Doubles
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=MEMORY))

    @classmethod
    def none(cls, directions: int) -> Evidence:
        """Start without sessions."""
        return cls(0.0, np.zeros(directions), np.zeros((directions, directions)))

    def add(self, z: Doubles, conformity: float) -> None:
        """Learn one session's frames, `z` of shape (n, K)."""
        keep = 1 - 1 / MEMORY
        self.weight = keep * self.weight + 1
        self.total = keep * self.total + z.mean(axis=0)
        self.second = keep * self.second + z.T @ z / len(z)
        self.scores.append(conformity)


class LiveAnchor:
    """The live prototype of one camera, the adaptive conformal threshold, and the penalty.

    - *Conformity* of a frame: `0.3 logit - log d2`, `d2` the squared Mahalanobis distance of `z` to the anchor, whose
      covariance is shrunk to the source's: `w C + (1 - w) I`, `w = n / (n + 5)`. Of a session: the median.
    - *Threshold*: the conformal quantile at level `a` of the conformities that live sessions had before they were
      learnt. None before ten sessions.
    - *Level*: after each confirmed live session `a <- min(a + rate (alpha - denied), 0.3)` (adaptive conformal
      inference, Gibbs and Candes 2021); at 0 and below nothing is denied. In the long run at most a share `alpha` of
      the confirmed live sessions is denied, whatever people, light and camera do.
    - *Worth*: from ten confirmed sessions on these count alone, at level `a`. Until then gated ones count beside them,
      at level `alpha`; the threshold is then the mean of theirs and of that of all unconfirmed sessions that the source
      calls live.

    Parameters
    ----------
    space : Space
        Where `z` lives.
    alpha : float
        Share of live sessions that may be denied, in (0, 0.3].
    rate : float
        Step of the level, in (0, 1].

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> from ratta.adaptation.source import Space
    >>> anchor, rng = LiveAnchor(Space.unknown(4)), np.random.default_rng(0)
    >>> for _ in range(20):
    ...     z = rng.normal(1.0, 0.1, (8, 4))
    ...     conformity = float(np.median([anchor.conformity(row, 3.0) for row in z]))
    ...     anchor.learn(z, conformity, denied=False, worth=Worth.CONFIRMED)
    ...     anchor.refit()
    >>> anchor.penalty(anchor.conformity(np.full(4, 1.0), 3.0)), anchor.penalty(anchor.conformity(np.full(4, 9.0), 3.0))
    (0.0, 50.0)
    """

    def __init__(self, space: Space, *, alpha: float = 0.05, rate: float = 0.05) -> None:
        if not 0 < alpha <= HIGHEST_LEVEL or not 0 < rate <= 1:
            raise InputError(
                f"anchor: expected alpha in (0, {HIGHEST_LEVEL}] and rate in (0, 1], got {alpha} and {rate}"
            )
        self.space = space
        self.alpha = alpha
        self.rate = rate
        self.reset()

    def reset(self) -> None:
        """Forget everything: nothing is denied."""
        self.level = self.alpha
        self.evidence = {worth: Evidence.none(self.space.directions) for worth in Worth}
        self.called: deque[float] = deque(maxlen=MEMORY)
        self.refit()

    def refit(self) -> None:
        """Take the anchor and the threshold from the evidence; one inversion of a (K, K) matrix."""
        counted = self._counted
        weight = sum(e.weight for e in counted)
        mean, prior = np.zeros(self.space.directions), np.eye(self.space.directions)
        covariance = prior
        if weight > 0:
            mean = sum((e.total for e in counted), mean) / weight
            sample = sum((e.second for e in counted), 0 * prior) / weight - np.outer(mean, mean)
            if not self.space.whitened:
                prior = prior * max(TINY, float(np.trace(sample)) / len(sample))
            share = weight / (weight + PRIOR_SESSIONS)
            covariance = share * sample + (1 - share) * prior
        self._mean, self._precision = mean, np.linalg.inv(covariance)
        self._threshold = self._conformal()

    def conformity(self, z: Doubles, logit: float) -> float:
        """How much a frame is like the live faces of this camera, and live to the source; `nan` of no numbers."""
        offset = z - self._mean
        distance = float(offset @ self._precision @ offset)
        return LOGIT_WEIGHT * logit - math.log(distance + TINY) if distance >= 0 else math.nan

    def penalty(self, conformity: float) -> float:
        """Log-odds, in [0, 50], by which an answer is lowered at a (session's) conformity; continuous, steep."""
        if math.isnan(conformity):
            return GREATEST_PENALTY if math.isfinite(self._threshold) else 0.0
        return min(GREATEST_PENALTY, STEEPNESS * max(0.0, self._threshold - conformity))

    def learn(self, z: Doubles, conformity: float, *, denied: bool, worth: Worth) -> None:
        """Take in one live session; in force after the next `refit`.

        Parameters
        ----------
        z : (n, K)
            Of its frames.
        conformity : float
            Of the session, under the anchor that answered it.
        denied : bool
            Whether the anchors denied it.
        worth : Worth
        """
        if worth is Worth.CONFIRMED and len(self.evidence[worth].scores) >= LEAST_SESSIONS:
            self.level = min(HIGHEST_LEVEL, self.level + self.rate * (self.alpha - denied))
        self.evidence[worth].add(z, conformity)

    def note(self, conformity: float) -> None:
        """Note the conformity of an unconfirmed session that the source calls live, whether it is learnt or not."""
        self.called.append(conformity)

    @property
    def threshold(self) -> float:
        """Conformity below which a session is denied; minus infinity while nothing is."""
        return self._threshold

    @property
    def sessions(self) -> dict[Worth, float]:
        """Effective number of live sessions learnt, by worth."""
        return {worth: evidence.weight for worth, evidence in self.evidence.items()}

    @property
    def _counted(self) -> list[Evidence]:
        confirmed = self.evidence[Worth.CONFIRMED]
        return [confirmed] if len(confirmed.scores) >= LEAST_SESSIONS else list(self.evidence.values())

    def _conformal(self) -> float:
        counted = self._counted
        scores = [score for e in counted for score in e.scores]
        if len(scores) < LEAST_SESSIONS:
            return -math.inf
        if len(counted) == 1:
            return conformal_threshold(scores, self.level)
        # The gate knows the confident sessions only, which conform better than others: so half of the threshold is of
        # all sessions that the source calls live.
        gated, called = (conformal_threshold(each, self.alpha) for each in (scores, self.called or scores))
        return (gated + called) / 2
