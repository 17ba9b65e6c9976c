"""Annotated frames to a picture, a folder of pictures or a video; what is written so far is always whole."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ratta.camera.opencv import opencv
from ratta.camera.picture import PICTURE_SUFFIXES
from ratta.errors import InputError, SourceError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy.typing as npt

    from ratta.camera.sources import FrameSource, SourceFrame

VIDEO_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
DEFAULT_FPS = 25.0
MAX_REPEATS = 250


class Recorder(ABC):
    """Takes annotated frames; use it in a `with` statement."""

    @abstractmethod
    def write(self, frame: SourceFrame, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Write the picture that was drawn of a frame.

        Raises
        ------
        SourceError
            If it cannot be written.
        """

    def close(self) -> None:  # noqa: B027  (only a video has an end)
        """Finish the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PictureRecorder(Recorder):
    """One picture file, or one for each frame in a folder under the frame's own name."""

    def __init__(self, path: Path, *, folder: bool) -> None:
        self._path = path
        self._folder = folder

    def write(self, frame: SourceFrame, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Write one picture."""
        path = self._path / frame.name if self._folder else self._path
        write_file(path, encode_picture(picture_bgr, path.suffix.lower()))


class VideoRecorder(Recorder):
    """A video of constant rate in which every frame stands at its own time.

    A frame is repeated, or left out, so that a camera whose rate wavers still plays at its true speed.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._writer: Any = None
        self._size = (0, 0)
        self._written = 0

    def write(self, frame: SourceFrame, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Write one frame; a frame of another size than the first is brought to it."""
        if self._writer is None:
            self._open(picture_bgr)
        due = math.floor(frame.t_seconds * self._fps + 0.5) + 1
        picture = picture_bgr
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = opencv().resize(picture, self._size, interpolation=opencv().INTER_AREA)
        for _ in range(min(due - self._written, MAX_REPEATS)):
            self._writer.write(picture)
        self._written = max(self._written, due)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def _open(self, picture_bgr: npt.NDArray[np.uint8]) -> None:
        cv2 = opencv()
        _make_folder(self._path.parent)
        self._size = (picture_bgr.shape[1], picture_bgr.shape[0])
        codec = cv2.VideoWriter_fourcc(*VIDEO_CODECS[self._path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, self._size)
        if not self._writer.isOpened():
            raise SourceError(
                f"{self._path}: expected a video that can be written, got a refusal of OpenCV's encoder; "
                "check the folder's rights, or try .avi"
            )


def open_recorder(output: str | Path, source: FrameSource) -> Recorder:
    """Open an output that fits its source.

    Parameters
    ----------
    output : path
        A picture for one picture, a folder for a folder of pictures, a video (.mp4, .avi, .webm) for a stream.
    source : FrameSource

    Raises
    ------
    InputError
        If it does not fit, or is the source itself.
    """
    path = Path(output)
    suffix = path.suffix.lower()
    if path.resolve() == Path(source.name).resolve():
        raise InputError(f"output: expected another place than the source, got {str(path)!r}; it would be overwritten")
    if not source.independent:
        if suffix not in VIDEO_CODECS:
            raise InputError(
                f"output: expected a video ({', '.join(VIDEO_CODECS)}) for {source.name}, got {str(path)!r}"
            )
        return VideoRecorder(path, fps=source.fps or DEFAULT_FPS)
    if source.count == 1 and suffix in PICTURE_SUFFIXES:
        return PictureRecorder(path, folder=False)
    if suffix or path.is_file():
        kind = "a picture (.jpg, .png)" if source.count == 1 else "a folder"
        raise InputError(f"output: expected {kind} for {source.name}, got {str(path)!r}")
    return PictureRecorder(path, folder=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a file, making its folder.

    Raises
    ------
    SourceError
        If it cannot be written.
    """
    _make_folder(path.parent)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise SourceError(f"{path}: expected a writable file, got: {error.strerror or error}") from error


def encode_picture(picture_bgr: npt.NDArray[np.uint8], suffix: str, *, quality: int = 90) -> bytes:
    """Encode a picture in the format of a file suffix such as `.jpg`; `quality` is JPEG's."""
    cv2 = opencv()
    _, data = cv2.imencode(suffix, picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [])
    return bytes(np.asarray(data, np.uint8))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError(f"{folder}: expected a folder that can be made, got: {error.strerror or error}") from error
