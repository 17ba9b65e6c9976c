"""What is in force, what was before, and the way back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ratta.adaptation.update import Correction, ToneCorrection


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One set of adapted parameters; what it does not hold is the source's.

    Attributes
    ----------
    early : Correction or ToneCorrection or None
    late : mapping of str to array
        Parameters of the tail that differ from the source's; empty for none.
    """

    early: Correction | ToneCorrection | None = None
    late: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def is_source(self) -> bool:
        """Whether nothing differs from the source."""
        return self.early is None and not self.late


SOURCE = Snapshot()


class Snapshots:
    """A ring of the last commits.

    Parameters
    ----------
    depth : int
        Commits that can be taken back one by one; beyond, the way back ends at the source.
    reset_after : int
        Commits until everything starts from the source again.

    Raises
    ------
    InputError
        If a parameter is below 1.

    Examples
    --------
    >>> snapshots = Snapshots()
    >>> snapshots.commit(Snapshot(late={"classifier.2.bias": [0.1, -0.1]}))
    >>> snapshots.current.is_source, snapshots.rollback().is_source
    (False, True)
    """

    def __init__(self, *, depth: int = 8, reset_after: int = 1000) -> None:
        if min(depth, reset_after) < 1:
            raise InputError(f"snapshots: expected depth and reset_after of at least 1, got {depth} and {reset_after}")
        self.depth = depth
        self.reset_after = reset_after
        self.reset()

    def reset(self) -> None:
        """Go back to the source and forget every commit."""
        self._ring: deque[Snapshot] = deque(maxlen=self.depth)
        self._commits = 0

    def commit(self, snapshot: Snapshot) -> None:
        """Put a checked candidate in force."""
        self._ring.append(snapshot)
        self._commits += 1

    def rollback(self) -> Snapshot:
        """Take the last commit back; say what is in force now."""
        if self._ring:
            self._ring.pop()
        return self.current

    @property
    def current(self) -> Snapshot:
        """What is in force."""
        return self._ring[-1] if self._ring else SOURCE

    @property
    def commits(self) -> int:
        """Commits since the last reset."""
        return self._commits

    @property
    def due_for_reset(self) -> bool:
        """Whether it is time to start from the source again."""
        return self._commits >= self.reset_after
