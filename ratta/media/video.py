"""A recorded video: its frames with square pixels, at their own times, also where the container lacks them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ratta.errors import SourceError
from ratta.files import kind_of
from ratta.media.opencv import opencv
from ratta.media.picture import MAX_PIXELS, shrink

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Frame = npt.NDArray[np.uint8]

MAX_FPS = 240.0
LOOKAHEAD = 64
"""Frames that are compared with the first one, as long as they are equal to it."""
MAX_LOST, MAX_TIMELESS = 300, 30
"""Frames in a row that may fail to decode, or have no time, before the rest is given up."""
LARGEST_RATIO = 5.0
CONVERT = "convert it to H.264, for instance with ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4"
# Elementary streams hold no times: what a decoder reports for them is its own default.
TIMELESS_SUFFIXES = frozenset({".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"})
_CODECS = {"AV01": "AV1", "HEV1": "H.265", "HVC1": "H.265", "HEVC": "H.265", "VVC1": "H.266", "VP09": "VP9"}


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def read(self) -> tuple[bool, Any]:
        """Give `(True, frame)`, or `(False, None)` at the end."""

    def get(self, prop: int) -> float:
        """Give a property by its OpenCV number."""

    def release(self) -> None:
        """Release the file or device."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame of a video.

    Attributes
    ----------
    index : int
        Its position, from 0; frames that did not decode are counted.
    t_seconds : float
        Since the first frame.
    frame_bgr : (H, W, 3) uint8
        With square pixels.
    scale : (x, y)
        From positions in the pixels that are stored to positions in `frame_bgr`.
    """

    index: int
    t_seconds: float
    frame_bgr: Frame
    scale: tuple[float, float]


class VideoReader:
    """Iterates over the frames of a recorded video, at its own times.

    A frame's time is the container's timestamp as long as these grow. Where they do not, it is one frame period after
    the frame before, or the median step so far. Evidence is counted in time, so a video with neither is refused.

    Parameters
    ----------
    capture : Capture
    name : str
        For messages.
    fps : float, optional
        Overrides what the container says, timestamps included.
    max_pixels : int, optional
        Larger frames are scaled down to so many.
    patience : int
        Reads in a row that may fail before the rest is given up.

    Attributes
    ----------
    count : int or None
        Frames as the container says, where that can be true.
    fps : float or None
        Frames per second, where known.
    missed : int
        Frames so far that did not decode.
    unchanging : bool
        Whether the frames at the beginning, `LOOKAHEAD` or all, are equal to the last bit: a still, or a decoder that
        hands out the same memory again and again.

    Raises
    ------
    SourceError
        If the frames are too large; at the first frame, if there is none or all are black to the last bit; later, if
        nothing says when it was taken.
    """

    def __init__(
        self,
        capture: Capture,
        *,
        name: str,
        fps: float | None = None,
        max_pixels: int | None = None,
        patience: int = MAX_LOST,
    ) -> None:
        cv2 = opencv()
        self.name = name
        self.count = believable(capture)
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PIXELS:
            raise SourceError(f"{name}: expected frames of at most {MAX_PIXELS:,} pixels, got {width:g} x {height:g}")
        self.fps = fps or plausible_fps(capture.get(cv2.CAP_PROP_FPS))
        self.missed = 0
        self.unchanging = False
        self._ratio = pixel_ratio(capture, name)
        self._max_pixels = max_pixels
        self._patience = patience
        self._override = fps is not None
        self._capture = capture
        self._stamp_property = cv2.CAP_PROP_POS_MSEC
        self._ahead: deque[tuple[int, float, Frame]] | None = None
        self._index = -1
        self._clock = _Clock(self.fps)

    def __iter__(self) -> VideoReader:
        return self

    def __next__(self) -> VideoFrame:
        while True:
            found = self._next()
            if found is None:
                if self._clock.timeless:
                    raise _no_times(self.name)
                raise StopIteration
            index, stamp_s, frame = found
            t = index / self.fps if self._override and self.fps else self._clock.at(stamp_s)
            if t is not None:
                shown = shrink(square(frame, self._ratio), self._max_pixels)
                scale = shown.shape[1] / frame.shape[1], shown.shape[0] / frame.shape[0]
                return VideoFrame(index, t, shown, scale)
            if self._clock.timeless > MAX_TIMELESS:
                raise _no_times(self.name)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()

    def _next(self) -> tuple[int, float, Frame] | None:
        if self._ahead is None:
            self._ahead = self._begin()
        return self._ahead.popleft() if self._ahead else self._decode()

    def _begin(self) -> deque[tuple[int, float, Frame]]:
        """Read on while the frames are equal to the first: a decoder that fails may hand out memory for pictures."""
        first = self._decode()
        if first is None:
            raise SourceError(f"{self.name}: expected a video, got one without a readable frame{_codec(self._capture)}")
        read, frame = deque([first]), first[2]
        while len(read) < LOOKAHEAD and (following := self._decode()) is not None:
            if not np.array_equal(following[2], frame):
                read.append(following)
                break
            read.append((*following[:2], frame))
        self.unchanging = len(read) > 1 and read[-1][2] is frame
        if read[-1][2] is frame and not frame.any():
            raise SourceError(
                f"{self.name}: expected a video that decodes, got frames that are black to the last bit; "
                f"interlaced video, for one, does not decode here: {CONVERT} (and -vf yadif if it is interlaced)"
            )
        return read

    def _decode(self) -> tuple[int, float, Frame] | None:
        """Read the next frame that decodes; a broken one in the middle does not end the video."""
        lost = 0
        left = MAX_LOST if self.count is None else max(0, self.count - self._index - 1)
        while lost <= min(left, self._patience):
            frame = read_frame(self._capture, self.name)
            if frame is not None:
                self.missed += lost
                self._index += 1 + lost
                return self._index, self._capture.get(self._stamp_property) / 1000, frame
            lost += 1
        return None


class _Clock:
    """The times of frames from timestamps that may stand still, go back or be missing."""

    def __init__(self, fps: float | None) -> None:
        self.timeless = 0
        self._period = None if fps is None else 1 / fps
        self._steps: deque[float] = deque(maxlen=31)
        self._start_s: float | None = None
        self._t = 0.0

    def at(self, stamp_s: float) -> float | None:
        """Give the time of the next frame in seconds; nothing if it is not known yet."""
        if self._start_s is None:
            self._start_s = stamp_s if math.isfinite(stamp_s) else 0.0
            return 0.0
        t = stamp_s - self._start_s
        if math.isfinite(t) and t > self._t:
            self._steps.append(t - self._t)
        elif self._period is not None or self._steps:
            t = self._t + (self._period or median(self._steps))
        else:
            self.timeless += 1
            return None
        self.timeless = 0
        self._t = t
        return t


def open_video(path: Path, *, fps: float | None = None, max_pixels: int | None = None) -> VideoReader:
    """Open a video file.

    Raises
    ------
    SourceError
        If it is no file, does not open, or is a raw stream and `fps` is not given.
    """
    try:
        kind = kind_of(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: expected a video, got a path where nothing is; check the spelling") from error
    if kind != "file":
        raise SourceError(f"{path}: expected a video file, got {kind}")
    if fps is None and path.suffix.lower() in TIMELESS_SUFFIXES:
        raise SourceError(
            f"{path}: expected a video that says when each frame was taken, got a raw {path.suffix} stream; "
            "say how fast it was recorded (ratta run --fps 30) or store it as mp4"
        )
    capture = opencv().VideoCapture(str(path))
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"{path}: expected a picture or video, got {path.stat().st_size} bytes that open as neither; "
            f"an unfinished recording has no index: record it again, or {CONVERT}"
        )
    return VideoReader(capture, name=str(path), fps=fps, max_pixels=max_pixels)


def read_frame(capture: Capture, name: str) -> Frame | None:
    """Read one frame; nothing if none came.

    Raises
    ------
    SourceError
        If the decoder raises.
    """
    cv2 = opencv()
    try:
        ok, frame = capture.read()
    except cv2.error as error:
        raise SourceError(f"{name}: expected a frame, got a decoder error ({error.err}); record it again") from error
    return np.asarray(frame, np.uint8) if ok and frame is not None else None


def pixel_ratio(capture: Capture, name: str) -> float:
    """Give the width of a pixel over its height, as the container says, after its rotation was undone.

    Raises
    ------
    SourceError
        If no recorder would mean it.
    """
    cv2 = opencv()
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (width > 0 and height > 0) or not math.isfinite(width / height):
        return 1.0
    ratio = width / height
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90 and capture.get(cv2.CAP_PROP_ORIENTATION_AUTO) > 0
    if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        raise SourceError(
            f"{name}: expected pixels that are about square, got {width:g} to {height:g}; "
            f"{CONVERT} -vf scale=iw*sar:ih,setsar=1"
        )
    return 1 / ratio if turned else ratio


def square(frame: Frame, ratio: float) -> Frame:
    """Bring a frame to square pixels by widening or heightening it.

    Examples
    --------
    >>> square(np.zeros((480, 320, 3), np.uint8), 2.0).shape
    (480, 640, 3)
    """
    if abs(ratio - 1) < 0.01:
        return frame
    height, width = frame.shape[:2]
    size = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
    return np.asarray(opencv().resize(frame, size, interpolation=opencv().INTER_LINEAR), np.uint8)


def believable(capture: Capture) -> int | None:
    """Give the number of frames that a container says, unless it is nonsense."""
    count = capture.get(opencv().CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < 1e9 else None


def plausible_fps(fps: float) -> float | None:
    """Give a frame rate that a container says, unless it is a clock's rate or nonsense."""
    return fps if math.isfinite(fps) and 0 < fps <= MAX_FPS else None


def _codec(capture: Capture) -> str:
    """Say what a video is packed with, as the end of a sentence."""
    code = capture.get(opencv().CAP_PROP_FOURCC)
    letters = int(code).to_bytes(4, "little").decode("latin-1").strip("\0 ") if 0 < code < 2**32 else ""
    if not (letters.isascii() and letters.isalnum()):
        return f"; record it again or {CONVERT}"
    return f": its codec, {_CODECS.get(letters.upper(), letters)}, may not decode here; {CONVERT}"


def _no_times(name: str) -> SourceError:
    return SourceError(
        f"{name}: expected timestamps or a frame rate, got neither; "
        "say how fast it was recorded (ratta run --fps 30) or store it as mp4"
    )
