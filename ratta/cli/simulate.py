"""Simulate what a phone sees of one portrait: a live face, a print or a screen.

The output's name says its form: a folder gets numbered frames, .mp4, .avi or .webm a video, .png or .jpg one sheet.
Without --image the portrait is the demo's. A wrong name of a camera or medium is answered with the list of names.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.camera import read_picture
from ratta.camera.recorder import (
    VIDEO_CODECS,
    WRITABLE_SUFFIXES,
    PictureRecorder,
    Recorder,
    VideoRecorder,
    encode_picture,
)
from ratta.camera.sources import SourceFrame
from ratta.cli.progress import Progress
from ratta.errors import InputError
from ratta.media.opencv import opencv
from ratta.networks import open_detector
from ratta.outputs import check_outputs, replace_file
from ratta.session import as_box

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ratta.records import Box

    Picture = npt.NDArray[np.uint8]

HELP = "simulate a live face, a print or a screen as a camera sees it"
FRAMES_PER_SECOND = 15.0
COLUMNS, TILE = 5, (320, 240)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta simulate`."""
    parser.add_argument("--image", metavar="FILE", help="a portrait; by default the demo's")
    parser.add_argument(
        "--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="its face, if not to be found"
    )
    parser.add_argument("--species", choices=("live", "print", "replay"), default="live", help="(%(default)s)")
    parser.add_argument("--camera", default="phone-2019", metavar="NAME", help="the simulated camera (%(default)s)")
    parser.add_argument("--medium", metavar="NAME", help="the simulated printer or display; drawn by default")
    parser.add_argument("--frames", type=int, default=45, metavar="N", help="at 15 a second (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same frames (%(default)s)")
    parser.add_argument("--output", required=True, metavar="PATH", help="a folder, a video or a picture")


def run(args: argparse.Namespace) -> int:
    """Write the simulated frames."""
    opencv()
    output = Path(args.output)
    names = [frame_name(args.species, index) for index in range(args.frames)]
    with open_output(output, names) as recorder, Progress(args.frames) as bar:
        check_outputs(
            [("--output", path) for path in recorder.files],
            folders=[] if recorder.folder is None else [("--output", recorder.folder)],
            inputs=[args.image] if args.image else [],
        )
        for frame in _frames(args):
            recorder.write(frame, frame.frame_bgr)
            bar.advance()
    print(f"{args.frames} frames, {args.species} before {args.camera}: {output}")
    return 0


def _frames(args: argparse.Namespace) -> Iterator[SourceFrame]:
    from ratta.camera.scenes import PORTRAIT
    from ratta.simulate import simulate_frames

    picture = read_picture(args.image or PORTRAIT)
    box = as_box(args.box) or find_face(picture)
    stream = simulate_frames(
        np.ascontiguousarray(picture[..., ::-1]),
        species=args.species,
        camera=args.camera,
        frames=args.frames,
        seed=args.seed,
        box=(box.x_min, box.y_min, box.x_max, box.y_max),
        medium=args.medium,
    )
    for index, (t_seconds, rgb) in enumerate(stream):
        yield SourceFrame(index, t_seconds, np.ascontiguousarray(rgb[..., ::-1]), frame_name(args.species, index))


def frame_name(species: str, index: int) -> str:
    """Name a frame."""
    return f"{species}-{index:04d}.png"


def find_face(picture_bgr: Picture) -> Box:
    """Find the largest face with the shipped detector.

    Raises
    ------
    InputError
        If there is none.
    """
    detector = open_detector()
    faces = detector.detect(picture_bgr)
    if not faces:
        raise InputError("image: expected a portrait, got a picture in which no face was found; pass --box X0 Y0 X1 Y1")
    return max(faces, key=lambda face: face.box.width * face.box.height).box


def open_output(output: Path, names: Sequence[str]) -> Recorder:
    """Open a video, a folder for frames of these names, or a sheet, by the output's name.

    Raises
    ------
    InputError
        If it is none of these.
    """
    suffix = output.suffix.lower()
    if suffix in VIDEO_CODECS:
        return VideoRecorder(output, fps=FRAMES_PER_SECOND)
    if suffix in WRITABLE_SUFFIXES:
        return SheetRecorder(output)
    if suffix or output.is_file():
        raise InputError(f"output: expected a folder, a video (.mp4) or a picture (.png), got {str(output)!r}")
    return PictureRecorder(output, folder=True, names=names)


class SheetRecorder(Recorder):
    """All frames side by side in one picture, which is written at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files = (path,)
        self._tiles: list[Picture] = []

    def write(self, frame: SourceFrame, picture_bgr: Picture) -> None:
        """Add one frame."""
        del frame
        self._tiles.append(opencv().resize(picture_bgr, TILE, interpolation=opencv().INTER_AREA))

    def close(self) -> None:
        """Write the sheet."""
        if not self._tiles:
            return
        rows = math.ceil(len(self._tiles) / COLUMNS)
        blank = np.full_like(self._tiles[0], 255)
        tiles = self._tiles + [blank] * (rows * COLUMNS - len(self._tiles))
        sheet = np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])
        replace_file(self._path, encode_picture(sheet, self._path.suffix.lower()))
