"""Portraits prepared once: face cut-outs with a matte, on a canvas wide enough for every crop scale.

A studio portrait ends close to the head, a phone's view does not. Each portrait is therefore scaled to one face size,
its person separated from its background by GrabCut (Rother et al. 2004), and its shoulders continued to the edges of
a larger canvas, so that a scene of any kind can be put behind it.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta import records
from ratta.errors import DataError, InputError, SourceError
from ratta.files import hidden, natural, printable, read_text
from ratta.media import picture as media
from ratta.outputs import replace_text
from ratta.perception.crop import square_around

Box = tuple[float, float, float, float]
Rgb = NDArray[np.uint8]

CANVAS_SIDE = 448
FACE_SIDE = 130.0
FACE_CENTRE = (224.0, 205.0)
SHOULDER_SLOPE = 0.7
MATTE_SIDE = 192
FURTHER = "further.csv"
"""File of a prepared folder that names its further portraits."""


def crop_square(box: Box, scale: float, height: int, width: int) -> tuple[int, int, int]:
    """Apply the crop rule of the engine: ``(x, y, side)`` of `ratta.perception.crop.square_around`.

    Examples
    --------
    >>> crop_square((40.0, 40.0, 60.0, 60.0), 2.0, 100, 100)
    (30, 30, 40)
    """
    square = square_around(records.Box(*box), scale=scale, height=height, width=width)
    return square.left, square.top, square.side


def crop_face(picture: Rgb, box: Box, *, scale: float, size: int) -> Rgb:
    """Crop by the engine's rule and resize with an area filter: ``(size, size, 3) uint8``."""
    x, y, side = crop_square(box, scale, picture.shape[0], picture.shape[1])
    shrink = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(picture[y : y + side, x : x + side], (size, size), interpolation=shrink), dtype=np.uint8
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A person on a canvas.

    Attributes
    ----------
    rgba : ndarray
        ``(448, 448, 4) uint8``; the picture continued beyond its edges, and the matte of the person.
    box : tuple of float
        The face box on the canvas.
    """

    rgba: NDArray[np.uint8]
    box: Box


def person_matte(picture: Rgb, box: Box) -> NDArray[np.uint8]:
    """Separate the person from the background: a soft matte, ``(H, W) uint8``."""
    height, width = picture.shape[:2]
    scale = MATTE_SIDE / max(height, width)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = _matte_prior(small.shape[0], small.shape[1], np.asarray(box) * scale)
    bands = (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.setRNGSeed(0)
    cv2.grabCut(small, mask, (0, 0, 1, 1), *bands, 3, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    smooth = cv2.GaussianBlur(cv2.medianBlur(person, 5), (0, 0), 1.0)
    soft = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(soft * 1.4 - 0.2, 0, 1) * 255, dtype=np.uint8)


def _matte_prior(height: int, width: int, box: NDArray[np.float64]) -> NDArray[np.uint8]:
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    w, h = box[2] - box[0], box[3] - box[1]
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    centre = (int(centre_x), int(centre_y))
    cv2.ellipse(
        mask, (centre[0], int(centre_y - 0.05 * h)), (int(0.75 * w), int(0.75 * h)), 0, 0, 360, cv2.GC_PR_FGD, -1
    )
    shoulders = (centre[0], int(box[3] + 0.85 * h))
    cv2.ellipse(mask, shoulders, (int(1.3 * w), int(0.7 * h)), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(mask, shoulders, (int(1.1 * w), int(0.55 * h)), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(mask, centre, (int(0.42 * w), int(0.48 * h)), 0, 0, 360, cv2.GC_FGD, -1)
    mask[: max(1, int(box[1] - 0.45 * h)), :] = cv2.GC_BGD
    return mask


def cut_out(picture: Rgb, box: Box) -> Cutout:
    """Scale a portrait to the common face size and continue it to the edges of the canvas."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise InputError(f"picture: expected (H, W, 3) uint8 RGB, got {picture.shape} {picture.dtype}; pass RGB images")
    rgba = np.dstack((picture, person_matte(picture, box)))
    scale = FACE_SIDE / max(box[2] - box[0], box[3] - box[1])
    small = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    face = np.asarray(box) * scale
    offset = np.asarray(FACE_CENTRE) - ((face[0] + face[2]) / 2, (face[1] + face[3]) / 2)
    canvas = _continue_shoulders(np.asarray(small, dtype=np.uint8), offset)
    x_min, y_min, x_max, y_max = (face + np.tile(offset, 2)).tolist()
    return Cutout(rgba=canvas, box=(x_min, y_min, x_max, y_max))


def _continue_shoulders(small: NDArray[np.uint8], offset: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Fill the canvas: colours drawn out slowly beyond the edges, matte sloping down beyond the sides."""
    height, width = small.shape[:2]
    grid_y, grid_x = np.mgrid[0:CANVAS_SIDE, 0:CANVAS_SIDE].astype(np.float32)
    x, y = grid_x - np.float32(offset[0]), grid_y - np.float32(offset[1])
    outside = np.maximum(np.maximum(-x, x - (width - 1)), 0)
    slow = (_draw_out(x, width), _draw_out(y, height))
    rgb = cv2.remap(small[..., :3], *slow, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    inset = 2.0
    matte = cv2.remap(
        small[..., 3],
        np.clip(x, inset, width - 1 - inset).astype(np.float32),
        np.clip(y - SHOULDER_SLOPE * outside, -1, height - 1 - inset).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return np.dstack((rgb, matte)).astype(np.uint8)


def _draw_out(position: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Mirror positions beyond the picture at a fifth of their pace, so that no second face comes into view."""
    last = np.float32(length - 1)
    drawn = np.where(position < 0, -0.2 * position, np.where(position > last, last - 0.2 * (position - last), position))
    return np.asarray(drawn, dtype=np.float32)


def read_picture(path: Path) -> Rgb:
    """Read a picture as RGB, ``(H, W, 3) uint8``.

    Raises
    ------
    DataError
        If the file is missing or is no picture that can be decoded.
    """
    try:
        picture = media.read_picture(path)
    except SourceError as error:
        raise DataError(f"{error}; remove or replace it") from error
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)


