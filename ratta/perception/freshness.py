"""Has this very picture of the face been seen before? A sensor's noise never repeats; a frozen source does."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ratta.records import Box

_SAMPLES = 32
"""Pixels along a side of the place that is compared, at most."""

_PLACES = 8
_PICTURES = 256


class _Place(NamedTuple):
    """A rectangle of a frame and the distance of the pixels that are compared in it."""

    top: int
    bottom: int
    left: int
    right: int
    step: int

    def inside(self, box: Box) -> bool:
        return box.x_min <= self.left and box.y_min <= self.top and self.right <= box.x_max and self.bottom <= box.y_max


class Freshness:
    """Distinguishes a new picture of a face from one that was seen within the last few seconds.

    What is compared is the middle of the face, pixel by pixel, at one place of the frame for as long as the face covers
    it; so a clock drawn beside the face, or a box that jitters, does not make an old picture new. Equal means equal to
    the last bit, in every sample: what it cannot see is a source that changes its pixels (noise added, another
    compression, a shift), a repetition after more than `memory_s`, and a clock drawn over the face.

    Parameters
    ----------
    memory_s : float
        How many seconds a picture is remembered after it was last there.

    Examples
    --------
    >>> freshness, box = Freshness(), Box(100, 100, 200, 200)
    >>> frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    >>> [freshness.update(picture, box, t=0.1) for picture in (frame, frame, frame + 1, frame)]
    [True, False, True, False]
    """

    def __init__(self, *, memory_s: float = 3.0) -> None:
        self.memory_s = memory_s
        self.reset()

    def reset(self) -> None:
        """Forget every picture."""
        self._places: list[_Place] = []
        self._seen: OrderedDict[tuple[_Place, bytes], float] = OrderedDict()

    def update(self, frame: npt.NDArray[np.uint8], box: Box, *, t: float) -> bool:
        """Say whether the face in an (H, W, 3) uint8 frame is a new picture at time `t` in seconds; remember it."""
        while self._seen and next(iter(self._seen.values())) < t - self.memory_s:
            self._seen.popitem(last=False)
        place = self._place(frame, box)
        pixels = frame[place.top : place.bottom : place.step, place.left : place.right : place.step].tobytes()
        key = place, pixels
        fresh = self._seen.pop(key, None) is None or not pixels  # a box outside the frame shows nothing
        self._seen[key] = t
        if len(self._seen) > _PICTURES:
            self._seen.popitem(last=False)
        return fresh

    def _place(self, frame: npt.NDArray[np.uint8], box: Box) -> _Place:
        height, width = frame.shape[:2]
        for place in self._places:
            if place.inside(box) and place.bottom <= height and place.right <= width:
                return place
        (x, y), half_x, half_y = box.center, box.width / 4, box.height / 4
        left, right = max(0, int(x - half_x)), min(width, int(x + half_x) + 1)
        top, bottom = max(0, int(y - half_y)), min(height, int(y + half_y) + 1)
        step = max(1, min(right - left, bottom - top) // _SAMPLES)
        place = _Place(top, bottom, left, right, step)
        self._places = [place, *self._places[: _PLACES - 1]]
        return place
