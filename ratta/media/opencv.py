"""The one place that imports OpenCV to read and write, and only when something needs it."""

from __future__ import annotations

from typing import Any

from ratta.errors import MissingExtraError


def opencv() -> Any:
    """Import OpenCV.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(
            f"pictures and video need OpenCV: pip install 'ratta[camera]' (import cv2 says: {error})"
        ) from error
    return cv2
