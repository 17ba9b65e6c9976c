"""What is kept of frames for a while: in memory only, bounded, never written anywhere."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.adaptation.update import Moments
    from ratta.records import Reading

SOURCE_NUMBER = 0
TIME_TOLERANCE_S = 1e-6
"""Frames at 0.2, 0.4, 0.6 s are 0.2 s apart, whatever their binary fractions say."""


@dataclass(slots=True, eq=False)
class Kept:
    """One frame that was answered.

    Attributes
    ----------
    pixels : (S, S, 3) uint8
    t : float
        Seconds.
    answered_by : int
        Number of the network that answered: 0 is the frozen source, every adapted one has its own.
    readings : dict of int to Reading
        What each network said, as far as it was asked.
    moments : Moments or None
        Of the first layer, once measured.
    """

    pixels: npt.NDArray[np.uint8]
    t: float
    answered_by: int
    readings: dict[int, Reading]
    moments: Moments | None = None

    @property
    def source(self) -> Reading:
        """What the frozen source said; it must have been asked."""
        return self.readings[SOURCE_NUMBER]

    @property
    def answer_logit(self) -> float:
        """What was answered with."""
        return self.readings[self.answered_by].live_logit


@dataclass(slots=True, eq=False)
class Attempt:
    """One session's frames: at most `max_frames`, at least `min_gap_s` apart.

    Attributes
    ----------
    number : int
        Grows from attempt to attempt.
    ended_s : float or None
        When it ended, in seconds; `None` while it is open.
    confirmed : bool or None
        What the integrator knows: live (True), an attack (False).
    studied : bool
        Whether it has been taken up; what is confirmed later comes too late.
    """

    number: int
    max_frames: int
    min_gap_s: float
    ended_s: float | None = None
    confirmed: bool | None = None
    studied: bool = False
    frames: list[Kept] = field(default_factory=list)

    def has_room(self, t: float) -> bool:
        """Whether a frame at `t` would be kept."""
        last_s = self.frames[-1].t if self.frames else -math.inf
        return len(self.frames) < self.max_frames and t - last_s >= self.min_gap_s - TIME_TOLERANCE_S


class Recent:
    """Held-back frames of the last sessions, for checks; each side of the source's verdict has its own room.

    Parameters
    ----------
    per_side : int
        Frames in memory on each side.
    per_session : int
        Frames that one session may give.
    """

    def __init__(self, *, per_side: int = 24, per_session: int = 4) -> None:
        if min(per_side, per_session) < 1:
            raise InputError(f"recent: expected per_side and per_session of at least 1, got {per_side}, {per_session}")
        self.per_side = per_side
        self.per_session = per_session
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._sides: tuple[deque[Kept], deque[Kept]] = (deque(maxlen=self.per_side), deque(maxlen=self.per_side))

    def keep(self, frames: list[Kept], *, threshold_logit: float) -> None:
        """Keep some frames of one session."""
        for kept in evenly(frames, self.per_session):
            self._sides[kept.source.live_logit >= threshold_logit].append(kept)

    def sample(self, per_side: int) -> list[tuple[Kept, bool]]:
        """Give the newest frames of each side, and whether the source calls them live."""
        return [(kept, bool(side)) for side, frames in enumerate(self._sides) for kept in list(frames)[-per_side:]]


def evenly(frames: list[Kept], count: int) -> list[Kept]:
    """At most `count` frames, evenly spread over the session, the first among them."""
    return frames if len(frames) <= count else [frames[len(frames) * i // count] for i in range(count)]
