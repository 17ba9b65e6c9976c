"""Streams, sessions and single captures: the simulator's front door."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ratta.errors import InputError
from ratta.simulate.portraits import Box, Cutout, Rgb, cut_out
from ratta.simulate.profiles import CAMERAS
from ratta.simulate.session import SPECIES, Capture, Session, handheld

FRAMES_PER_SECOND = 15.0


def guess_box(height: int, width: int) -> Box:
    """Where the face of a portrait usually is: the upper middle."""
    side = 0.5 * min(height, width)
    return (width - side * 0.8) / 2, 0.42 * height - side / 2, (width + side * 0.8) / 2, 0.42 * height + side / 2


def simulate_frames(
    picture_rgb: Rgb,
    *,
    species: str,
    camera: str,
    frames: int,
    seed: int,
    size: tuple[int, int] = (480, 640),
    box: Box | None = None,
    medium: str | None = None,
    edges: bool | None = None,
    own_background: bool | None = None,
    face_share: float = 0.36,
    plain: bool = False,
) -> Iterator[tuple[float, Rgb]]:
    """Stream a person's picture as a hand-held phone would see it.

    Parameters
    ----------
    picture_rgb : ndarray
        ``(H, W, 3) uint8`` RGB picture of one person.
    species : {"live", "print", "replay"}
        Bona fide, a print of the picture, or the picture on a screen.
    camera : str
        A camera name, see :data:`ratta.simulate.CAMERAS`.
    frames : int
        Number of frames, 15 a second.
    seed : int
        Same seed, same stream.
    size : tuple of int
        Height and width of the frames.
    box : tuple of float, optional
        Face box in the picture; a centred guess when absent.
    medium : str, optional
        A printer or display name; drawn when absent.
    edges : bool, optional
        Whether the medium's edges are in view; drawn when absent.
    own_background : bool, optional
        Whether a live person keeps the picture's background or gets a made-up one; drawn when absent.
    face_share : float
        Side of the face over the height of the frame.
    plain : bool
        A plain wall behind the medium and no hands in view, as in a demonstration.

    Yields
    ------
    tuple
        Seconds since the first frame, and the frame ``(H, W, 3) uint8`` RGB.
    """
    for capture in simulate_session(
        cut_out(picture_rgb, box or guess_box(*picture_rgb.shape[:2])),
        species=species,
        camera=camera,
        frames=frames,
        seed=seed,
        size=size,
        medium=medium,
        edges=edges,
        own_background=own_background,
        face_share=face_share,
        plain=plain,
    ):
        yield capture.t_s, capture.rgb


def simulate_session(
    cutout: Cutout,
    *,
    species: str,
    camera: str,
    frames: int,
    seed: int,
    size: tuple[int, int] = (480, 640),
    medium: str | None = None,
    edges: bool | None = None,
    illuminant: str | None = None,
    own_background: bool | None = None,
    face_share: float = 0.36,
    plain: bool = False,
    every: int = 1,
) -> Iterator[Capture]:
    """Simulate one attempt of one person in front of one camera: its frames with box, species, camera and medium.

    Of the camera's frames each `every`-th is made, the first among them.
    """
    if min(frames, every) < 1:
        raise InputError(f"frames, every: expected at least 1, got {frames} and {every}; ask for more")
    rng = np.random.default_rng(seed)
    session = Session(
        cutout=cutout,
        species=species,
        camera=camera,
        rng=rng,
        height=size[0],
        width=size[1],
        face_px=face_share * size[0],
        medium=medium,
        edges=edges,
        illuminant=illuminant,
        own_background=own_background,
        plain=plain,
    )
    motions = handheld(rng, frames * every, amplitude_px=0.003 * session.sensor[0])
    for index, motion in enumerate(motions):
        if index % every == 0:
            yield session.frame(index / FRAMES_PER_SECOND, motion=motion)


def simulate_capture(
    cutout: Cutout,
    rng: np.random.Generator,
    *,
    species: str | None = None,
    camera: str | None = None,
    side: int = 288,
) -> Capture:
    """Simulate one square frame around a face, everything not given being drawn: the factory's training picture."""
    kind = species or str(rng.choice(SPECIES, p=(0.4, 0.3, 0.3)))
    name = camera or str(rng.choice(list(CAMERAS)))
    session = Session(
        cutout=cutout, species=kind, camera=name, rng=rng, height=side, width=side, face_px=side / rng.uniform(2.2, 3.6)
    )
    return session.frame(0.0)
