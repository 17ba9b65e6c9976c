"""Cameras and streams from the network: timed by the clock, waited for, and opened again."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ratta.camera.source import MAX_PIXELS, FrameSource, SourceFrame
from ratta.errors import SourceError
from ratta.media.opencv import opencv
from ratta.media.picture import shrink
from ratta.media.video import believable, pixel_ratio, plausible_fps, read_frame, square

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from ratta.media.video import Capture

OPEN_TIMEOUT_MS = 10_000
HICCUP_S, RETRY_S = 1.0, 1 / 30
"""How long a camera may fail to deliver, and how long is waited between two tries."""
REOPEN_TRIES, REOPEN_S = 10, 3.0
_SECRETS = re.compile(r"//.*@|\?.*")
"""Name and password of a URL, and its query, which may hold a token: never shown."""


class Live(FrameSource):
    """A camera or a stream from the network, at the times at which its frames arrive.

    A read that fails is tried again for a second: cameras miss a frame now and then, many of them the first ones.

    Parameters
    ----------
    capture : Capture
    name : str
    endless : bool
        Whether the end of the stream is an error (a camera was unplugged) or an end.
    clock : callable
        Gives monotonic seconds.
    wait : callable
        Waits for so many seconds.
    reopen : callable, optional
        Opens the source again once it is gone; raises `SourceError` if that fails.

    Raises
    ------
    SourceError
        When no frame comes.
    """

    def __init__(
        self,
        capture: Capture,
        *,
        name: str,
        endless: bool,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
        reopen: Callable[[], Capture] | None = None,
    ) -> None:
        self.name = name
        self.fps = plausible_fps(capture.get(opencv().CAP_PROP_FPS))
        self._ratio = pixel_ratio(capture, name)
        self._capture = capture
        self._endless = endless
        self._clock = clock
        self._wait = wait
        self._reopen = reopen
        self._start_s: float | None = None
        self._index = -1

    def __next__(self) -> SourceFrame:
        frame = self._read()
        if frame is None and self._reopen is not None:
            self._capture.release()
            self._capture = self._reopen()
            frame = self._read()
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
        picture = shrink(square(frame, self._ratio), MAX_PIXELS)
        scale = picture.shape[1] / frame.shape[1], picture.shape[0] / frame.shape[0]
        return SourceFrame(self._index, now_s - self._start_s, picture, self.name, scale)

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()

    def _read(self) -> npt.NDArray[np.uint8] | None:
        """Read a frame, waiting for one that is late; nothing if the source is gone."""
        began_s = None
        for tries in range(round(HICCUP_S / RETRY_S)):
            frame = read_frame(self._capture, self.name)
            if frame is not None:
                self.missed += tries
                return frame
            began_s = self._clock() if began_s is None else began_s
            if tries and self._clock() - began_s > HICCUP_S:
                break  # a driver that waits by itself
            self._wait(RETRY_S)
        return None


def open_camera(place: str, *, patient: bool = False) -> Live:
    """Open a camera by its number or its device path.

    Raises
    ------
    SourceError
        If none opens.
    """
    if place.isdigit() and int(place) > 999:
        raise SourceError(f"camera {place}: expected a camera's small number, got {place}; try 0")
    reopen = partial(_again, partial(_camera, place)) if patient else None
    return Live(_camera(place), name=f"camera {place}", endless=True, reopen=reopen)


def open_url(url: str, *, patient: bool = False) -> Capture | Live:
    """Open a stream from the network: a `Live`, or the capture of a recording, which has times of its own.

    Raises
    ------
    SourceError
        If nothing opens in time.
    """
    capture: Capture = _stream(url)
    if believable(capture) is not None:
        return capture
    reopen = partial(_again, partial(_stream, url)) if patient else None
    return Live(capture, name=shown_url(url), endless=patient, reopen=reopen)


def shown_url(url: str) -> str:
    """Leave out of a URL what must not be shown.

    Examples
    --------
    >>> shown_url("rtsp://user:p@ss/w@camera/1?token=x")
    'rtsp://camera/1'
    """
    return _SECRETS.sub(lambda found: "//" if found[0].startswith("//") else "", url)


def _camera(place: str) -> Any:
    cv2 = opencv()
    # Any other reader of a path would take a device for a file that never ends.
    capture = cv2.VideoCapture(int(place)) if place.isdigit() else cv2.VideoCapture(place, cv2.CAP_V4L2)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"camera {place}: expected a camera, got none that opens; "
            "check that it is connected, allowed for this program and not in use, or try another number"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame would carry a new time
    return capture


def _stream(url: str) -> Any:
    cv2 = opencv()
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"{shown_url(url)}: expected a video stream, got nothing that opens within {OPEN_TIMEOUT_MS / 1000:g} s; "
            "check the address and the network"
        )
    return capture


def _again(opened: Callable[[], Capture], *, wait: Callable[[float], None] = time.sleep) -> Capture:
    """Open a lost source again, a few times."""
    for _ in range(REOPEN_TRIES - 1):
        try:
            return opened()
        except SourceError:
            wait(REOPEN_S)
    return opened()
