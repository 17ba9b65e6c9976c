"""How an engine adapts, if it is asked to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ratta.adaptation.budget import Allowance, PowerPolicy
from ratta.errors import InputError

if TYPE_CHECKING:
    from ratta.adaptation.event import Event


class Drift(StrEnum):
    """Which detector decides that the camera has changed."""

    BETTING = "betting"
    EMA = "ema"


class Early(StrEnum):
    """How a change of camera is undone before the first layer."""

    TONE = "tone"
    MOMENTS = "moments"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """Settings of adaptation; the defaults are what was evaluated.

    Attributes
    ----------
    shadow : bool
        Learn and report, but let the source model answer.
    drift : Drift
        `betting` bounds false alarms; `ema` is the plain threshold of the RA-TTA paper.
    early : Early
        `tone` normalises the input's tones; `moments` matches the first normalisation's to the source's instead.
    late : bool
        Whether the last normalisation, the head and the prototypes may move.
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
        Milliseconds, to bill work by; the process's own monotonic clock when absent.
    journal : callable or None
        Takes every `Event`: what drift, gate, budget, update and guard did, and why.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    shadow: bool = False
    drift: Drift = Drift.BETTING
    early: Early = Early.TONE
    late: bool = True
    time: Allowance | None = None
    energy: Allowance | None = None
    watts: float = 2.0
    power: PowerPolicy = field(default_factory=PowerPolicy)
    inference_ms: float | None = None
    clock: Callable[[], float] | None = None
    journal: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        given = [self.watts] if self.inference_ms is None else [self.watts, self.inference_ms]
        if not all(0 < value < math.inf for value in given):
            raise InputError(
                f"adaptation: expected positive watts and inference_ms, got {self.watts} and {self.inference_ms}"
            )
        if not isinstance(self.drift, Drift) or not isinstance(self.early, Early):
            raise InputError(f"adaptation: expected a Drift and an Early, got {self.drift!r} and {self.early!r}")
