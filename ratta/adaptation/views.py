"""Two mild views of a crop: where the source is sure of a frame, it must be as sure of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

MARGIN = 0.025
GAMMA = 1.12


class Views:
    """Two mild views of a crop that keep the evidence: mirrored; and a little nearer and darker.

    (JPEG and blur would destroy the very evidence that they are meant to test.)

    Parameters
    ----------
    size : int
        Side of the crop in pixels.

    Examples
    --------
    >>> mirrored, nearer = Views(4)(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    >>> mirrored[0, 0].tolist(), nearer.shape
    ([9, 10, 11], (4, 4, 3))
    """

    def __init__(self, size: int) -> None:
        if size < 2:
            raise InputError(f"views: expected a size of at least 2 pixels, got {size}")
        self.size = size
        self._zoom = zoom_matrix(size, MARGIN)
        self._darker = (255 * (np.arange(256) / 255) ** GAMMA).astype(np.float32)

    def __call__(self, crop: Pixels) -> tuple[Pixels, Pixels]:
        """Make the views of one crop.

        Parameters
        ----------
        crop : (S, S, 3) uint8

        Raises
        ------
        InputError
            If it is of another shape or type.
        """
        side = self.size
        if crop.shape != (side, side, 3) or crop.dtype != np.uint8:
            raise InputError(f"views: expected a ({side}, {side}, 3) uint8 crop, got {crop.shape} {crop.dtype}")
        rows = self._zoom @ self._darker[crop].reshape(side, -1)
        columns = self._zoom @ rows.reshape(side, side, 3).transpose(1, 0, 2).reshape(side, -1)
        nearer = columns.reshape(side, side, 3).transpose(1, 0, 2)
        return np.ascontiguousarray(crop[:, ::-1]), np.ascontiguousarray((nearer + 0.5).astype(np.uint8))


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
