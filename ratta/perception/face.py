"""Face detection: BlazeFace decoded in NumPy, and the interface of every detector."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ratta.errors import InputError
from ratta.perception.crop import square_around, within
from ratta.perception.resize import resize
from ratta.records import Box, Face, logit

SIDE = 128
"""Side of BlazeFace's input in pixels; its coordinates count in these."""


_MOST_FACES = 8


class Graph(Protocol):
    """What runs the network; the sessions of `ratta.inference` do."""

    def run(self, feeds: dict[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float32], ...]:
        """Map `pixels`, (1, 128, 128, 3) uint8 RGB, to regressors (1, 896, 16) and raw scores (1, 896, 1)."""
        ...


class FaceDetector(Protocol):
    """A face detector, as perception uses it."""

    def detect(self, frame: npt.NDArray[np.uint8], *, color: str = "bgr") -> tuple[Face, ...]:
        """Return the faces of an (H, W, 3) uint8 frame, largest first, in its pixels; never changes anything."""
        ...


class BlazeFace:
    """Short-range BlazeFace: anchors, weighted non-maximum suppression, boxes and six keypoints in frame pixels.

    What it finds follows mediapipe's `FaceDetection(model_selection=0)`, except that the frame is averaged down where
    mediapipe samples it, so that a large frame does not alias.

    Parameters
    ----------
    graph : Graph
        Runs `models/blazeface-short-range/blazeface.onnx`.
    min_score : float
        Faces below are not reported, in (0, 1).
    sure_score : float
        `detect` reports a face whose score is lower only if a second look, from closer, reaches this; in (0, 1).
    max_overlap : float
        Candidates whose intersection over union with a surer one exceeds this are one face with it, in (0, 1].

    Raises
    ------
    InputError
        If a parameter is out of range.

    References
    ----------
    Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", arXiv:1907.05047.

    Examples
    --------
    >>> class Blind:
    ...     def run(self, feeds):
    ...         return np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -9, np.float32)
    >>> BlazeFace(Blind()).detect(np.zeros((480, 640, 3), np.uint8))
    ()
    """

    def __init__(
        self, graph: Graph, *, min_score: float = 0.5, sure_score: float = 0.775, max_overlap: float = 0.3
    ) -> None:
        for name, score in (("min_score", min_score), ("sure_score", sure_score)):
            if not 0 < score < 1:
                raise InputError(f"{name}: expected a number in (0, 1), got {score!r}")
        if not 0 < max_overlap <= 1:
            raise InputError(f"max_overlap: expected a number in (0, 1], got {max_overlap!r}")
        self.graph = graph
        self.min_score = min_score
        self.sure_score = sure_score
        self.max_overlap = max_overlap
        self._anchors = anchors()

    def detect(self, frame: npt.NDArray[np.uint8], *, color: str = "bgr") -> tuple[Face, ...]:
        """Return the faces of an (H, W, 3) uint8 frame, largest first, in its pixels; see `whole_face`.

        A box may reach beyond the frame: the network guesses the part of a face that is cut off.

        A pattern that happens to look like a face at one scale does not at another, and a small face is surer from
        closer; so a candidate that is not sure is looked at again in a square of twice its size.
        """
        faces = (whole_face(face) for face in self.find(frame, color=color)[:_MOST_FACES])
        return tuple(face for face in faces if face.score >= self.sure_score or self._closer(frame, face, color))

    def _closer(self, frame: npt.NDArray[np.uint8], face: Face, color: str) -> bool:
        height, width = frame.shape[:2]
        square = square_around(face.box, scale=2.0, height=height, width=width)
        view = frame[square.top : square.top + square.side, square.left : square.left + square.side]
        box = within(face.box, square, size=square.side)
        found = (whole_face(other) for other in self.find(view, color=color))
        return any(other.score >= self.sure_score and other.box.iou(box) > 0.3 for other in found)

    def find(self, frame: npt.NDArray[np.uint8], *, color: str = "bgr") -> tuple[Face, ...]:
        """Return the faces with the network's own boxes, about square from the brows to the chin."""
        height, width = frame.shape[:2]
        pixels, scale, offset = letterbox(frame, flip=color == "bgr")
        regressors, scores = self.graph.run({"pixels": pixels[np.newaxis]})
        points, sureness = self._decode(regressors[0], scores[0, :, 0])
        points = (points - offset) * (np.array([width, height]) / scale)
        faces = [_face(p, s) for p, s in _merge(points, sureness, self.max_overlap)]
        return tuple(sorted(faces, key=lambda face: -face.box.width * face.box.height))

    def _decode(
        self, regressors: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return candidates, surest first: (n, 8, 2) points (two corners, six keypoints) and scores (n,)."""
        chosen = np.flatnonzero(scores >= logit(self.min_score))
        sound = np.isfinite(regressors[chosen]).all(axis=1) & (regressors[chosen, 2:4] >= 1).all(axis=1)
        chosen = chosen[sound]
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        raw = regressors[chosen].astype(np.float64).reshape(-1, 8, 2)
        centers = self._anchors[chosen, np.newaxis]
        points = raw + centers
        points[:, 0] = raw[:, 0] + centers[:, 0] - raw[:, 1] / 2
        points[:, 1] = points[:, 0] + raw[:, 1]
        return points, 1 / (1 + np.exp(-np.clip(scores[chosen].astype(np.float64), -100, 100)))


def whole_face(face: Face) -> Face:
    """Redraw BlazeFace's box around the whole face, from hairline to chin, as most detectors and corpora do.

    A crop's scale counts in longer sides of that box. The three numbers are means over 81 portraits against YuNet's
    boxes of the same faces (standard deviations 0.03 of the height and 0.02 of the place).

    Examples
    --------
    >>> box = whole_face(Face(Box(100, 100, 200, 200), 0.9)).box
    >>> [round(edge) for edge in (box.x_min, box.y_min, box.x_max, box.y_max)]
    [105, 79, 195, 201]
    """
    side = (face.box.width + face.box.height) / 2
    height = side / 0.816
    width, (x, y) = 0.741 * height, face.box.center
    y -= 0.08 * height
    return Face(Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2), face.score, face.keypoints)


def letterbox(
    frame: npt.NDArray[np.uint8], *, flip: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit a frame into 128x128 with black bars, and return its place there.

    Parameters
    ----------
    frame : (H, W, 3) uint8
    flip : bool
        Whether to reverse the order of the channels.

    Returns
    -------
    pixels : (128, 128, 3) uint8
    size, offset : (2,) float64
        Width and height of the frame in `pixels`, and its upper left corner.
    """
    height, width = frame.shape[:2]
    ratio = max(height, width) / SIDE
    inner_width, inner_height = (max(1, round(side / ratio)) for side in (width, height))
    left, top = (SIDE - inner_width) // 2, (SIDE - inner_height) // 2
    # Leaving out rows keeps at least two for every one that is made: enough to find a face, and a third of the time.
    step = max(1, int(ratio / 2))
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[top : top + inner_height, left : left + inner_width] = resize(
        frame[::step], height=inner_height, width=inner_width, flip=flip
    )
    return pixels, np.array([inner_width, inner_height], np.float64), np.array([left, top], np.float64)


def anchors() -> npt.NDArray[np.float64]:
    """Return BlazeFace's anchor centers, (896, 2) float64 as (x, y) in input pixels.

    A 16x16 grid with 2 anchors a cell, then an 8x8 grid with 6 (mediapipe's `SsdAnchorsCalculator` with strides
    8, 16, 16, 16, fixed anchor size and one interpolated scale).

    Examples
    --------
    >>> anchors()[[0, 1, 2, 512, 895]].tolist()
    [[4.0, 4.0], [4.0, 4.0], [12.0, 4.0], [8.0, 8.0], [120.0, 120.0]]
    """
    return np.concatenate([_grid(stride=8, repeats=2), _grid(stride=16, repeats=6)])


def _grid(*, stride: int, repeats: int) -> npt.NDArray[np.float64]:
    line = (np.arange(SIDE // stride) + 0.5) * stride
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1, 2).repeat(repeats, axis=0)


def _merge(
    points: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], max_overlap: float
) -> list[tuple[npt.NDArray[np.float64], float]]:
    """Weighted non-maximum suppression: a face is the score-weighted mean of what overlaps its surest candidate."""
    faces = []
    while len(points):
        same = _iou(points[0], points) > max_overlap
        same[0] = True
        mean = np.average(points[same], axis=0, weights=scores[same])
        faces.append((mean, float(scores[0])))
        points, scores = points[~same], scores[~same]
    return faces


def _iou(one: npt.NDArray[np.float64], many: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of the box of `one`, (8, 2) points, with those of `many`, (n, 8, 2)."""
    overlap = np.minimum(one[1], many[:, 1]) - np.maximum(one[0], many[:, 0])
    shared = np.prod(np.maximum(overlap, 0), axis=1)
    area = np.prod(many[:, 1] - many[:, 0], axis=1)
    return np.asarray(shared / np.maximum(area + np.prod(one[1] - one[0]) - shared, 1e-9))


def _face(points: npt.NDArray[np.float64], score: float) -> Face:
    (x_min, y_min), (x_max, y_max), *keypoints = points.tolist()
    return Face(Box(x_min, y_min, x_max, y_max), score, tuple((x, y) for x, y in keypoints))
