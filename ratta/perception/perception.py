"""From a frame to the crops of one usable face, or a refusal with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ratta.contract import CropRule
from ratta.errors import InputError
from ratta.perception.crop import cut, square_around, within
from ratta.perception.freshness import Freshness
from ratta.perception.quality import QualityLimits, check_face, check_frame, check_light
from ratta.perception.track import FaceTracker
from ratta.perception.turn import check_upright
from ratta.records import Box, Crop, Face, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ratta.perception.crop import Square
    from ratta.perception.face import FaceDetector

    Pixels = npt.NDArray[np.uint8]

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
    crops : tuple of CropRule
        Which crops to cut out, by the bundle's contract; light and focus are judged in the widest.
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
    >>> perception = Perception(detector=Nobody(), crops=(CropRule(size=128, scale=1.5),))
    >>> perception.look(np.full((480, 640, 3), 127, np.uint8)).reason
    <Reason.NO_FACE: 'no face'>
    """

    def __init__(
        self,
        *,
        detector: FaceDetector,
        crops: tuple[CropRule, ...],
        limits: QualityLimits | None = None,
        redetect_s: float = 0.5,
    ) -> None:
        if not crops or not all(isinstance(rule, CropRule) for rule in crops):
            raise InputError(f"crops: expected crop rules, at least one, got {crops!r}")
        self.detector = detector
        self.crops = crops
        self.limits = limits or QualityLimits()
        self.redetect_s = redetect_s
        self._widest = max(range(len(crops)), key=lambda number: crops[number].scale)
        self._tracker = FaceTracker(detector=detector, redetect_s=redetect_s)
        self._freshness = Freshness()
        self.reset()

    def reset(self) -> None:
        """Forget the face and the previous frame, as a new instance."""
        self._tracker.reset()
        self._freshness.reset()

    def look(self, frame: npt.NDArray[np.uint8], *, box: Box | None = None, color: str = "bgr") -> Crop | Refusal:
        """Perceive one frame, without memory; nothing changes.

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
        refused = self._check_face(frame, faces) or self._check_turn(frame, faces[0], color)
        return refused or self._crop(frame, faces[0], color)

    def follow(
        self, frame: npt.NDArray[np.uint8], *, t: float, box: Box | None = None, color: str = "bgr"
    ) -> Crop | Refusal:
        """Perceive the next frame of a stream at time `t` in seconds; arguments and errors as in `look`."""
        _check_arguments(box, color)
        refused = check_frame(frame, self.limits)
        if refused:
            return refused
        faces = self._tracker.update(frame, t=t, color=color) if box is None else (Face(box, 1.0),)
        refused = self._check_face(frame, faces)
        if not refused and self._tracker.detected:
            refused = self._check_turn(frame, faces[0], color)
        if not refused and not self._freshness.update(frame, faces[0].box, t=t):
            return FROZEN  # the tracker is not to blame
        seen = refused or self._crop(frame, faces[0], color)
        if isinstance(seen, Refusal):
            self._tracker.reset()  # what was refused may have been the wrong place: look afresh
        return seen

    def _check_face(self, frame: npt.NDArray[np.uint8], faces: tuple[Face, ...]) -> Refusal | None:
        height, width = frame.shape[:2]
        return check_face(faces, height=height, width=width, limits=self.limits)

    def _check_turn(self, frame: Pixels, face: Face, color: str) -> Refusal | None:
        return check_upright(face, lambda: self.detector.detect(np.ascontiguousarray(frame[::-1, ::-1]), color=color))

    def _crop(self, frame: Pixels, face: Face, color: str) -> Crop | Refusal:
        height, width = frame.shape[:2]
        squares = [
            square_around(face.box, scale=rule.scale, height=height, width=width, border=rule.border)
            for rule in self.crops
        ]
        rule, square = self.crops[self._widest], squares[self._widest]
        widest = cut(frame, square, size=rule.size, color=color, border=rule.border)
        refused = check_light(widest, within(face.box, square, size=rule.size), self.limits)
        return refused or Crop(tuple(self._cut_all(frame, squares, color, widest)), face)

    def _cut_all(self, frame: Pixels, squares: list[Square], color: str, widest: Pixels) -> Iterator[Pixels]:
        for number, (rule, square) in enumerate(zip(self.crops, squares, strict=True)):
            known = number == self._widest
            yield widest if known else cut(frame, square, size=rule.size, color=color, border=rule.border)


def check_color(color: str) -> None:
    """Refuse a colour order that is neither "bgr" nor "rgb" with an `InputError`."""
    if not isinstance(color, str) or color not in COLORS:
        raise InputError(f'color: expected "bgr" or "rgb", got {color!r}')


def _check_arguments(box: object, color: str) -> None:
    check_color(color)
    if box is not None and not isinstance(box, Box):
        raise InputError(f"box: expected a Box, got {type(box).__name__}; pass Box(x_min, y_min, x_max, y_max)")
