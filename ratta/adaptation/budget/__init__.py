"""Learning spends no more time and energy than it is given, whatever the stream does.

Two token buckets, milliseconds and millijoules, fill with `t` and start empty. A step of work reserves its worst case
in both, or does not happen; what it did not use is refunded. Caps per session, hour and day bound what the buckets
would still allow.
"""

from ratta.adaptation.budget.account import Allowance, Shortage
from ratta.adaptation.budget.budget import FIVE_PERCENT, Budget, Reservation, allowance_for
from ratta.adaptation.budget.power import PowerPolicy, PowerState, Thermal

__all__ = [
    "FIVE_PERCENT",
    "Allowance",
    "Budget",
    "PowerPolicy",
    "PowerState",
    "Reservation",
    "Shortage",
    "Thermal",
    "allowance_for",
]
