"""Test frames: a public-domain portrait (see `assets/SOURCE.md`) through a camera with shake and noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError
from ratta.perception.resize import resize
from ratta.records import Box

if TYPE_CHECKING:
    import numpy.typing as npt

    Frame = npt.NDArray[np.uint8]

PORTRAIT = Path(__file__).parent / "assets" / "astronaut.npz"
FACE_IN_PORTRAIT = (70.0, 44.0, 160.0, 158.0)
"""Corners of the face in pixels of the portrait: from ear to ear and from hairline to chin."""
WIDTH, HEIGHT = 640, 480
SHAKE_PX = 6
NOISE_LEVELS = 2.0
"""Standard deviation of the sensor noise, in grey levels."""
_GRAIN_PX = 8
_ROUNDS = 101


@dataclass(frozen=True)
class Scene:
    """A short loop of frames with the face's box in each.

    Attributes
    ----------
    frames : tuple of (480, 640, 3) uint8
        BGR; played round and round they make a steady stream.
    boxes : tuple of Box
    """

    frames: tuple[Frame, ...]
    boxes: tuple[Box, ...]

    @cached_property
    def face_px(self) -> float:
        """Longer side of the first box in pixels."""
        return max(self.boxes[0].width, self.boxes[0].height)


class Stream:
    """Plays a scene round and round at a frame rate; `t` goes on for ever.

    A few pixels in the middle of the face get other noise in every round, written into the scene's frames: to an
    engine a picture that comes again is a source that hangs.
    """

    def __init__(self, scene: Scene, *, fps: float = 30.0) -> None:
        self.scene = scene
        self.fps = fps
        self._ticks = count()
        self._middles = [_middle(frame, box) for frame, box in zip(scene.frames, scene.boxes, strict=True)]
        noise = np.random.default_rng(0).normal(0, NOISE_LEVELS, (_ROUNDS, _GRAIN_PX, _GRAIN_PX, 3))
        self._grains = [(middle + noise).clip(0, 255).astype(np.uint8) for middle in self._middles]

    def next(self) -> tuple[Frame, Box, float]:
        """Return the next frame, its face box, and its time in seconds."""
        tick = next(self._ticks)
        turn, place = divmod(tick, len(self.scene.frames))
        self._middles[place][:] = self._grains[place][turn % _ROUNDS]
        return self.scene.frames[place], self.scene.boxes[place], tick / self.fps


def _middle(frame: Frame, box: Box) -> Frame:
    """View of a few pixels in the middle of a box."""
    x, y = (round(center) - _GRAIN_PX // 2 for center in box.center)
    return frame[y : y + _GRAIN_PX, x : x + _GRAIN_PX]


def portrait_frames(number: int = 8, *, zoom: float = 1.5, seed: int = 0) -> Scene:
    """Render a loop of 640x480 frames with one face in it.

    Parameters
    ----------
    number : int
        Frames in the loop; each takes 0.9 MB.
    zoom : float
        Height of the face over 114 pixels, from 1 to 2.
    seed : int
        Of the noise.

    Raises
    ------
    InputError
        If `number` or `zoom` is outside its range.

    Examples
    --------
    >>> scene = portrait_frames(2)
    >>> scene.frames[0].shape, scene.face_px
    ((480, 640, 3), 171.0)
    """
    if number < 1 or not 1 <= zoom <= 2:
        raise InputError(f"portrait_frames: expected number >= 1 and zoom from 1 to 2, got {number} and {zoom}")
    with np.load(PORTRAIT, allow_pickle=False) as archive:
        portrait = archive["rgb"]
    side = round(zoom * len(portrait))
    top, left = (HEIGHT - side) // 2, (WIDTH - side) // 2
    margins = ((top, HEIGHT - side - top), (left + SHAKE_PX, WIDTH - side - left + SHAKE_PX), (0, 0))
    wide = np.pad(resize(portrait, height=side, width=side, flip=True), margins, mode="edge")
    rng = np.random.default_rng(seed)
    frames, boxes = [], []
    for i in range(number):
        shift = round(SHAKE_PX * np.sin(2 * np.pi * i / number))
        view = wide[:, SHAKE_PX - shift : SHAKE_PX - shift + WIDTH]
        noise = rng.normal(0.5, NOISE_LEVELS, view.shape).astype(np.float32)
        frames.append(np.clip(view + noise, 0, 255).astype(np.uint8))
        x_min, y_min, x_max, y_max = (zoom * corner for corner in FACE_IN_PORTRAIT)
        boxes.append(Box(left + shift + x_min, top + y_min, left + shift + x_max, top + y_max))
    return Scene(tuple(frames), tuple(boxes))
