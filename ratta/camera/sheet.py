"""All sessions in one picture: one row each, frames in order, the verdict at the left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ratta.camera.annotate import COLORS, put_text
from ratta.media.opencv import opencv

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ratta.camera.playback import Take

COLUMNS = 4
TILE_WIDTH, TILE_HEIGHT = 400, 300
SIDE_WIDTH, GAP, HEADER = 330, 14, 92
GROUND, INK, FAINT = (250, 249, 248), (36, 30, 26), (140, 130, 122)
MISSED = (43, 43, 196)


def contact_sheet(takes: Sequence[Take], *, title: str, note: str) -> npt.NDArray[np.uint8]:
    """Lay out every take as a row of annotated frames.

    Parameters
    ----------
    takes : sequence of Take
        At least one.
    title, note : str
        The sheet's two header lines.

    Returns
    -------
    (H, W, 3) uint8
        BGR.
    """
    width = SIDE_WIDTH + COLUMNS * (TILE_WIDTH + GAP) + GAP
    height = HEADER + len(takes) * (TILE_HEIGHT + GAP) + GAP
    sheet = np.full((height, width, 3), GROUND, np.uint8)
    put_text(sheet, title, (2 * GAP, 44), height=20, color=INK, bold=True)
    put_text(sheet, note, (2 * GAP, 72), height=12, color=FAINT)
    for row, take in enumerate(takes):
        top = HEADER + row * (TILE_HEIGHT + GAP)
        _write_side(sheet[top : top + TILE_HEIGHT, :SIDE_WIDTH], take)
        for column, index in enumerate(_spread(len(take.frames))):
            left = SIDE_WIDTH + column * (TILE_WIDTH + GAP)
            tile = sheet[top : top + TILE_HEIGHT, left : left + TILE_WIDTH]
            tile[:] = opencv().resize(take.picture(index), (TILE_WIDTH, TILE_HEIGHT), interpolation=opencv().INTER_AREA)
            _write_time(tile, take.decisions[index].t)
    return sheet


def _spread(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, COLUMNS).round().astype(int).tolist()))


def _write_side(side: npt.NDArray[np.uint8], take: Take) -> None:
    side[:, 2 * GAP : 2 * GAP + 5] = COLORS[take.verdict]
    left = 3.5 * GAP
    score = f"session score {take.session_score:.2f}" if take.decisions[-1].scored_frames else "no score"
    length = f"{len(take.decisions)} frames, {take.decisions[-1].t:.1f} s"
    put_text(side, take.scene.shown, (left, 34), height=15, color=INK, bold=True)
    put_text(side, take.verdict.upper(), (left, 84), height=24, color=_dark(COLORS[take.verdict]), bold=True)
    for line, text in enumerate((take.reason.value, score, length)):
        put_text(side, text, (left, 116 + 26 * line), height=12, color=INK)
    if take.as_expected:
        put_text(side, "as expected", (left, 194), height=12, color=FAINT)
    else:
        put_text(side, f"missed: expected {take.scene.expected}", (left, 194), height=12, color=MISSED, bold=True)


def _write_time(tile: npt.NDArray[np.uint8], t: float) -> None:
    put_text(tile, f"{t:.1f} s", (TILE_WIDTH - 56, 20), height=10, color=GROUND)


def _dark(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Darken for text on the light ground."""
    blue, green, red = (round(0.78 * c) for c in color)
    return blue, green, red
