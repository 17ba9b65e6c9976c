"""Looking for what a corpus should hold, and saying what was expected where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ratta.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
VIDEOS = frozenset({".avi", ".mov", ".mp4", ".mkv", ".webm"})


def folder(path: Path, *, corpus: str, holds: str) -> Path:
    """Return the folder, or say what it should hold."""
    if not path.is_dir():
        raise DataError(f"{corpus}: expected the folder {path} with {holds}, found none; pass the corpus's root folder")
    return path


def file(path: Path, *, corpus: str, holds: str) -> Path:
    """Return the file, or say what it should hold."""
    if not path.is_file():
        raise DataError(f"{corpus}: expected the file {path} with {holds}, found none; is the corpus complete?")
    return path


def folders(parent: Path) -> list[Path]:
    """Return the folders directly inside, sorted."""
    return sorted(p for p in parent.iterdir() if p.is_dir())


def files(parent: Path, suffixes: frozenset[str], *, corpus: str, holds: str) -> list[Path]:
    """Return the files of these suffixes directly inside, sorted; none at all is an error."""
    found = sorted(p for p in folder(parent, corpus=corpus, holds=holds).iterdir() if p.suffix.lower() in suffixes)
    if not found:
        raise DataError(f"{corpus}: expected {holds} in {parent}, found no {', '.join(sorted(suffixes))} file")
    return found


def parts(pattern: re.Pattern[str], path: Path, *, corpus: str, example: str) -> dict[str, str]:
    """Return the named parts of a file name, or say how it should look."""
    match = pattern.fullmatch(path.stem)
    if match is None:
        raise DataError(f"{corpus}: {path}: expected a name like {example}, got {path.name}; move foreign files away")
    return {key: value or "" for key, value in match.groupdict().items()}


def all_there(paths: list[Path], *, corpus: str, listed_in: Path) -> None:
    """Raise if a file that a list names does not exist."""
    missing = [p for p in paths if not p.is_file()]
    if missing:
        shown = ", ".join(str(p) for p in missing[:3])
        raise DataError(
            f"{corpus}: {listed_in} names {len(missing)} files that are not there, first {shown}; "
            "is the corpus complete?"
        )


def lines(path: Path, *, corpus: str, holds: str) -> list[tuple[int, str]]:
    """Return the numbered, stripped lines of a text file that are not empty."""
    text = file(path, corpus=corpus, holds=holds).read_text(encoding="utf-8")
    return [(i, line.strip()) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
