"""Pictures to try a network on: a public-domain portrait, live and recaptured by a simulated camera; or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.perception.crop import cut, square_around
from ratta.records import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from ratta.contract import CropRule

    Pixels = npt.NDArray[np.uint8]

SESSIONS = 16
FRAME_SIZE, FACE_SHARE = (240, 320), 0.36


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Crops of one rule whose class is known.

    Attributes
    ----------
    pixels : sequence of (S, S, 3) uint8
        RGB.
    is_live : (N,) bool
    origin : str
        What they are, for a report.
    """

    pixels: Sequence[Pixels]
    is_live: npt.NDArray[np.bool_]
    origin: str


def simulated_examples(
    rule: CropRule, *, sessions: int = SESSIONS, seed: int = 0, progress: Callable[[float], None] | None = None
) -> Examples:
    """Simulate captures of the shipped portrait: as many live as printed and shown on a screen, by six cameras in turn.

    Parameters
    ----------
    rule : CropRule
    sessions : int
        Of each of the three kinds; one frame each, and its mirror image.
    seed : int
        Same seed, same frames.
    progress : callable, optional
        Told the share that is done, in [0, 1].
    """
    from ratta.camera.scenes import FACE, PORTRAIT
    from ratta.media.picture import read_picture
    from ratta.simulate import CAMERAS, SPECIES, cut_out, simulate_session

    person = cut_out(np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1]), FACE)
    cameras, pixels, is_live = tuple(CAMERAS), [], []
    for turn in range(sessions * len(SPECIES)):
        number, species = divmod(turn, len(SPECIES))
        (shot,) = simulate_session(
            person,
            species=SPECIES[species],
            camera=cameras[number % len(cameras)],
            frames=1,
            seed=1000 * seed + number,
            size=FRAME_SIZE,
            face_share=FACE_SHARE,
        )
        crop = crop_of(np.asarray(shot.rgb), Box(*shot.box), rule)
        pixels += [crop, np.ascontiguousarray(crop[:, ::-1])]
        is_live += [SPECIES[species] == "live"] * 2
        if progress is not None:
            progress((turn + 1) / (sessions * len(SPECIES)))
    return Examples(pixels, np.array(is_live), f"{len(pixels)} simulated captures of one portrait")


def crop_of(rgb: Pixels, box: Box, rule: CropRule) -> Pixels:
    """Cut one face out of an RGB frame by a rule."""
    square = square_around(box, scale=rule.scale, height=rgb.shape[0], width=rgb.shape[1], border=rule.border)
    return cut(rgb, square, size=rule.size, color="rgb", border=rule.border)
