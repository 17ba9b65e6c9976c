"""Simulated development sessions: what thresholds and source statistics are taken from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ratta.errors import InputError
from ratta.simulate.frames import FRAMES_PER_SECOND
from ratta.simulate.portraits import PortraitBank, Rgb, crop_face
from ratta.simulate.profiles import CAMERAS
from ratta.simulate.session import SPECIES, Session, handheld
from ratta.train.factory import split_portraits

SIDE = 288


def development_samples(
    portraits: str,
    *,
    size: int = 128,
    crop_scales: tuple[float, ...] = (2.7,),
    sessions_per_species: int = 100,
    frames: int = 2,
    seed: int = 0,
    part: str = "validation",
) -> Iterator[tuple[tuple[Rgb, ...], bool, str, str, str]]:
    """Simulate labelled sessions of people the student was not trained on, cameras taking turns.

    Parameters
    ----------
    portraits : str
        Folder of prepared portraits.
    size, crop_scales : int, tuple of float
        Of the model's contract.
    sessions_per_species, frames : int
        Sessions of live, print and replay each, and frames of each session.
    seed : int
        Same seed, same crops.
    part : {"validation", "test"}
        Which held-out tenth of the people.

    Yields
    ------
    tuple
        Crops ``(size, size, 3) uint8`` RGB, whether it is live, attack species (empty for live), subject, session as
        ``number/camera/medium``.
    """
    if part not in {"validation", "test"}:
        raise InputError(f"part: expected 'validation' or 'test', got {part!r}; training identities are not for this")
    split = split_portraits(portraits)
    bank = PortraitBank(portraits, keep=getattr(split, part))
    rng, cameras = np.random.default_rng(seed), sorted(CAMERAS)
    for index in range(sessions_per_species * len(SPECIES)):
        species, camera = SPECIES[index % 3], cameras[index // 3 % len(cameras)]
        person = int(rng.integers(len(bank)))
        session = Session(
            cutout=bank[person],
            species=species,
            camera=camera,
            rng=rng,
            height=SIDE,
            width=SIDE,
            face_px=SIDE / rng.uniform(2.7, 3.6),
        )
        name = f"{index:05d}/{camera}/{session.medium}"
        for step, motion in enumerate(handheld(rng, frames, amplitude_px=0.003 * session.sensor[0])):
            shot = session.frame(step / FRAMES_PER_SECOND, motion=motion)
            crops = tuple(crop_face(shot.rgb, shot.box, scale=scale, size=size) for scale in crop_scales)
            yield crops, species == "live", "" if species == "live" else species, bank.names[person], name
