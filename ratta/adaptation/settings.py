"""How an engine adapts, where it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratta.adaptation.anchors import HIGHEST_LEVEL
from ratta.adaptation.budget import Allowance, PowerPolicy
from ratta.errors import InputError
from ratta.records import as_float

if TYPE_CHECKING:
    from ratta.adaptation.records import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """Settings of adaptation; the defaults are what was evaluated.

    Attributes
    ----------
    anchors : bool
        Whether live anchors are learnt and may deny; without them the source answers bit for bit.
    alpha : float
        Share of live sessions that the anchors may deny, in (0, 0.3].
    gated : bool
        Whether sessions that nobody confirmed may be learnt where the gate believes them.
    drift : bool
        Whether anchors wait until drift is detected; without it every camera counts as changed.
    shadow : bool
        Learn and report, but let the source model answer.
    confirm_s : float
        Seconds after its end for which an attempt can be confirmed, unless the next begins before.
    time : Allowance or None
        Milliseconds that learning may take; by default `allowance_for(inference_ms)`: 5 % of `t`.
    energy : Allowance or None
        Millijoules; by default the time allowance times `watts`.
    watts : float
        Of one busy core; bills energy.
    power : PowerPolicy
        What battery and heat leave of the refill.
    inference_ms : float or None
        One run of the network on this device, by which the budget reckons every piece of work to begin with; when
        absent, loading times a few runs by `clock`. `ratta-bench budget` suggests one.
    clock : callable or None
        Milliseconds, to bill work by; the thread's processor time when absent.
    journal : callable or None
        Takes every `Event`: what drift, gate, anchors and guard did, and why.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    anchors: bool = True
    alpha: float = 0.05
    gated: bool = True
    drift: bool = True
    shadow: bool = False
    confirm_s: float = 60.0
    time: Allowance | None = None
    energy: Allowance | None = None
    watts: float = 2.0
    power: PowerPolicy = field(default_factory=PowerPolicy)
    inference_ms: float | None = None
    clock: Callable[[], float] | None = None
    journal: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        for name in ("anchors", "gated", "drift", "shadow"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"adaptation.{name}: expected True or False, got {getattr(self, name)!r:.40}")
        if not 0 < as_float(self.alpha) <= HIGHEST_LEVEL:
            raise InputError(f"adaptation.alpha: expected a number in (0, {HIGHEST_LEVEL}], got {self.alpha!r:.40}")
        if not 0 <= as_float(self.confirm_s) < math.inf:
            raise InputError(f"adaptation.confirm_s: expected seconds of at least 0, got {self.confirm_s!r:.40}")
        given = [self.watts] if self.inference_ms is None else [self.watts, self.inference_ms]
        if not all(0 < as_float(value) < math.inf for value in given):
            raise InputError(
                f"adaptation: expected positive watts and inference_ms, got {self.watts} and {self.inference_ms}"
            )
