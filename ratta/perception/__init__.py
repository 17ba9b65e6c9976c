"""Perception: is there one usable face in the frame, where is it, and what does it look like cut out."""

from ratta.perception.face import BlazeFace, FaceDetector
from ratta.perception.mediapipe_face import MediapipeFace
from ratta.perception.perception import Perception, check_color
from ratta.perception.quality import QualityLimits
from ratta.perception.track import FaceTracker

__all__ = ["BlazeFace", "FaceDetector", "FaceTracker", "MediapipeFace", "Perception", "QualityLimits", "check_color"]
