"""A detector that may be asked after every session for years and still keeps its promise."""

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

    from ratta.adaptation.drift.reference import DriftReference
    from ratta.adaptation.drift.statistics import DriftSample

BETS = (0.2, 0.4, 0.8, 1.6)
LATE_STAKES = 100
SIDES = ("above", "below")
SIGNED_BETS = np.outer((1, -1), BETS)
MONEY = tuple(f"money.{name}.{side}.{bet}" for name in STATISTICS for side in SIDES for bet in BETS)


class BettingDrift:
    """Bets, session by session, that the source's ranks are not uniform; much money is strong evidence.

    Every statistic becomes its rank `u` among the source sessions. A gambler who stakes on one side multiplies his
    money by `1 + bet * (+-(u - 1/2) - eps)`: unfavourable to him as long as sessions are like the source's, whatever
    he does, where `eps` pays for the luck of a finite reference. There is a gambler for each statistic, side and bet;
    new stakes enter with every session, for drift may begin at any. The evidence is the mean of all their money, which
    is an e-value, and the alarm is raised at `1 / (alpha - delta)`.

    - `restarting=False`: the stakes of all sessions sum to 1, so that sessions exchangeable with the reference ever
      raise an alarm with probability at most `alpha` (Ville's inequality; the calibration's luck is included).
    - `restarting=True`: a full stake enters with every session (Shin, Ramdas and Rinaldo 2022); alarms come sooner, and
      false ones at least `1 / alpha` sessions apart on average.

    An alarm stays until the smoothed rank of every statistic is back within `tolerance` of 1/2 (no promise goes with
    this), or until `reset`. Evidence does not grow during an alarm.

    Parameters
    ----------
    reference : DriftReference
    alpha : float
        See above; in (delta, 1).
    delta : float
        The part of `alpha` that is spent on the luck of the finite reference.
    restarting : bool
    rate, tolerance : float
        Of the smoothed ranks that end an alarm.

    Raises
    ------
    InputError
        If a parameter is out of range, or the reference is too small for `delta`.

    Examples
    --------
    >>> from ratta.adaptation.drift import DriftReference, DriftSample
    >>> source = [DriftSample(i, i + 1, i) for i in range(200)]
    >>> detector = BettingDrift(DriftReference.from_samples(source, source))
    >>> for session in range(1, 30):
    ...     detector.update(DriftSample(199, 100, 99))
    ...     if detector.alarm:
    ...         break
    >>> session, detector.band
    (14, <Band.ADAPT: 'adapt'>)
    """

    def __init__(
        self,
        reference: DriftReference,
        *,
        alpha: float = 0.05,
        delta: float = 0.01,
        restarting: bool = False,
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
        self.restarting = restarting
        self.rate = checked_rate(rate)
        self.tolerance = tolerance
        self.eps = finite_reference_margin(reference.sessions, delta / len(STATISTICS))
        if BETS[-1] * (0.5 + self.eps) >= 1:
            raise InputError(f"reference: expected more sessions for delta = {delta}, got only {reference.sessions}")
        # In the restarting form 1 is the stake waiting for the next session, not yet evidence.
        self._threshold = 1 / (alpha - delta) + restarting
        self._horizon = Horizon(reference)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made; the promise starts anew too."""
        self._sessions = 0
        self._alarm = False
        self._level = np.full(len(STATISTICS), 0.5)
        self._money = self._new_money()
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
            self._money = self._new_money()

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
        """The numbers behind `alarm` and `band`: money against its threshold, smoothed ranks and distance."""
        levels = {f"level.{name}": float(level) for name, level in zip(STATISTICS, self._level, strict=True)}
        money = float(self._money.mean())
        return {"sessions": self._sessions, "money": money, "threshold": self._threshold, **levels} | {
            "distance": self._horizon.smoothed
        }

    def export_state(self) -> dict[str, float]:
        """Everything learnt, as plain numbers."""
        return {
            "sessions": self._sessions,
            "alarm": int(self._alarm),
            **{f"level.{name}": float(level) for name, level in zip(STATISTICS, self._level, strict=True)},
            **{name: float(money) for name, money in zip(MONEY, self._money.flat, strict=True)},
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
        self._money = np.array([checked[name] for name in MONEY]).reshape(self._money.shape)
        self._horizon.restore_state(checked)

    def _bet(self, ranks: npt.NDArray[np.float64]) -> None:
        # No logarithms: each session's stake bounds the money from below and the alarm bounds it from above.
        self._money *= 1 + SIGNED_BETS * (ranks - 0.5)[:, None, None] - self.eps * np.abs(SIGNED_BETS)
        self._money += self._stake()
        self._alarm = bool(self._money.mean() >= self._threshold)

    def _new_money(self) -> npt.NDArray[np.float64]:
        return np.full((len(STATISTICS), len(SIDES), len(BETS)), self._stake())

    def _stake(self) -> float:
        """Stake for the session to come: half on the first, the other half spread over all later ones."""
        if self.restarting:
            return 1.0
        if self._sessions == 0:
            return 0.5
        late = self._sessions + LATE_STAKES
        return 0.5 * LATE_STAKES / (late * (late - 1))


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
