"""What travels inside the adaptation: buffered frames, attempts, and the events of the journal."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.records import Pixels

BUFFERED_FRAMES = 16
GAP_S = 0.2
TIME_TOLERANCE_S = 1e-6
VIEWED_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal: what a part of the adaptation did, and why.

    Attributes
    ----------
    t : float
        Seconds.
    kind : str
        "drift", "evidence", "rollback" or "reset".
    reason : str
    numbers : mapping of str to float
        Behind the reason.
    """

    t: float
    kind: str
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class BufferedFrame:
    """What is kept of an answered frame until its attempt has been studied; in memory only.

    Attributes
    ----------
    t : float
        Seconds.
    z : (K,) float64
        The projected embedding.
    logit : float
        The source's calibrated log-odds.
    conformity : float
        See `LiveAnchor.conformity`.
    penalty : float
        What the anchors would have the answer lowered by, whether they were in force or not.
    """

    t: float
    z: npt.NDArray[np.float64]
    logit: float
    conformity: float
    penalty: float = 0.0


@dataclass(slots=True, eq=False)
class Attempt:
    """The frames of one person in front of one camera: at most the last 16, at least 200 ms apart.

    Attributes
    ----------
    frames : deque of BufferedFrame
    crops : list of tuple of (S, S, 3) uint8
        Two frames' crops, for the augmented views.
    view_logits : list of float
        What the source said of the views so far.
    confirmed : bool or None
        What the integrator knows.
    ended_s : float or None
        When the attempt ended.
    studied : bool
        Whether its evidence has been decided; nothing can be confirmed from then on.
    penalty : float
        What the last frame's log-odds were lowered by.
    slots : int
        Pieces of time so far, as the decision counts them.
    """

    frames: deque[BufferedFrame] = field(default_factory=lambda: deque(maxlen=BUFFERED_FRAMES))
    crops: list[Pixels] = field(default_factory=list)
    view_logits: list[float] = field(default_factory=list)
    confirmed: bool | None = None
    ended_s: float | None = None
    studied: bool = False
    penalty: float = 0.0
    slots: int = 0
    slot_start_s: float = -math.inf

    def count(self, t: float, *, slot_s: float) -> int:
        """Count the slot that a frame at `t` is in."""
        if t - self.slot_start_s >= slot_s - TIME_TOLERANCE_S:
            self.slots, self.slot_start_s = self.slots + 1, t
        return self.slots

    def due(self, t: float) -> bool:
        """Whether a frame at `t` is far enough from the one before to be kept."""
        return not self.frames or t - self.frames[-1].t >= GAP_S - TIME_TOLERANCE_S

    def keep(self, frame: BufferedFrame, crops: Pixels) -> None:
        """Keep a frame, and the crops of the first and the fifth."""
        if len(self.crops) < VIEWED_FRAMES and len(self.frames) >= 4 * len(self.crops):
            self.crops.append(tuple(crop.copy() for crop in crops))
        self.frames.append(frame)

    @property
    def logit(self) -> float:
        """Median log-odds of the source over the kept frames."""
        return median(frame.logit for frame in self.frames)

    @property
    def conformity(self) -> float:
        """Median conformity over the kept frames."""
        return median(frame.conformity for frame in self.frames)

    def denied(self, live_logit: float) -> bool:
        """Whether the source called the attempt live and the anchors would have had its last word say otherwise."""
        return self.logit >= live_logit > self.logit - self.frames[-1].penalty

    @property
    def z(self) -> npt.NDArray[np.float64]:
        """Projected embeddings of the kept frames, (n, K)."""
        return np.stack([frame.z for frame in self.frames])
