"""One resource: a token bucket and the caps above it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR_S = 3600.0
DAY_S = 86400.0
BINS = 60


class Shortage(StrEnum):
    """Why a step was not admitted."""

    TIME = "time bucket too low"
    ENERGY = "energy bucket too low"
    SESSION = "session cap"
    HOUR = "hour cap"
    DAY = "day cap"
    POWER = "power policy"
    OPEN_STEP = "a step is open"
    TOO_LARGE = "larger than a bucket or cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be spent of one resource, in its own unit (milliseconds or millijoules).

    Attributes
    ----------
    refill_per_s : float
        Per second of `t`.
    capacity : float
        The most that can be saved up.
    per_session, per_hour, per_day : float
        Caps; hour and day are sliding windows.
    """

    refill_per_s: float
    capacity: float
    per_session: float
    per_hour: float
    per_day: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise InputError(f"allowance.{name}: expected a positive finite number, got {value}")

    @property
    def most(self) -> float:
        """The largest step that could ever be admitted."""
        return min(self.capacity, self.per_session, self.per_hour, self.per_day)

    def times(self, factor: float) -> Allowance:
        """Every figure times `factor`: milliseconds times watts are millijoules."""
        return Allowance(**{name: value * factor for name, value in asdict(self).items()})


class SlidingSum:
    """What was spent within the last `window_s` seconds, in at most 62 numbers; too high at times, never too low.

    Spending is kept in bins of a sixtieth of the window; a bin counts until the last moment in it has left the window.

    Examples
    --------
    >>> hour = SlidingSum(3600.0)
    >>> hour.add(7.0, now_s=0.0)
    >>> hour.total(3600.0), hour.total(3660.0)
    (7.0, 0.0)
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._width_s = window_s / BINS
        self._bins: list[list[float]] = []

    def add(self, amount: float, *, now_s: float) -> None:
        """Count `amount` as spent now."""
        self._bins = [bin_ for bin_ in self._bins if self._counts(bin_, now_s)]
        if not self._bins or now_s >= self._bins[-1][0] + self._width_s:
            self._bins.append([now_s, 0.0])
        self._bins[-1][1] += amount

    def correct(self, amount: float) -> None:
        """Change what was added last by `amount`."""
        self._bins[-1][1] += amount

    def total(self, now_s: float) -> float:
        """Sum over the window that ends now."""
        return math.fsum(bin_[1] for bin_ in self._bins if self._counts(bin_, now_s))

    def export_state(self, now_s: float) -> list[list[float]]:
        """Give the bins as pairs of age in seconds and amount, oldest first."""
        return [[now_s - start_s, amount] for start_s, amount in self._bins if self._counts([start_s], now_s)]

    def restore_state(self, state: object, *, now_s: float) -> None:
        """Take back what `export_state` gave; `StateError` if it does not fit."""
        pairs = checked_pairs(state, longest=BINS + 2)
        if any(older[0] <= newer[0] for older, newer in pairwise(pairs)):
            raise StateError("budget state: expected bins from the oldest to the newest, got another order")
        self._bins = [[now_s - age_s, amount] for age_s, amount in pairs]

    def _counts(self, bin_: list[float], now_s: float) -> bool:
        return bin_[0] + self._width_s > now_s - self.window_s


@dataclass(slots=True, eq=False)
class Account:
    """The books of one resource.

    Attributes
    ----------
    allowance : Allowance
    low : Shortage
        What an empty bucket is called.
    now_s : float
        Seconds that this account has seen pass.
    level : float
        In the bucket; negative is debt.
    spent, in_session : float
        Since the beginning, and since `begin_session`.
    """

    allowance: Allowance
    low: Shortage
    now_s: float = 0.0
    level: float = 0.0
    spent: float = 0.0
    in_session: float = 0.0
    hour: SlidingSum = field(default_factory=lambda: SlidingSum(HOUR_S))
    day: SlidingSum = field(default_factory=lambda: SlidingSum(DAY_S))

    def refill(self, elapsed_s: float, multiplier: float) -> None:
        """Let time pass."""
        self.now_s += elapsed_s
        self.level = min(self.allowance.capacity, self.level + elapsed_s * multiplier * self.allowance.refill_per_s)

    def shortage(self, amount: float) -> Shortage | None:
        """Why `amount` cannot be taken, or `None`."""
        a = self.allowance
        if amount > a.most:
            return Shortage.TOO_LARGE
        if amount > self.level:
            return self.low
        if self.in_session + amount > a.per_session:
            return Shortage.SESSION
        if self.hour.total(self.now_s) + amount > a.per_hour:
            return Shortage.HOUR
        if self.day.total(self.now_s) + amount > a.per_day:
            return Shortage.DAY
        return None

    def begin_session(self, *, still_open: float = 0.0) -> None:
        """Start the session cap anew; what is `still_open` counts for the new session."""
        self.in_session = still_open

    def take(self, amount: float) -> None:
        """Count `amount` as spent, for now."""
        self.hour.add(0.0, now_s=self.now_s)
        self.day.add(0.0, now_s=self.now_s)
        self.correct(amount)

    def correct(self, amount: float) -> None:
        """Spend more (or less, if negative) than was taken last."""
        self.level = min(self.allowance.capacity, self.level - amount)
        self.spent += amount
        self.in_session += amount
        self.hour.correct(amount)
        self.day.correct(amount)

    def export_state(self) -> dict[str, object]:
        """Give the books as plain numbers."""
        return {
            "level": self.level,
            "spent": self.spent,
            "in_session": self.in_session,
            "hour": self.hour.export_state(self.now_s),
            "day": self.day.export_state(self.now_s),
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Take back what `export_state` gave; `StateError` if it does not fit, and then use this account no more."""
        self.level = min(self.allowance.capacity, checked_number("level", state["level"], low=-math.inf))
        self.spent = checked_number("spent", state["spent"])
        self.in_session = checked_number("in_session", state["in_session"])
        self.hour.restore_state(state["hour"], now_s=self.now_s)
        self.day.restore_state(state["day"], now_s=self.now_s)


def checked_number(name: str, value: object, *, low: float = 0.0) -> float:
    """Refuse what is not a finite number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < low:
        raise StateError(f"budget state: {name}: expected a finite number of at least {low}, got {value!r}")
    return float(value)


def checked_pairs(value: object, *, longest: int) -> list[list[float]]:
    """Refuse what is not a short list of pairs of an age and an amount."""
    if not isinstance(value, list) or len(value) > longest:
        raise StateError(f"budget state: expected at most {longest} pairs of age and amount, got {value!r:.80}")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise StateError(f"budget state: expected pairs of age and amount, got {value!r:.80}")
    return [[checked_number("age", age_s), checked_number("amount", amount)] for age_s, amount in value]
