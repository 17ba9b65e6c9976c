"""A light tracker: finds the face of the last detection again at a fraction of a detection's cost, or detects anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratta.errors import InputError
from ratta.perception.face import FaceDetector
from ratta.records import Box, Face

_CELLS = 22
"""Cells along the longer side of the face in the template."""

_REACH = 3
"""Cells that a face may move between two frames: about an eighth of its size."""

_MAX_LIGHT_CHANGE = 20.0
"""Change of the mean grey level of the face beyond which the scene is another."""


class FaceTracker:
    """Follows one face from frame to frame, and detects again at short intervals.

    Between detections the face is found again by normalised cross-correlation of a coarse grey template, taken at the
    last detection and never updated, so that it cannot drift onto something else. The detector runs when there is
    nothing to follow, every `redetect_s` seconds, and in the same frame when the match is poor, moves to the edge of
    the search, or the light changes: another face, a sheet of paper or a screen put in front costs one detection and
    is never followed.

    Parameters
    ----------
    detector : FaceDetector
    redetect_s : float
        Longest time in seconds without a detection; 0 detects in every frame.
    min_match : float
        Correlation with the template below which the detector runs, in [0, 1].
    smoothing : float
        Weight of the followed box against a newly detected one that agrees with it, in [0, 1); steadies the crop.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> class Still:
    ...     def detect(self, frame, *, color="bgr"):
    ...         return (Face(Box(200, 100, 360, 260), 0.9),)
    >>> frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    >>> tracker = FaceTracker(detector=Still())
    >>> for t in (0.0, 0.1, 0.2):
    ...     faces = tracker.update(frame, t=t)
    ...     print(tracker.detected, *(round(v) for v in faces[0].box.center))
    True 280 180
    False 280 180
    False 280 180
    """

    def __init__(
        self, *, detector: FaceDetector, redetect_s: float = 0.5, min_match: float = 0.9, smoothing: float = 0.5
    ) -> None:
        if not redetect_s >= 0:
            raise InputError(f"redetect_s: expected seconds of at least 0, got {redetect_s!r}")
        if not 0 <= min_match <= 1:
            raise InputError(f"min_match: expected a number in [0, 1], got {min_match!r}")
        if not 0 <= smoothing < 1:
            raise InputError(f"smoothing: expected a number in [0, 1), got {smoothing!r}")
        self.detector = detector
        self.redetect_s = redetect_s
        self.min_match = min_match
        self.smoothing = smoothing
        self.reset()

    @property
    def detected(self) -> bool:
        """Whether the last update ran the detector."""
        return self._detected

    def reset(self) -> None:
        """Forget the face; the next update detects."""
        self._detected = False
        self._detected_t = float("nan")
        self._faces: tuple[Face, ...] = ()
        self._template: _Template | None = None

    def update(self, frame: npt.NDArray[np.uint8], *, t: float, color: str = "bgr") -> tuple[Face, ...]:
        """Return the faces of an (H, W, 3) uint8 frame at time `t` in seconds, largest first.

        Only the first is followed between detections; the others stay where they were detected.
        """
        moved = self._follow(frame) if 0 <= t - self._detected_t < self.redetect_s else None
        self._detected = moved is None
        if moved is None:
            self._detect(frame, t=t, color=color)
        else:
            self._faces = (moved, *self._faces[1:])
        return self._faces

    def _follow(self, frame: npt.NDArray[np.uint8]) -> Face | None:
        if self._template is None or self._template.frame_shape != frame.shape:
            return None
        shift = self._template.find(frame, min_match=self.min_match)
        return None if shift is None else _moved(self._faces[0], *shift)

    def _detect(self, frame: npt.NDArray[np.uint8], *, t: float, color: str) -> None:
        expected = (self._follow(frame) or self._faces[0]) if self._faces else None
        faces = self.detector.detect(frame, color=color)
        if faces and expected is not None and expected.box.iou(faces[0].box) > 0.7:
            faces = (_blended(faces[0], expected.box, self.smoothing), *faces[1:])
        self._faces = faces
        self._detected_t = t
        self._template = _Template.take(frame, faces[0].box) if faces else None


@dataclass(slots=True, eq=False)
class _Template:
    """A coarse grey picture of a face and where it was last seen.

    Attributes
    ----------
    pattern : (rows * columns,) float32
        Zero mean, unit length.
    mean : float
        Grey level.
    rows, columns : int
        Cells.
    half : int
        Half the side of a cell in pixels; a cell is the mean of 2x2 samples so far apart.
    top, left : float
        Upper left corner in pixels.
    """

    pattern: npt.NDArray[np.float32]
    mean: float
    rows: int
    columns: int
    half: int
    top: float
    left: float
    frame_shape: tuple[int, ...]

    @classmethod
    def take(cls, frame: npt.NDArray[np.uint8], box: Box) -> _Template | None:
        """Return the template of a box, or None where there is too little inside the frame to recognise."""
        height, width = frame.shape[:2]
        left, top = max(0, round(box.x_min)), max(0, round(box.y_min))
        half = max(1, round(max(box.width, box.height) / _CELLS / 2))
        rows = (min(height, round(box.y_max)) - top) // (2 * half)
        columns = (min(width, round(box.x_max)) - left) // (2 * half)
        if min(rows, columns) < _CELLS // 4:
            return None
        cells = _cells(frame, top=top, left=left, rows=rows, columns=columns, half=half)
        mean = float(cells.mean())
        pattern = (cells - mean).ravel()
        length = float(np.linalg.norm(pattern))
        if length == 0:
            return None
        return cls(pattern / length, mean, rows, columns, half, top, left, frame.shape)

    def find(self, frame: npt.NDArray[np.uint8], *, min_match: float) -> tuple[float, float] | None:
        """Return how far (x, y) in pixels the face has moved, and remember it, or None where it is not sure."""
        side = 2 * self.half
        # Whole steps back and forth from the last place, as many as the frame has room for.
        up, down = _room(self.top, self.rows * side, frame.shape[0], side)
        back, forth = _room(self.left, self.columns * side, frame.shape[1], side)
        top, left = round(self.top) - up * side, round(self.left) - back * side
        rows, columns = self.rows + up + down, self.columns + back + forth
        cells = _cells(frame, top=top, left=left, rows=rows, columns=columns, half=self.half)
        match, means = self._correlate(cells)
        y, x = divmod(int(match.argmax()), match.shape[1])
        lost = match[y, x] < min_match or abs(means[y, x] - self.mean) > _MAX_LIGHT_CHANGE
        at_edge = y in (up - _REACH, up + _REACH) or x in (back - _REACH, back + _REACH)
        if lost or at_edge:
            return None
        new_top = top + side * (y + _peak(match[:, x], y))
        new_left = left + side * (x + _peak(match[y], x))
        shift = new_left - self.left, new_top - self.top
        self.left, self.top = new_left, new_top
        return shift

    def _correlate(self, cells: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the normalised cross-correlation at every place in `cells`, and the mean grey level there."""
        windows = np.lib.stride_tricks.sliding_window_view(cells, (self.rows, self.columns))
        places = windows.shape[:2]
        flat = windows.reshape(-1, self.pattern.size)
        means = flat.mean(axis=1)
        spread = np.einsum("ij,ij->i", flat, flat) - self.pattern.size * means**2
        match = (flat @ self.pattern) / np.sqrt(np.maximum(spread, 1e-6))
        return match.reshape(places), means.reshape(places)


