"""Recordings of living people in front of one camera: a CSV manifest, or a folder in whatever order it is kept.

A manifest as in `ratta.data.folder`; every row must be live. In a folder, every video is a session, and so is every
folder that holds pictures directly; the first folder below the root is the person, where there is one between. A tree
of `read_folder` (`<split>/live/<subject>/<session>`) is read as such.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ratta.data import tree
from ratta.data.folder import read_folder, read_manifest
from ratta.data.presentation import SPLITS, Presentation, checked
from ratta.errors import DataError
from ratta.files import hidden, natural

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = "live sessions"
NOBODY = ""


def read_live(root: str | Path) -> tuple[Presentation, ...]:
    """Read live sessions.

    Parameters
    ----------
    root : path
        A manifest (`.csv`), or a folder.

    Returns
    -------
    tuple of Presentation
        In the natural order of their names; `subject` is empty where the folders name nobody.

    Raises
    ------
    DataError
        If there is none, or one is an attack.
    """
    root = Path(root)
    if root.suffix.lower() == ".csv":
        return _live_only(read_manifest(root), root)
    tree.folder(root, corpus=CORPUS, holds="videos, or folders of pictures")
    if any((root / split / "live").is_dir() for split in SPLITS):
        return _live_only(tuple(one for one in read_folder(root) if one.is_live), root)
    return checked(_sessions(root), corpus=f"{CORPUS} {root}")


def _sessions(root: Path) -> Iterator[Presentation]:
    files = (path for path in root.rglob("*") if path.is_file())
    folders = {path.parent for path in files if not any(map(_dotted, path.relative_to(root).parts))}
    for folder in sorted(folders, key=natural):
        inside = sorted((path for path in folder.iterdir() if not hidden(path)), key=natural)
        pictures = [path for path in inside if path.suffix.lower() in tree.PICTURES]
        videos = [path for path in inside if path.suffix.lower() in tree.VIDEOS]
        sessions: list[tuple[Path, tuple[Path, ...]]] = [(video.relative_to(root), (video,)) for video in videos]
        if pictures:
            sessions.append((folder.relative_to(root), tuple(pictures)))
        for name, paths in sessions:
            yield Presentation(
                paths=paths,
                is_live=True,
                species="",
                subject=name.parts[0] if len(name.parts) > 1 else NOBODY,
                session=name.as_posix(),
                split="test",
            )


def _dotted(name: str) -> bool:
    return name.startswith(".")


def _live_only(found: tuple[Presentation, ...], root: Path) -> tuple[Presentation, ...]:
    attacks = sum(not one.is_live for one in found)
    if attacks or not found:
        raise DataError(
            f"{CORPUS} {root}: expected live sessions and nothing else, got {attacks} attacks among {len(found)} "
            "sessions; leave them out"
        )
    return found
