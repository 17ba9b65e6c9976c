"""Perception: finds the one usable face of a frame and cuts it out, or refuses the frame with a reason."""

from ratta.perception.face import BlazeFace, FaceDetector
from ratta.perception.mediapipe_face import MediapipeFace
from ratta.perception.perception import Perception, check_color
from ratta.perception.quality import QualityLimits
from ratta.perception.track import FaceTracker

__all__ = ["BlazeFace", "FaceDetector", "FaceTracker", "MediapipeFace", "Perception", "QualityLimits", "check_color"]
