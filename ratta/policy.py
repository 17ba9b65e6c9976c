"""When evidence is enough: thresholds, slots of time, and how long an attempt may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratta.errors import InputError
from ratta.records import as_float, logit

_RANGES = {
    "live_threshold": (0.0, 1.0),
    "spoof_threshold": (0.0, 1.0),
    "hysteresis": (0.0, 100.0),
    "slot_s": (0.001, 60.0),
    "max_logit": (0.0, 100.0),
    "max_against": (0.0, 0.99),
    "timeout_s": (0.001, 3600.0),
    "gap_s": (0.001, 3600.0),
    "window_s": (0.001, 3600.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When evidence is enough.

    Attributes
    ----------
    live_threshold, spoof_threshold : float
        On the session's score; between them the verdict is UNCERTAIN.
    hysteresis : float
        Log-odds by which an open-ended stream's score must fall back behind a threshold before a verdict is given up,
        at most half of what lies between the thresholds. An attempt has none: it ends, so nothing can flicker.
    slot_s : float
        Seconds of video that count as one piece of evidence.
    max_logit : float
        The most one frame, and so one slot, can say, in log-odds.
    min_slots : int
        Slots of one face needed before the first verdict.
    hold_slots : int
        Further slots that a verdict must survive before it is final.
    max_against : float
        Slots at or below the spoof threshold, of any face, that a LIVE verdict tolerates, as a share of the face's.
    timeout_s : float
        An attempt without a final verdict ends so long after its first scored frame.
    gap_s : float
        A face unseen for longer than this is taken for another face when one comes back.
    window_s : float
        How far an open-ended stream looks back; an attempt looks back to its beginning.
    """

    live_threshold: float
    spoof_threshold: float
    hysteresis: float = 0.4
    slot_s: float = 0.2
    max_logit: float = 4.0
    min_slots: int = 5
    hold_slots: int = 2
    max_against: float = 0.25
    timeout_s: float = 10.0
    gap_s: float = 1.0
    window_s: float = 3.0

    def __post_init__(self) -> None:
        self._check_numbers()
        if not 0 < self.spoof_threshold <= self.live_threshold < 1:
            raise InputError(
                "policy: expected 0 < spoof_threshold <= live_threshold < 1, "
                f"got {self.spoof_threshold} and {self.live_threshold}"
            )
        farthest = max(logit(self.live_threshold), -logit(self.spoof_threshold))
        if self.max_logit <= farthest:
            raise InputError(
                f"policy.max_logit: expected more than {farthest:.3g}, the farther threshold's log-odds, got "
                f"{self.max_logit}; no score could reach that threshold"
            )
        if self.slot_s * self.min_slots > self.window_s:
            raise InputError(f"policy.window_s: expected room for {self.min_slots} slots, got {self.window_s}")
        if self.slot_s * (self.min_slots + self.hold_slots) > self.timeout_s:
            raise InputError(
                f"policy.timeout_s: expected room for {self.min_slots} + {self.hold_slots} slots, got {self.timeout_s}"
            )

    def _check_numbers(self) -> None:
        for name, fewest in (("min_slots", 2), ("hold_slots", 0)):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < fewest:
                raise InputError(f"policy.{name}: expected a whole number of at least {fewest}, got {value!r}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= as_float(value) <= most:
                raise InputError(f"policy.{name}: expected a number from {least} to {most}, got {value!r}")
