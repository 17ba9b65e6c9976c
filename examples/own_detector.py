"""A face detector of your own: the shipped one on overlapping tiles, which finds small faces in large frames.

    python examples/own_detector.py group.jpg

The shipped detector looks at the whole frame scaled to 128 pixels and misses faces narrower than a tenth of it. Cut
into tiles, the same face fills more of what it sees. Any object with this `detect` can be given to `ratta.load`.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import ratta
from ratta.bundle import read_detector
from ratta.inference import OrtSession
from ratta.perception import BlazeFace
from ratta.records import Face

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from ratta.perception import FaceDetector


class TiledDetector:
    """Look for faces in the whole frame and, where there is none, in overlapping tiles.

    Parameters
    ----------
    detector : FaceDetector
        Looks at each tile.
    tiles : int
        Along the longer side; neighbours overlap by half.
    max_overlap : float
        Boxes with a greater intersection over union are one face.
    """

    def __init__(self, detector: FaceDetector, *, tiles: int = 5, max_overlap: float = 0.3) -> None:
        self.detector = detector
        self.tiles = tiles
        self.max_overlap = max_overlap

    def detect(self, frame: npt.NDArray[np.uint8], *, color: str = "bgr") -> tuple[Face, ...]:
        """Return the faces of an (H, W, 3) uint8 frame, largest first, in its pixels."""
        found = list(self.detector.detect(frame, color=color))
        for left, top, side in () if found else self._tiles(*frame.shape[:2]):
            tile = frame[top : top + side, left : left + side]
            found += [shifted(face, left, top) for face in self.detector.detect(tile, color=color)]
        found.sort(key=lambda face: -face.box.width * face.box.height)
        kept: list[Face] = []
        for face in found:
            if all(face.box.iou(other.box) <= self.max_overlap for other in kept):
                kept.append(face)
        return tuple(kept)

    def _tiles(self, height: int, width: int) -> Iterator[tuple[int, int, int]]:
        side = min(2 * max(height, width) // (self.tiles + 1), height, width)
        for top in places(height, side):
            for left in places(width, side):
                yield left, top, side


def places(length: int, side: int) -> list[int]:
    """Where tiles of a side begin so that they cover a length, overlapping by at least half."""
    count = max(1, -(-2 * (length - side) // side) + 1)
    return [round(i * (length - side) / max(1, count - 1)) for i in range(count)]


def shifted(face: Face, left: int, top: int) -> Face:
    """Express a face of a tile in the frame's pixels."""
    box = face.box
    return Face(
        ratta.Box(box.x_min + left, box.y_min + top, box.x_max + left, box.y_max + top),
        face.score,
        tuple((x + left, y + top) for x, y in face.keypoints),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one picture with the shipped detector and with tiles."""
    from ratta.camera import read_picture

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    picture = read_picture(parser.parse_args(argv).picture)
    shipped = BlazeFace(OrtSession(read_detector()))
    for name, detector in (("shipped", shipped), ("tiles", TiledDetector(shipped))):
        score = ratta.load(detector=detector).score(picture)
        print(
            f"{name:<8} {len(detector.detect(picture))} faces; {score.reason or f'live score {score.live_score:.3f}'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
