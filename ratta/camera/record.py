"""Record sessions of one camera: usable frames of one person into a folder, and a manifest that other commands read."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratta.camera.recorder import encode_picture
from ratta.errors import InputError
from ratta.files import read_text
from ratta.outputs import replace_file, replace_text
from ratta.records import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from ratta.camera.sources import SourceFrame
    from ratta.perception import Perception
    from ratta.records import Box

MANIFEST = "manifest.csv"
COLUMNS = ("path", "label", "species", "subject", "session", "camera", "x_min", "y_min", "x_max", "y_max", "split")
SPLIT = "dev"
LIVE = "live"
LEAST_FRAMES = 3
CONSENT = (
    "Pictures of faces are personal data. Record only people who know what for, for how long and by whom their "
    "pictures are kept, and who have agreed. The pictures stay in {folder}; nothing is sent anywhere. Delete a "
    "person's folder and rows when they ask for it, and all of them when the profile is made."
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """What a session shows.

    Attributes
    ----------
    subject : str
        A pseudonym: letters, digits, `-` and `_`.
    label : str
        "live", or the attack's species.
    camera : str
    """

    subject: str
    label: str
    camera: str = ""

    def __post_init__(self) -> None:
        for field in ("subject", "label"):
            if not _NAME.fullmatch(getattr(self, field)):
                raise InputError(f"{field}: expected letters, digits, - and _, got {getattr(self, field)!r}")

    @property
    def species(self) -> str:
        """Of an attack; empty for live."""
        return "" if self.label == LIVE else self.label


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """One usable frame, and where the face was."""

    frame: npt.NDArray[np.uint8]
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """What was seen of one session.

    Attributes
    ----------
    kept : tuple of Kept
    refused : Counter of str
        Frames that were not usable, by reason.
    """

    kept: tuple[Kept, ...]
    refused: Counter[str]

    @property
    def usable(self) -> bool:
        """Whether it is worth keeping."""
        return len(self.kept) >= LEAST_FRAMES


def take_session(
    frames: Iterable[SourceFrame],
    perception: Perception,
    *,
    count: int = 16,
    every_s: float = 0.2,
    most_s: float = 30.0,
    on_hint: Callable[[str], None] = lambda _: None,
) -> Take:
    """Watch one person and keep usable frames, apart in time; say what is wrong while it is.

    Parameters
    ----------
    frames : iterable of SourceFrame
        Is not closed: the next session may go on with it.
    perception : Perception
        Judges what is usable; its tracker is reset.
    count : int
        Frames to keep.
    every_s : float
        Least time between two of them.
    most_s : float
        The session ends after so many seconds, however few there are.
    on_hint : callable
        Told a reason when it changes, and an empty text when all is well again.
    """
    perception.reset()
    kept: list[Kept] = []
    refused: Counter[str] = Counter()
    began = last = math.nan
    hint = ""
    for number, one in enumerate(frames):
        t = one.t_seconds if math.isfinite(one.t_seconds) else number * every_s
        began = t if math.isnan(began) else began
        if t - began > most_s:
            break
        seen = perception.follow(one.frame_bgr, t=t)
        found = str(seen.reason) if isinstance(seen, Refusal) else ""
        if found != hint:
            on_hint(_hint(seen) if isinstance(seen, Refusal) else "")
        hint = found
        if isinstance(seen, Refusal):
            refused[str(seen.reason)] += 1
        elif not t - last < every_s - 1e-6:
            kept.append(Kept(one.frame_bgr.copy(), seen.face.box))
            last = t
        if len(kept) == count:
            break
    return Take(tuple(kept), refused)


def _hint(refusal: Refusal) -> str:
    return f"{refusal.reason}: {refusal.detail}" if refusal.detail else str(refusal.reason)


def save_session(folder: Path, who: Who, take: Take) -> Path:
    """Write a session's frames, lossless, and add them to the folder's manifest; the manifest is last.

    Parameters
    ----------
    folder : path
        Of all sessions.
    who : Who
    take : Take

    Returns
    -------
    path
        Of the new session's folder.

    Raises
    ------
    InputError
        If the session has too few usable frames.
    OutputError
        If it cannot be written.
    """
    if not take.usable:
        why = ", ".join(f"{reason} ({number})" for reason, number in take.refused.most_common(3)) or "no frames"
        got = f"got {len(take.kept)}; refused: {why}"
        raise InputError(f"session: expected {LEAST_FRAMES} or more usable frames, {got}")
    rows = read_rows(folder)
    known = {row["session"] for row in rows if (row["subject"], row["species"]) == (who.subject, who.species)}
    number = next(n for n in range(1, len(known) + 2) if f"{n}" not in known)
    place = folder / who.subject / f"{who.label}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    for index, one in enumerate(take.kept):
        path = place / f"{index:03d}.png"
        replace_file(path, encode_picture(one.frame, ".png"))
        corners = (one.box.x_min, one.box.y_min, one.box.x_max, one.box.y_max)
        boxes = {name: f"{value:.1f}" for name, value in zip(COLUMNS[6:10], corners, strict=True)}
        rows.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "label": LIVE if who.label == LIVE else "spoof",
                "species": who.species,
                "subject": who.subject,
                "session": f"{number}",
                "camera": who.camera,
                **boxes,
                "split": SPLIT,
            }
        )
    _write_rows(folder, rows)
    return place


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Read what the manifest of a folder holds; nothing where there is none.

    Raises
    ------
    InputError
        If it is somebody else's manifest.
    """
    path = folder / MANIFEST
    if not path.exists():
        return []
    reader = csv.DictReader(io.StringIO(read_text(path, holds="a manifest")))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(f"{path}: expected the columns {', '.join(COLUMNS)}, got others; record into another folder")
    return list(reader)


def _write_rows(folder: Path, rows: list[dict[str, str]]) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(folder / MANIFEST, stream.getvalue())
