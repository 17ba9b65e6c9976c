"""Decoding: a presentation -> its frames.

A file that cannot be read does not end a run over hundreds of thousands: it is skipped, named and counted, unless the
caller is strict.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.data import tree
from ratta.data.boxes import read_boxes, scaled
from ratta.errors import InputError, SourceError
from ratta.files import printable
from ratta.media.opencv import opencv
from ratta.media.picture import read_scaled
from ratta.media.video import open_video
from ratta.records import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from ratta.data.presentation import Presentation
    from ratta.media.video import VideoReader
    from ratta.records import Box

    Found = tuple[int, float, npt.NDArray[np.uint8], tuple[float, float]]

PICTURE_INTERVAL_S = 1.0
"""Pictures carry no clock; they are taken to be a second apart."""
MAX_PIXELS = 16_000_000
"""Larger pictures are scaled down, and their boxes with them."""


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


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be read.

    Attributes
    ----------
    path : Path
    reason : str
    index : int
        Position in the video, or among the pictures, from which on it is missing.
    t : float
        Its time in seconds since the first frame; `nan` where nothing says it.
    """

    path: Path
    reason: str
    index: int
    t: float


def read_frames(
    presentation: Presentation,
    *,
    limit: int | None = None,
    strict: bool = False,
    on_skip: Callable[[Skipped], None] | None = None,
) -> Iterator[FrameRecord]:
    """Decode a presentation.

    Parameters
    ----------
    presentation : Presentation
        One video, or pictures.
    limit : int, optional
        At most so many frames, evenly spread over the presentation; all of them by default.
    strict : bool
        Raise at the first file that cannot be read, instead of going on.
    on_skip : callable, optional
        Told of what was skipped; by default it is logged as a warning.

    Raises
    ------
    SourceError
        If nothing can be read; if strict, at the first file that cannot.
    MissingExtraError
        Without OpenCV.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit: expected at least 1 frame, got {limit}")
    opencv()
    boxes = list(presentation.boxes)
    if presentation.box_file is not None:
        boxes = read_boxes(presentation.box_file, presentation.box_format)
    is_video = presentation.paths[0].suffix.lower() in tree.VIDEOS
    skip = _raise if strict else on_skip or _log
    frames = _video(presentation.paths[0], limit, skip) if is_video else _pictures(presentation.paths, limit, skip)
    for index, t, pixels, scale in frames:
        box = boxes[index] if index < len(boxes) else None
        height, width = pixels.shape[:2]
        yield FrameRecord(pixels, index, t, scaled(box, presentation.box_format, height, width, scale))


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


def _pictures(paths: tuple[Path, ...], limit: int | None, skip: Callable[[Skipped], None]) -> Iterator[Found]:
    unread = []
    chosen = spread(len(paths), limit)
    for index in chosen:
        t = index * PICTURE_INTERVAL_S
        try:
            pixels, scale = read_scaled(paths[index], max_pixels=MAX_PIXELS)
        except SourceError as error:
            unread.append(error)
            if len(unread) == len(chosen):
                raise
            skip(Skipped(paths[index], str(error), index, t))
            continue
        yield index, t, pixels, (scale, scale)


def _video(path: Path, limit: int | None, skip: Callable[[Skipped], None]) -> Iterator[Found]:
    if limit is None:
        yield from _played(path, skip)
        return
    reader = open_video(path)
    count = reader.count
    reader.close()
    if count is None:
        count = sum(1 for _ in _played(path, _silent))
    found, seen = _chosen(path, count, limit, skip)
    if seen != count:  # the container said wrong, and what was chosen does not reach to the end, or beyond it
        found, _ = _chosen(path, seen, limit, _silent)
    yield from found


def _chosen(path: Path, count: int, limit: int, skip: Callable[[Skipped], None]) -> tuple[list[Found], int]:
    """Give the frames that are spread over `count`, and how many there are."""
    wanted, found, seen = set(spread(count, limit)), [], 0
    for frame in _played(path, skip):
        seen = frame[0] + 1
        if frame[0] in wanted:
            found.append(frame)
    return found, seen


def _played(path: Path, skip: Callable[[Skipped], None]) -> Iterator[Found]:
    """Play a video to its end; where it breaks off, what came before stands."""
    reader = open_video(path)
    index, t = -1, 0.0
    try:
        for frame in reader:
            _check_changes(reader)
            index, t = frame.index, frame.t_seconds
            yield index, t, frame.frame_bgr, frame.scale
    except SourceError as error:
        if index < 0:
            raise
        skip(Skipped(path, str(error), index + 1, t))
    finally:
        reader.close()
    if reader.missed:
        skip(Skipped(path, f"{path}: {reader.missed} of {index + 1} frames do not decode", index + 1, t))


def _check_changes(reader: VideoReader) -> None:
    """Refuse a video that stands still: where a decoder fails, all frames are the same memory."""
    if reader.unchanging:
        raise SourceError(
            f"{reader.name}: expected a video, got frames that are equal to the last bit; "
            "a still, or a video that does not decode here, such as an interlaced one"
        )


def _raise(skipped: Skipped) -> None:
    raise SourceError(skipped.reason)


def _log(skipped: Skipped) -> None:
    logging.getLogger("ratta.data").warning("skipped: %s", printable(skipped.reason))


def _silent(_: Skipped) -> None:
    """Say nothing: it is said when the video is played again."""
