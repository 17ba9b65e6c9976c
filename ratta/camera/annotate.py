"""What an engine saw and said, drawn into the frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.media.opencv import opencv
from ratta.records import Box, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

    Bgr = tuple[int, int, int]

# BGR; each stands out on skin, walls and screens, and green and red also differ in brightness.
COLORS: dict[Verdict, Bgr] = {
    Verdict.LIVE: (102, 204, 46),
    Verdict.SPOOF: (68, 60, 235),
    Verdict.UNCERTAIN: (33, 176, 255),
    Verdict.REFUSED: (160, 160, 160),
}
INK: Bgr = (24, 20, 18)
PAPER: Bgr = (245, 245, 245)
TRACK: Bgr = (96, 92, 88)


def annotate(
    frame_bgr: npt.NDArray[np.uint8],
    *,
    verdict: Verdict,
    reason: str,
    score: float,
    box: Box | None = None,
    thresholds: tuple[float, float] | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw the face's box, the verdict, its reason and a score bar into a copy of a frame.

    Parameters
    ----------
    frame_bgr : (H, W, 3) uint8
    verdict : Verdict
        Gives the color: live green, spoof red, uncertain amber, refused grey.
    reason : str
    score : float
        In [0, 1], higher = live; `nan` leaves the bar empty.
    box : Box, optional
        In pixels of the frame.
    thresholds : (spoof, live), optional
        Marked on the bar.

    Returns
    -------
    (H, W, 3) uint8
        BGR.

    Examples
    --------
    >>> picture = annotate(np.zeros((90, 120, 3), np.uint8), verdict=Verdict.LIVE, reason="stable", score=0.9)
    >>> picture.shape
    (90, 120, 3)
    """
    picture = np.ascontiguousarray(frame_bgr).copy()
    unit = max(min(picture.shape[:2]) / 480, 0.25)
    if box is not None:
        _draw_box(picture, box, COLORS[verdict], unit)
    _draw_banner(picture, verdict, reason, unit)
    _draw_bar(picture, score, COLORS[verdict], thresholds, unit)
    return picture


def put_text(
    picture: npt.NDArray[np.uint8], text: str, at: tuple[float, float], *, height: float, color: Bgr, bold: bool = False
) -> float:
    """Write one line with its baseline's left end at `at` and give its width in pixels.

    Parameters
    ----------
    height : float
        Of a capital letter, in pixels.
    """
    cv2 = opencv()
    font = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
    scale = height / 21
    thickness = max(1, round(height / 14))
    cv2.putText(picture, text, (round(at[0]), round(at[1])), font, scale, color, thickness, cv2.LINE_AA)
    return float(cv2.getTextSize(text, font, scale, thickness)[0][0])


def _draw_box(picture: npt.NDArray[np.uint8], box: Box, color: Bgr, unit: float) -> None:
    cv2 = opencv()
    x0, y0, x1, y1 = (round(c) for c in (box.x_min, box.y_min, box.x_max, box.y_max))
    arm = round(0.22 * min(box.width, box.height))
    cv2.rectangle(picture, (x0, y0), (x1, y1), color, max(1, round(unit)), cv2.LINE_AA)
    for x, y, right, down in ((x0, y0, 1, 1), (x1, y0, -1, 1), (x0, y1, 1, -1), (x1, y1, -1, -1)):
        corner = np.array([(x + right * arm, y), (x, y), (x, y + down * arm)], np.int32)
        cv2.polylines(picture, [corner], False, color, max(2, round(4 * unit)), cv2.LINE_AA)


def _draw_banner(picture: npt.NDArray[np.uint8], verdict: Verdict, reason: str, unit: float) -> None:
    height = round(44 * unit)
    _shade(picture[:height])
    _rectangle(picture, (0, 0), (round(8 * unit), height), COLORS[verdict])
    baseline = 30 * unit
    width = put_text(
        picture, verdict.value.upper(), (22 * unit, baseline), height=17 * unit, color=COLORS[verdict], bold=True
    )
    put_text(picture, reason, (22 * unit + width + 14 * unit, baseline), height=13 * unit, color=PAPER)


def _draw_bar(
    picture: npt.NDArray[np.uint8], score: float, color: Bgr, thresholds: tuple[float, float] | None, unit: float
) -> None:
    height, width = picture.shape[:2]
    top = height - round(30 * unit)
    _shade(picture[top:])
    left, right = round(22 * unit), width - round(90 * unit)
    upper, lower = top + round(11 * unit), top + round(19 * unit)
    _rectangle(picture, (left, upper), (right, lower), TRACK)
    if math.isfinite(score):
        _rectangle(picture, (left, upper), (left + round((right - left) * score), lower), color)
    for threshold in thresholds or ():
        x = left + round((right - left) * threshold)
        _rectangle(picture, (x, upper - round(4 * unit)), (x + max(1, round(unit)), lower + round(4 * unit)), PAPER)
    text = f"{score:.2f}" if math.isfinite(score) else "no score"
    put_text(picture, text, (right + 12 * unit, lower + 2 * unit), height=12 * unit, color=PAPER)


def _shade(region: npt.NDArray[np.uint8]) -> None:
    region[:] = (region * 0.28 + np.array(INK) * 0.72).astype(np.uint8)


def _rectangle(picture: npt.NDArray[np.uint8], start: tuple[int, int], end: tuple[int, int], color: Bgr) -> Any:
    return opencv().rectangle(picture, start, (max(start[0], end[0]), end[1]), color, -1)
