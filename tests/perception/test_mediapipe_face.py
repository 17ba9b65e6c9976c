"""The optional detector, without mediapipe: a stand-in of its solution, and its absence."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from ratta.errors import InputError, MissingExtraError
from ratta.perception import MediapipeFace
from ratta.perception.face import whole_face
from ratta.records import Box, Face


class Solution:
    """What `mediapipe.solutions.face_detection` offers, with a fixed answer."""

    def __init__(self, detections):
        self.detections = detections
        self.seen = []

    def FaceDetection(self, *, model_selection, min_detection_confidence):
        self.arguments = (model_selection, min_detection_confidence)
        return self

    def process(self, picture):
        self.seen.append(picture)
        return SimpleNamespace(detections=self.detections)


def _detection(x, y, width, height, score):
    place = SimpleNamespace(
        relative_bounding_box=SimpleNamespace(xmin=x, ymin=y, width=width, height=height),
        relative_keypoints=[SimpleNamespace(x=x, y=y)] * 6,
    )
    return SimpleNamespace(location_data=place, score=[score])


def _install(monkeypatch, detections):
    solution = Solution(detections)
    module = SimpleNamespace(solutions=SimpleNamespace(face_detection=solution))
    monkeypatch.setitem(sys.modules, "mediapipe", module)
    return solution


def test_faces_in_pixels_largest_first(monkeypatch):
    """Relative boxes become pixels of the frame."""
    _install(monkeypatch, [_detection(0, 0, 0.1, 0.1, 0.9), _detection(0.5, 0.25, 0.25, 0.5, 0.75)])
    large, small = MediapipeFace().detect(np.zeros((480, 640, 3), np.uint8))
    assert (large.box, large.score) == (whole_face(Face(Box(320, 120, 480, 360), 0.75)).box, 0.75)
    assert large.keypoints == ((320.0, 120.0),) * 6
    assert small.box == whole_face(Face(Box(0, 0, 64, 48), 0.9)).box


def test_no_detections_are_no_faces(monkeypatch):
    """`None`, mediapipe's word for nothing, is an empty tuple."""
    _install(monkeypatch, None)
    assert MediapipeFace().detect(np.zeros((480, 640, 3), np.uint8)) == ()


@pytest.mark.parametrize(("color", "expected"), [("bgr", [3, 2, 1]), ("rgb", [1, 2, 3])])
def test_mediapipe_sees_rgb(monkeypatch, color, expected):
    """It wants contiguous RGB."""
    solution = _install(monkeypatch, None)
    MediapipeFace(min_score=0.6).detect(np.full((4, 4, 3), (1, 2, 3), np.uint8), color=color)
    assert solution.arguments == (0, 0.6)
    assert solution.seen[0][0, 0].tolist() == expected
    assert solution.seen[0].flags.c_contiguous


@pytest.mark.parametrize("module", [None, SimpleNamespace(tasks=None)])
def test_absent_or_too_new_names_the_command(monkeypatch, module):
    """No mediapipe, or one without its solutions."""
    monkeypatch.setitem(sys.modules, "mediapipe", module)
    with pytest.raises(MissingExtraError, match=r"pip install 'ratta\[mediapipe\]'"):
        MediapipeFace()


@pytest.mark.parametrize("min_score", [0, 1, float("nan")])
def test_parameters_are_validated(min_score):
    """Checked before mediapipe is looked for."""
    with pytest.raises(InputError, match="min_score"):
        MediapipeFace(min_score=min_score)
