"""Annotated frames to a picture, a folder of pictures or a video; each file appears when it is complete."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ratta.errors import InputError, OutputError
from ratta.media.opencv import opencv
from ratta.outputs import check_outputs, replace_file, replaced

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import numpy.typing as npt

    from ratta.camera.sources import FrameSource, SourceFrame

WRITABLE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
DEFAULT_FPS = 25.0
MAX_REPEATS = 250


class Recorder(ABC):
    """Takes annotated frames; use it in a `with` statement.

    Attributes
    ----------
    folder : Path or None
        That is filled, if it is one.
    files : tuple of Path
        Every file that may be written.
    """

    folder: Path | None = None
    files: tuple[Path, ...] = ()

    @abstractmethod
    def write(self, frame: SourceFrame, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Write the picture that was drawn of a frame.

        Raises
        ------
        OutputError
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
    """One picture file, or one for each frame in a folder under the frame's own name.

    Parameters
    ----------
    path : Path
    folder : bool
        Whether it is one.
    names : sequence of str
        Of the frames that will come into the folder.
    """

    def __init__(self, path: Path, *, folder: bool, names: Sequence[str] = ()) -> None:
        self._path = path
        self.folder = path if folder else None
        self.files = tuple(path / copy_name(name) for name in names) if folder else (path,)

    def write(self, frame: SourceFrame, picture_bgr: npt.NDArray[np.uint8]) -> None:
        """Write one picture."""
        path = self._path if self.folder is None else self._path / copy_name(frame.name)
        replace_file(path, encode_picture(picture_bgr, path.suffix.lower()))


def copy_name(name: str) -> str:
    """Name the copy of a picture as the picture, unless it is of a kind that cannot be written.

    Examples
    --------
    >>> copy_name("a.jpg"), copy_name("b.jfif")
    ('a.jpg', 'b.jfif.png')
    """
    return name if Path(name).suffix.lower() in WRITABLE_SUFFIXES else f"{name}.png"


class VideoRecorder(Recorder):
    """A video of constant rate in which every frame has its own time.

    A frame is repeated, or left out, so that a camera whose rate wavers still plays at its true speed.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self._path = path
        self.files = (path,)
        self._fps = fps
        self._writer: Any = None
        self._place = ExitStack()
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
        """Finish the file and move it to its place."""
        if self._writer is None:
            return
        with self._place:
            self._writer.release()
            self._writer = None
            _check_video(self._part, self._path)

    def _open(self, picture_bgr: npt.NDArray[np.uint8]) -> None:
        cv2 = opencv()
        suffix = self._path.suffix.lower()
        self._part = self._place.enter_context(replaced(self._path, suffix=suffix))
        self._size = (picture_bgr.shape[1], picture_bgr.shape[0])
        writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter_fourcc(*VIDEO_CODECS[suffix]), self._fps, self._size)
        if not writer.isOpened():
            error = OutputError(
                f"{self._path}: expected a video that can be written, got a refusal of OpenCV's encoder; "
                "check the folder's rights, or try .avi"
            )
            self._place.__exit__(type(error), error, None)
            raise error
        self._writer = writer


def _check_video(part: Path, path: Path) -> None:
    """Make sure that what was encoded arrived: an encoder is silent about a full disk."""
    capture = opencv().VideoCapture(str(part))
    found = capture.isOpened() and capture.read()[0]
    capture.release()
    if not found:
        raise OutputError(f"{path}: expected a video that was written, got one that cannot be read; is the disk full?")


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
        If it does not fit, or anything that is read would be overwritten.
    OutputError
        If it cannot be written.
    """
    recorder = _recorder(Path(output), source)
    folders = () if recorder.folder is None else (("output", recorder.folder),)
    check_outputs((("output", path) for path in recorder.files), folders=folders, inputs=(source.name, *source.files))
    return recorder


def _recorder(path: Path, source: FrameSource) -> Recorder:
    suffix = path.suffix.lower()
    if not source.independent:
        if suffix not in VIDEO_CODECS:
            raise InputError(
                f"output: expected a video ({', '.join(VIDEO_CODECS)}) for {source.name}, got {str(path)!r}"
            )
        return VideoRecorder(path, fps=source.fps or DEFAULT_FPS)
    if source.count == 1 and suffix in WRITABLE_SUFFIXES:
        return PictureRecorder(path, folder=False)
    if suffix or path.is_file():
        kind = "a picture (.jpg, .png)" if source.count == 1 else "a folder"
        raise InputError(f"output: expected {kind} for {source.name}, got {str(path)!r}")
    return PictureRecorder(path, folder=True, names=[file.name for file in source.files])


def encode_picture(picture_bgr: npt.NDArray[np.uint8], suffix: str, *, quality: int = 90) -> bytes:
    """Encode a picture in the format of a file suffix such as `.jpg`; `quality` is JPEG's."""
    cv2 = opencv()
    _, data = cv2.imencode(
        suffix, picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in (".jpg", ".jpeg") else []
    )
    return bytes(np.asarray(data, np.uint8))
