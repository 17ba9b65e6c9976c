"""Global statistics of a face crop, and how well each alone separates live from attack.

A simulator whose attacks differ from its live faces in such a number teaches that number and nothing else. Each must
stay near an AUC of one half before anything is trained on labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.errors import DataError
from ratta.simulate.portraits import Rgb

WORKING_SIDE = 128


def _grey(crop: Rgb) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def sharpness(crop: Rgb) -> float:
    """Logarithm of the Laplacian's variance."""
    return float(np.log(cv2.Laplacian(_grey(crop), cv2.CV_32F).var() + 1e-3))


def contrast(crop: Rgb) -> float:
    """Give standard deviation of grey."""
    return float(_grey(crop).std())


def brightness(crop: Rgb) -> float:
    """Mean of grey."""
    return float(_grey(crop).mean())


def saturation(crop: Rgb) -> float:
    """Mean saturation (HSV)."""
    return float(cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)[..., 1].mean())


def white_level(crop: Rgb) -> float:
    """98th percentile of grey."""
    return float(np.percentile(_grey(crop), 98))


def noise_level(crop: Rgb) -> float:
    """Noise by the median absolute response of a difference operator (Immerkaer 1996, robust form)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(_grey(crop), cv2.CV_32F, kernel))))


def blockiness(crop: Rgb) -> float:
    """JPEG: largest excess of grey steps at one of the eight column offsets over the others' mean."""
    steps = np.abs(np.diff(_grey(crop), axis=1)).mean(0)
    by_offset = np.array([steps[k::8].mean() for k in range(8)])
    return float(by_offset.max() / (by_offset.mean() + 1e-3))


def resolution(crop: Rgb) -> float:
    """Share of spectral energy beyond half the Nyquist frequency, as a logarithm."""
    grey = _grey(crop)
    spectrum = np.abs(np.fft.rfft2(grey - grey.mean())) ** 2
    fy, fx = np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None, :]
    high = spectrum[np.hypot(fy, fx) > 0.25].sum() / (spectrum.sum() + 1e-9)
    return float(np.log(high + 1e-9))


STATISTICS: dict[str, Callable[[Rgb], float]] = {
    "sharpness": sharpness,
    "contrast": contrast,
    "saturation": saturation,
    "brightness": brightness,
    "white level": white_level,
    "noise": noise_level,
    "JPEG quality": blockiness,
    "resolution": resolution,
}


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Probability that a positive exceeds a negative, ties counting half.

    Examples
    --------
    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    if not len(positive) or not len(negative):
        raise DataError(f"auc: expected both classes, got {len(positive)} and {len(negative)}; add the missing one")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def separability(live: Iterable[Rgb], attack: Iterable[Rgb]) -> dict[str, float]:
    """AUC of each statistic alone (live counted high) over two sets of crops of equal size."""
    lives, attacks = list(live), list(attack)
    return {
        name: auc(np.array([measure(c) for c in lives]), np.array([measure(c) for c in attacks]))
        for name, measure in STATISTICS.items()
    }
