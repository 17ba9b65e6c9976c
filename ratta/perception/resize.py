"""Resizing that does not alias: area averages downwards, bilinear upwards, on plain NumPy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_BAND = 4
"""Output columns that the second pass makes at once: a product small enough to waste little on zeros."""
_BLOCK_BYTES = 1 << 20
"""Input that the first pass gathers at once."""


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
    rows = _blend_rows(pixels, height)
    blended = _scratch.array("blended", (height, width * 3), np.float32)
    for source, target, weights in _bands(pixels.shape[1], width, flip):
        np.matmul(rows[:, source], weights, out=blended[:, target])
    blended += np.float32(0.5)
    return blended.astype(np.uint8).reshape(height, width, 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """Which input lines make an output line, and in which proportion.

    Attributes
    ----------
    lines : (n_out, taps) intp
    parts : (n_out, taps) uint16 or float32
        From grey levels to 256ths of them; rows sum to 256, so that a blend of bytes fits 16 bits.
    """

    lines: npt.NDArray[np.intp]
    parts: npt.NDArray[np.uint16] | npt.NDArray[np.float32]


class _Scratch(threading.local):
    """Memory that calls of one thread use again: fresh pages would cost more than the arithmetic."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, type], npt.NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> npt.NDArray[Any]:
        """Return an array of any content."""
        count = int(np.prod(shape))
        held = self._held.get((name, dtype))
        if held is None or held.size < count:
            held = self._held[name, dtype] = np.empty(count, dtype)
        return held[:count].reshape(shape)


_scratch = _Scratch()


def _blend_rows(pixels: npt.NDArray[np.uint8], height: int) -> npt.NDArray[np.float32]:
    """Return `sum_k parts[i, k] * pixels[lines[i, k]]`, (height, W * 3) in 256ths of grey levels."""
    taps, lines = _taps(len(pixels), height), _scratch.array("lines", pixels.shape, np.uint8)
    np.copyto(lines, pixels)  # `take` would copy the view anew for every block
    lines = lines.reshape(len(pixels), -1)
    width, count = lines.shape[1], taps.lines.shape[1]
    rows: npt.NDArray[np.float32] = _scratch.array("rows", (height, width), np.float32)
    step = max(1, _BLOCK_BYTES // (count * width))
    for first in range(0, height, step):
        part = slice(first, min(first + step, height))
        chosen = _scratch.array("chosen", (part.stop - first, count, width), np.uint8)
        np.take(lines, taps.lines[part], axis=0, out=chosen, mode="clip")
        if taps.parts.dtype == np.uint16:
            sums = _scratch.array("sums", (part.stop - first, width), np.uint16)
            rows[part] = np.einsum("ik,ikm->im", taps.parts[part], chosen, out=sums)
        else:
            np.einsum("ik,ikm->im", taps.parts[part], chosen, out=rows[part])
    return rows


@lru_cache(maxsize=128)
def _taps(n_in: int, n_out: int) -> _Taps:
    lines, weights = _weights(n_in, n_out)
    parts, exact = _largest_remainder(weights), 256 * weights
    # What rounding moves from one tap to another shifts a grey level by at most so many 256ths of 255.
    fixed = np.abs(parts - exact).sum(axis=1).max() / 2 <= 1
    taps = _Taps(lines=lines, parts=parts if fixed else exact.astype(np.float32))
    for array in (taps.lines, taps.parts):
        array.setflags(write=False)
    return taps


@lru_cache(maxsize=32)
def _bands(n_in: int, n_out: int, flip: bool) -> tuple[tuple[slice, slice, npt.NDArray[np.float32]], ...]:
    """Cut the second pass into products of few columns: which make which, and how, from 256ths to grey levels.

    A whole matrix would be zeros but for a diagonal band. The channels change places in the weights, so that reversing
    them costs nothing. The last product may overlap the one before.
    """
    lines, weights = _weights(n_in, n_out)
    count = min(_BAND, n_out)
    firsts = np.minimum(np.arange(0, n_out, count), n_out - count)
    members = firsts[:, None] + np.arange(count)
    wide = int((lines[members[:, -1], -1] - lines[firsts, 0]).max()) + 1
    lows = np.minimum(lines[firsts, 0], n_in - wide)
    shares = np.zeros((len(firsts), wide, count), np.float32)
    inside, parts = lines[members] - lows[:, None, None], (weights[members] / 256).astype(np.float32)
    for tap in range(lines.shape[1]):  # one after the other: at an edge, two may be the same line
        shares[np.arange(len(firsts))[:, None], inside[..., tap], np.arange(count)] += parts[..., tap]
    spread = np.zeros((len(firsts), wide, 3, count, 3), np.float32)
    for channel in range(3):
        spread[:, :, channel, :, 2 - channel if flip else channel] = shares
    matrices = spread.reshape(len(firsts), 3 * wide, 3 * count)
    matrices.setflags(write=False)
    return tuple(
        (slice(3 * low, 3 * (low + wide)), slice(3 * first, 3 * (first + count)), matrix)
        for low, first, matrix in zip(lows.tolist(), firsts.tolist(), matrices, strict=True)
    )


@lru_cache(maxsize=4)
def _weights(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Input lines and weights of every output line, both (n_out, taps); rows of weights sum to 1."""
    first, weights = _area_weights(n_in, n_out) if n_in > n_out else _bilinear_weights(n_in, n_out)
    return np.minimum(first[:, None] + np.arange(weights.shape[1]), n_in - 1), weights


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
