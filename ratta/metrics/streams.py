"""Figures along a stream: the error in a moving window, its worst point, and the record of a drift detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ratta.metrics.score_set import ScoreSet

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RunningError:
    """Errors in a moving window, at every position of a stream; each array is `(N,)`.

    Attributes
    ----------
    apcer, bpcer : (N,) float64
        Over the last `window` answered attacks (pooled) and the last `window` answered bona fide presentations;
        `nan` until half a window of the class has been seen.
    """

    window: int
    apcer: Floats
    bpcer: Floats

    @property
    def acer(self) -> Floats:
        """Mean of the two, `nan` where either is."""
        return (self.apcer + self.bpcer) / 2

    @property
    def worst_acer(self) -> float:
        """Highest ACER along the stream; `nan` if it was never defined."""
        defined = self.acer[~np.isnan(self.acer)]
        return float(defined.max()) if len(defined) else float("nan")


@dataclass(frozen=True, slots=True)
class Detection:
    """What a drift detector did on one stream.

    Attributes
    ----------
    false_alarms : int
        Alarms before the change, or all of them if there was none.
    delay : float
        From the change to the first alarm at or after it, in the unit given; `nan` if it was missed or nothing changed.
    """

    false_alarms: int
    delay: float


def running_error(scores: ScoreSet, threshold: float, *, window: int = 100) -> RunningError:
    """Errors of a stream in a moving window of each class; refused presentations leave the window as it is.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet
    >>> stream = ScoreSet(live_scores=[0.1, 0.9, 0.9, 0.9], is_live=[0, 1, 0, 1])
    >>> running_error(stream, 0.5, window=2).apcer.tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    if window < 1:
        raise InputError(f"window: expected at least 1 presentation, got {window}")
    wrong = (scores.live_scores >= threshold) != scores.is_live
    live = scores.is_live & ~scores.refused
    attack = ~scores.is_live & ~scores.refused
    return RunningError(window, _windowed(wrong, attack, window), _windowed(wrong, live, window))


def detection(alarms: Sequence[float], *, change: float | None) -> Detection:
    """Count the false alarms and the delay of a detector that rose at `alarms`, with the true change at `change`.

    Examples
    --------
    >>> detection([3.0, 25.0], change=20.0)
    Detection(false_alarms=1, delay=5.0)
    """
    if change is None:
        return Detection(len(alarms), float("nan"))
    after = [alarm - change for alarm in alarms if alarm >= change]
    return Detection(len(alarms) - len(after), min(after, default=float("nan")))


def _windowed(wrong: npt.NDArray[np.bool_], of_class: npt.NDArray[np.bool_], window: int) -> Floats:
    seen = np.cumsum(of_class)
    errors = np.concatenate([[0], np.cumsum(wrong[of_class])])
    start = np.maximum(seen - window, 0)
    rate = (errors[seen] - errors[start]) / np.maximum(seen - start, 1)
    return np.where(seen >= (window + 1) // 2, rate, np.nan)
