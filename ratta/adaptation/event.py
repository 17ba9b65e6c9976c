"""One line of the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """What a room of adaptation did, and why.

    Attributes
    ----------
    t : float
        Seconds.
    kind : str
        "drift", "gate", "trial", "commit", "rollback", "reset" or "dropped".
    reason : str
    numbers : mapping of str to float
        Behind the reason.
    """

    t: float
    kind: str
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)
