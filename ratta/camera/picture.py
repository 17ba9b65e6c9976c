"""One picture file: decoded whole, or refused.

Some decoders fill the missing part of a cut file with grey and say nothing, and a half-grey face must not be scored.
So the structure of JPEG and PNG files is walked before they are decoded: a file without its end marker is refused.
A file that was damaged in its middle and still ends properly cannot be told from a whole one here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.camera.opencv import opencv
from ratta.errors import SourceError

if TYPE_CHECKING:
    import numpy.typing as npt

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
JPEG_START, JPEG_END = b"\xff\xd8\xff", 0xD9
PNG_START = b"\x89PNG\r\n\x1a\n"
# Any JPEG marker but a stuffed zero, a restart marker and a fill byte, which all occur inside the compressed data.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
_NUMBER = re.compile(r"(\d+)")


def read_picture(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a picture file as `(H, W, 3)` uint8 BGR, turned as its EXIF tag says.

    Grey pictures come as three equal channels, 16-bit ones are brought to 8 bits, and an alpha channel is dropped.

    Raises
    ------
    SourceError
        If the file is missing, empty, no picture, cut short or damaged.
    MissingExtraError
        If OpenCV is not installed.
    """
    path = Path(path)
    data = _read_bytes(path)
    _check_whole(path, data)
    cv2 = opencv()
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise SourceError(
            f"{path}: expected a picture, got {len(data)} bytes that do not decode as one; "
            "check that the file is what its name says"
        )
    return np.asarray(picture, np.uint8)


def list_pictures(folder: str | Path) -> list[Path]:
    """List the pictures that lie directly in a folder, by suffix, in natural order (`2.jpg` before `10.jpg`).

    Raises
    ------
    SourceError
        If the folder cannot be listed or holds no picture.
    """
    folder = Path(folder)
    try:
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise SourceError(f"{folder}: expected a readable folder, got: {error.strerror or error}") from error
    pictures = sorted((p for p in files if p.suffix.lower() in PICTURE_SUFFIXES), key=_natural)
    if not pictures:
        raise SourceError(
            f"{folder}: expected pictures ({', '.join(sorted(PICTURE_SUFFIXES))}), got {len(files)} other files; "
            "pass the folder that holds them"
        )
    return pictures


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _NUMBER.split(path.name.lower())]


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path}: expected a readable picture, got: {error.strerror or error}; check the path"
        ) from error
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
