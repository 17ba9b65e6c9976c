"""Where to cut around a face, and the cut itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratta.perception.resize import resize
from ratta.records import Box

MOST_LINES = 2048
"""Of a square that leaves the frame; of a larger one, every second line or fewer are taken."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square of whole pixels of a frame: its upper left corner and its side."""

    left: int
    top: int
    side: int


def square_around(box: Box, *, scale: float, height: int, width: int, border: str = "shift") -> Square:
    """Return the square of side `scale * max(box.width, box.height)` around the center of a box.

    Under "shift" it is shrunk to the shorter side of the frame and then shifted inside, so that every pixel of a crop
    comes from the camera: a padded or mirrored border would be a pattern that only some faces have. Under any other
    border rule it stays where it is, for networks that were trained so.

    Parameters
    ----------
    box : Box
        In pixels of the frame.
    scale : float
        Side of the square over the longer side of the box.
    height, width : int
        Of the frame.
    border : str
        As in `ratta.contract.CropRule`.

    Examples
    --------
    >>> square_around(Box(100, 100, 200, 180), scale=2, height=480, width=640)
    Square(left=50, top=40, side=200)
    >>> square_around(Box(0, 0, 100, 100), scale=2, height=480, width=640)
    Square(left=0, top=0, side=200)
    >>> square_around(Box(100, 100, 400, 400), scale=2, height=480, width=640)
    Square(left=10, top=0, side=480)
    """
    side, (x, y) = max(1, round(scale * max(box.width, box.height))), box.center
    if border != "shift":
        return Square(round(x - side / 2), round(y - side / 2), side)
    side = min(side, height, width)
    left = min(max(round(x - side / 2), 0), width - side)
    top = min(max(round(y - side / 2), 0), height - side)
    return Square(left, top, side)


def cut(
    frame: npt.NDArray[np.uint8], square: Square, *, size: int, color: str, border: str = "shift"
) -> npt.NDArray[np.uint8]:
    """Cut a square out of an (H, W, 3) uint8 frame and resize it to (size, size, 3) uint8 RGB, C-contiguous.

    What lies outside the frame is continued by the border rule.

    Examples
    --------
    >>> frame = np.full((480, 640, 3), (1, 2, 3), np.uint8)
    >>> cut(frame, Square(0, 0, 200), size=128, color="bgr")[5, 5].tolist()
    [3, 2, 1]
    """
    below, right = square.top + square.side, square.left + square.side
    view = frame[max(square.top, 0) : max(below, 0), max(square.left, 0) : max(right, 0)]
    if view.shape[:2] != (square.side, square.side):
        view = _continued(frame, square, border)
    return resize(view, height=size, width=size, flip=color == "bgr")


def _continued(frame: npt.NDArray[np.uint8], square: Square, border: str) -> npt.NDArray[np.uint8]:
    """Cut a square that leaves the frame: lines outside are named by the lines inside that stand for them."""
    rows, inside_rows = _lines(square.top, square.side, frame.shape[0], border)
    columns, inside_columns = _lines(square.left, square.side, frame.shape[1], border)
    view = frame[rows][:, columns]
    if border == "black":
        view[~inside_rows] = 0
        view[:, ~inside_columns] = 0
    return view


def _lines(first: int, side: int, count: int, border: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    lines = np.arange(first, first + side, max(1, side // MOST_LINES))
    inside = (lines >= 0) & (lines < count)
    if border == "reflect" and count > 1:  # without repeating the edge, as OpenCV's BORDER_REFLECT_101
        period = 2 * (count - 1)
        lines = np.abs((lines + count - 1) % period - (count - 1))
    return np.clip(lines, 0, count - 1), inside


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
