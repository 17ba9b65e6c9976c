"""Changes of camera: what another camera, light or codec makes of a crop that one camera has already taken.

A change is a list of numbers, applied in the order of the physics: lens, sensor, tone, codec. It belongs to a camera,
so everything about it is the same for every crop; only the grain is drawn, from a seed. They are laid over simulated
and over real crops alike, so that a shift of known size can be measured on a real corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from ratta.errors import InputError
from ratta.simulate.profiles import named

Crops = npt.NDArray[np.uint8]
Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
GREY: Matrix = ((0.45, 0.35, 0.20),) * 3
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraChange:
    """What differs from the camera that took the crop. The defaults change nothing.

    Attributes
    ----------
    name : str
    reach : {"mild", "strong", "extreme"}
        Mild and strong changes are ones that adaptation is meant for; extreme ones are not to be learnt from.
    detail : float
        Side of the picture that the lens and the sensor resolve, over the crop's: below 1 the face is farther away.
    blur : float
        Standard deviation of the lens' point spread in pixels of the crop.
    aberration : float
        How much larger red is drawn than green, and blue smaller, as a share.
    vignette : float
        Loss of light in the corners.
    matrix : 3 x 3
        Colour matrix on encoded values.
    light : float
        Light that reaches the sensor, which multiplies it back: below 1 the grain grows, above 1 whites burn out.
    grain : float
        Standard deviation of photon noise at full scale and full light, in shares of full scale.
    gamma, contrast, lift : float
        `((v ** gamma) - 1/2) * contrast + 1/2 + lift` on encoded values in 0-1.
    curve : float
        Strength of an S-shaped tone curve; negative flattens the middle.
    gains : 3 floats
        Of red, green and blue.
    jpeg : int
        Quality of one more compression; 0 leaves it out.
    """

    name: str
    reach: Literal["mild", "strong", "extreme"]
    detail: float = 1.0
    blur: float = 0.0
    aberration: float = 0.0
    vignette: float = 0.0
    matrix: Matrix | None = None
    light: float = 1.0
    grain: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    lift: float = 0.0
    curve: float = 0.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    jpeg: int = 0

    def apply(self, crop: Crops, rng: np.random.Generator) -> Crops:
        """Take one crop `(S, S, 3) uint8` RGB again with the other camera."""
        seen = _lens(self, crop)
        if self.matrix is not None:
            seen = np.asarray(cv2.transform(seen, np.array(self.matrix)), np.uint8)
        if self.grain:
            seen = _grain(self, seen, rng)
        seen = np.asarray(cv2.LUT(seen, _tone(self)), np.uint8)
        return _compress(seen, self.jpeg) if self.jpeg else seen


CHANGES: dict[str, CameraChange] = {
    c.name: c
    for c in (
        CameraChange(name="dark-1.5", reach="mild", gamma=1.5),
        CameraChange(name="dark-2.2", reach="strong", gamma=2.2),
        CameraChange(name="bright-0.7", reach="mild", gamma=0.7),
        CameraChange(name="bright-0.5", reach="strong", gamma=0.5),
        CameraChange(name="contrast-0.7", reach="mild", contrast=0.7),
        CameraChange(name="contrast-0.5", reach="strong", contrast=0.5),
        CameraChange(name="cast-mild", reach="mild", gains=(1.12, 1.0, 0.86)),
        CameraChange(name="cast-strong", reach="strong", gains=(1.3, 1.0, 0.74)),
        CameraChange(name="exposure-noise", reach="mild", light=0.35, grain=0.008, gamma=1.15),
        CameraChange(
            name="other-sensor", reach="mild", grain=0.005, gamma=0.9, curve=0.35, gains=(0.96, 1.0, 1.08),
            matrix=((1.16, -0.12, -0.04), (-0.06, 1.14, -0.08), (0.02, -0.18, 1.16)),
        ),
        CameraChange(name="other-lens", reach="mild", blur=0.8, aberration=0.006, vignette=0.3),
        CameraChange(name="compression", reach="mild", jpeg=30),
        CameraChange(
            name="night", reach="extreme", blur=0.9, light=0.04, grain=0.016, gamma=2.6, lift=0.02,
            gains=(1.2, 1.0, 0.7),
        ),
        CameraChange(
            name="infrared", reach="extreme", matrix=GREY, blur=1.0, grain=0.03, gamma=0.6, curve=-0.5, vignette=0.5
        ),
        CameraChange(name="far", reach="extreme", detail=0.22, light=1.4, grain=0.02, jpeg=12),
    )
}  # fmt: skip


def change_crops(crops: Crops, name: str, *, seed: int) -> Crops:
    """Take crops again with another camera.

    Parameters
    ----------
    crops : (N, S, S, 3) uint8
        RGB.
    name : str
        A name of `CHANGES`.
    seed : int
        Of the grain; same seed, same crops.

    Returns
    -------
    (N, S, S, 3) uint8
        New crops; the given ones are left alone.

    Raises
    ------
    InputError
        If there is no such change, or the crops are not crops.

    Examples
    --------
    >>> grey = np.full((1, 8, 8, 3), 128, np.uint8)
    >>> int(change_crops(grey, "dark-2.2", seed=0)[0, 0, 0, 0])
    56
    """
    change = named(CHANGES, name, where="change")
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8:
        raise InputError(f"crops: expected (N, S, S, 3) uint8 RGB, got {crops.shape} {crops.dtype}; stack RGB crops")
    rng = np.random.default_rng(seed)
    found = np.empty(crops.shape, np.uint8)
    for place, crop in enumerate(crops):
        found[place] = change.apply(np.ascontiguousarray(crop), rng)
    return found


def _lens(change: CameraChange, crop: Crops) -> Crops:
    side = crop.shape[0]
    if change.detail < 1:
        small = cv2.resize(crop, (max(1, round(change.detail * side)),) * 2, interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    if change.aberration:
        crop = crop.copy()
        for channel, factor in ((0, 1 + change.aberration), (2, 1 - change.aberration)):
            crop[..., channel] = _scale(np.ascontiguousarray(crop[..., channel]), factor)
    if change.blur:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), change.blur), np.uint8)
    if change.vignette:
        crop = np.asarray(cv2.multiply(crop, _fall(side, change.vignette), dtype=cv2.CV_8U), np.uint8)
    return crop


def _scale(channel: Crops, factor: float) -> Crops:
    middle = (1 - factor) * (channel.shape[0] - 1) / 2
    matrix = np.array([[factor, 0, middle], [0, factor, middle]])
    warped = cv2.warpAffine(channel, matrix, channel.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _grain(change: CameraChange, crop: Crops, rng: np.random.Generator) -> Crops:
    """Photon noise, whose variance is proportional to the signal; in encoded values it is nearly uniform.

    Encoding takes about a square root, and the square root of a count has a constant deviation (Anscombe 1948).
    """
    deviation = np.float32(255 * change.grain / np.sqrt(min(change.light, 1.0)))
    grain = (deviation * _NORMAL)[rng.integers(0, 256, crop.shape, dtype=np.uint8)]
    burnt = np.float32(max(change.light, 1.0) ** (1 / 2.2))
    return np.asarray(cv2.convertScaleAbs(np.maximum(crop * burnt + grain, 0)), np.uint8)


@cache
def _tone(change: CameraChange) -> Crops:
    level = np.arange(256)[:, None] / 255 * np.array(change.gains)
    toned = (np.clip(level, 0, 1) ** change.gamma - 0.5) * change.contrast + 0.5 + change.lift
    curved = toned + change.curve * (_smooth(toned) - toned)
    return np.asarray(np.clip(255 * curved + 0.5, 0, 255), np.uint8)[None]


def _smooth(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inside = np.clip(value, 0, 1)
    found: npt.NDArray[np.float64] = inside * inside * (3 - 2 * inside)
    return found


@cache
def _fall(side: int, vignette: float) -> npt.NDArray[np.float32]:
    y, x = np.ogrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    fall = 1 - vignette * (x * x + y * y) / 2
    return np.repeat(fall[..., None].astype(np.float32), 3, axis=2)


def _compress(crop: Crops, quality: int) -> Crops:
    _, data = cv2.imencode(".jpg", crop[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
