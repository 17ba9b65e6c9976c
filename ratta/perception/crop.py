"""Where to cut around a face, and the cut itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratta.perception.resize import resize
from ratta.records import Box


@dataclass(frozen=True, slots=True)
class Square:
    """A square of whole pixels inside a frame: its upper left corner and its side."""

    left: int
    top: int
    side: int


def square_around(box: Box, *, scale: float, height: int, width: int) -> Square:
    """Return the square of side `scale * max(box.width, box.height)` around the center of a box.

    It is shrunk to the shorter side of the frame and then shifted inside, so that every pixel of a crop comes from
    the camera: a padded or mirrored border would be a pattern that only some faces have.

    Parameters
    ----------
    box : Box
        In pixels of the frame.
    scale : float
        Side of the square over the longer side of the box.
    height, width : int
        Of the frame.

    Examples
    --------
    >>> square_around(Box(100, 100, 200, 180), scale=2, height=480, width=640)
    Square(left=50, top=40, side=200)
    >>> square_around(Box(0, 0, 100, 100), scale=2, height=480, width=640)
    Square(left=0, top=0, side=200)
    >>> square_around(Box(100, 100, 400, 400), scale=2, height=480, width=640)
    Square(left=10, top=0, side=480)
    """
    side = max(1, min(round(scale * max(box.width, box.height)), height, width))
    x, y = box.center
    left = min(max(round(x - side / 2), 0), width - side)
    top = min(max(round(y - side / 2), 0), height - side)
    return Square(left, top, side)


def cut(frame: npt.NDArray[np.uint8], square: Square, *, size: int, color: str) -> npt.NDArray[np.uint8]:
    """Cut a square out of an (H, W, 3) uint8 frame and resize it to (size, size, 3) uint8 RGB, C-contiguous.

    Examples
    --------
    >>> frame = np.full((480, 640, 3), (1, 2, 3), np.uint8)
    >>> cut(frame, Square(0, 0, 200), size=128, color="bgr")[5, 5].tolist()
    [3, 2, 1]
    """
    view = frame[square.top : square.top + square.side, square.left : square.left + square.side]
    return resize(view, height=size, width=size, flip=color == "bgr")


def within(box: Box, square: Square, *, size: int) -> Box:
    """Express a box of the frame in the pixels of a crop of that square.

    Examples
    --------
    >>> within(Box(100, 50, 200, 150), Square(50, 0, 200), size=100)
    Box(x_min=25.0, y_min=25.0, x_max=75.0, y_max=75.0)
    """
    scale = size / square.side
    return Box(
        (box.x_min - square.left) * scale,
        (box.y_min - square.top) * scale,
        (box.x_max - square.left) * scale,
        (box.y_max - square.top) * scale,
    )
