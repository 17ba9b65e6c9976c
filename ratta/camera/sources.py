"""Where frames come from: a picture, a folder of pictures, a video file, a camera or a URL, behind one iterator."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ratta.camera.live import Live, open_camera, open_url, shown_url
from ratta.camera.source import MAX_PIXELS, FrameSource, SourceFrame
from ratta.errors import InputError
from ratta.files import printable
from ratta.media.formats import format_of
from ratta.media.opencv import opencv
from ratta.media.picture import OTHER_SUFFIXES, PICTURE_SUFFIXES, VIDEO_SUFFIXES, list_folder, read_scaled
from ratta.media.video import MAX_FPS, MAX_LOST, TIMELESS_SUFFIXES, VideoReader, open_video

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ratta.media.video import Capture

__all__ = ["FrameSource", "Live", "Pictures", "SourceFrame", "Video", "open_source", "shown_url", "source_kind"]

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Pictures(FrameSource):
    """Unrelated pictures, in the order given."""

    independent = True

    def __init__(self, paths: Sequence[Path], *, name: str, left_out: Mapping[str, int] = MappingProxyType({})) -> None:
        self.name = name
        self.count = len(paths)
        self.files = tuple(paths)
        self.left_out = left_out
        self._index = -1

    def __next__(self) -> SourceFrame:
        self._index += 1
        if self._index >= len(self.files):
            raise StopIteration
        path = self.files[self._index]
        picture, scale = read_scaled(path, max_pixels=MAX_PIXELS)
        return SourceFrame(self._index, math.nan, picture, path.name, (scale, scale))

    @property
    def current(self) -> Path:
        """The picture that the last call of `next` was about."""
        return self.files[max(self._index, 0)]


class Video(FrameSource):
    """A recorded video, at its own times; see `ratta.media.VideoReader`.

    Parameters
    ----------
    capture : Capture
    name : str
    fps : float, optional
        Overrides what the container says, timestamps included.
    patience : int
        Reads in a row that may fail before the rest is given up.

    Raises
    ------
    SourceError
        At the first frame, if there is none; later, if nothing says when it was taken.
    """

    def __init__(self, capture: Capture, *, name: str, fps: float | None = None, patience: int = MAX_LOST) -> None:
        self._follow(VideoReader(capture, name=name, fps=fps, max_pixels=MAX_PIXELS, patience=patience))

    @classmethod
    def opened(cls, path: Path, *, fps: float | None = None) -> Self:
        """Open a video file."""
        made = cls.__new__(cls)
        made._follow(open_video(path, fps=fps, max_pixels=MAX_PIXELS))
        made.files = (path,)
        return made

    def _follow(self, reader: VideoReader) -> None:
        self._reader = reader
        self.name = reader.name
        self.count = self._reader.count
        self.fps = self._reader.fps

    def __next__(self) -> SourceFrame:
        frame = next(self._reader)
        self.missed = self._reader.missed
        return SourceFrame(frame.index, frame.t_seconds, frame.frame_bgr, self.name, frame.scale)

    def close(self) -> None:
        """Release the file."""
        self._reader.close()


def open_source(source: str | int | Path, *, fps: float | None = None, patient: bool = False) -> FrameSource:
    """Open a source of frames.

    Parameters
    ----------
    source : str, int or path
        A picture, a folder of pictures, a video file, a camera's number (`0` or `"0"`) or device, or a URL.
    fps : float, optional
        Frames per second of a video file that does not say, or says wrong.
    patient : bool
        Open a camera or a stream from the network again when it is lost.

    Returns
    -------
    FrameSource

    Raises
    ------
    SourceError
        If it cannot be opened; the message says what was found there.
    InputError
        If nothing is named, `fps` makes no sense or the source is not a video file.
    MissingExtraError
        If OpenCV is not installed.

    Examples
    --------
    >>> with open_source("selfie.mp4") as source:  # doctest: +SKIP
    ...     for frame in source:
    ...         engine.step(frame.frame_bgr, t=frame.t_seconds)
    """
    opencv()
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise InputError(f"fps: expected above 0 and at most {MAX_FPS:g}, got {fps}; pass the rate it was recorded at")
    kind, place = source_kind(source)
    if fps is not None and kind != "video":
        raise InputError(f"fps: expected a video file to go with it, got {shown_url(place)!r}; leave fps out")
    if kind == "camera":
        return open_camera(place, patient=patient)
    if kind == "url":
        opened = open_url(place, patient=patient)
        return opened if isinstance(opened, Live) else Video(opened, name=shown_url(place), patience=1)
    path = Path(place)
    if kind == "folder":
        listing = list_folder(path)
        return Pictures(listing.pictures, name=place, left_out=listing.left_out)
    return Pictures([path], name=place) if kind == "picture" else Video.opened(path, fps=fps)


def source_kind(source: str | int | Path) -> tuple[str, str]:
    """Say what a source is: "camera", "url", "folder", "picture" or "video"; and what is to be opened.

    Raises
    ------
    InputError
        If nothing is named.
    """
    text = str(source) if isinstance(source, Path) else str(source).strip()
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    if not text or (isinstance(source, Path) and not source.name and not source.is_absolute()):
        raise InputError("source: expected a picture, folder, video file, camera number or URL, got an empty one")
    if text.isascii() and text.isdigit() and not isinstance(source, Path):
        return "camera", text
    if _URL.match(text) and not isinstance(source, Path):
        return "url", text
    path = Path(text)
    try:
        if path.is_char_device() or text.startswith(("/dev/video", "/dev/v4l/")):
            return "camera", text
        if path.is_dir():
            return "folder", text
        return ("picture" if _is_picture(path) else "video"), text
    except (OSError, ValueError) as error:
        raise InputError(f"source: expected a path that can exist, got {printable(text)!r}: {error}") from error


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES | OTHER_SUFFIXES:
        return True
    return suffix not in VIDEO_SUFFIXES | TIMELESS_SUFFIXES and path.is_file() and _begins_as_picture(path)


def _begins_as_picture(path: Path) -> bool:
    with path.open("rb") as stream:
        kind = format_of(stream.read(64))
    return bool(kind) and not kind.startswith("a video")
