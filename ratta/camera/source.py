"""The interface of every source of frames: an iterator over frames with a time and a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from ratta.records import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

MAX_PIXELS = 16_000_000
"""Larger pictures and frames are scaled down: `ratta.QualityLimits.max_pixels` refuses them."""


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
    scale : (x, y)
        From positions in the file or the stream to positions in `frame_bgr`: large frames are scaled down, pixels that
        are not square made so.
    """

    index: int
    t_seconds: float
    frame_bgr: npt.NDArray[np.uint8]
    name: str
    scale: tuple[float, float] = (1.0, 1.0)

    def __repr__(self) -> str:
        return short_repr(self)


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
    missed : int
        Frames so far that were due and could not be read.
    files : tuple of Path
        What is read; nothing of a camera or a URL.
    left_out : dict of str to int
        Of a folder: how many entries of which kind are not answered, because they are no pictures.
    """

    name: str
    count: int | None = None
    fps: float | None = None
    independent: bool = False
    missed: int = 0
    files: tuple[Path, ...] = ()
    left_out: Mapping[str, int] = MappingProxyType({})

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
        """Release the file or device."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
