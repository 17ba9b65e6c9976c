"""Looking for what a corpus should hold, and saying what was expected where."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from ratta.errors import DataError
from ratta.files import hidden, natural, read_text
from ratta.media.picture import OTHER_SUFFIXES, PICTURE_SUFFIXES, VIDEO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PICTURES = PICTURE_SUFFIXES | OTHER_SUFFIXES
VIDEOS = VIDEO_SUFFIXES


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
    """Return the folders directly inside, in natural order; hidden ones are left alone."""
    return sorted((p for p in parent.iterdir() if p.is_dir() and not hidden(p)), key=natural)


def files(parent: Path, suffixes: frozenset[str], *, corpus: str, holds: str) -> list[Path]:
    """Return the files of these suffixes directly inside, in natural order; none at all is an error.

    Names that begin with a dot are left alone: some desktop systems leave such a companion beside every file.
    """
    entries = folder(parent, corpus=corpus, holds=holds).iterdir()
    found = sorted((p for p in entries if p.suffix.lower() in suffixes and not hidden(p)), key=natural)
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
    text = read_text(file(path, corpus=corpus, holds=holds), holds=holds)
    return [(i, line.strip()) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]


def table(path: Path, columns: Sequence[str], *, what: str) -> list[tuple[int, dict[str, str]]]:
    """Return the numbered rows of a CSV file with a header.

    Raises
    ------
    DataError
        If it is absent, in another encoding, no CSV, or a column is missing.
    """
    text = read_text(path, holds=f"{what}, CSV with the columns {','.join(columns)}")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        missing = [column for column in columns if column not in names]
        if missing:
            raise DataError(
                f"{what} {path}: expected the columns {', '.join(columns)}, missing {', '.join(missing)}"
                f"{_separator(names)}"
            )
        reader.fieldnames = names
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{what} {path}:{reader.line_num}: expected CSV, got: {error}") from error


def _separator(names: list[str]) -> str:
    """Hint at another separator where a header is all in one field."""
    other = {";": "semicolons", "\t": "tabs"}
    found = next((word for mark, word in other.items() if len(names) == 1 and mark in names[0]), None)
    return f"; the fields are separated by {found}: save it with commas" if found else ""
