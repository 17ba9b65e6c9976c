"""mediapipe's own face detection behind the interface of `FaceDetector` (extra `ratta[mediapipe]`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError, MissingExtraError
from ratta.perception.face import whole_face
from ratta.records import Box, Face

if TYPE_CHECKING:
    import numpy.typing as npt


class MediapipeFace:
    """Short-range face detection by an installed mediapipe 0.10.

    Parameters
    ----------
    min_score : float
        Faces below are not reported, in (0, 1).

    Raises
    ------
    InputError
        If `min_score` is out of range.
    MissingExtraError
        If mediapipe is not installed, or is a version without its own models (0.10.30 and later).
    """

    def __init__(self, *, min_score: float = 0.5) -> None:
        if not 0 < min_score < 1:
            raise InputError(f"min_score: expected a number in (0, 1), got {min_score!r}")
        self.min_score = min_score
        self._detection = _open(min_score)

    def detect(self, frame: npt.NDArray[np.uint8], *, color: str = "bgr") -> tuple[Face, ...]:
        """Return the faces of an (H, W, 3) uint8 frame, largest first, in its pixels; see `whole_face`."""
        rgb = np.ascontiguousarray(frame[:, :, ::-1] if color == "bgr" else frame)
        found = self._detection.process(rgb).detections or ()
        height, width = frame.shape[:2]
        faces = [whole_face(_face(detection, width=width, height=height)) for detection in found]
        return tuple(sorted(faces, key=lambda face: -face.box.width * face.box.height))


def _open(min_score: float) -> Any:
    try:
        solution = importlib.import_module("mediapipe").solutions.face_detection
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(
            "MediapipeFace needs mediapipe 0.10.21 (later ones carry no models): pip install 'ratta[mediapipe]'"
        ) from error
    return solution.FaceDetection(model_selection=0, min_detection_confidence=min_score)


def _face(detection: Any, *, width: int, height: int) -> Face:
    place = detection.location_data
    box = place.relative_bounding_box
    left, top = box.xmin * width, box.ymin * height
    return Face(
        Box(left, top, left + box.width * width, top + box.height * height),
        float(detection.score[0]),
        tuple((point.x * width, point.y * height) for point in place.relative_keypoints),
    )
