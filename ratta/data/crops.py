"""From presentations to crops, decoded once: a cache keyed by content and preprocessing contract."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from ratta.data.frames import FrameRecord, Skipped, read_frames
from ratta.errors import DataError, InputError, SourceError
from ratta.files import kind_of
from ratta.outputs import replaced
from ratta.records import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from ratta.data.presentation import Presentation
    from ratta.records import Crop

    Cutter = Callable[[FrameRecord], Crop | Refusal]

FORMAT = "ratta-crops/2"


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """The crops of one presentation.

    Attributes
    ----------
    pixels : (N, S, S, 3) or (N, K, S, S, 3) uint8
        RGB; black where the frame was refused. K crops of a face where there are several.
    refusals : (N,) str
        Why a frame was refused; empty where it was not.
    index : (N,) int64
        Frame number.
    t : (N,) float64
        Seconds since the first frame.
    """

    pixels: npt.NDArray[np.uint8]
    refusals: npt.NDArray[np.str_]
    index: npt.NDArray[np.int64]
    t: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.t)


class CropReader:
    """Cuts the crops of presentations, and remembers them in a folder.

    The name of a remembered file is the SHA-256 of the presentation's files, of its boxes and of `contract`, so that a
    changed picture, box or preprocessing rule is never answered with an old crop. Files are written atomically; a cut
    short one is made anew.

    Parameters
    ----------
    cut : callable
        From a `FrameRecord` to a `Crop`, or to a `Refusal` with its reason.
    size : int
        Side of a crop in pixels.
    crops : int
        How many there are of a face.
    contract : mapping
        Everything that decides what `cut` makes of a frame: crop rule, quality limits, detector hash. Plain JSON
        values.
    cache : path, optional
        Folder to remember crops in; made if absent. Nothing is written without it.
    frames : int, optional
        At most so many frames a presentation, evenly spread.
    strict : bool
        Raise at the first file that cannot be read.

    Attributes
    ----------
    skipped : list of Skipped
        What could not be read so far; each is also a refused frame, "unusable input".
    """

    def __init__(
        self,
        *,
        cut: Cutter,
        size: int,
        crops: int = 1,
        contract: Mapping[str, Any],
        cache: str | Path | None = None,
        frames: int | None = None,
        strict: bool = False,
    ) -> None:
        if size < 1 or (frames is not None and frames < 1):
            raise InputError(f"crops: expected size and frames of at least 1, got {size} and {frames}")
        self.cut = cut
        self.size = size
        self.crops = crops
        self.contract = dict(contract)
        self.cache = None if cache is None else Path(cache)
        self.frames = frames
        self.strict = strict
        self.skipped: list[Skipped] = []

    def read(self, presentation: Presentation) -> Crops:
        """Return the crops, from the cache if they are there."""
        if self.cache is None:
            return self._make(presentation)
        path = self.cache / f"{self.key(presentation)}.npz"
        known = _load(path)
        if known is None:
            known = self._make(presentation)
            _save(path, known)
        return known

    def key(self, presentation: Presentation) -> str:
        """SHA-256 of all that decides the crops, in hexadecimal."""
        rule = {"format": FORMAT, "size": self.size, "frames": self.frames, "contract": self.contract}
        digest = hashlib.sha256(json.dumps(rule, sort_keys=True).encode())
        digest.update(repr(presentation.boxes).encode())
        digest.update(presentation.box_format.encode())
        for path in (*presentation.paths, presentation.box_file):
            if path is not None:
                digest.update(_fingerprint(path))
        return digest.hexdigest()

    def _make(self, presentation: Presentation) -> Crops:
        pixels: list[npt.NDArray[np.uint8] | None] = []
        refusals, index, times = [], [], []

        def skip(one: Skipped) -> None:
            self.skipped.append(one)
            pixels.append(None)
            refusals.append(str(Reason.UNUSABLE_INPUT))
            index.append(one.index)
            times.append(one.t)

        for frame in self._frames(presentation, skip):
            found = self.cut(frame)
            pixels.append(None if isinstance(found, Refusal) else stacked(found.pixels))
            refusals.append(str(found.reason) if isinstance(found, Refusal) else "")
            index.append(frame.index)
            times.append(frame.t)
        black = np.zeros((*([self.crops] if self.crops > 1 else []), self.size, self.size, 3), np.uint8)
        seen = np.stack([black if one is None else one for one in pixels])
        return Crops(seen, np.array(refusals, np.str_), np.array(index), np.array(times))

    def _frames(self, presentation: Presentation, skip: Callable[[Skipped], None]) -> Iterator[FrameRecord]:
        """Give the frames that can be read, also where that is none."""
        try:
            yield from read_frames(presentation, limit=self.frames, strict=self.strict, on_skip=skip)
        except (SourceError, DataError) as error:  # of the pictures, or of the corpus's own boxes
            if self.strict:
                raise
            skip(Skipped(presentation.paths[-1], str(error), len(presentation.paths) - 1, 0.0))


def stacked(pixels: tuple[npt.NDArray[np.uint8], ...]) -> npt.NDArray[np.uint8]:
    """Put the crops of a face into one array, (K, S, S, 3), or (S, S, 3) where there is one."""
    return pixels[0] if len(pixels) == 1 else np.stack(pixels)


def separate(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], ...]:
    """Take them out again."""
    return tuple(pixels) if pixels.ndim == 4 else (pixels,)


def _fingerprint(path: Path) -> bytes:
    """Hash a file; what is none, or cannot be read, has only its name."""
    try:
        if kind_of(path) == "file":
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        pass
    return f"unread {path.name}".encode()


def _load(path: Path) -> Crops | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return Crops(archive["pixels"], archive["refusals"], archive["index"], archive["t"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _save(path: Path, crops: Crops) -> None:
    with replaced(path) as part, part.open("wb") as stream:
        np.savez(stream, pixels=crops.pixels, refusals=crops.refusals, index=crops.index, t=crops.t)
