"""The eyes of an engine: a frame becomes the crop of one usable face, or a refusal with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError
from ratta.perception.crop import cut, square_around, within
from ratta.perception.freshness import Freshness
from ratta.perception.quality import QualityLimits, check_face, check_frame, check_light
from ratta.perception.track import FaceTracker
from ratta.records import Box, Crop, Face, Reason, Refusal

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.perception.face import FaceDetector

COLORS = ("bgr", "rgb")
FROZEN = Refusal(
    Reason.FROZEN, "the same pixels of the face as a moment before; is the camera still running?", counts=False
)


class Perception:
    """Finds the face in a frame, judges whether it can be scored, and cuts it out.

    The order is: usable input, face, geometry, crop, light and focus; the first that fails refuses. `look` is pure;
    `follow` keeps the face from frame to frame, and refuses a picture of it that was there before; see `Freshness`.

    Parameters
    ----------
    detector : FaceDetector
    size : int
        Side of the crop in pixels.
    crop_scale : float
        Side of the square that is cut out over the longer side of the face box.
    limits : QualityLimits, optional
    redetect_s : float
        Longest time in seconds that `follow` goes without a detection.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> class Nobody:
    ...     def detect(self, frame, *, color="bgr"):
    ...         return ()
    >>> perception = Perception(detector=Nobody(), size=128, crop_scale=1.5)
    >>> perception.look(np.full((480, 640, 3), 127, np.uint8)).reason
    <Reason.NO_FACE: 'no face'>
    """

    def __init__(
        self,
        *,
        detector: FaceDetector,
        size: int,
        crop_scale: float,
        limits: QualityLimits | None = None,
        redetect_s: float = 0.5,
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 16:
            raise InputError(f"size: expected a whole number of pixels, at least 16, got {size!r}")
        if not 1 <= crop_scale <= 10:
            raise InputError(f"crop_scale: expected a number in [1, 10], got {crop_scale!r}")
        self.detector = detector
        self.size = size
        self.crop_scale = crop_scale
        self.limits = limits or QualityLimits()
        self.redetect_s = redetect_s
        self._tracker = FaceTracker(detector=detector, redetect_s=redetect_s)
        self._freshness = Freshness()
        self.reset()

    def reset(self) -> None:
        """Forget the face and the frame before; the same as a new instance."""
        self._tracker.reset()
        self._freshness.reset()

    def look(self, frame: npt.NDArray[np.uint8], *, box: Box | None = None, color: str = "bgr") -> Crop | Refusal:
        """Look at one frame, without memory; nothing changes.

        Parameters
        ----------
        frame : (H, W, 3) uint8
            Not changed. Anything else is refused, not an error.
        box : Box, optional
            The face in pixels of the frame, if the caller knows it; no other is then searched for.
        color : str
            "bgr" or "rgb".

        Raises
        ------
        InputError
            If `color` or `box` is not what it should be.
        """
        _check_arguments(box, color)
        refused = check_frame(frame, self.limits)
        if refused:
            return refused
        faces = self.detector.detect(frame, color=color) if box is None else (Face(box, 1.0),)
        return self._check_face(frame, faces) or self._crop(frame, faces[0], color)

    def follow(
        self, frame: npt.NDArray[np.uint8], *, t: float, box: Box | None = None, color: str = "bgr"
    ) -> Crop | Refusal:
        """Look at the next frame of a stream at time `t` in seconds; arguments and errors as in `look`."""
        _check_arguments(box, color)
        refused = check_frame(frame, self.limits)
        if refused:
            return refused
        faces = self._tracker.update(frame, t=t, color=color) if box is None else (Face(box, 1.0),)
        refused = self._check_face(frame, faces)
        if not refused and not self._freshness.update(frame, faces[0].box, t=t):
            return FROZEN  # the tracker is not to blame
        seen = refused or self._crop(frame, faces[0], color)
        if isinstance(seen, Refusal):
            self._tracker.reset()  # what was refused may have been the wrong place: look afresh
        return seen

    def _check_face(self, frame: npt.NDArray[np.uint8], faces: tuple[Face, ...]) -> Refusal | None:
        height, width = frame.shape[:2]
        return check_face(faces, height=height, width=width, limits=self.limits)

    def _crop(self, frame: npt.NDArray[np.uint8], face: Face, color: str) -> Crop | Refusal:
        height, width = frame.shape[:2]
        square = square_around(face.box, scale=self.crop_scale, height=height, width=width)
        pixels = cut(frame, square, size=self.size, color=color)
        return check_light(pixels, within(face.box, square, size=self.size), self.limits) or Crop(pixels, face)


def check_color(color: str) -> None:
    """Refuse a colour order that is neither "bgr" nor "rgb" with an `InputError`."""
    if not isinstance(color, str) or color not in COLORS:
        raise InputError(f'color: expected "bgr" or "rgb", got {color!r}')


def _check_arguments(box: object, color: str) -> None:
    check_color(color)
    if box is not None and not isinstance(box, Box):
        raise InputError(f"box: expected a Box, got {type(box).__name__}; pass Box(x_min, y_min, x_max, y_max)")
