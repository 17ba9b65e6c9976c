"""Drift detection by betting: valid after every session, for years."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.drift.band import Band, Horizon, band_of, checked_rate, checked_state
from ratta.adaptation.drift.reference import STATISTICS
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ratta.adaptation.drift.reference import DriftReference, DriftSample

BETS = (0.2, 0.4, 0.8, 1.5)
SIDES = ("above", "below")
SIGNED_BETS = np.outer((1, -1), BETS)
WEALTH = tuple(f"wealth.{name}.{side}.{bet}" for name in STATISTICS for side in SIDES for bet in BETS)


class BettingDrift:
    """Bets, session by session, that the source's ranks are not uniform; much wealth is strong evidence.

    Every statistic becomes its rank `u` among the source sessions. A gambler who stakes on one side multiplies his
    wealth by `1 + bet * (+-(u - 1/2) - eps)`: unfavourable to him as long as sessions are like the source's, where
    `eps` pays for the luck of a finite reference. There is a gambler for each statistic, side and bet; a full stake
    enters with every session, for drift may begin at any (Shin, Ramdas and Rinaldo 2022). The evidence is the mean of
    their wealth; the alarm is raised at `1 / (alpha - delta)`, so that false alarms lie at least `1 / alpha` sessions
    apart on average.

    An alarm stays until the smoothed rank of every statistic is back within `tolerance` of 1/2 (no promise goes with
    this), or until `reset`. Evidence does not grow during an alarm.

    Parameters
    ----------
    reference : DriftReference
    alpha : float
        See above; in (delta, 1).
    delta : float
        The part of `alpha` that is spent on the luck of the finite reference.
    rate, tolerance : float
        Of the smoothed ranks that end an alarm.

    Raises
    ------
    InputError
        If a parameter is out of range, or the reference is too small for `delta`.

    Examples
    --------
    >>> from ratta.adaptation.drift import DriftReference, DriftSample
    >>> source = [DriftSample(i + 1, i) for i in range(200)]
    >>> detector = BettingDrift(DriftReference.from_samples(source, source))
    >>> for session in range(1, 30):
    ...     detector.update(DriftSample(199, 100))
    ...     if detector.alarm:
    ...         break
    >>> session, detector.band
    (14, <Band.ADAPT: 'adapt'>)
    """

    def __init__(
        self,
        reference: DriftReference,
        *,
        alpha: float = 0.01,
        delta: float = 0.002,
        rate: float = 0.05,
        tolerance: float = 0.05,
    ) -> None:
        if not 0 < delta < alpha < 1:
            raise InputError(f"betting: expected 0 < delta < alpha < 1, got {delta} and {alpha}")
        if not 0 < tolerance < 0.5:
            raise InputError(f"tolerance: expected a number in (0, 0.5), got {tolerance}")
        self.reference = reference
        self.alpha = alpha
        self.delta = delta
        self.rate = checked_rate(rate)
        self.tolerance = tolerance
        self.eps = finite_reference_margin(reference.sessions, delta / len(STATISTICS))
        if BETS[-1] * (0.5 + self.eps) >= 1:
            raise InputError(f"reference: expected more sessions for delta = {delta}, got only {reference.sessions}")
        # 1 is the stake waiting for the next session, not yet evidence.
        self._threshold = 1 / (alpha - delta) + 1
        self._horizon = Horizon(reference)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made; the promise starts anew too."""
        self._sessions = 0
        self._alarm = False
        self._level = np.full(len(STATISTICS), 0.5)
        self._wealth = self._new_wealth()
        self._horizon.reset()

    def update(self, sample: DriftSample) -> None:
        """Take in one session."""
        self._horizon.update(sample)
        if not sample.finite:
            return
        ranks = self.reference.ranks(sample)
        self._sessions += 1
        self._level += self.rate * (ranks - self._level)
        if not self._alarm:
            self._bet(ranks)
        elif np.abs(self._level - 0.5).max() <= self.tolerance:
            self._alarm = False
            self._wealth = self._new_wealth()

    @property
    def alarm(self) -> bool:
        """Whether the camera has moved away from the source."""
        return self._alarm

    @property
    def band(self) -> Band:
        """What to do about it."""
        return band_of(self._horizon, alarm=self._alarm)

    @property
    def evidence(self) -> dict[str, float]:
        """The numbers behind `alarm` and `band`: wealth against its threshold, smoothed ranks and distance."""
        levels = {f"level.{name}": float(level) for name, level in zip(STATISTICS, self._level, strict=True)}
        wealth = float(self._wealth.mean())
        return {"sessions": self._sessions, "wealth": wealth, "threshold": self._threshold, **levels} | {
            "distance": self._horizon.smoothed
        }

    def export_state(self) -> dict[str, float]:
        """Everything learnt, as plain numbers."""
        return {
            "sessions": self._sessions,
            "alarm": int(self._alarm),
            **{f"level.{name}": float(level) for name, level in zip(STATISTICS, self._level, strict=True)},
            **{name: float(wealth) for name, wealth in zip(WEALTH, self._wealth.flat, strict=True)},
            **self._horizon.export_state(),
        }

    def restore_state(self, state: Mapping[str, float]) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If it does not fit; nothing has changed then.
        """
        checked = checked_state(state, self.export_state())
        self._sessions = int(checked["sessions"])
        self._alarm = bool(checked["alarm"])
        self._level = np.array([checked[f"level.{name}"] for name in STATISTICS])
        self._wealth = np.array([checked[name] for name in WEALTH]).reshape(self._wealth.shape)
        self._horizon.restore_state(checked)

    def _bet(self, ranks: npt.NDArray[np.float64]) -> None:
        # No logarithms: the stakes bound the wealth from below and the alarm bounds it from above.
        self._wealth *= 1 + SIGNED_BETS * (ranks - 0.5)[:, None, None] - self.eps * np.abs(SIGNED_BETS)
        self._wealth += 1.0
        self._alarm = bool(self._wealth.mean() >= self._threshold)

    def _new_wealth(self) -> npt.NDArray[np.float64]:
        return np.ones((len(STATISTICS), len(SIDES), len(BETS)))


def finite_reference_margin(n: int, delta: float) -> float:
    """How far the mean rank of an undrifted session may be from 1/2 by the luck of `n` reference sessions.

    Given the reference, the mean of `u - 1/2` is a mean of `n` centred uniform variables (times -n/(n+1)), whose tails
    are lighter than the normal distribution's beyond sqrt(3) standard deviations. It exceeds the returned
    `z(1 - delta/2) / sqrt(12 n)` on either side with probability at most `delta`; half of Hoeffding's
    `sqrt(ln(2/delta) / 2n)`.

    Examples
    --------
    >>> round(finite_reference_margin(200, 0.05), 4)
    0.04
    """
    return NormalDist().inv_cdf(1 - delta / 2) / float(np.sqrt(12 * n))
