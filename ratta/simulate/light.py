"""Light: between stored pixels and linear light, colour temperature, brightness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_STEPS = 4095


def _decode(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _encode(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 1e-9) ** (1 / 2.4) - 0.055)


_TO_LINEAR = _decode(np.arange(256) / 255).astype(np.float32)
_TO_SRGB = (_encode(np.arange(_STEPS + 1) / _STEPS) * 255 + 0.5).astype(np.uint8)
_TO_SRGB_FLOAT = _encode(np.arange(_STEPS + 1) / _STEPS).astype(np.float32)


def to_linear(pixels: NDArray[np.uint8]) -> Float:
    """Decode sRGB bytes to linear light in 0-1 (IEC 61966-2-1).

    Examples
    --------
    >>> float(to_linear(np.array([255], np.uint8))[0])
    1.0
    """
    return _TO_LINEAR[pixels]


def to_srgb(light: Float) -> NDArray[np.uint8]:
    """Encode linear light, clipped to 0-1, as sRGB bytes."""
    return _TO_SRGB[(np.clip(light, 0, 1) * _STEPS + 0.5).astype(np.uint16)]


def to_srgb_float(light: Float) -> Float:
    """Encode linear light, clipped to 0-1, as sRGB values in 0-1."""
    return _TO_SRGB_FLOAT[(np.clip(light, 0, 1) * _STEPS + 0.5).astype(np.uint16)]


def luminance(image: Float) -> Float:
    """Relative luminance ``(H, W)`` of ``(H, W, 3)``."""
    return image @ LUMINANCE


def kelvin_gains(kelvin: float) -> Float:
    """Colour of a black body relative to 6500 K as linear RGB gains with green one, ``(3,) float32``.

    The rational fit follows the Planckian locus closely enough for lamps (2,000-12,000 K).

    Examples
    --------
    >>> kelvin_gains(6500.0).tolist()
    [1.0, 1.0, 1.0]
    """
    step = (1e6 / kelvin - 1e6 / 6500.0) / 100.0
    return np.array([np.exp(0.20 * step), 1.0, np.exp(-0.27 * step)], np.float32)
