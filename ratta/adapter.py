"""What an engine needs of whatever adapts it: the protocol that engine and session know."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from ratta.records import Pixels, Reading


class Idle(StrEnum):
    """What `Engine.idle` found.

    `DONE`: nothing is left to do. `WAITING`: there is work, and no budget for it now; call again when time has passed.
    `MORE`: there is work and budget; `within_ms` ended the call.
    """

    DONE = "done"
    WAITING = "waiting for budget"
    MORE = "more to do"


class AttemptHandle(Protocol):
    """One attempt, or one stream, as the adapter sees it."""

    confirmed: bool | None
    studied: bool
    penalty: float


class Adapter(Protocol):
    """Answers crops in the place of the network, and learns between the answers.

    `read` may take no longer than the network and some microseconds; all else waits for `idle`. Nothing that is learnt
    may change an answer that was given.
    """

    def begin(self) -> AttemptHandle:
        """Begin an attempt."""

    def read(self, attempt: Any, pixels: Pixels, *, t: float) -> Reading:
        """Answer one frame's crops."""

    def end(self, attempt: Any, *, t: float) -> None:
        """End an attempt; it will be studied in `idle`."""

    def confirm(self, attempt: Any, *, is_live: bool) -> None:
        """Take in what the integrator knows of an attempt."""

    def idle(self, t: float, *, within_ms: float) -> Idle:
        """Learn, as far as the budget lasts."""

    def reset(self) -> None:
        """Go back to the source."""

    def set_power(self, state: Any, *, t: float) -> None:
        """Take in the device's power."""

    def export_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float64]]]:
        """Give what was learnt, for a sealed state."""

    def restore_state(self, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take it back."""

    @property
    def adapted(self) -> bool:
        """Whether the last answer differs from the source's."""

    @property
    def band(self) -> str:
        """What drift means at present: "in", "adapt" or "refuse"."""

    @property
    def counts(self) -> dict[str, int]:
        """Attempts by what became of them."""
