"""What the device's power leaves for learning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ratta.errors import InputError


class Thermal(StrEnum):
    """How warm the device says it is."""

    NOMINAL = "nominal"
    FAIR = "fair"
    SERIOUS = "serious"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerState:
    """What the integrator knows of the device's power.

    Attributes
    ----------
    battery_fraction : float
        In [0, 1]; 1 for a device without a battery.
    charging : bool
    thermal : Thermal
    """

    battery_fraction: float = 1.0
    charging: bool = False
    thermal: Thermal = Thermal.NOMINAL

    def __post_init__(self) -> None:
        if not 0 <= self.battery_fraction <= 1:
            raise InputError(f"battery_fraction: expected a number in [0, 1], got {self.battery_fraction}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPolicy:
    """How much of the refill a power state leaves.

    Attributes
    ----------
    full_above, stop_below : float
        Battery fractions, when not charging: the whole refill from `full_above` on, half of it down to `stop_below`,
        nothing below.

    Examples
    --------
    >>> policy = PowerPolicy()
    >>> policy.multiplier(PowerState(battery_fraction=0.3)), policy.multiplier(PowerState(thermal=Thermal.SERIOUS))
    (0.5, 0.0)
    """

    full_above: float = 0.5
    stop_below: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.stop_below <= self.full_above <= 1:
            raise InputError(
                f"power policy: expected 0 <= stop_below <= full_above <= 1, got {self.stop_below}, {self.full_above}"
            )

    def multiplier(self, state: PowerState) -> float:
        """Share of the refill in [0, 1]; 0 also stops spending what is there."""
        if state.thermal in (Thermal.SERIOUS, Thermal.CRITICAL):
            return 0.0
        share = 0.5 if state.thermal is Thermal.FAIR else 1.0
        if state.charging or state.battery_fraction >= self.full_above:
            return share
        return share / 2 if state.battery_fraction >= self.stop_below else 0.0
