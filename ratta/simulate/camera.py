"""Camera: optics, colour mosaic, photon and read noise, and the image processor that develops the raw frame.

Steps are separate functions on linear light; :func:`expose` goes from radiance to a raw mosaic, :func:`develop` from
the mosaic to the delivered picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.simulate.light import Float, luminance, to_srgb_float
from ratta.simulate.profiles import CameraProfile

RAW_BITS = 12
RAW_WHITE = 2**RAW_BITS - 1
RAW_BLACK = 64
NOISE_SCALE = 0.2
"""Share of the physical noise amplitude that is kept: real processors average over frames and scales."""
WINDOW_SCALE = 1.3
"""Side of the region that automatic tone and focus look at, over the side of the face."""
SENSOR_GAINS = np.array([0.55, 1.0, 0.65], np.float32)
"""How a bare sensor weighs red, green and blue under 6500 K."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """A camera's settings for one session, drawn from its profile; ``jpeg_quality`` 0 leaves compression out."""

    lens_sigma_px: float
    electrons: float
    read_electrons: float
    denoise: float
    acuity: float
    contrast: float
    saturation: float
    exposure: float
    white_level: float
    balance: tuple[float, float, float]
    jpeg_quality: int
    megascale: float
    vignette: float


def draw_camera(profile: CameraProfile, rng: np.random.Generator) -> CameraState:
    """Draw one session's settings from a profile; the same law for live faces and for attacks."""
    red, green, blue = np.exp(rng.normal(0, profile.balance_error, 3)).tolist()
    return CameraState(
        lens_sigma_px=rng.uniform(*profile.lens_sigma_px),
        electrons=float(np.exp(rng.uniform(*np.log(profile.electrons)))),
        read_electrons=rng.uniform(*profile.read_electrons),
        denoise=rng.uniform(*profile.denoise),
        acuity=float(np.exp(rng.uniform(*np.log(profile.acuity)))),
        contrast=rng.uniform(*profile.contrast),
        saturation=rng.uniform(*profile.saturation),
        exposure=rng.uniform(*profile.exposure),
        white_level=rng.uniform(0.85, 1.05),
        balance=(red, green, blue),
        jpeg_quality=int(rng.uniform(*profile.jpeg_quality)),
        megascale=rng.uniform(*profile.megascale),
        vignette=profile.vignette * rng.uniform(0.3, 1.0),
    )


def optics(light: Float, state: CameraState) -> Float:
    """Blur by the lens and darken the corners."""
    height, width = light.shape[:2]
    blurred = cv2.GaussianBlur(light, (0, 0), max(state.lens_sigma_px, 0.2))
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = (1 - np.float32(state.vignette) * (x * x + y * y) / 2).astype(np.float32)
    return np.asarray(blurred * fall[..., None], dtype=np.float32)


def mosaic(light: Float) -> Float:
    """Keep one colour per sensor pixel, ``(H, W)``: an RGGB Bayer pattern of even size."""
    raw = light[..., 1].copy()
    raw[0::2, 0::2] = light[0::2, 0::2, 0]
    raw[1::2, 1::2] = light[1::2, 1::2, 2]
    return raw


def add_noise(
    raw: Float, rng: np.random.Generator, *, electrons: float, read_electrons: float, scale: float = 1.0
) -> Float:
    """Photon and read noise: variance ``(x / electrons + (read / electrons)^2) scale^2`` at signal ``x`` in 0-1.

    The photon-transfer line: variance against signal is straight, its slope the inverse full-scale electron count
    (Janesick 2007).
    """
    variance = np.maximum(raw, 0) / np.float32(electrons) + np.float32((read_electrons / electrons) ** 2)
    grain = rng.standard_normal(raw.shape, dtype=np.float32)
    return raw + np.float32(scale) * np.sqrt(variance) * grain


def expose(light: Float, state: CameraState, rng: np.random.Generator, *, gain: float) -> NDArray[np.uint16]:
    """From radiance at the lens to a raw mosaic ``(H, W) uint16``; the medium's own structure is already in it."""
    raw = mosaic(light * (np.float32(gain) * SENSOR_GAINS))
    noisy = add_noise(raw, rng, electrons=state.electrons, read_electrons=state.read_electrons, scale=NOISE_SCALE)
    counts = np.clip(noisy, 0, 1) * (RAW_WHITE - RAW_BLACK) + RAW_BLACK
    return np.asarray(counts + 0.5, dtype=np.uint16)


def demosaic(raw: NDArray[np.uint16]) -> Float:
    """Interpolate the missing colours: linear sensor RGB in 0-1, ``(H, W, 3)``."""
    rgb = cv2.cvtColor(raw, cv2.COLOR_BayerBG2RGB)
    return np.asarray((rgb.astype(np.float32) - RAW_BLACK) / (RAW_WHITE - RAW_BLACK), dtype=np.float32)


def white_balance(light: Float, gains: Float) -> Float:
    """Divide by the sensor's and the illuminant's colour, so that grey is grey again."""
    return light / (gains * SENSOR_GAINS)


