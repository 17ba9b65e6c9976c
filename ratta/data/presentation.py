"""The record that every corpus reader gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratta.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ratta.records import Box

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """One session: one person, or one attack, in front of one camera.

    Attributes
    ----------
    paths : tuple of Path
        One video, or pictures in the order they were taken.
    is_live : bool
        Whether it is bona fide.
    species : str
        PAI species; empty for bona fide.
    subject : str
        Who is, or pretends to be, seen; unique within the corpus.
    session : str
        Unique within the corpus.
    camera : str
        Empty if the corpus does not say.
    condition : str
        Illumination, background or support, where the corpus tells; otherwise empty.
    split : str
        "train", "dev" or "test".
    boxes : tuple of (Box or None)
        As many as `paths`, or empty.
    box_file : Path or None
        The corpus's own face positions for this session, in the format `box_format` (see `ratta.data.boxes`).
    """

    paths: tuple[Path, ...]
    is_live: bool
    species: str
    subject: str
    session: str
    split: str
    camera: str = ""
    condition: str = ""
    boxes: tuple[Box | None, ...] = ()
    box_file: Path | None = None
    box_format: str = ""

    def __post_init__(self) -> None:
        if self.is_live == bool(self.species):
            raise DataError(
                f"session {self.session}: expected a species for an attack and none for bona fide, got "
                f"is_live={self.is_live} and species={self.species!r}"
            )
        if self.split not in SPLITS:
            raise DataError(f"session {self.session}: split: expected one of {SPLITS}, got {self.split!r}")
        if not self.paths or len(self.boxes) not in (0, len(self.paths)):
            raise DataError(
                f"session {self.session}: expected at least one path and a box for each or none, got "
                f"{len(self.paths)} paths and {len(self.boxes)} boxes"
            )


def checked(presentations: Iterable[Presentation], *, corpus: str) -> tuple[Presentation, ...]:
    """Return the presentations if they make a usable corpus.

    Raises
    ------
    DataError
        If there are none, a session comes twice, or a subject is in two splits: then a test would measure memory.
    """
    found = tuple(presentations)
    if not found:
        raise DataError(f"{corpus}: expected presentations, found none; check the folder and the protocol")
    seen: dict[str, str] = {}
    sessions: set[str] = set()
    for one in found:
        if one.session in sessions:
            raise DataError(
                f"{corpus}: session {one.session}: expected it once, found it twice; give sessions unique names"
            )
        sessions.add(one.session)
        if seen.setdefault(one.subject, one.split) != one.split:
            raise DataError(
                f"{corpus}: subject {one.subject}: expected it in one split, found it in "
                f"{seen[one.subject]} and {one.split}; split by subject"
            )
    return found
