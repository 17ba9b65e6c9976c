"""What streams are made of: the crops of one presentation, and a folder that keeps many of them.

A *pool* is a folder with `pixels.bin` (all crops, raw uint8), `frames.npz` (times and refusals) and `pool.json`
(sessions, crop size and a key). Crops are mapped into memory, not read, so that a pool may be larger than memory and
every worker process opens it at once. A pool holds faces: keep it where the corpus may be kept.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import DataError
from ratta.files import read_json
from ratta.outputs import replace_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from ratta.data import CropReader, Presentation, Skipped

FORMAT = "ratta-pool/1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CropSession:
    """The crops of one session: one person, or one attack, in front of one camera.

    Attributes
    ----------
    name, subject, camera, species : str
        `species` is empty for bona fide.
    is_live : bool
    pixels : (N, S, S, 3), or (N, K, S, S, 3) where the contract has K crops, uint8
        RGB, by the model's crop rule.
    refusals : (N,) str
        Why a frame was refused; empty where it was not.
    t : (N,) float64
        Seconds since the session began.
    """

    name: str
    subject: str
    camera: str
    is_live: bool
    species: str
    pixels: npt.NDArray[np.uint8]
    refusals: npt.NDArray[np.str_]
    t: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.is_live == bool(self.species):
            raise DataError(f"session {self.name}: expected a species for attacks only, got {self.species!r}")
        if not len(self.pixels) == len(self.refusals) == len(self.t) > 0:
            raise DataError(
                f"session {self.name}: expected as many crops, refusals and times, at least one, got "
                f"{len(self.pixels)}, {len(self.refusals)} and {len(self.t)}"
            )

    def __len__(self) -> int:
        return len(self.t)

    def take(self, index: npt.NDArray[np.intp] | slice, *, name: str | None = None) -> CropSession:
        """Return the frames at `index` as a session."""
        return CropSession(
            name=name or self.name,
            subject=self.subject,
            camera=self.camera,
            is_live=self.is_live,
            species=self.species,
            pixels=self.pixels[index],
            refusals=self.refusals[index],
            t=self.t[index],
        )


def change_session(session: CropSession, change: str) -> CropSession:
    """Show a session by another camera: `ratta.simulate.CHANGES` has the names.

    The grain is drawn by the session's name, so that the same session always looks the same, in whatever pool it is.
    """
    return CropSession(
        name=session.name,
        subject=session.subject,
        camera=f"{session.camera}+{change}",
        is_live=session.is_live,
        species=session.species,
        pixels=_changed(np.asarray(session.pixels), change, seed=zlib.crc32(session.name.encode())),
        refusals=session.refusals,
        t=session.t,
    )


def _changed(pixels: npt.NDArray[np.uint8], change: str, *, seed: int) -> npt.NDArray[np.uint8]:
    from ratta.simulate import change_crops

    if pixels.ndim == 4:
        return change_crops(pixels, change, seed=seed)
    return np.stack([change_crops(pixels[:, k], change, seed=seed) for k in range(pixels.shape[1])], axis=1)


def from_presentations(presentations: Iterable[Presentation], reader: CropReader) -> Iterator[CropSession]:
    """Decode and cut presentations one after the other."""
    for one in presentations:
        crops = reader.read(one)
        yield CropSession(
            name=one.session,
            subject=one.subject,
            camera=one.camera,
            is_live=one.is_live,
            species=one.species,
            pixels=crops.pixels,
            refusals=crops.refusals,
            t=crops.t,
        )


def write_pool(
    folder: str | Path, sessions: Iterable[CropSession], *, key: str, skipped: Sequence[Skipped] = ()
) -> tuple[CropSession, ...]:
    """Write sessions to a pool and open it; the manifest is written last, so an interrupted pool does not exist.

    Parameters
    ----------
    folder : path
        Made if absent; a pool in it is replaced.
    sessions : iterable of CropSession
        Written one by one; only one is in memory at a time.
    key : str
        What the pool was made from; `open_pool` compares it.
    skipped : sequence of Skipped
        What could not be read of the sessions; looked at when they have been written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pool.json").unlink(missing_ok=True)
    entries: list[dict[str, Any]] = []
    refusals, times = [np.array([], np.str_)], [np.array([], np.float64)]
    shape: tuple[int, ...] = ()
    with (folder / "pixels.bin").open("wb") as stream:
        for one in sessions:
            shape = shape or one.pixels.shape[1:]
            if one.pixels.shape[1:] != shape:
                raise DataError(f"session {one.name}: expected crops {shape}, got {one.pixels.shape[1:]}")
            stream.write(np.ascontiguousarray(one.pixels).tobytes())
            refusals.append(one.refusals)
            times.append(one.t)
            names = ("name", "subject", "camera", "is_live", "species")
            entries.append({**{n: getattr(one, n) for n in names}, "frames": len(one)})
    if not entries:
        raise DataError(f"pool {folder}: expected at least one session, got none")
    with (folder / "frames.npz").open("wb") as stream:
        np.savez(stream, refusals=np.concatenate(refusals), t=np.concatenate(times))
    unread = [{"file": str(one.path), "reason": one.reason} for one in skipped]
    manifest = {"format": FORMAT, "key": key, "shape": shape, "sessions": entries, "skipped": unread}
    replace_text(folder / "pool.json", json.dumps(manifest))
    return read_pool(folder)


def open_pool(folder: str | Path, *, key: str) -> tuple[CropSession, ...] | None:
    """Open a pool if it is there and was made from `key`."""
    path = Path(folder) / "pool.json"
    if not path.is_file() or _manifest(path)["key"] != key:
        return None
    return read_pool(folder)


def pool_key(folder: str | Path) -> str:
    """Return the key of a pool."""
    return str(_manifest(Path(folder) / "pool.json")["key"])


def pool_skipped(folder: str | Path) -> tuple[str, ...]:
    """Return why each file was skipped that could not be read when a pool was cut."""
    return tuple(str(one["reason"]) for one in _manifest(Path(folder) / "pool.json").get("skipped", ()))


def read_pool(folder: str | Path) -> tuple[CropSession, ...]:
    """Open a pool; crops are mapped, not read.

    Raises
    ------
    DataError
        If the folder holds no pool, or an incomplete one.
    """
    folder = Path(folder)
    manifest = _manifest(folder / "pool.json")
    entries, shape = manifest["sessions"], tuple(manifest["shape"])
    stops = np.cumsum([entry["frames"] for entry in entries])
    expected = int(stops[-1]) * math.prod(shape)
    pixels_path = folder / "pixels.bin"
    if not pixels_path.is_file() or pixels_path.stat().st_size != expected:
        raise DataError(f"{pixels_path}: expected {expected} bytes of crops, got other; delete the pool and run again")
    pixels = np.memmap(pixels_path, np.uint8, "r", shape=(int(stops[-1]), *shape))
    with (folder / "frames.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        refusals, times = archive["refusals"], archive["t"]
    found = []
    for entry, stop in zip(entries, stops.tolist(), strict=True):
        span = slice(stop - entry["frames"], stop)
        fields = {k: v for k, v in entry.items() if k != "frames"}
        found.append(CropSession(**fields, pixels=pixels[span], refusals=refusals[span], t=times[span]))
    return tuple(found)


def _manifest(path: Path) -> dict[str, Any]:
    manifest = read_json(path, holds="the manifest of a pool")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: expected format {FORMAT!r}, got other; delete the pool and run again")
    return manifest
