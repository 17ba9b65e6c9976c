"""Pictures and video as files: decoded completely or rejected with a reason; OpenCV is imported on first use."""

from ratta.media.opencv import opencv
from ratta.media.picture import Listing, list_folder, list_pictures, read_picture, shrink
from ratta.media.video import VideoReader, open_video

__all__ = [
    "Listing",
    "VideoReader",
    "list_folder",
    "list_pictures",
    "open_video",
    "opencv",
    "read_picture",
    "shrink",
]
