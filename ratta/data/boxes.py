"""Face positions as corpora give them, turned into boxes.

- `oulu-eyes`: lines `frame,x_left,y_left,x_right,y_right`, frames from 0 or 1 on in order: one line a frame. The box
is a
  square of 2.2 eye distances around the point 0.4 distances below the eyes (a face is about 2.2 eye distances wide).
- `replay-faces`: lines `frame x y width height`; 0 0 0 0 means that no face was found.
- `celeba-box`: one line `x y width height [score]` in a frame of 224 x 224 pixels whatever the picture's size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ratta.errors import DataError
from ratta.records import Box

if TYPE_CHECKING:
    from pathlib import Path

_EYES_PER_FACE = 2.2
_CENTER_BELOW_EYES = 0.4
_CELEBA_SIDE = 224
_COLUMNS = {"oulu-eyes": (5,), "replay-faces": (5,), "celeba-box": (4, 5)}


def read_boxes(path: Path, box_format: str) -> list[Box | None]:
    """Read the boxes of a session, one per frame, in the units of the format.

    Raises
    ------
    DataError
        If the format is unknown or a line does not fit.
    """
    if box_format not in _COLUMNS:
        raise DataError(f"{path}: box format: expected one of {sorted(_COLUMNS)}, got {box_format!r}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            rows.append(_numbers(line, f"{path}:{number}", _COLUMNS[box_format]))
    if box_format == "oulu-eyes":
        return [_from_eyes(row[1:]) for row in rows]
    return [_from_corner(row[:4] if box_format == "celeba-box" else row[1:]) for row in rows]


def scaled(box: Box | None, box_format: str, height: int, width: int) -> Box | None:
    """Bring a box into the pixels of its picture of `height` and `width`."""
    if box is None or box_format != "celeba-box":
        return box
    x, y = width / _CELEBA_SIDE, height / _CELEBA_SIDE
    return Box(box.x_min * x, box.y_min * y, box.x_max * x, box.y_max * y)


def _numbers(line: str, where: str, columns: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(part) for part in line.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in columns or not all(math.isfinite(number) for number in numbers):
        raise DataError(f"{where}: expected {' or '.join(map(str, columns))} numbers, got {line.strip()!r}")
    return numbers


def _from_eyes(eyes: list[float]) -> Box | None:
    x_left, y_left, x_right, y_right = eyes
    distance = math.hypot(x_right - x_left, y_right - y_left)
    if distance == 0:
        return None
    x, y = (x_left + x_right) / 2, (y_left + y_right) / 2 + _CENTER_BELOW_EYES * distance
    half = _EYES_PER_FACE * distance / 2
    return Box(x - half, y - half, x + half, y + half)


def _from_corner(corner: list[float]) -> Box | None:
    x, y, width, height = corner
    return Box(x, y, x + width, y + height) if width > 0 and height > 0 else None
