"""The two-sided band: near enough to do nothing, worth adapting to, or too far to trust."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratta.adaptation.drift.reference import DriftReference, DriftSample


class Band(StrEnum):
    """What drift means for adaptation."""

    IN = "in"
    ADAPT = "adapt"
    REFUSE = "refuse"


class DriftDetector(Protocol):
    """What every detector does; one sample is one ended session."""

    def update(self, sample: DriftSample) -> None:
        """Take in one session."""

    def reset(self) -> None:
        """Forget everything, as if newly made."""

    @property
    def alarm(self) -> bool:
        """Whether the camera has moved away from the source."""

    @property
    def band(self) -> Band:
        """What to do about it."""

    @property
    def evidence(self) -> dict[str, float]:
        """The numbers behind `alarm` and `band`, for a log."""

    def export_state(self) -> dict[str, float]:
        """Everything learnt, as plain numbers."""

    def restore_state(self, state: Mapping[str, float]) -> None:
        """Take back what `export_state` gave; `StateError` if it does not fit, and then nothing has changed."""


class Horizon:
    """Says when the deep features are further away than anything that was declared adaptable.

    The distance is smoothed over sessions: beyond `refuse_above` is too far, and back below `trust_below` is near
    enough again. One session further than *every* session of the declared envelope is too far at once: refusing costs
    only the adaptation of some sessions (the source model decides them), trusting could cost a false acceptance. A
    session counts for at most twice `extreme_above`, so one outlier cannot refuse for ever. A sample that is not finite
    is the furthest possible.

    Parameters
    ----------
    reference : DriftReference
    rate : float
        Of the moving average, in (0, 1].

    Raises
    ------
    InputError
        If `rate` is out of range.
    """

    def __init__(self, reference: DriftReference, *, rate: float = 0.2) -> None:
        self.reference = reference
        self.rate = checked_rate(rate)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._smoothed = 0.0
        self._sessions = 0
        self._beyond = False

    @property
    def smoothed(self) -> float:
        """The smoothed distance; 0 before the first session."""
        return self._smoothed

    @property
    def beyond(self) -> bool:
        """Whether the camera is too far to trust."""
        return self._beyond

    def update(self, sample: DriftSample) -> None:
        """Take in one session."""
        extreme = self.reference.extreme_above
        distance = min(sample.distance, 2 * extreme) if sample.finite else 2 * extreme
        if distance > extreme or self._sessions == 0:
            self._smoothed = max(self._smoothed, distance)
        else:
            self._smoothed += self.rate * (distance - self._smoothed)
        self._sessions += 1
        bound = self.reference.trust_below if self._beyond else self.reference.refuse_above
        self._beyond = self._smoothed > bound

    def export_state(self) -> dict[str, float]:
        """Everything learnt, as plain numbers."""
        return {
            "horizon.smoothed": self._smoothed,
            "horizon.sessions": self._sessions,
            "horizon.beyond": int(self._beyond),
        }

    def restore_state(self, state: Mapping[str, float]) -> None:
        """Take back what `export_state` gave; numbers as `checked_state` passed them."""
        self._smoothed = state["horizon.smoothed"]
        self._sessions = int(state["horizon.sessions"])
        self._beyond = bool(state["horizon.beyond"])


def band_of(horizon: Horizon, *, alarm: bool) -> Band:
    """Too far before all else; then drifted or not."""
    if horizon.beyond:
        return Band.REFUSE
    return Band.ADAPT if alarm else Band.IN


def checked_rate(rate: float) -> float:
    """Refuse a smoothing rate outside (0, 1]."""
    if not 0 < rate <= 1:
        raise InputError(f"rate: expected a number in (0, 1], got {rate}")
    return rate


def checked_state(state: Mapping[str, float], like: Mapping[str, float]) -> dict[str, float]:
    """Refuse a state that has not exactly the keys of `like`, or impossible numbers; only levels may be negative."""
    if set(state) != set(like):
        raise StateError(
            f"drift state: unknown keys {sorted(set(state) - set(like))}, missing keys {sorted(set(like) - set(state))}"
        )
    bad = sorted(key for key, value in state.items() if not _possible(key, value))
    if bad:
        raise StateError(f"drift state: expected finite numbers, at least 0 but for levels, got others for {bad}")
    return {key: float(value) for key, value in state.items()}


def _possible(key: str, value: object) -> bool:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value >= 0 or key.startswith("level.")
