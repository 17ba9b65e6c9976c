"""The demo's scenes, through a simulated phone: a real face, live and as two attacks, and a picture without a face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.camera.playback import Scene
from ratta.media.picture import read_picture
from ratta.records import Verdict
from ratta.simulate import simulate_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

PORTRAIT = Path(__file__).parent / "assets" / "astronaut.jpg"
FACE = (170.0, 68.0, 284.0, 182.0)
SHUTTLE = (300, 0, 512, 290)
CAMERA, PRINTER, DISPLAY = "phone-2019", "photo-matte", "tablet"
FPS = 15.0


def demo_scenes(*, seed: int, seconds: float = 3.0) -> tuple[Scene, ...]:
    """Simulate the demo's four sessions; the frames are made while they are played.

    Parameters
    ----------
    seed : int
        Same seed, same frames.
    seconds : float
        Of each session, at 15 frames a second.

    Returns
    -------
    tuple of Scene
        Live, print, screen, no face.
    """
    portrait = np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1])
    x_min, y_min, x_max, y_max = SHUTTLE
    shuttle = np.ascontiguousarray(portrait[y_min:y_max, x_min:x_max])
    frames = round(seconds * FPS)
    return (
        Scene(
            "A live face",
            f"The astronaut in front of a simulated hand-held camera ({CAMERA}).",
            Verdict.LIVE,
            _bgr(portrait, "live", None, frames, seed, FACE),
        ),
        Scene(
            "The same face, printed",
            f"The portrait from a simulated printer ({PRINTER}), held up to the same camera.",
            Verdict.SPOOF,
            _bgr(portrait, "print", PRINTER, frames, seed + 1, FACE),
        ),
        Scene(
            "The same face on a screen",
            f"The portrait on a simulated display ({DISPLAY}), held up to the same camera.",
            Verdict.SPOOF,
            _bgr(portrait, "replay", DISPLAY, frames, seed + 2, FACE),
        ),
        Scene(
            "A picture without a face",
            "A print of the model shuttle beside her. Nothing to score, so nothing is scored.",
            Verdict.REFUSED,
            _bgr(shuttle, "print", PRINTER, frames, seed + 3, None),
        ),
    )


def _bgr(
    picture: npt.NDArray[np.uint8],
    species: str,
    medium: str | None,
    frames: int,
    seed: int,
    box: tuple[float, float, float, float] | None,
) -> Iterator[tuple[float, npt.NDArray[np.uint8]]]:
    stream = simulate_frames(
        picture,
        species=species,
        camera=CAMERA,
        frames=frames,
        seed=seed,
        box=box,
        medium=medium,
        edges=None if medium is None else True,
        plain=True,
    )
    for t_seconds, rgb in stream:
        yield t_seconds, np.ascontiguousarray(rgb[..., ::-1])
