"""Is the face upright? The network was not trained on rotated faces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ratta.records import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratta.records import Face

MAX_TURN_DEG = 45.0
SURE = 0.9
"""A detector is never surer of a face on its head: 0.88 at most in 240 portraits, of which upright 91 % lie above."""


def check_upright(face: Face, upside_down: Callable[[], tuple[Face, ...]]) -> Refusal | None:
    """Refuse a face that lies on its side or is upside down.

    Up to about 90 degrees the keypoints tell the angle. Beyond, BlazeFace reports them as if the face were upright, so
    where it is not sure it is asked again about the frame turned by 180 degrees: whichever it is surer of is upright.

    Parameters
    ----------
    face : Face
        Without keypoints (a box that the caller gave) it is taken to be upright.
    upside_down : callable
        Gives the faces of the frame turned by 180 degrees; asked only where `face` is not sure.

    Returns
    -------
    Refusal or None
    """
    angle = turn_deg(face)
    if math.isnan(angle):
        return None
    if abs(angle) <= MAX_TURN_DEG:
        if face.score >= SURE or all(other.score <= face.score for other in upside_down()):
            return None
        angle = 180.0
    return Refusal(
        Reason.FACE_TURNED, f"by about {abs(angle):.0f} degrees; turn the camera, or turn the frames by as much"
    )


def turn_deg(face: Face) -> float:
    """Angle of a face in the picture, clockwise, in (-180, 180]; `nan` without keypoints.

    The larger of two: of the line through the eyes, and of the line from between the eyes to the mouth.

    Examples
    --------
    >>> from ratta.records import Box, Face
    >>> eyes_and_mouth = ((120.0, 100.0), (120.0, 140.0), (0.0, 0.0), (80.0, 120.0))
    >>> turn_deg(Face(Box(50, 50, 150, 150), 0.9, eyes_and_mouth))
    90.0
    """
    if len(face.keypoints) < 4:
        return math.nan
    (right_x, right_y), (left_x, left_y), _, (mouth_x, mouth_y) = face.keypoints[:4]
    down_x, down_y = mouth_x - (right_x + left_x) / 2, mouth_y - (right_y + left_y) / 2
    angles = math.degrees(math.atan2(left_y - right_y, left_x - right_x)), math.degrees(math.atan2(-down_x, down_y))
    return max(angles, key=abs)
