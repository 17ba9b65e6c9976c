"""A baseline inside an engine: whole sessions, quality checks and verdicts around a method of single frames."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adapter import Idle
from ratta.errors import InputError
from ratta.evaluate.methods.method import FrameBatch
from ratta.records import Reading, as_time, logit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ratta.evaluate.methods.method import Method
    from ratta.records import Pixels

LEAST = 1e-9
"""A score's distance from 0 and 1: its log-odds stay finite."""


@dataclass(slots=True, eq=False)
class SessionHandle:
    """One attempt."""

    number: int
    confirmed: bool | None = None
    studied: bool = False
    penalty: float = 0.0


class InEngine:
    """A method that answers and learns in an engine, through the engine's adapter protocol.

    A frame is answered by the method's present state, as the last of a batch of the most recent frames; batch methods
    get as many as they want. Once so many are new, the method learns from them in `idle`, never on the answer path. No
    budget holds it back. What is confirmed as live it is told with the next batch.

    Parameters
    ----------
    method : Method
        Of `make_method`.

    Examples
    --------
    `ratta.engine.Engine(bundle, graph, detector=..., adapter=InEngine(make_method("tent", source, ...)))`
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.reset()

    def reset(self) -> None:
        """Go back to the source."""
        self.method.reset()
        self._recent: deque[tuple[npt.NDArray[np.uint8], float, int]] = deque(maxlen=self.method.batch)
        self._new: list[tuple[npt.NDArray[np.uint8], float, int]] = []
        self._confirmed: set[int] = set()
        self._sessions = 0
        self._t = -math.inf
        self._counts = dict.fromkeys(("ended", "confirmed", "updates"), 0)

    def begin(self) -> SessionHandle:
        """Begin an attempt."""
        self._sessions += 1
        return SessionHandle(self._sessions)

    def read(self, attempt: SessionHandle, pixels: Pixels, *, t: float) -> Reading:
        """Answer one frame's crops by the method's present state."""
        frame = (pixels[0] if len(pixels) == 1 else np.stack(pixels)), t, attempt.number
        self._recent.append(frame)
        self._new.append(frame)
        score = float(self.method.answer(_batch(self._recent))[-1])
        live_logit = logit(min(max(score, LEAST), 1 - LEAST))
        nothing = np.zeros(0, np.float32)
        return Reading(np.array([[0.0, live_logit]], np.float32), nothing, nothing, live_logit)

    def end(self, attempt: SessionHandle, *, t: float) -> None:  # noqa: ARG002
        """End an attempt."""
        self._counts["ended"] += 1

    def confirm(self, attempt: SessionHandle, *, is_live: bool) -> None:
        """Take in what is known; methods are told of live sessions only."""
        attempt.confirmed = is_live
        self._counts["confirmed"] += is_live
        if is_live:
            self._confirmed.add(attempt.number)

    def idle(self, t: float, *, within_ms: float = math.inf) -> Idle:
        """Let the method learn from the frames that are new, as soon as they make a batch."""
        self._t = as_time(t, self._t)
        while len(self._new) >= self.method.batch:
            if within_ms <= 0:
                return Idle.MORE
            batch, self._new = self._new[: self.method.batch], self._new[self.method.batch :]
            self.method.observe(_batch(batch, frozenset(self._confirmed)))
            self._confirmed.clear()
            self._counts["updates"] += 1
        return Idle.DONE

    def set_power(self, state: Any, *, t: float) -> None:
        """Do nothing: published methods know nothing of power."""

    def export_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float64]]]:
        """Refuse: baselines are for comparison and have no sealed state.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError("state: expected the product's own adapter, got a baseline, which keeps none")

    def restore_state(self, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:  # noqa: ARG002
        """Refuse, as `export_state`.

        Raises
        ------
        InputError
            Always.
        """
        self.export_state()

    @property
    def adapted(self) -> bool:
        """Whether the method has learnt anything."""
        return self._counts["updates"] > 0

    @property
    def band(self) -> str:
        """Baselines measure no drift."""
        return "adapt"

    @property
    def counts(self) -> dict[str, int]:
        """Attempts ended and confirmed, and batches learnt from."""
        return dict(self._counts)


def _batch(frames: Any, confirmed: frozenset[int] = frozenset()) -> FrameBatch:
    pixels, times, sessions = zip(*frames, strict=True)
    return FrameBatch(np.stack(pixels), np.array(times), np.array(sessions, np.int64), confirmed)
