"""Augmented views of a frame: where the source is sure of a frame, it must be as sure of these."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.records import Pixels

VIEWS = 2
MARGIN = 0.025
GAMMA = 1.12


def augmented(crops: Pixels, view: int) -> Pixels:
    """Make one of two mild views of all crops of a frame: mirrored; or a little nearer and darker.

    JPEG and blur would destroy the very evidence that they are meant to test.

    Parameters
    ----------
    crops : tuple of (S, S, 3) uint8
    view : int
        0 or 1.

    Examples
    --------
    >>> crop = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> augmented((crop,), 0)[0][0, 0].tolist(), augmented((crop,), 1)[0].shape
    ([9, 10, 11], (4, 4, 3))
    """
    change = _nearer if view else _mirrored
    return tuple(change(crop) for crop in crops)


def _mirrored(crop: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(crop[:, ::-1])


def _nearer(crop: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    side = len(crop)
    zoom = zoom_matrix(side, MARGIN)
    rows = zoom @ _darker()[crop].reshape(side, -1)
    columns = zoom @ rows.reshape(side, side, 3).transpose(1, 0, 2).reshape(side, -1)
    return np.ascontiguousarray((columns.reshape(side, side, 3).transpose(1, 0, 2) + 0.5).astype(np.uint8))


@cache
def _darker() -> npt.NDArray[np.float32]:
    return (255 * (np.arange(256) / 255) ** GAMMA).astype(np.float32)


@cache
def zoom_matrix(size: int, margin: float) -> npt.NDArray[np.float32]:
    """Linear interpolation as a matrix: from a line of pixels to its middle part, stretched to full length.

    Parameters
    ----------
    size : int
    margin : float
        Share that is left out at either end.
    """
    at = margin * size + (np.arange(size) + 0.5) * (1 - 2 * margin) - 0.5
    left = np.clip(np.floor(at), 0, size - 2).astype(np.intp)
    share = np.clip(at - left, 0, 1)
    matrix = np.zeros((size, size), np.float32)
    matrix[np.arange(size), left] = 1 - share
    matrix[np.arange(size), left + 1] += share
    return matrix
