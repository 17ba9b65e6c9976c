"""Where frames come from: a picture, a folder of pictures, a video file, a camera or a URL, behind one iterator."""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from ratta.camera.opencv import opencv
from ratta.camera.picture import PICTURE_SUFFIXES, list_pictures, read_picture
from ratta.errors import InputError, SourceError
from ratta.records import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import numpy.typing as npt

MAX_FPS = 240.0
OPEN_TIMEOUT_MS = 10_000
# Elementary streams hold no times: what a decoder reports for them is its own default.
TIMELESS_SUFFIXES = frozenset({".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"})
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SECRETS = re.compile(r"//.*@|\?.*")
"""Name and password of a URL, and its query, which may hold a token: never shown."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One frame of a source.

    Attributes
    ----------
    index : int
        From 0.
    t_seconds : float
        Since the source's first frame; `nan` for a picture, which has no time.
    frame_bgr : (H, W, 3) uint8
    name : str
        The picture's file name; of a stream, the stream's.
    """

    index: int
    t_seconds: float
    frame_bgr: npt.NDArray[np.uint8]
    name: str

    def __repr__(self) -> str:
        return short_repr(self)


class Capture(Protocol):
    """What this room uses of `cv2.VideoCapture`."""

    def read(self) -> tuple[bool, Any]:
        """Give `(True, frame)`, or `(False, None)` at the end."""

    def get(self, prop: int) -> float:
        """Give a property by its OpenCV number."""

    def release(self) -> None:
        """Let go of the file or device."""


class FrameSource(ABC):
    """An iterator over `SourceFrame`; use it in a `with` statement.

    Attributes
    ----------
    name : str
        For messages; of a URL without its password.
    count : int or None
        Frames it will yield, where known; a container's own count may be off by a few.
    fps : float or None
        Frames per second, where known.
    independent : bool
        Whether each frame stands for itself (pictures) or all are one stream in time.
    """

    name: str
    count: int | None = None
    fps: float | None = None
    independent: bool = False

    def __repr__(self) -> str:
        count = f", {self.count} frames" if self.count is not None else ""
        return f"<{type(self).__name__} {self.name}{count}{f', {self.fps:g} fps' if self.fps else ''}>"

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> SourceFrame:
        """Give the next frame.

        Raises
        ------
        SourceError
            If it cannot be read. After a bad picture in a folder, the next call goes on with the next picture.
        """

    def close(self) -> None:  # noqa: B027  (only a stream holds something)
        """Let go of the file or device."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pictures(FrameSource):
    """Pictures that have nothing to do with one another, in the order given."""

    independent = True

    def __init__(self, paths: Sequence[Path], *, name: str) -> None:
        self.name = name
        self.count = len(paths)
        self._paths = paths
        self._index = -1

    def __next__(self) -> SourceFrame:
        self._index += 1
        if self._index >= len(self._paths):
            raise StopIteration
        path = self._paths[self._index]
        return SourceFrame(self._index, math.nan, read_picture(path), path.name)

    @property
    def current(self) -> Path:
        """The picture that the last call of `next` was about."""
        return self._paths[max(self._index, 0)]


class Video(FrameSource):
    """A recorded video, at its own times.

    A frame's time is the container's timestamp as long as these grow; where they do not, it is one frame period after
    the frame before. Evidence is counted in time, so a video with neither timestamps nor a frame rate is refused.

    Parameters
    ----------
    capture : Capture
    name : str
    fps : float, optional
        Overrides what the container says, timestamps included.

    Raises
    ------
    SourceError
        At the first frame, if there is none; at the second, if nothing says when it was taken.
    """

    def __init__(self, capture: Capture, *, name: str, fps: float | None = None) -> None:
        cv2 = opencv()
        self.name = name
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if 0 < count < 1e9 else None
        self.fps = fps or _plausible_fps(capture.get(cv2.CAP_PROP_FPS))
        self._override = fps is not None
        self._capture = capture
        self._stamp_property = cv2.CAP_PROP_POS_MSEC
        self._start_s = 0.0
        self._t = 0.0
        self._index = -1

    def __next__(self) -> SourceFrame:
        frame = _read_frame(self._capture, self.name)
        if frame is None:
            if self._index < 0:
                raise SourceError(f"{self.name}: expected a video, got one without a readable frame; record it again")
            raise StopIteration
        self._index += 1
        self._t = self._time()
        return SourceFrame(self._index, self._t, frame, self.name)

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def _time(self) -> float:
        if self._override and self.fps is not None:
            return self._index / self.fps
        stamp_s = self._capture.get(self._stamp_property) / 1000
        if self._index == 0:
            self._start_s = stamp_s if math.isfinite(stamp_s) else 0.0
            return 0.0
        if math.isfinite(stamp_s) and stamp_s - self._start_s > self._t:
            return stamp_s - self._start_s
        if self.fps is None:
            raise SourceError(
                f"{self.name}: expected timestamps or a frame rate, got neither; "
                "say how fast it was recorded (ratta run --fps 30) or store it as mp4"
            )
        return self._t + 1 / self.fps


class Live(FrameSource):
    """A camera or a stream from the network, at the times at which its frames arrive.

    Parameters
    ----------
    capture : Capture
    name : str
    endless : bool
        Whether the end of the stream is an error (a camera was unplugged) or an end.
    clock : callable
        Gives monotonic seconds.

    Raises
    ------
    SourceError
        When no frame comes.
    """

    def __init__(
        self, capture: Capture, *, name: str, endless: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.fps = _plausible_fps(capture.get(opencv().CAP_PROP_FPS))
        self._capture = capture
        self._endless = endless
        self._clock = clock
        self._start_s: float | None = None
        self._index = -1

    def __next__(self) -> SourceFrame:
        frame = _read_frame(self._capture, self.name)
        if frame is None:
            if self._endless or self._index < 0:
                raise SourceError(
                    f"{self.name}: expected a frame, got none; check that it is connected and no other program uses it"
                )
            raise StopIteration
        now_s = self._clock()
        if self._start_s is None:
            self._start_s = now_s
        self._index += 1
        return SourceFrame(self._index, now_s - self._start_s, frame, self.name)

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()


def open_source(source: str | int | Path, *, fps: float | None = None) -> FrameSource:
    """Open whatever frames come from.

    Parameters
    ----------
    source : str, int or path
        A picture, a folder of pictures, a video file, a camera's number (`0` or `"0"`), or a URL.
    fps : float, optional
        Frames per second of a video file that does not say, or says wrong.

    Returns
    -------
    FrameSource

    Raises
    ------
    SourceError
        If it cannot be opened; the message says what was found there.
    InputError
        If `fps` makes no sense or the source is not a video file.
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
    text = str(source).strip()
    is_number, is_url = text.isascii() and text.isdigit(), _URL.match(text) is not None
    path = Path(source) if isinstance(source, Path) else Path(text)
    is_picture = not (is_number or is_url) and _is_picture(path)
    if fps is not None and (is_number or is_url or is_picture or path.is_dir()):
        raise InputError(f"fps: expected a video file to go with it, got {shown_url(text)!r}; leave fps out")
    if is_number:
        return _open_camera(int(text))
    if is_url:
        return _open_url(text)
    if path.is_dir():
        return Pictures(list_pictures(path), name=text)
    return Pictures([path], name=text) if is_picture else _open_video(path, fps)


