"""Contact sheets: every camera and every medium, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ratta.simulate.portraits import Cutout, Rgb, crop_face
from ratta.simulate.profiles import CAMERAS, DISPLAYS, PRINTERS
from ratta.simulate.session import Session


def _shot(cutout: Cutout, rng: np.random.Generator, camera: str, species: str, medium: str | None, tile: int) -> Rgb:
    session = Session(
        cutout=cutout,
        species=species,
        camera=camera,
        rng=rng,
        height=288,
        width=288,
        face_px=288 / 2.9,
        medium=medium,
    )
    shot = session.frame(0.0)
    wide = cv2.resize(shot.rgb, (tile, tile), interpolation=cv2.INTER_AREA)
    tight = crop_face(shot.rgb, shot.box, scale=1.3, size=tile)
    return np.vstack((np.asarray(wide, dtype=np.uint8), tight))


def contact_sheet(cutouts: Sequence[Cutout], *, seed: int = 0, tile: int = 144, columns: int = 6) -> Rgb:
    """Show every medium (one row each) under every camera in turn; the first row is live.

    Parameters
    ----------
    cutouts : sequence of Cutout
        People to show, taken in turn.
    seed : int
        Same seed, same sheet.
    tile : int
        Side of one picture in pixels.
    columns : int
        Pictures per row; the cameras take turns.

    Returns
    -------
    ndarray
        ``(2 tile rows, tile columns, 3) uint8`` RGB: each row whole frames above tight crops.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str | None]] = [("live", None)]
    rows += [("print", name) for name in PRINTERS] + [("replay", name) for name in DISPLAYS]
    cameras = list(CAMERAS)
    sheet = []
    for index, (species, medium) in enumerate(rows):
        shots = [
            _shot(cutouts[(index * columns + k) % len(cutouts)], rng, cameras[k % len(cameras)], species, medium, tile)
            for k in range(columns)
        ]
        sheet.append(np.hstack(shots))
    return np.vstack(sheet)
