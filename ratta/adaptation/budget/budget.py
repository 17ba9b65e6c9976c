"""The books of what learning may spend and has spent."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ratta.adaptation.budget.account import DAY_S, Account, Allowance, Shortage, checked_pairs
from ratta.adaptation.budget.power import PowerPolicy
from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratta.adaptation.budget.power import PowerState

MEASURED_STEPS = 256
FIVE_PERCENT = Allowance(refill_per_s=50.0, capacity=500.0, per_session=250.0, per_hour=60_000.0, per_day=600_000.0)
ROOM = 125.0
"""Runs of the network that a session leaves room for at least: twice the largest piece of work, with its margin."""


def allowance_for(inference_ms: float, *, share: float = 0.05) -> Allowance:
    """Give `share` of `t`; where a run of the network is slow, more is saved up, so that the largest piece can be paid.

    Examples
    --------
    >>> allowance_for(2.0) == FIVE_PERCENT
    True
    >>> allowance_for(20.0).per_session, allowance_for(20.0).refill_per_s
    (2500.0, 50.0)
    """
    usual = FIVE_PERCENT.times(share / 0.05)
    per_session = max(usual.per_session, ROOM * inference_ms)
    return replace(usual, per_session=per_session, capacity=2 * per_session)


@dataclass(frozen=True, slots=True)
class Reservation:
    """An admitted step: it may use this much, and must be settled.

    Attributes
    ----------
    limit_ms, limit_mj : float
        What was reserved. Work that stops here keeps every cap exactly.
    cost_ms, cost_mj : float
        What the calibration expected.
    t : float
        When it was admitted, in seconds.
    """

    limit_ms: float
    limit_mj: float
    cost_ms: float
    cost_mj: float
    t: float


class Budget:
    """Says whether learning may spend now, and keeps the books.

    For every step that stays within its reservation the caps hold exactly: over any interval of length `d` seconds at
    most `capacity + refill_per_s * d` is spent, since the start at most `refill_per_s * d` (the buckets start empty),
    and within any hour and day at most their caps. A step that uses more is booked in full; the bucket is then in debt,
    nothing is admitted until refill has paid the debt *and* the next reservation, and similar steps reserve more. So an
    overrun can break a cap by its own excess at most, once, and the long-run share not at all.

    Parameters
    ----------
    watts : float
        Of one busy core, from the bundle's calibration; bills energy where none is measured.
    time : Allowance
        In milliseconds; by default 5 % of `t`.
    energy : Allowance, optional
        In millijoules; by default the time allowance times `watts`.
    policy : PowerPolicy, optional
    margin : float
        Reserved over expected cost, at least 1.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> budget = Budget(watts=2.0)
    >>> budget.reserve(4.0, t=0.0)
    <Shortage.TIME: 'time bucket too low'>
    >>> step = budget.reserve(4.0, t=1.0)
    >>> step.limit_ms, step.limit_mj
    (6.0, 12.0)
    >>> budget.settle(step, 3.5)
    >>> budget.level_ms, budget.spent_ms, budget.spent_mj
    (46.5, 3.5, 7.0)
    """

    def __init__(
        self,
        *,
        watts: float,
        time: Allowance = FIVE_PERCENT,
        energy: Allowance | None = None,
        policy: PowerPolicy | None = None,
        margin: float = 1.5,
    ) -> None:
        if not 0 < watts < math.inf or not 1 <= margin < math.inf:
            raise InputError(f"budget: expected watts > 0 and margin >= 1, got {watts} and {margin}")
        self.watts = watts
        self.time = time
        self.energy = energy or time.times(watts)
        self.policy = policy or PowerPolicy()
        self.margin = margin
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made: empty buckets, clean books."""
        self._ms = Account(self.time, Shortage.TIME)
        self._mj = Account(self.energy, Shortage.ENERGY)
        self._excess: deque[tuple[float, float]] = deque(maxlen=MEASURED_STEPS)
        self._open: Reservation | None = None
        self._multiplier = 1.0
        self._t: float | None = None
        self._admitted = 0
        self._refused = dict.fromkeys(Shortage, 0)

    def begin_session(self) -> None:
        """Start the session caps anew."""
        step = self._open
        self._ms.begin_session(still_open=step.limit_ms if step else 0.0)
        self._mj.begin_session(still_open=step.limit_mj if step else 0.0)

    def begin_clock(self) -> None:
        """Let the next `t` be any: a clock that began anew neither fills the buckets nor goes back."""
        self._t = None

    def advance(self, t: float) -> None:
        """Let time pass: the buckets fill.

        Raises
        ------
        InputError
            If `t` is not finite or goes back.
        """
        earliest_s = t if self._t is None else self._t
        if not math.isfinite(t) or t < earliest_s:
            raise InputError(f"t: expected a finite time of at least {earliest_s} s, got {t}; time never goes back")
        self._t = t
        self._ms.refill(t - earliest_s, self._multiplier)
        self._mj.refill(t - earliest_s, self._multiplier)

    def set_power(self, state: PowerState, *, t: float) -> None:
        """Take in the device's power; until the first call it is mains and cool.

        Raises
        ------
        InputError
            If `t` goes back.
        """
        self.advance(t)
        self._multiplier = self.policy.multiplier(state)

    def reserve(self, cost_ms: float, cost_mj: float | None = None, *, t: float) -> Reservation | Shortage:
        """Reserve the worst case of a step in both buckets, or nothing.

        Parameters
        ----------
        cost_ms : float
            The calibrated 99th percentile of the whole step.
        cost_mj : float, optional
            The same in millijoules; by default `cost_ms * watts`.
        t : float
            Seconds on a monotonic clock.

        Raises
        ------
        InputError
            If a cost is not a positive finite number, or `t` goes back.
        """
        cost_ms = checked_cost("cost_ms", cost_ms)
        cost_mj = checked_cost("cost_mj", cost_ms * self.watts if cost_mj is None else cost_mj)
        self.advance(t)
        factor = self.margin * self.correction
        # Steps that were preempted must not make all further ones larger than what can ever be saved up.
        limit_ms = max(cost_ms * self.margin, min(cost_ms * factor, self.time.most))
        limit_mj = max(cost_mj * self.margin, min(cost_mj * factor, self.energy.most))
        step = Reservation(limit_ms, limit_mj, cost_ms, cost_mj, t)
        shortage = self._shortage(step)
        if shortage is not None:
            self._refused[shortage] += 1
            return shortage
        self._ms.take(step.limit_ms)
        self._mj.take(step.limit_mj)
        self._admitted += 1
        self._open = step
        return step

    def settle(self, reservation: Reservation, spent_ms: float, spent_mj: float | None = None) -> None:
        """Book what an admitted step really used and refund the rest.

        Parameters
        ----------
        reservation : Reservation
            The open one. Until it is settled nothing else is admitted and all of it counts as spent.
        spent_ms : float
            Measured.
        spent_mj : float, optional
            Measured; by default `spent_ms * watts`.

        Raises
        ------
        InputError
            If the reservation is not the open one, or a cost is negative or not finite; it stays open then.
        """
        if reservation is not self._open:
            raise InputError("settle: expected the open reservation, got another; settle each one once")
        spent_ms = checked_cost("spent_ms", spent_ms, zero=True)
        spent_mj = checked_cost("spent_mj", spent_ms * self.watts if spent_mj is None else spent_mj, zero=True)
        self._ms.correct(spent_ms - reservation.limit_ms)
        self._mj.correct(spent_mj - reservation.limit_mj)
        excess = max(spent_ms / reservation.cost_ms, spent_mj / reservation.cost_mj)
        self._excess.append((self._ms.now_s, excess))
        self._open = None

    @property
    def correction(self) -> float:
        """Measured over calibrated cost: 99th percentile of the last 256 steps of a day, never below 1.

        Steps that were not yet taken count as measured exactly as calibrated, so it takes three bad ones to move it.
        """
        recent = sorted(excess for measured_s, excess in self._excess if self._ms.now_s - measured_s <= DAY_S)
        worst_but_two = recent[-3] if len(recent) >= 3 else 1.0
        return max(1.0, worst_but_two)

    @property
    def level_ms(self) -> float:
        """What could be spent now, in milliseconds; negative after an overrun."""
        return self._ms.level

    @property
    def level_mj(self) -> float:
        """What could be spent now, in millijoules; negative after an overrun."""
        return self._mj.level

    @property
    def spent_ms(self) -> float:
        """Spent since the beginning, in milliseconds; an open reservation counts in full."""
        return self._ms.spent

    @property
    def spent_mj(self) -> float:
        """Spent since the beginning, in millijoules; an open reservation counts in full."""
        return self._mj.spent

    @property
    def admitted(self) -> int:
        """Steps admitted."""
        return self._admitted

    @property
    def refused(self) -> dict[Shortage, int]:
        """Steps refused, by reason."""
        return dict(self._refused)

    def export_state(self) -> dict[str, object]:
        """Give the books as plain numbers; an open reservation counts as spent.

        No time of day is in it: see `restore_state`.
        """
        return {
            **{f"ms.{key}": value for key, value in self._ms.export_state().items()},
            **{f"mj.{key}": value for key, value in self._mj.export_state().items()},
            "excess": [[self._ms.now_s - measured_s, excess] for measured_s, excess in self._excess],
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Go on with the books of `export_state`.

        The first `t` after this is taken for the moment of the export, whether the clock went on or began anew: a
        restart refills nothing, and hours and days without power do not count as passed.

        Raises
        ------
        StateError
            If the state does not fit; nothing has changed then.
        """
        expected = set(self.export_state())
        if set(state) != expected:
            raise StateError(f"budget state: expected the keys {sorted(expected)}, got {sorted(state)}")
        ms, mj = Account(self.time, Shortage.TIME), Account(self.energy, Shortage.ENERGY)
        ms.restore_state({key[3:]: value for key, value in state.items() if key.startswith("ms.")})
        mj.restore_state({key[3:]: value for key, value in state.items() if key.startswith("mj.")})
        excess = checked_pairs(state["excess"], longest=MEASURED_STEPS)
        self.reset()
        self._ms, self._mj = ms, mj
        self._excess.extend((-age_s, ratio) for age_s, ratio in excess)

    def _shortage(self, step: Reservation) -> Shortage | None:
        if self._open is not None:
            return Shortage.OPEN_STEP
        if self._multiplier == 0:
            return Shortage.POWER
        return self._ms.shortage(step.limit_ms) or self._mj.shortage(step.limit_mj)


def checked_cost(name: str, cost: float, *, zero: bool = False) -> float:
    """Refuse a cost that is not a finite number above 0 (or at least 0)."""
    if not math.isfinite(cost) or cost < 0 or (cost == 0 and not zero):
        raise InputError(f"{name}: expected a finite number {'of at least' if zero else 'above'} 0, got {cost}")
    return float(cost)
