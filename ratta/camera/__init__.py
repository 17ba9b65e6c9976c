"""Frame sources, annotated pictures and the streaming demo; needs the extra `camera`, and only once it is used."""

from ratta.camera.annotate import annotate
from ratta.camera.recorder import Recorder, open_recorder
from ratta.camera.sources import FrameSource, SourceFrame, open_source
from ratta.media.picture import list_pictures, read_picture

__all__ = [
    "FrameSource",
    "Recorder",
    "SourceFrame",
    "annotate",
    "list_pictures",
    "open_recorder",
    "open_source",
    "read_picture",
]
