"""Face positions as corpora give them, turned into boxes.

- `oulu-eyes`: lines `frame,x_left,y_left,x_right,y_right`. The box is a square of 2.2 eye distances around the point
  0.4 distances below the eyes (a face is about 2.2 eye distances wide).
- `replay-faces`: lines `frame x y width height`; 0 0 0 0 means that no face was found.
- `celeba-box`: one line `x y width height [score]` in a frame of 224 x 224 pixels whatever the picture's size.

The frame number decides where a line belongs; a frame without a line has no box. A file whose first number is 1 counts
from 1, any other from 0. Numbers grow: one that comes twice or goes back is an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ratta.errors import DataError
from ratta.files import read_text
from ratta.records import Box

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EYES_PER_FACE = 2.2
_CENTER_BELOW_EYES = 0.4
_CELEBA_SIDE = 224
MAX_FRAMES = 1_000_000
_COLUMNS = {"oulu-eyes": (5,), "replay-faces": (5,), "celeba-box": (4, 5)}


def read_boxes(path: Path, box_format: str) -> list[Box | None]:
    """Read the boxes of a session, one per frame up to the last that has a line, in the units of the format.

    Raises
    ------
    DataError
        If the format is unknown, a line does not fit, or frame numbers do not grow.
    """
    if box_format not in _COLUMNS:
        raise DataError(f"{path}: box format: expected one of {sorted(_COLUMNS)}, got {box_format!r}")
    rows = []
    for number, line in enumerate(read_text(path, holds="face positions").split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            rows.append((where, _numbers(line, where, _COLUMNS[box_format])))
    if box_format == "celeba-box":
        return [_from_corner(row[:4]) for _, row in rows]
    return _placed(rows, _from_eyes if box_format == "oulu-eyes" else _from_corner)


def _placed(rows: list[tuple[str, list[float]]], make: Callable[[list[float]], Box | None]) -> list[Box | None]:
    """Put each box where its frame number says."""
    boxes: list[Box | None] = []
    first = 1 if rows and rows[0][1][0] == 1 else 0
    for where, (number, *place) in rows:
        index = number - first
        if index != int(index) or not len(boxes) <= index < MAX_FRAMES:
            raise DataError(
                f"{where}: expected frame numbers that grow, from {first} on, got {number:g} after "
                f"{len(boxes) - 1 + first if boxes else 'none'}"
            )
        boxes += [None] * (int(index) - len(boxes)) + [make(place)]
    return boxes


def scaled(
    box: Box | None, box_format: str, height: int, width: int, scale: tuple[float, float] = (1.0, 1.0)
) -> Box | None:
    """Bring a box into the pixels of its picture of `height` and `width`, which was scaled by `scale` (x, y)."""
    if box is None:
        return None
    x, y = scale
    if box_format == "celeba-box":
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
