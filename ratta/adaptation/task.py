"""Work in small pieces: a task says what its next piece is before it does it, so that a budget can refuse."""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Step(StrEnum):
    """One bounded piece of work."""

    READ = "read"
    """One run of a network on a kept frame."""
    VIEWS = "views"
    """The views of a kept frame, each read."""
    MOMENTS = "moments"
    """First-layer moments of a kept frame."""
    TONES = "tones"
    """Tones of a session, and what known change they are."""
    DRIFT = "drift"
    """Drift statistics of a session."""
    OPEN = "open"
    """Fold parameters, open a network with them, let it answer a probe."""
    LESSON = "lesson"
    """Forward and backward through the tail for one lesson."""
    CANARIES = "canaries"
    """Forward through the tail for some canaries."""


Work = Generator[Step, None, T]

INFERENCES = {
    Step.READ: 1.0,
    Step.VIEWS: 4.0,
    Step.MOMENTS: 1.0,
    Step.TONES: 3.0,
    Step.DRIFT: 8.0,
    Step.OPEN: 40.0,
    Step.LESSON: 3.0,
    Step.CANARIES: 8.0,
}
"""What each piece costs at most, in runs of the network; the budget corrects them by what it measures."""


class Task:
    """A generator of steps, one step at a time.

    Each `yield` announces the piece of work that runs until the next one; `step` is the piece announced, `None` at the
    end. Whoever drops a task abandons what is left of it.

    Examples
    --------
    >>> def counting() -> Work[None]:
    ...     yield Step.READ
    ...     print("read")
    >>> task = Task(counting())
    >>> task.step
    <Step.READ: 'read'>
    >>> task.advance()
    read
    >>> task.step is None
    True
    """

    def __init__(self, work: Work[Any]) -> None:
        self._work = work
        self.step: Step | None = None
        self.advance()

    def advance(self) -> None:
        """Do the piece of work that was announced, up to the next announcement or the end."""
        self.step = None  # should this piece fail, nothing is announced any more
        self.step = next(self._work, None)
