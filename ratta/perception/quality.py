"""Quality checks: each refuses a frame with a reason, from the raw array to the colours of the face."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from os import PathLike

import numpy as np
import numpy.typing as npt

from ratta.errors import InputError
from ratta.records import Box, Face, Reason, Refusal

_UPPER_BOUNDS = {
    "min_face_px": math.inf,
    "max_outside": 1.0,
    "rival_size": 1.0,
    "min_brightness": 255.0,
    "max_brightness": 255.0,
    "max_saturated": 1.0,
    "min_chroma": 255.0,
    "max_blue_over_red": math.inf,
    "min_sharpness": 1.0,
    "max_pixels": math.inf,
}


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Where a frame stops being usable.

    Attributes
    ----------
    min_face_px : float
        Shorter side of the face box in pixels.
    max_outside : float
        Share of the face box that may lie outside the frame, in [0, 1].
    rival_size : float
        A second face whose longer side reaches this share of the first's makes the frame ambiguous, in [0, 1]; smaller
        ones are people in the background.
    min_brightness, max_brightness : float
        Mean luma of the face, in [0, 255].
    max_saturated : float
        Share of the face whose green channel is burnt out (250 or more), in [0, 1].
    min_chroma : float
        Mean difference between the largest and the smallest channel, in grey levels; an infrared or grey camera has 0.
    max_blue_over_red : float
        Ratio of mean blue to mean red in the middle of the face. Skin of every tone reflects more red than blue, so a
        higher ratio means swapped channels or light in which a colour model cannot be trusted.
    min_sharpness : float
        See `sharpness`.
    max_pixels : float
        Height times width of the frame.

    Raises
    ------
    InputError
        If a limit is not a number in its range.

    Examples
    --------
    >>> QualityLimits(min_face_px=48).min_face_px
    48
    """

    min_face_px: float = 64
    max_outside: float = 0.05
    rival_size: float = 0.5
    min_brightness: float = 35
    max_brightness: float = 225
    max_saturated: float = 0.5
    min_chroma: float = 2
    max_blue_over_red: float = 1.08
    min_sharpness: float = 0.56
    max_pixels: float = 16_000_000

    def __post_init__(self) -> None:
        for limit in fields(self):
            value, top = getattr(self, limit.name), _UPPER_BOUNDS[limit.name]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= top:
                raise InputError(f"{limit.name}: expected a number in [0, {top:g}], got {value!r}")


