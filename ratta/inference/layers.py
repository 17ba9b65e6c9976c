"""The network's layers in NumPy: one function each, channels last, one image or many.

A map is `(N, H, W, C)`, so that a pixel's channels lie side by side: a 1x1 convolution is then one matrix product, a
depthwise convolution one `einsum` over a *view* of all windows (nothing is copied; the inner loop multiplies and adds C
neighbouring numbers), and only the dense first layer gathers its patches. Every function keeps its input's dtype.

Functions that take `out` may be given their own input, and then need no memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

Array = npt.NDArray[Any]
Pads = tuple[int, int, int, int]
NO_PADS = (0, 0, 0, 0)

_FEW_CHANNELS = 128


def pointwise(x: Array, weight: Array, bias: Array) -> Array:
    """Convolve with a 1x1 kernel.

    Parameters
    ----------
    x : (N, H, W, C)
    weight : (C, D)
    bias : (D,)

    Returns
    -------
    (N, H, W, D)

    Examples
    --------
    >>> pointwise(np.ones((1, 2, 2, 3)), np.ones((3, 1)), np.array([0.5]))[0, 0, 0, 0]
    np.float64(3.5)
    """
    y = x.reshape(-1, x.shape[-1]) @ weight
    y += bias
    return y.reshape(*x.shape[:-1], -1)


def depthwise(x: Array, kernel: Array, bias: Array | None = None, *, stride: int = 1, pads: Pads = NO_PADS) -> Array:
    """Convolve every channel with its own kernel.

    Parameters
    ----------
    x : (N, H, W, C)
    kernel : (K, K, C)
    bias : (C,), optional
    stride : int
    pads : tuple of int
        Zeros around the map: top, left, bottom, right.

    Returns
    -------
    (N, H', W', C)
    """
    views = windows(padded(x, pads), len(kernel), stride)
    if stride == 1 and x.shape[-1] < _FEW_CHANNELS:
        y = _by_rows(views, kernel)
    else:
        y = np.einsum("nhwijc,ijc->nhwc", views, kernel)
    if bias is not None:
        y += bias
    return y


def _by_rows(views: Array, kernel: Array) -> Array:
    """Filter a row at a time: with stride 1 the pixels of a row lie side by side, as the channels of a pixel do."""
    n, h, w, k, _, c = views.shape
    sn, sh, _, si, sj, sc = views.strides
    rows = as_strided(views, (n, h, k, k, w * c), (sn, sh, si, sj, sc), writeable=False)
    repeated = np.broadcast_to(kernel[:, :, None], (k, k, w, c)).reshape(k, k, w * c)
    y: Array = np.einsum("nhijr,ijr->nhr", rows, repeated)
    return y.reshape(n, h, w, c)


def dense(x: Array, weight: Array, bias: Array, *, stride: int = 1, pads: Pads = NO_PADS) -> Array:
    """Convolve all channels into all.

    Parameters
    ----------
    x : (N, H, W, C)
    weight : (K, K, C, D)
    bias : (D,)
    stride : int
    pads : tuple of int
        Zeros around the map: top, left, bottom, right.

    Returns
    -------
    (N, H', W', D)
    """
    patches = windows(padded(x, pads), weight.shape[0], stride)
    columns = patches.reshape(*patches.shape[:3], -1)  # the one copy: a patch becomes a row
    return pointwise(columns, weight.reshape(columns.shape[-1], -1), bias)


def padded(x: Array, pads: Pads, value: float = 0.0) -> Array:
    """Return `x` in a frame of `value`: `pads` are its widths at top, left, bottom and right."""
    if not any(pads):
        return x
    top, left, bottom, right = pads
    n, h, w, c = x.shape
    shape = (n, top + h + bottom, left + w + right, c)
    frame = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    frame[:, top : top + h, left : left + w] = x
    return frame


def windows(x: Array, kernel: int, stride: int) -> Array:
    """View `x` (N, H, W, C) as all its windows: (N, H', W', kernel, kernel, C), without a copy.

    Examples
    --------
    >>> windows(np.arange(16).reshape(1, 4, 4, 1), 2, 2)[0, 0, 1].ravel()
    array([2, 3, 6, 7])
    """
    n, h, w, c = x.shape
    rows, columns = (h - kernel) // stride + 1, (w - kernel) // stride + 1
    sn, sh, sw, sc = x.strides
    shape, strides = (n, rows, columns, kernel, kernel, c), (sn, sh * stride, sw * stride, sh, sw, sc)
    return as_strided(x, shape, strides, writeable=False)


def max_pool(x: Array, kernel: int, *, stride: int, pads: Pads = NO_PADS) -> Array:
    """Largest value of every window: (N, H, W, C) to (N, H', W', C)."""
    y: Array = windows(padded(x, pads, -np.inf), kernel, stride).max(axis=(3, 4))
    return y


def global_average(x: Array) -> Array:
    """Mean over the map: (N, H, W, C) to (N, C)."""
    n, h, w, c = x.shape
    share = np.full(h * w, 1 / (h * w), x.dtype)
    y: Array = share @ x.reshape(n, h * w, c)  # a product sums faster than a reduction over rows of few channels
    return y


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Affine map of vectors: (N, C) with weight (D, C) and bias (D,) to (N, D)."""
    y: Array = x @ weight.T
    y += bias
    return y


def relu(x: Array, out: Array | None = None) -> Array:
    """`max(x, 0)`."""
    return x.clip(0, np.inf, out=out)  # twice as fast as `maximum`


def hardsigmoid(x: Array, out: Array | None = None, *, slope: float = 1 / 6, offset: float = 0.5) -> Array:
    """`clip(x / 6 + 1/2, 0, 1)` (Howard et al. 2019).

    Examples
    --------
    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    y: Array = np.multiply(x, slope, out=out)
    y += offset
    return y.clip(0, 1, out=y)


def hardswish(x: Array, out: Array | None = None) -> Array:
    """`x * hardsigmoid(x)` (Howard et al. 2019).

    Examples
    --------
    >>> hardswish(np.array([-4.0, -1.5, 3.0]))
    array([-0.   , -0.375,  3.   ])
    """
    y: Array = np.multiply(x, hardsigmoid(x), out=out)
    return y