def grey_world(light: Float, *, trust: float) -> Float:
    """Gains of the light as the camera guesses them: neutral, drawn to the scene's mean colour by ``trust``."""
    mean = np.maximum(light.reshape(-1, 3).mean(0) / SENSOR_GAINS, 1e-4)
    return np.asarray((mean / mean[1]) ** trust, dtype=np.float32)


def denoise(encoded: Float, strength: float) -> Float:
    """Smooth colour strongly and brightness a little, as every image processor does."""
    if strength < 0.05:
        return encoded
    grey = luminance(encoded)[..., None]
    colour = cv2.blur(encoded - grey, (3, 3))
    soft = cv2.GaussianBlur(grey, (3, 3), 0.5)[..., None]
    return np.asarray(grey + np.float32(0.6 * strength) * (soft - grey) + colour, dtype=np.float32)


def edge_contrast(grey: Float) -> float:
    """Edge contrast of a picture in 0-1: root mean square of its Laplacian residue at half a pixel to two pixels."""
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.2)
    return float(np.sqrt(np.mean(fine * fine)))


def set_acuity(encoded: Float, target: float, window: tuple[slice, slice]) -> Float:
    """Sharpen or soften until the edge contrast relative to the contrast within a window meets a target."""
    for _ in range(2):
        grey = luminance(encoded[window])
        relative = edge_contrast(grey) / (float(grey.std()) + 0.02)
        ratio = target / max(relative, 1e-4)
        soft = cv2.GaussianBlur(encoded, (0, 0), 1.0)
        amount = np.clip(ratio - 1, -0.97, 3.0)
        encoded = np.asarray(encoded + np.float32(amount) * (encoded - soft), dtype=np.float32)
    return encoded


def set_tone(encoded: Float, state: CameraState, window: tuple[slice, slice]) -> Float:
    """Automatic tone: mean, spread, white level and colourfulness within a window meet the session's targets."""
    grey = luminance(encoded)
    inside = grey[window]
    centre, spread = float(inside.mean()), float(inside.std()) + 1e-3
    factor = np.float32(np.clip(state.contrast / spread, 0.4, 3.0))
    toned = state.exposure + (grey - centre) * factor
    high = float(np.percentile(toned[window], 98))
    excess = np.float32(state.white_level - high)
    toned = toned + excess * np.clip((toned - state.exposure) / max(high - state.exposure, 0.05), 0, 1.5) ** 2
    colour = (encoded - grey[..., None]) * factor
    inside_colour = float(np.sqrt(np.mean(colour[window] ** 2)))
    wanted = 0.085 * state.saturation
    return np.asarray(
        toned[..., None] + colour * np.float32(np.clip(wanted / (inside_colour + 1e-3), 0.2, 2.5)), np.float32
    )


def develop(raw: NDArray[np.uint16], state: CameraState, *, gains: Float, face: tuple[float, float, float]) -> Float:
    """From a raw mosaic to the delivered picture in encoded values around 0-1, before resizing and compression.

    Parameters
    ----------
    raw : ndarray
        Mosaic ``(H, W) uint16``.
    state : CameraState
        The session's settings.
    gains : ndarray
        White balance divisor ``(3,)``.
    face : tuple
        Centre x, centre y and side of the region that automatic tone and focus look at, in pixels.
    """
    balanced = white_balance(demosaic(raw), gains) * np.asarray(state.balance, np.float32)
    window = face_window(face, raw.shape[0], raw.shape[1])
    level = np.float32(0.35 / max(float(luminance(balanced[window]).mean()), 1e-4))
    encoded = denoise(to_srgb_float(balanced * min(level, np.float32(4.0))), state.denoise)
    return set_tone(set_acuity(encoded, state.acuity * 4.0, window), state, window)


def face_window(face: tuple[float, float, float], height: int, width: int) -> tuple[slice, slice]:
    """Give the face's square as slices, clipped to the frame and never empty."""
    x, y, side = face
    half = max(WINDOW_SCALE * side / 2, 4.0)
    rows = slice(int(np.clip(y - half, 0, height - 8)), int(np.clip(y + half, 8, height)))
    columns = slice(int(np.clip(x - half, 0, width - 8)), int(np.clip(x + half, 8, width)))
    return rows, columns


def deliver(encoded: Float, state: CameraState, *, height: int, width: int) -> NDArray[np.uint8]:
    """Resize to the delivered size with an area filter, quantise and compress."""
    if encoded.shape[:2] != (height, width):
        shrink = encoded.shape[0] > height
        encoded = np.asarray(
            cv2.resize(encoded, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC),
            np.float32,
        )
    picture = np.asarray(np.clip(encoded * 255 + 0.5, 0, 255), dtype=np.uint8)
    if not state.jpeg_quality:
        return picture
    _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, state.jpeg_quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def without_compression(state: CameraState) -> CameraState:
    """Give the same camera delivering uncompressed frames."""
    return replace(state, jpeg_quality=0)