def prepare_portraits(
    folder: str | Path | Sequence[str | Path],
    cache: str | Path,
    *,
    detect: Callable[[Rgb], Box | None],
    further: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Cut out every portrait of a folder once and store the canvases as one memory-mappable array.

    Parameters
    ----------
    folder : path or sequence of path
        Portraits, one per person, such as ``*.jpg``; the file name is the person's identity. One that cannot be read
        is left out, with a warning in the log that names it.
    cache : path
        Folder to write ``cutouts.npy``, ``boxes.npy`` and ``names.txt`` into.
    detect : callable
        Gives the face box of an RGB picture, or None.
    further : path, optional
        Which portraits are of a person who has another one, or may have; see `read_further`.
    on_progress : callable, optional
        Called with (done, total).

    Raises
    ------
    DataError
        If the folder holds no pictures, none can be read, or no face is found in any.
    """
    folders = _listed(folder)
    known = read_further(Path(further)) if further else {}
    entries = [p for one in folders for p in sorted(one.glob("*"), key=natural) if not hidden(p)]
    paths = [p for p in entries if p.suffix.lower() in media.PICTURE_SUFFIXES | media.OTHER_SUFFIXES]
    if not paths:
        raise DataError(f"{folders[0].name}: expected portraits (*.jpg, *.png), got none; check the folder")
    target = Path(cache)
    target.mkdir(parents=True, exist_ok=True)
    canvases = np.lib.format.open_memmap(
        target / "cutouts.npy", mode="w+", dtype=np.uint8, shape=(len(paths), CANVAS_SIDE, CANVAS_SIDE, 4)
    )
    names, boxes = _fill(canvases, paths, detect, on_progress)
    if not names:
        raise DataError(f"{folders[0].name}: expected portraits with a face, found no face in {len(paths)} pictures")
    np.save(target / "boxes.npy", np.asarray(boxes, np.float32))
    replace_text(target / "names.txt", "\n".join(names) + "\n")
    if known:
        rows = "".join(f"{portrait},{person}\n" for portrait, person in known.items())
        replace_text(target / FURTHER, "portrait,person\n" + rows)
    return target


def _listed(folder: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(folder, str | Path):
        return [Path(folder)]
    return [Path(one) for one in folder]


def _fill(
    canvases: NDArray[np.uint8],
    paths: list[Path],
    detect: Callable[[Rgb], Box | None],
    on_progress: Callable[[int, int], None] | None,
) -> tuple[list[str], list[Box]]:
    names: list[str] = []
    boxes: list[Box] = []
    for done, path in enumerate(paths, 1):
        try:
            picture = read_picture(path)
        except DataError as error:
            logging.getLogger("ratta.simulate").warning("skipped: %s", printable(str(error)))
            continue
        box = detect(picture)
        if box is not None:
            cutout = cut_out(picture, box)
            canvases[len(names)] = cutout.rgba
            names.append(printable(path.stem))  # one name, one line
            boxes.append(cutout.box)
        if on_progress is not None:
            on_progress(done, len(paths))
    return names, boxes


def read_further(path: Path) -> dict[str, str]:
    """Read which portraits are further ones, and whose: CSV with the columns ``portrait`` and ``person``.

    A person is the name of their own portrait among the others; empty where they have none.

    Raises
    ------
    DataError
        If the file is missing or has other columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {row["portrait"]: row["person"] or "" for row in csv.DictReader(stream)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path.name}: expected CSV with the columns portrait,person, got {type(error).__name__}: {error}"
        ) from error


class PortraitBank:
    """Prepared cut-outs, memory-mapped and addressed by position.

    ``further`` says which of the folder's portraits are of a person twice, or of unknown identity; see `read_further`.

    Parameters
    ----------
    cache : path
        A folder that :func:`prepare_portraits` wrote.
    keep : iterable of str, optional
        Identities to keep; all by default.
    """

    def __init__(self, cache: str | Path, *, keep: Iterable[str] | None = None) -> None:
        folder = Path(cache)
        try:
            names = read_text(folder / "names.txt").splitlines()
            boxes = np.load(folder / "boxes.npy", allow_pickle=False)
            self._canvases = np.load(folder / "cutouts.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder.name}: expected a prepared portrait folder, got {error}; prepare it again"
            ) from error
        wanted = set(names) if keep is None else set(keep)
        self._index = [i for i, name in enumerate(names) if name in wanted]
        if not self._index:
            raise DataError(f"{folder.name}: expected at least one of {len(wanted)} identities, found none")
        self.names = tuple(names[i] for i in self._index)
        self.further = read_further(folder / FURTHER) if (folder / FURTHER).is_file() else {}
        self._boxes = boxes

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> Cutout:
        index = self._index[position]
        x_min, y_min, x_max, y_max = self._boxes[index].tolist()
        return Cutout(rgba=self._canvases[index], box=(x_min, y_min, x_max, y_max))
