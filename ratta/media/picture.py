"""One picture file: decoded completely, or rejected.

Some decoders fill the missing part of a cut file with grey and say nothing, and a half-grey face must not be scored.
So the structure of JPEG and PNG files is walked before they are decoded: a file without its end marker is refused.
A file that was damaged in its middle and still ends properly cannot be told from a whole one here. What a header says
of the size is looked at before anything is unpacked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import DataError, SourceError
from ratta.files import hidden, natural, read_regular
from ratta.media.formats import JPEG_START, PNG_START, format_of, pixel_size
from ratta.media.opencv import opencv

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".avi", ".mov", ".mp4", ".m4v", ".mkv", ".webm", ".3gp", ".mpg", ".mpeg", ".wmv"})
OTHER_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".gif", ".dng", ".cr2", ".nef", ".arw"})
"""Pictures that may not decode: they are answered with that, and never left out."""
MAX_BYTES = 1 << 29
MAX_PIXELS = 128_000_000
"""Of a picture that is decoded; the largest of phones have 108 million."""
JPEG_END = 0xD9
# Any JPEG marker but a stuffed zero, a restart marker and a fill byte, which all occur inside the compressed data.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listing:
    """The direct content of a folder.

    Attributes
    ----------
    pictures : tuple of Path
        In natural order: all that is, or looks like, a picture or a video, whether it can be read or not.
    left_out : dict of str to int
        How many other entries of each kind there are: a suffix, "folder" or "file"; hidden ones are not counted.
    """

    pictures: tuple[Path, ...]
    left_out: dict[str, int]


def read_picture(path: str | Path, *, max_pixels: int | None = None) -> npt.NDArray[np.uint8]:
    """Read a picture file as `(H, W, 3)` uint8 BGR, turned as its EXIF tag says.

    Grey pictures come as three equal channels, 16-bit ones are brought to 8 bits, and an alpha channel is dropped.

    Parameters
    ----------
    path : path
    max_pixels : int, optional
        A larger picture is scaled down to so many.

    Raises
    ------
    SourceError
        If the file is missing, empty, no picture, cut short, damaged or too large.
    MissingExtraError
        If OpenCV is not installed.
    """
    return read_scaled(path, max_pixels=max_pixels)[0]


def read_scaled(path: str | Path, *, max_pixels: int | None = None) -> tuple[npt.NDArray[np.uint8], float]:
    """Read a picture as `read_picture` does, and say by how much it was scaled: at most 1."""
    path = Path(path)
    data = _read_bytes(path)
    _check_whole(path, data)
    pixels = _check_size(path, data)
    cv2 = opencv()
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), _flag(data, pixels, max_pixels))
    except cv2.error:
        picture = None
    if picture is None:
        raise SourceError(f"{path}: expected a picture, got {_instead(data)}")
    small = shrink(np.asarray(picture, np.uint8), max_pixels)
    whole = pixels or picture.shape[0] * picture.shape[1]
    return small, min(1.0, math.sqrt(small.shape[0] * small.shape[1] / whole))


def shrink(picture: npt.NDArray[np.uint8], max_pixels: int | None) -> npt.NDArray[np.uint8]:
    """Scale a picture down to at most so many pixels, each the mean of the area that it stands for.

    Examples
    --------
    >>> shrink(np.zeros((600, 800, 3), np.uint8), 120_000).shape
    (300, 400, 3)
    """
    height, width = picture.shape[:2]
    if max_pixels is None or height * width <= max_pixels:
        return picture
    factor = math.sqrt(max_pixels / (height * width))
    size = max(1, int(width * factor)), max(1, int(height * factor))
    return np.asarray(opencv().resize(picture, size, interpolation=opencv().INTER_AREA), np.uint8)


def list_pictures(folder: str | Path) -> list[Path]:
    """List what is or looks like a picture directly in a folder, in natural order (`2.jpg` before `10.jpg`).

    Raises
    ------
    SourceError
        If the folder cannot be listed or holds no picture.
    """
    return list(list_folder(folder).pictures)


def list_folder(folder: str | Path) -> Listing:
    """Say what lies directly in a folder: pictures by suffix or content, and how much else; hidden entries are left.

    Raises
    ------
    SourceError
        If the folder cannot be listed or holds no picture.
    """
    folder = Path(folder)
    try:
        entries = sorted((p for p in folder.iterdir() if not hidden(p)), key=natural)
    except OSError as error:
        raise SourceError(f"{folder}: expected a readable folder, got: {error.strerror or error}") from error
    pictures = tuple(p for p in entries if is_media(p))
    if all(p.suffix.lower() in VIDEO_SUFFIXES for p in pictures):
        raise SourceError(
            f"{folder}: expected pictures ({', '.join(sorted(PICTURE_SUFFIXES))}), got {len(entries)} other files; "
            "pass the folder that holds them, or a video by itself"
        )
    return Listing(pictures, left_out(p for p in entries if p not in set(pictures)))


def is_media(path: Path) -> bool:
    """Whether an entry is, or looks like, a picture or a video: by its suffix, or else by how its content begins."""
    if path.is_dir():
        return False
    if path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES | OTHER_SUFFIXES:
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return bool(format_of(stream.read(64)))
    except OSError:
        return False


def left_out(paths: Iterable[Path]) -> dict[str, int]:
    """Count entries by kind: their suffix, "folder", or "file" without a suffix."""
    return dict(Counter("folder" if p.is_dir() else p.suffix.lower() or "file" for p in paths))


def _read_bytes(path: Path) -> bytes:
    try:
        data = read_regular(path, holds="a readable picture", limit=MAX_BYTES)
    except DataError as error:
        raise SourceError(f"{error}; check the path") from error
    if not data:
        raise SourceError(f"{path}: expected a picture, got an empty file; copy it again")
    return data


def _check_whole(path: Path, data: bytes) -> None:
    cut = (data.startswith(JPEG_START) and not _jpeg_ends(data)) or (data.startswith(PNG_START) and not _png_ends(data))
    if cut:
        kind = "JPEG" if data.startswith(JPEG_START) else "PNG"
        raise SourceError(
            f"{path}: expected a whole {kind} file, got {len(data)} bytes without its end marker; "
            "the file was cut short: copy it again"
        )


def _check_size(path: Path, data: bytes) -> int:
    """Give the number of pixels that a header promises; 0 where it cannot be read."""
    width, height = pixel_size(data) or (0, 0)
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"{path}: expected at most {MAX_PIXELS:,} pixels, got a file that says {width} x {height}; scale it down"
        )
    return width * height


def _flag(data: bytes, pixels: int, max_pixels: int | None) -> int:
    """Let a large JPEG be decoded at a half, a quarter or an eighth, never below what is wanted."""
    cv2 = opencv()
    flags = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    fitting = [f for f in flags if max_pixels and data.startswith(JPEG_START) and pixels / f**2 >= max_pixels]
    return int(flags[max(fitting)] if fitting else cv2.IMREAD_COLOR)


def _instead(data: bytes) -> str:
    kind = format_of(data[:64])
    if kind.startswith("a video"):
        return f"{kind}; run it by itself"
    if kind in ("JPEG", "PNG", "") or data.startswith(b"BM"):
        return f"{len(data)} bytes that do not decode as one; check that the file is what its name says"
    return f"{kind}, which does not decode here; convert it to JPEG"


def _jpeg_ends(data: bytes) -> bool:
    """Walk the segments, so that the end marker of an embedded thumbnail does not count (ITU-T T.81, annex B)."""
    at = 2
    while (marker := _JPEG_MARKER.search(data, at)) is not None:
        if data[marker.end() - 1] == JPEG_END:
            return True
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def _png_ends(data: bytes) -> bool:
    at = len(PNG_START)
    while at + 12 <= len(data):
        kind, length = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4], "big")
        at += 12 + length
        if kind == b"IEND":
            return at <= len(data)
    return False