def check_frame(frame: object, limits: QualityLimits) -> Refusal | None:
    """Refuse what is not a colour picture in bytes; the detail says what to do.

    Examples
    --------
    >>> check_frame(np.zeros((480, 640)), QualityLimits()).detail
    'frame: expected (H, W, 3) uint8, got (480, 640) float64; pass colour images'
    """
    if frame is None:
        return replace(_unusable("got nothing; check that the source delivered a picture"), counts=False)
    if not isinstance(frame, np.ndarray) or isinstance(frame, np.ma.MaskedArray):
        return _unusable(f"got {type(frame).__name__}; {_advice_on_type(frame)}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        return _unusable(f"got {frame.shape} {frame.dtype}; {_advice(frame)}")
    height, width = frame.shape[:2]
    if height * width > limits.max_pixels:
        return _unusable(f"got {width}x{height} pixels, more than {limits.max_pixels:,.0f} in all; scale it down first")
    if min(height, width) < limits.min_face_px:
        return _unusable(f"got {width}x{height} pixels, smaller than any face of {limits.min_face_px:g} pixels")
    if frame[::32].max() <= 1 and frame.max() <= 1:
        if not frame.any():
            return Refusal(Reason.TOO_DARK, "frame: every pixel is 0; check the lens cover and the source")
        return _unusable("got values in {0, 1}; pass grey levels 0..255, not a picture scaled to [0, 1]")
    return None


def _unusable(got: str) -> Refusal:
    return Refusal(Reason.UNUSABLE_INPUT, f"frame: expected (H, W, 3) uint8, {got}")


def _advice_on_type(frame: object) -> str:
    if isinstance(frame, (str, bytes, PathLike)):
        return "decode the picture first, for instance with cv2.imread"
    return "convert it with numpy.asarray"


def _advice(frame: npt.NDArray[np.generic]) -> str:
    shape = frame.shape
    advice = (
        (not frame.size, "pass a picture that is not empty"),
        (frame.dtype == object, "convert it to numbers first"),
        (len(shape) < 2, "decode the picture first"),
        (len(shape) == 2 or shape[2:] == (1,), "pass colour images"),
        (len(shape) > 3, "pass one frame at a time"),
        (shape[2:] == (4,), "drop the alpha channel, frame[:, :, :3]"),
        (shape[2:] == (3,), f"pass grey levels 0..255 as uint8, not {frame.dtype}"),
        (shape[:1] == (3,), "put the channels last, frame.transpose(1, 2, 0)"),
    )
    return next((text for applies, text in advice if applies), "pass colour images")


def check_face(faces: tuple[Face, ...], *, height: int, width: int, limits: QualityLimits) -> Refusal | None:
    """Refuse a frame without exactly one large, whole face; `faces` are largest first.

    Examples
    --------
    >>> check_face((), height=480, width=640, limits=QualityLimits()).reason
    <Reason.NO_FACE: 'no face'>
    """
    if not faces:
        return Refusal(Reason.NO_FACE)
    box = faces[0].box
    rivals = [f for f in faces[1:] if _long(f.box) >= limits.rival_size * _long(box)]
    if rivals:
        return Refusal(Reason.SEVERAL_FACES, f"{1 + len(rivals)} faces of comparable size; one person at a time")
    outside = _share_outside(box, height=height, width=width)
    if outside > limits.max_outside:
        return Refusal(Reason.FACE_CUT, f"{outside:.0%} of the face is outside the {width}x{height} frame")
    short = min(box.width, box.height)
    if short < limits.min_face_px:
        return Refusal(Reason.FACE_TOO_SMALL, f"{short:.0f} px, at least {limits.min_face_px:g} needed; come closer")
    return None


def _long(box: Box) -> float:
    return max(box.width, box.height)


def _share_outside(box: Box, *, height: int, width: int) -> float:
    inside_x = max(0.0, min(box.x_max, width) - max(box.x_min, 0))
    inside_y = max(0.0, min(box.y_max, height) - max(box.y_min, 0))
    return 1 - inside_x * inside_y / (box.width * box.height)


def check_light(pixels: npt.NDArray[np.uint8], face: Box, limits: QualityLimits) -> Refusal | None:
    """Refuse a crop, (S, S, 3) uint8 RGB, whose face (a box in the crop's pixels) is badly lit, coloured or blurred."""
    region = _part(pixels, face, 1.0)
    planes = _planes(region)
    red, green, blue = (float(mean) for mean in planes.mean(axis=1))
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    if brightness < limits.min_brightness:
        return Refusal(Reason.TOO_DARK, f"mean luma {brightness:.0f}, at least {limits.min_brightness:g} needed")
    if brightness > limits.max_brightness:
        return Refusal(Reason.TOO_BRIGHT, f"mean luma {brightness:.0f}, at most {limits.max_brightness:g} usable")
    saturated = float(np.count_nonzero(planes[1] >= 250) / planes.shape[1])
    if saturated > limits.max_saturated:
        return Refusal(Reason.SATURATED, f"{saturated:.0%} of the face is burnt out")
    chroma = float((planes.max(axis=0) - planes.min(axis=0)).mean())
    if chroma < limits.min_chroma:
        return Refusal(Reason.GREYSCALE, "the channels are equal; pass a colour camera's picture")
    return _check_skin(_part(pixels, face, 0.6), limits) or _check_sharpness(region[:, :, 1], limits)


def _check_skin(middle: npt.NDArray[np.uint8], limits: QualityLimits) -> Refusal | None:
    red, _, blue = (float(mean) for mean in _planes(middle).mean(axis=1))
    ratio = (blue + 1) / (red + 1)
    if ratio <= limits.max_blue_over_red:
        return None
    advice = 'pass color="rgb" for RGB frames (the default is "bgr"), or correct the white balance'
    return Refusal(Reason.COLOR_ORDER, f"the skin is {ratio:.2f} times as blue as red; {advice}")


def _check_sharpness(green: npt.NDArray[np.uint8], limits: QualityLimits) -> Refusal | None:
    found = sharpness(green)
    if found >= limits.min_sharpness:
        return None
    return Refusal(Reason.TOO_BLURRED, f"sharpness {found:.2f}, at least {limits.min_sharpness:g} needed; hold still")


def _planes(region: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Every second pixel of every second row as (3, n) float32: means over a face need no more."""
    return region[::2, ::2].reshape(-1, 3).T.astype(np.float32, order="C")


def sharpness(plane: npt.NDArray[np.uint8]) -> float:
    """Return how much of the contrast between pixels 8 apart is there between pixels 4 apart, in [0, 1].

    A smooth ramp has 0.5, fine texture 0.7 and more, a flat plane 0. Binning 2x2 pixels first halves the noise, which
    would pass for texture otherwise, and a ratio does not depend on contrast.

    Parameters
    ----------
    plane : (H, W) uint8

    Examples
    --------
    >>> ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    >>> sharpness(ramp)
    0.5
    """
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    wide = plane[:height, :width].astype(np.int16)
    rows = wide[::2] + wide[1::2]
    binned = (rows[:, ::2] + rows[:, 1::2]).astype(np.float32)
    far = _difference(binned, 4)
    return _difference(binned, 2) / far if far > 0 else 0.0


def _difference(plane: npt.NDArray[np.float32], distance: int) -> float:
    """Sum of the mean absolute differences along both axes between pixels `distance` apart."""
    if min(plane.shape) <= distance:
        return 0.0
    down = np.abs(plane[distance:] - plane[:-distance])
    across = np.abs(plane[:, distance:] - plane[:, :-distance])
    return float(down.sum() / down.size + across.sum() / across.size)


def _part(pixels: npt.NDArray[np.uint8], box: Box, share: float) -> npt.NDArray[np.uint8]:
    """View of the middle `share` of a box, at least 2x2 pixels."""
    size = len(pixels)
    (x, y), half_x, half_y = box.center, share * box.width / 2, share * box.height / 2
    left, top = (min(max(int(v), 0), size - 2) for v in (x - half_x, y - half_y))
    right, bottom = (min(max(int(v), low + 2), size) for v, low in ((x + half_x, left), (y + half_y, top)))
    return pixels[top:bottom, left:right]
