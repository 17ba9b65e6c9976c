"""Your own recordings: a folder tree, or a CSV manifest.

A folder: `<split>/<live | attack species>/<subject>/<session>/*` with pictures, or one video, in each session folder;
split is `train`, `dev` or `test`.

A manifest: a CSV file with the columns `path,label,species,subject,session,camera` and, if known,
`x_min,y_min,x_max,y_max` (pixels, half open) and `split` (default `test`). `label` is `live` or `spoof`, paths are
relative to the manifest, and pictures of one session stand in the order they were taken.
"""

from __future__ import annotations

from pathlib import Path

from ratta.data import tree
from ratta.data.presentation import SPLITS, Presentation, checked
from ratta.errors import DataError, InputError
from ratta.records import Box

CORPUS = "folder"
MANIFEST = "manifest.csv"
_COLUMNS = ("path", "label", "species", "subject", "session", "camera")
_BOX = ("x_min", "y_min", "x_max", "y_max")


def read_folder(root: str | Path, *, camera: str = "") -> tuple[Presentation, ...]:
    """Read a folder tree `<split>/<live | attack species>/<subject>/<session>/*`.

    Parameters
    ----------
    root : path
        Holds at least one of `train`, `dev` and `test`.
    camera : str
        What everything was taken with.

    Raises
    ------
    DataError
        If the tree does not fit; the message says what was expected where.
    """
    root = tree.folder(Path(root), corpus=CORPUS, holds="<split>/<live | species>/<subject>/<session>/*")
    foreign = [p.name for p in tree.folders(root) if p.name not in SPLITS]
    if foreign:
        raise DataError(
            f"{CORPUS}: {root}: expected the folders {', '.join(SPLITS)}, found {foreign[0]}; rename or move it"
        )
    found = []
    for split in SPLITS:
        for session in _sessions(root / split):
            kind, subject = session.parent.parent.name, session.parent.name
            paths = tree.files(session, tree.PICTURES | tree.VIDEOS, corpus=CORPUS, holds="pictures or one video")
            found.append(
                Presentation(
                    paths=_one_kind(paths, str(session)),
                    is_live=kind == "live",
                    species="" if kind == "live" else kind,
                    subject=subject,
                    session=f"{split}/{kind}/{subject}/{session.name}",
                    camera=camera,
                    split=split,
                )
            )
    return checked(found, corpus=f"{CORPUS} {root}")


def _sessions(split: Path) -> list[Path]:
    """Return the folders `<live | species>/<subject>/<session>`, in natural order."""
    level = [split] if split.is_dir() else []
    for _ in range(3):
        level = [inner for outer in level for inner in tree.folders(outer)]
    return level


def read_manifest(path: str | Path) -> tuple[Presentation, ...]:
    """Read a CSV manifest.

    Raises
    ------
    DataError
        If a column is missing, a row does not fit (with its line number), or a file is not there.
    """
    path = tree.file(Path(path), corpus="manifest", holds=",".join(_COLUMNS))
    rows = tree.table(path, _COLUMNS, what="manifest")
    groups: dict[tuple[str, ...], list[tuple[Path, Box | None]]] = {}
    for number, row in rows:
        where = f"manifest {path}:{number}"
        key = _key(row, where)
        groups.setdefault(key, []).append((path.parent / row["path"], _box(row, where)))
    tree.all_there([file for group in groups.values() for file, _ in group], corpus="manifest", listed_in=path)
    return checked((_from_group(key, group) for key, group in groups.items()), corpus=f"manifest {path}")


def read_sessions(path: str | Path) -> tuple[Presentation, ...]:
    """Read labelled sessions of one camera, whatever their split: a manifest, a folder with one, or a folder tree.

    Raises
    ------
    DataError
        If it is none of these, or does not fit.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return read_manifest(path)
    return read_manifest(path / MANIFEST) if (path / MANIFEST).is_file() else read_folder(path)


def _key(row: dict[str, str], where: str) -> tuple[str, ...]:
    if None in row.values() or None in row:
        raise DataError(f"{where}: expected as many fields as columns, got other; quote fields that hold commas")
    label, species = row["label"], row["species"]
    if label not in ("live", "spoof") or (label == "live") == bool(species):
        raise DataError(
            f"{where}: expected label live without a species or label spoof with one, got {label!r} and {species!r}"
        )
    if not row["subject"] or not row["session"] or not row["path"]:
        raise DataError(f"{where}: expected a path, a subject and a session, got an empty one")
    return species, row["subject"], row["session"], row["camera"], row.get("split") or "test"


def _box(row: dict[str, str], where: str) -> Box | None:
    values = [row.get(name) or "" for name in _BOX]
    if not any(values):
        return None
    try:
        return Box(*(float(value) for value in values))
    except (ValueError, InputError) as error:
        raise DataError(f"{where}: expected numbers x_min < x_max and y_min < y_max, got {values}") from error


def _from_group(key: tuple[str, ...], group: list[tuple[Path, Box | None]]) -> Presentation:
    species, subject, session, camera, split = key
    boxes = tuple(box for _, box in group)
    return Presentation(
        paths=_one_kind([path for path, _ in group], f"session {session}"),
        is_live=not species,
        species=species,
        subject=subject,
        session=f"{split}/{species or 'live'}/{subject}/{session}",
        camera=camera,
        split=split,
        boxes=boxes if any(boxes) else (),
    )


def _one_kind(paths: list[Path], where: str) -> tuple[Path, ...]:
    videos = [path for path in paths if path.suffix.lower() in tree.VIDEOS]
    if videos and len(paths) > 1:
        raise DataError(
            f"{CORPUS}: {where}: expected pictures or one video, found {len(paths)} files with {videos[0].name}"
        )
    return tuple(paths)
