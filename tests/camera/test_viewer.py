"""The window loop with a window that nobody sees."""

import sys

import numpy as np
import pytest

from ratta.camera.sources import FrameSource, SourceFrame
from ratta.camera.viewer import OpenCvWindow, watch
from ratta.errors import MissingExtraError, SourceError


class Played(FrameSource):
    """Frames ten times a second."""

    name = "played"

    def __init__(self, frames):
        self._frames = iter(enumerate(frames))

    def __next__(self):
        index, frame = next(self._frames)
        return SourceFrame(index, index / 10, frame, self.name)


class Broken(Played):
    """A camera without a frame."""

    def __next__(self):
        raise SourceError("unplugged")


class ScriptedWindow:
    """Presses the keys it is given and remembers what it showed."""

    def __init__(self, keys="", closed_after=10**9):
        self._keys = list(keys)
        self._closed_after = closed_after
        self.shown = []
        self.closed = False

    def show(self, picture_bgr):
        self.shown.append(picture_bgr)

    def key(self):
        key = self._keys.pop(0) if self._keys else ""
        return ord(key) if key.strip() else -1

    @property
    def is_open(self):
        return len(self.shown) < self._closed_after

    def close(self):
        self.closed = True


def test_every_frame_is_shown_until_q(engine, frames):
    """The window is closed afterwards."""
    window = ScriptedWindow("  q")
    decision = watch(engine, Played(frames("live", 9)), window)
    assert (len(window.shown), window.closed, decision.scored_frames) == (3, True, 3)
    assert not np.array_equal(window.shown[0], frames("live", 1)[0])


def test_closing_the_window_ends_the_watch(engine, frames):
    """As `q` does."""
    window = ScriptedWindow(closed_after=2)
    watch(engine, Played(frames("live", 9)), window)
    assert len(window.shown) == 2


def test_r_starts_over(engine, frames):
    """The frames before are forgotten."""
    decision = watch(engine, Played(frames("live", 9)), ScriptedWindow("     r"))
    assert decision.scored_frames == 3


def test_an_ended_source_ends_the_watch(engine, frames):
    """Without a frame there is no decision; the window is closed also after an error."""
    assert watch(engine, Played([]), ScriptedWindow()) is None
    window = ScriptedWindow()
    with pytest.raises(SourceError):
        watch(engine, Broken([]), window)
    assert window.closed


def test_no_window_is_an_error_that_says_what_to_do(monkeypatch):
    """Without a display, and with an OpenCV that was built without windows."""
    import cv2

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SourceError, match=r"expected a display, .*ratta run --camera 0 --output seen\.mp4"):
        OpenCvWindow("w")

    def headless(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", headless)
    with pytest.raises(MissingExtraError, match="pip uninstall opencv-python-headless && pip install opencv-python"):
        OpenCvWindow("w")
