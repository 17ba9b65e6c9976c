"""The plain detector of the RA-TTA paper: a moving average against a threshold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.drift.band import Band, Horizon, band_of, checked_rate, checked_state
from ratta.adaptation.drift.reference import STATISTICS
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratta.adaptation.drift.reference import DriftReference
    from ratta.adaptation.drift.statistics import DriftSample


class EmaDrift:
    """Alarms while the moving average of any statistic is off the source mean by more than the threshold.

    Simple and quick, without a promise: over enough undrifted sessions it alarms for certain. See `BettingDrift`.

    Parameters
    ----------
    reference : DriftReference
    rate : float
        Of the moving average, in (0, 1].
    threshold_sigma : float
        In standard deviations of one session's statistic in the source.

    Raises
    ------
    InputError
        If a parameter is out of range, or a statistic does not vary in the source.

    Examples
    --------
    >>> from ratta.adaptation.drift import DriftReference, DriftSample
    >>> source = [DriftSample(i, i + 1, i) for i in range(100)]
    >>> detector = EmaDrift(DriftReference.from_samples(source, source))
    >>> for _ in range(20):
    ...     detector.update(DriftSample(99, 50, 49))
    >>> detector.alarm, detector.band
    (True, <Band.ADAPT: 'adapt'>)
    """

    def __init__(self, reference: DriftReference, *, rate: float = 0.1, threshold_sigma: float = 1.0) -> None:
        if not 0 < threshold_sigma < math.inf:
            raise InputError(f"threshold_sigma: expected a positive finite number, got {threshold_sigma}")
        self.reference = reference
        self.rate = checked_rate(rate)
        self.threshold_sigma = threshold_sigma
        self._mean = reference.source.mean(axis=1)
        self._sigma = reference.source.std(axis=1)
        if (self._sigma == 0).any():
            raise InputError("reference: expected statistics that vary, got a constant one; calibrate again")
        self._horizon = Horizon(reference)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._sessions = 0
        self._level = np.zeros(len(STATISTICS))
        self._horizon.reset()

    def update(self, sample: DriftSample) -> None:
        """Take in one session."""
        self._horizon.update(sample)
        if sample.finite:
            self._sessions += 1
            self._level += self.rate * ((np.array(sample.values) - self._mean) / self._sigma - self._level)

    @property
    def alarm(self) -> bool:
        """Whether the camera has moved away from the source."""
        return bool(np.abs(self._level).max() > self.threshold_sigma)

    @property
    def band(self) -> Band:
        """What to do about it."""
        return band_of(self._horizon, alarm=self.alarm)

    @property
    def evidence(self) -> dict[str, float]:
        """The numbers behind `alarm` and `band`: levels in standard deviations, and the smoothed distance."""
        levels = {f"level.{name}": float(level) for name, level in zip(STATISTICS, self._level, strict=True)}
        return {"sessions": self._sessions, **levels, "distance": self._horizon.smoothed}

    def export_state(self) -> dict[str, float]:
        """Everything learnt, as plain numbers."""
        levels = {f"level.{name}": float(level) for name, level in zip(STATISTICS, self._level, strict=True)}
        return {"sessions": self._sessions, **levels, **self._horizon.export_state()}

    def restore_state(self, state: Mapping[str, float]) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If it does not fit; nothing has changed then.
        """
        checked = checked_state(state, self.export_state())
        self._sessions = int(checked["sessions"])
        self._level = np.array([checked[f"level.{name}"] for name in STATISTICS])
        self._horizon.restore_state(checked)
