"""Attack media: what paper or a screen does to a picture before a camera sees it.

The fine structure of a medium (pixel stripes, halftone dots) is periodic. It is evaluated analytically, harmonic by
harmonic, at every sensor pixel's place on the medium; each harmonic is damped by the lens' and the pixel aperture's
transfer at *its* frequency on the sensor. What is left beyond the sensor's Nyquist frequency then folds by the act of
sampling. Moire is therefore a result and never painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.simulate.light import Float, kelvin_gains, luminance
from ratta.simulate.profiles import DisplayProfile, PrinterProfile

Matrix = NDArray[np.float64]
CHANNEL_PLACES = (-1.0 / 3.0, 0.0, 1.0 / 3.0)
INK_ANGLES_DEG = (15.0, 75.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A periodic structure at the sensor: phases ``(H, W)`` in cycles along two axes, and cycles per sensor pixel."""

    u: Float
    v: Float
    frequency_u: float
    frequency_v: float


def grid_at_sensor(to_medium: Matrix, height: int, width: int, *, cells_per_unit: float) -> Grid:
    """Where every sensor pixel's centre lies on a medium, in cells of its grid.

    Parameters
    ----------
    to_medium : ndarray
        Projective map ``(3, 3)`` from sensor pixels to medium units.
    height, width : int
        Sensor size in pixels.
    cells_per_unit : float
        Grid cells per medium unit.
    """
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    m = to_medium.astype(np.float32)
    w = 1 / (m[2, 0] * x + m[2, 1] * y + m[2, 2])
    u = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) * w * np.float32(cells_per_unit)
    v = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) * w * np.float32(cells_per_unit)
    row, column = height // 2, width // 2
    frequency_u = np.hypot(u[row, column + 1] - u[row, column], u[row + 1, column] - u[row, column])
    frequency_v = np.hypot(v[row, column + 1] - v[row, column], v[row + 1, column] - v[row, column])
    return Grid(u=u, v=v, frequency_u=float(frequency_u), frequency_v=float(frequency_v))


def transfer(frequency: float, lens_sigma_px: float) -> float:
    """Modulation left at a frequency in cycles per pixel: Gaussian lens times square pixel aperture.

    Examples
    --------
    >>> transfer(0.0, 0.5)
    1.0
    """
    return float(np.exp(-2 * (np.pi * lens_sigma_px * frequency) ** 2) * np.sinc(frequency))


def _harmonics(duty: float, frequency: float, lens_sigma_px: float, count: int = 3) -> list[tuple[int, float]]:
    """Fourier coefficients of a bar pattern of mean one, after lens and aperture; the negligible ones dropped."""
    found = [(k, 2 * float(np.sinc(k * duty)) * transfer(k * frequency, lens_sigma_px)) for k in range(1, count + 1)]
    return [(k, a) for k, a in found if abs(a) > 2e-3]


def pixel_grid(grid: Grid, display: DisplayProfile, lens_sigma_px: float) -> Float:
    """Modulation of a display's emission by its stripes and rows, mean one: ``(H, W, 3)`` or ``(H, W, 1)``."""
    height, width = grid.u.shape
    stripes = _harmonics(display.stripe_duty, grid.frequency_u, lens_sigma_px)
    rows = _harmonics(display.row_duty, grid.frequency_v, lens_sigma_px)
    shift = 0.5 if display.pentile else 0.0
    across = np.ones((height, width, 3 if stripes else 1), np.float32)
    for k, amplitude in stripes:
        turns = np.float32(2 * np.pi * k) * (grid.u - np.float32(shift) * np.floor(grid.v))
        cosine, sine = np.cos(turns), np.sin(turns)
        for channel, place in enumerate(CHANNEL_PLACES):
            angle = 2 * np.pi * k * place
            across[..., channel] += np.float32(amplitude * np.cos(angle)) * cosine
            across[..., channel] += np.float32(amplitude * np.sin(angle)) * sine
    if rows:
        along = np.ones((height, width), np.float32)
        for k, amplitude in rows:
            along += np.float32(amplitude) * np.cos(np.float32(2 * np.pi * k) * grid.v)
        across *= along[..., None]
    return across


def halftone(ink: Float, grid: Grid, lens_sigma_px: float, *, depth: float) -> Float:
    """Modulate reflectance ``(H, W, 3)`` by rotated dot screens, strongest in the mid-tones.

    An amplitude-modulated dot screen of coverage ``c`` has a fundamental of about ``4 c (1 - c) / pi``.
    """
    left = transfer(grid.frequency_u, lens_sigma_px) * depth
    if left < 2e-3:
        return ink
    out = ink.copy()
    for channel, angle in enumerate(INK_ANGLES_DEG):
        turn = np.deg2rad(angle)
        a = np.float32(2 * np.pi) * (grid.u * np.float32(np.cos(turn)) + grid.v * np.float32(np.sin(turn)))
        b = np.float32(2 * np.pi) * (grid.v * np.float32(np.cos(turn)) - grid.u * np.float32(np.sin(turn)))
        cover = np.clip(1 - ink[..., channel], 0, 1)
        out[..., channel] += np.float32(left * 2 / np.pi) * cover * (1 - cover) * (np.cos(a) + np.cos(b))
    return np.maximum(out, 0)


