"""Decoding: a presentation -> its frames."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ratta.data import tree
from ratta.data.boxes import read_boxes, scaled
from ratta.errors import InputError, MissingExtraError, SourceError
from ratta.records import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from ratta.data.presentation import Presentation
    from ratta.records import Box

PICTURE_INTERVAL_S = 1.0
"""Pictures carry no clock; they are taken to be a second apart."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameRecord:
    """One frame of a presentation.

    Attributes
    ----------
    pixels : (H, W, 3) uint8
        BGR, as OpenCV decodes it.
    index : int
        Position in the video, or among the pictures.
    t : float
        Seconds since the first frame.
    box : Box or None
        The corpus's own face box in pixels of this frame.
    """

    pixels: npt.NDArray[np.uint8]
    index: int
    t: float
    box: Box | None

    def __repr__(self) -> str:
        return short_repr(self)


def read_frames(presentation: Presentation, *, limit: int | None = None) -> Iterator[FrameRecord]:
    """Decode a presentation.

    Parameters
    ----------
    presentation : Presentation
        One video, or pictures.
    limit : int, optional
        At most so many frames, evenly spread over the presentation; all of them by default.

    Raises
    ------
    SourceError
        If a file cannot be opened or holds no picture.
    MissingExtraError
        Without OpenCV.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit: expected at least 1 frame, got {limit}")
    boxes = list(presentation.boxes)
    if presentation.box_file is not None:
        boxes = read_boxes(presentation.box_file, presentation.box_format)
    is_video = presentation.paths[0].suffix.lower() in tree.VIDEOS
    frames = _video(presentation.paths[0], limit) if is_video else _pictures(presentation.paths, limit)
    for index, t, pixels in frames:
        box = boxes[index] if index < len(boxes) else None
        height, width = pixels.shape[:2]
        yield FrameRecord(pixels, index, t, scaled(box, presentation.box_format, height, width))


def spread(count: int, limit: int | None) -> list[int]:
    """Choose at most `limit` of `count` positions, evenly spread.

    Examples
    --------
    >>> spread(10, 4), spread(3, 8)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if limit is None or count <= limit:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, limit).round()]


def _pictures(paths: tuple[Path, ...], limit: int | None) -> Iterator[tuple[int, float, npt.NDArray[np.uint8]]]:
    cv2 = _opencv()
    for index in spread(len(paths), limit):
        pixels = cv2.imread(str(paths[index]), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SourceError(f"{paths[index]}: expected a picture that OpenCV decodes, got none; is the file whole?")
        yield index, index * PICTURE_INTERVAL_S, pixels


def _video(path: Path, limit: int | None) -> Iterator[tuple[int, float, npt.NDArray[np.uint8]]]:
    cv2 = _opencv()
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise SourceError(f"{path}: expected a video that OpenCV decodes, got none; is the file there and whole?")
        fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
        wanted = None if limit is None else set(spread(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), limit))
        index = 0
        while capture.grab():
            if wanted is None or index in wanted:
                found, pixels = capture.retrieve()
                if not found:
                    raise SourceError(f"{path}: frame {index}: expected a picture, got none; is the file whole?")
                yield index, index / fps, pixels
            index += 1
        if index == 0:
            raise SourceError(f"{path}: expected frames, got none; is the file whole?")
    finally:
        capture.release()


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("ratta.data needs OpenCV to decode: pip install 'ratta[tools]'") from error
    return cv2
