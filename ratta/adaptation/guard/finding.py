"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's verdict on a candidate, with the numbers behind it for a log."""

    passed: bool
    reason: str
    numbers: dict[str, float]