def _room(start: float, extent: int, limit: int, side: int) -> tuple[int, int]:
    """Whole steps of `side` pixels before and after `[start, start + extent)` within `[0, limit)`, `_REACH` at most."""
    first = round(start)
    return min(_REACH, first // side), min(_REACH, (limit - first - extent) // side)


def _cells(
    frame: npt.NDArray[np.uint8], *, top: int, left: int, rows: int, columns: int, half: int
) -> npt.NDArray[np.float32]:
    """Green channel of a part of a frame in cells of `2 * half` pixels, (rows, columns) float32."""
    side = 2 * half
    green = frame[top : top + rows * side : half, left : left + columns * side : half, 1].astype(np.float32)
    down = green[::2] + green[1::2]
    return np.asarray((down[:, ::2] + down[:, 1::2]) / 4, np.float32)


def _peak(line: npt.NDArray[np.float32], at: int) -> float:
    """Offset in (-1/2, 1/2) of the vertex of the parabola through a maximum and its neighbours; 0 at a border."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = (float(v) for v in line[at - 1 : at + 2])
    bend = before - 2 * here + after
    return (before - after) / (2 * bend) if bend < 0 else 0.0


def _moved(face: Face, x: float, y: float) -> Face:
    box = face.box
    return Face(
        Box(box.x_min + x, box.y_min + y, box.x_max + x, box.y_max + y),
        face.score,
        tuple((px + x, py + y) for px, py in face.keypoints),
    )


def _blended(face: Face, old: Box, weight: float) -> Face:
    new = face.box
    mixed = (
        weight * before + (1 - weight) * now
        for before, now in (
            (old.x_min, new.x_min),
            (old.y_min, new.y_min),
            (old.x_max, new.x_max),
            (old.y_max, new.y_max),
        )
    )
    return Face(Box(*mixed), face.score, face.keypoints)
