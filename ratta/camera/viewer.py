"""A window that shows a camera: every frame with its verdict, until `q`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol

from ratta.camera.annotate import annotate
from ratta.errors import MissingExtraError, SourceError
from ratta.media.opencv import opencv

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.camera.sources import FrameSource
    from ratta.engine import Engine
    from ratta.records import Decision

QUIT_KEYS = frozenset({ord("q"), ord("Q"), 27})
RESET_KEYS = frozenset({ord("r"), ord("R")})


class Window(Protocol):
    """Shows pictures and reads keys."""

    def show(self, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Show a picture."""

    def key(self) -> int:
        """Give the code of the key that was pressed since the last call, or -1."""

    @property
    def is_open(self) -> bool:
        """Whether the user has not closed it."""

    def close(self) -> None:
        """Close the window."""


class OpenCvWindow:
    """A window of OpenCV's.

    Raises
    ------
    MissingExtraError
        If the installed OpenCV was built without windows.
    SourceError
        If there is no display.
    """

    def __init__(self, title: str) -> None:
        cv2 = opencv()
        # Qt ends the whole process when it finds no display, so this is asked before it is.
        if sys.platform.startswith("linux") and not ({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
            raise SourceError(
                "window: expected a display, got neither DISPLAY nor WAYLAND_DISPLAY; run it on a desktop, "
                "or write what the camera sees to a file: ratta run --camera 0 --output seen.mp4"
            )
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise MissingExtraError(
                "window: expected an OpenCV with windows, got a headless one; "
                "pip uninstall opencv-python-headless && pip install opencv-python"
            ) from error

    def show(self, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Show a picture."""
        opencv().imshow(self._title, picture_bgr)

    def key(self) -> int:
        """Give the code of the key that was pressed since the last call, or -1."""
        code = int(opencv().waitKey(1))
        return code if code < 0 else code & 0xFF

    @property
    def is_open(self) -> bool:
        """Whether the user has not closed it."""
        cv2 = opencv()
        return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)

    def close(self) -> None:
        """Close the window."""
        opencv().destroyAllWindows()


def watch(engine: Engine, source: FrameSource, window: Window) -> Decision | None:
    """Answer a source frame by frame in a window; `q` quits, `r` forgets what was seen.

    Returns
    -------
    Decision or None
        The last one; nothing if there was no frame.
    """
    decision = None
    thresholds = (engine.policy.spoof_threshold, engine.policy.live_threshold)
    try:
        for frame in source:
            decision = engine.step(frame.frame_bgr, t=frame.t_seconds)
            picture = annotate(
                frame.frame_bgr,
                verdict=decision.verdict,
                reason=decision.reason.value,
                score=decision.session_score,
                box=decision.box,
                thresholds=thresholds,
            )
            window.show(picture)
            key = window.key()
            if key in QUIT_KEYS or not window.is_open:
                break
            if key in RESET_KEYS:
                engine.reset()
    finally:
        window.close()
    return decision