def _is_picture(path: Path) -> bool:
    if path.suffix:
        return path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()
    return path.is_file() and bool(opencv().haveImageReader(str(path)))


def _open_video(path: Path, fps: float | None) -> Video:
    if not path.is_file():
        raise SourceError(
            f"{path}: expected a picture, folder, video file, camera number or URL, got a path where nothing is; "
            "check the spelling"
        )
    size = path.stat().st_size
    capture = opencv().VideoCapture(str(path))
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"{path}: expected a picture or video, got {size} bytes that open as neither; "
            "an unfinished recording has no index: record it again or convert it to mp4"
        )
    if fps is None and path.suffix.lower() in TIMELESS_SUFFIXES:
        capture.release()
        raise SourceError(
            f"{path}: expected a video that says when each frame was taken, got a raw {path.suffix} stream; "
            "say how fast it was recorded (ratta run --fps 30) or store it as mp4"
        )
    return Video(capture, name=str(path), fps=fps)


def shown_url(url: str) -> str:
    """Leave out of a URL what must not be shown.

    Examples
    --------
    >>> shown_url("rtsp://user:p@ss/w@camera/1?token=x")
    'rtsp://camera/1'
    """
    return _SECRETS.sub(lambda found: "//" if found[0].startswith("//") else "", url)


def _open_camera(number: int) -> Live:
    cv2 = opencv()
    if number > 999:
        raise SourceError(f"camera {number}: expected a camera's small number, got {number}; try 0")
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"camera {number}: expected a camera, got none that opens; "
            "check that it is connected, allowed for this program and not in use, or try another number"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame would carry a new time
    return Live(capture, name=f"camera {number}", endless=True)


def _open_url(url: str) -> FrameSource:
    cv2 = opencv()
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    name = shown_url(url)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"{name}: expected a video stream, got nothing that opens within {OPEN_TIMEOUT_MS / 1000:g} s; "
            "check the address and the network"
        )
    recorded = 0 < capture.get(cv2.CAP_PROP_FRAME_COUNT) < 1e9
    return Video(capture, name=name) if recorded else Live(capture, name=name, endless=False)


def _read_frame(capture: Capture, name: str) -> npt.NDArray[np.uint8] | None:
    cv2 = opencv()
    try:
        ok, frame = capture.read()
    except cv2.error as error:
        raise SourceError(f"{name}: expected a frame, got a decoder error ({error.err}); record it again") from error
    return np.asarray(frame, np.uint8) if ok and frame is not None else None


def _plausible_fps(fps: float) -> float | None:
    return fps if math.isfinite(fps) and 0 < fps <= MAX_FPS else None