def emit(picture: Float, display: DisplayProfile, rng: np.random.Generator) -> Float:
    """Give what a display emits for a picture in linear light: gamma, gamut, white point, black level."""
    gamma = rng.uniform(*display.gamma) * np.exp(rng.normal(0, 0.05, 3))
    light = np.power(np.maximum(picture, 1e-5), (gamma / 2.2).astype(np.float32))
    light = widen_gamut(light, rng.uniform(*display.gamut))
    white = kelvin_gains(rng.uniform(*display.kelvin))
    black = (rng.uniform(*display.black) * np.exp(rng.normal(0, 0.4, 3))).astype(np.float32)
    return np.asarray(black + (1 - black) * np.clip(light, 0, 1) * white, dtype=np.float32)


def print_on(picture: Float, printer: PrinterProfile, rng: np.random.Generator) -> Float:
    """Reflectance of a print: ink gamut, dot gain, black of the ink, white of the paper, grain."""
    ink = widen_gamut(picture, rng.uniform(*printer.gamut))
    spread = np.sqrt(1 / rng.uniform(*printer.dot_gain)) * np.exp(rng.normal(0, 0.07, 3))
    ink = np.power(np.clip(ink, 1e-5, 1), spread.astype(np.float32))
    black = (rng.uniform(*printer.black) * np.exp(rng.normal(0, 0.4, 3))).astype(np.float32)
    paper = np.asarray(printer.paper, np.float32) * np.float32(rng.uniform(0.92, 1.0))
    grain = rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None] * np.float32(
        rng.uniform(*printer.grain)
    )
    return np.asarray(np.clip((black + (1 - black) * ink) * paper + grain * ink, 0, 1), dtype=np.float32)


def widen_gamut(light: Float, factor: float) -> Float:
    """Scale colour differences from luminance; below one the medium is duller than the picture."""
    grey = luminance(light)[..., None]
    return grey + np.float32(factor) * (light - grey)


def refresh_bands(height: int, rng: np.random.Generator, *, depth: float) -> Float:
    """Horizontal bands of a refresh seen by a rolling shutter, ``(H, 1, 1)``, mean about one."""
    period = height / rng.uniform(0.7, 4.0)
    wave = np.sin(2 * np.pi * (np.arange(height) / period + rng.uniform()))
    return (1 + depth * np.clip(1.5 * wave, -1, 1)).astype(np.float32)[:, None, None]


def reflection(height: int, width: int, rng: np.random.Generator) -> Float:
    """Give a soft lamp or window mirrored in a surface, ``(H, W)`` in 0-1."""
    y, x = np.ogrid[0:height, 0:width]
    centre = rng.uniform(-0.1, 1.1, 2) * (height, width)
    spread = rng.uniform(0.08, 0.6) * height
    stretch, turn = rng.uniform(0.3, 1.0), rng.uniform(0, np.pi)
    a = (x - centre[1]) * np.cos(turn) + (y - centre[0]) * np.sin(turn)
    b = (y - centre[0]) * np.cos(turn) - (x - centre[1]) * np.sin(turn)
    return np.asarray(np.exp(-0.5 * ((a / spread) ** 2 + (b / (stretch * spread)) ** 2)), dtype=np.float32)


def bend(image: Float, amount: float, rng: np.random.Generator) -> tuple[Float, Float]:
    """Curl a sheet about a vertical or horizontal axis; the sheet and its shading ``(H, W)`` come back."""
    height, width = image.shape[:2]
    position = np.linspace(-1, 1, width, dtype=np.float32)
    phase = np.float32(rng.uniform(-1.5, 1.5))
    slope = np.float32(amount) * np.sin(1.6 * position + phase)
    x = (position + 0.3 * (slope - slope.mean())) * (width - 1) / 2 + (width - 1) / 2
    y = np.arange(height, dtype=np.float32)
    map_x = np.broadcast_to(x[None, :], (height, width)).astype(np.float32)
    map_y = np.broadcast_to(y[:, None], (height, width)).astype(np.float32)
    curled = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    shade = np.broadcast_to((1 + 2.0 * slope)[None, :], (height, width)).astype(np.float32)
    return np.asarray(curled, dtype=np.float32), shade


def first_generation(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Give the JPEG that the attacker started from."""
    _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
