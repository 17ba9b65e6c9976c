"""Resizing that does not alias: area averages downwards, bilinear upwards, on plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# Up to this many taps, weights in 256ths are within one grey level of exact ones whatever the picture shows:
# rounding by largest remainder moves at most taps / 4 of 256 parts from one tap to another.
_MAX_FIXED_POINT_TAPS = 4


def resize(pixels: npt.NDArray[np.uint8], *, height: int, width: int, flip: bool = False) -> npt.NDArray[np.uint8]:
    """Resize a picture with an antialiasing filter.

    Along an axis that shrinks, every output pixel is the exact area average of what it covers (OpenCV's `INTER_AREA`);
    along one that grows, it is the bilinear interpolation between pixel centres.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        Not changed; rows may be apart in memory, as in a view into a larger frame.
    height, width : int
        Of the result.
    flip : bool
        Whether to reverse the order of the channels on the way (BGR to RGB).

    Returns
    -------
    (height, width, 3) uint8
        C-contiguous; no value is more than one grey level from the exact filter's.

    Examples
    --------
    >>> picture = np.array([[[0, 0, 0], [10, 20, 40]], [[0, 0, 0], [10, 20, 40]]], np.uint8)
    >>> resize(picture, height=1, width=1).tolist()
    [[[5, 10, 20]]]
    """
    columns = pixels.shape[1]
    down, across = _taps(len(pixels), height), _taps(columns, width)
    rows = _blend(pixels.reshape(len(pixels), -1), down.lines, down.parts)
    turned = rows.reshape(height, columns, 3).transpose(1, 2, 0)[:, :: -1 if flip else 1]
    blended = _blend(turned.astype(np.float32, order="C").reshape(columns, -1), across.lines, across.weights)
    blended += np.float32(0.5)
    return np.ascontiguousarray(blended.astype(np.uint8).reshape(width, 3, height).transpose(2, 0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """Which input lines make an output line, and in which proportion.

    Attributes
    ----------
    lines : (n_out, taps) intp
    parts : (n_out, taps) uint16 or float32
        For the first pass, from grey levels to 256ths of them; rows sum to 256, so that a blend of bytes fits 16 bits.
    weights : (n_out, taps) float32
        For the second pass, back to grey levels; rows sum to 1 / 256.
    """

    lines: npt.NDArray[np.intp]
    parts: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def _blend(
    lines: npt.NDArray[Any], chosen: npt.NDArray[np.intp], weights: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
) -> npt.NDArray[Any]:
    """Return `sum_k weights[i, k] * lines[chosen[i, k]]`, (n_out, m), of `lines` (n_in, m)."""
    if weights.dtype == np.uint16:
        return np.asarray(np.einsum("ik,ikm->im", weights, lines[chosen]))
    return np.asarray(np.matmul(weights[:, None], lines[chosen].astype(np.float32, copy=False))[:, 0])


@lru_cache(maxsize=128)
def _taps(n_in: int, n_out: int) -> _Taps:
    first, weights = _area_weights(n_in, n_out) if n_in > n_out else _bilinear_weights(n_in, n_out)
    lines = np.minimum(first[:, None] + np.arange(weights.shape[1]), n_in - 1)
    fixed = weights.shape[1] <= _MAX_FIXED_POINT_TAPS
    parts = _largest_remainder(weights) if fixed else (256 * weights).astype(np.float32)
    taps = _Taps(lines=lines, parts=parts, weights=(weights / 256).astype(np.float32))
    for array in (taps.lines, taps.parts, taps.weights):
        array.setflags(write=False)
    return taps


def _area_weights(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Overlap of output interval `[i, i + 1) * n_in / n_out` with each input pixel, in integers until the division."""
    begin = np.arange(n_out)[:, None] * n_in
    first = begin[:, 0] // n_out
    taps = int(np.max(-(-(begin[:, 0] + n_in) // n_out) - first))
    pixel = (first[:, None] + np.arange(taps)) * n_out
    overlap = np.minimum(begin + n_in, pixel + n_out) - np.maximum(begin, pixel)
    return first, np.maximum(overlap, 0) / n_in


def _bilinear_weights(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Interpolation between pixel centres, held at the borders."""
    place = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    first = place.astype(np.intp)
    share = place - first
    return first, np.stack([1 - share, share], axis=1)


def _largest_remainder(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Round rows that sum to 1 to whole 256ths that sum to 256, with the least total change."""
    exact = 256 * weights
    parts = np.floor(exact)
    missing = 256 - parts.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(parts - exact, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(parts + (rank < missing), np.uint16)
