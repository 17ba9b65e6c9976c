"""The interface of a method under evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """Consecutive frames of a stream.

    Attributes
    ----------
    pixels : (B, S, S, 3) uint8
        RGB crops; refused frames never reach a method.
    t : (B,) float64
        Seconds on the stream's clock.
    sessions : (B,) int64
        Which session of the stream each frame belongs to.
    confirmed : frozenset of int
        Sessions of which it has become known that they were live: a passcode, a second factor, an operator. Each had
        ended when a frame of this batch came; none is told twice. The only label that a method ever gets.
    """

    pixels: npt.NDArray[np.uint8]
    t: npt.NDArray[np.float64]
    sessions: npt.NDArray[np.int64]
    confirmed: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.t)


class Method(Protocol):
    """Answers frames and may learn from them.

    A method never sees a label, except where a session was confirmed as live. `observe` answers first: its scores are
    those of the state before it learnt.
    """

    @property
    def batch(self) -> int:
        """Frames it wants at once; 1 on a device. With more, an answer comes up to `batch - 1` frames late."""

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores `(B,)` in [0, 1] of the present state, without learning."""

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores `(B,)` in [0, 1], given before learning from the frames."""

    def reset(self) -> None:
        """Go back to the source model."""

    def state(self) -> dict[str, float]:
        """Tell what is known; the report draws what is there.

        Counters (`updates`, `refused: <reason>`), `drift`, `drift_limit`, `alpha`, `level`, `threshold`, `budget_ms`.
        """
