"""Hands that hold a medium: fingers over its edges, a palm and an arm behind it.

Whoever presents a print or a phone by hand shows fingers; a simulator without them leaves out the commonest sight.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Points = NDArray[np.float64]
DARK_SKIN = np.array([88.0, 58.0, 44.0])
LIGHT_SKIN = np.array([236.0, 198.0, 174.0])
GRIPS = ((1, 3), (1, 3), (3,), (1,), (2,), (2, 3))
"""Edges gripped, as indices into corners running clockwise from the upper left: 0 top, 1 right, 2 bottom, 3 left."""


def skin_tone(rng: np.random.Generator) -> NDArray[np.float64]:
    """Give a skin colour between dark and light, ``(3,)`` in 0-255."""
    share = rng.uniform()
    return np.asarray(
        np.clip((DARK_SKIN + share * (LIGHT_SKIN - DARK_SKIN)) * np.exp(rng.normal(0, 0.06, 3)), 5, 250),
        dtype=np.float64,
    )


def _stroke(image: Rgb, start: Points, stop: Points, width: float, colour: NDArray[np.float64]) -> None:
    first, last = (tuple(int(v) for v in np.clip(point, -2000, 2000)) for point in (start, stop))
    cv2.line(image, first, last, colour.tolist(), max(1, int(width)), cv2.LINE_AA)


def _finger(image: Rgb, root: Points, tip: Points, width: float, tone: NDArray[np.float64]) -> None:
    """Give a capsule, darker at its rims, with a nail."""
    along = (tip - root) / (np.linalg.norm(tip - root) + 1e-6)
    for share, shade in ((1.0, 0.62), (0.8, 0.85), (0.5, 1.0), (0.2, 1.08)):
        _stroke(image, root, tip, width * share, np.clip(tone * shade, 0, 255))
    _stroke(image, tip - along * 0.25 * width, tip, width * 0.45, np.clip(tone * 1.12 + 8, 0, 255))


def _hand(image: Rgb, corners: Points, edge: int, rng: np.random.Generator, tone: NDArray[np.float64]) -> None:
    a, b = corners[edge], corners[(edge + 1) % 4]
    inward = corners.mean(0) - (a + b) / 2
    inward /= np.linalg.norm(inward) + 1e-6
    along = (b - a) / (np.linalg.norm(b - a) + 1e-6)
    reach = float(np.linalg.norm(b - a))
    width = reach * rng.uniform(0.09, 0.2)
    place = a + (b - a) * rng.uniform(0.3, 0.9)
    outside = place - inward * width * rng.uniform(1.2, 2.5)
    elbow = outside - inward * reach * rng.uniform(0.3, 1.0) + np.array([0, reach * rng.uniform(0.3, 1.2)])
    _stroke(image, elbow, outside, width * rng.uniform(2.2, 3.2), tone * 0.8)
    count = int(rng.choice((1, 3, 4)))
    for index in range(count):
        offset = along * (index - (count - 1) / 2) * width * 1.02
        bend = along * rng.normal(0, 0.5) * width
        depth = rng.uniform(0.6, 2.0) if count == 1 else rng.uniform(0.2, 1.0)
        _finger(image, outside + offset, place + offset + bend + inward * width * depth, width, tone)


def hand_layer(height: int, width: int, corners: Points, rng: np.random.Generator) -> tuple[Rgb, NDArray[np.float32]]:
    """Draw one or two hands that grip a quadrilateral.

    Parameters
    ----------
    height, width : int
        Size of the picture.
    corners : ndarray
        ``(4, 2)`` corners of the medium, clockwise from the upper left.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    tuple
        The hands ``(H, W, 3) uint8`` and their weight ``(H, W, 1) float32`` in 0-1.
    """
    hands = np.zeros((height, width, 3), np.uint8)
    tone = skin_tone(rng)
    for edge in GRIPS[int(rng.integers(len(GRIPS)))]:
        _hand(hands, corners, edge, rng, tone)
    drawn = np.asarray(hands.any(2))
    grown = cv2.dilate(hands, np.ones((3, 3), np.uint8))
    filled = np.asarray(np.where(drawn[..., None], hands, grown), dtype=np.uint8)
    soft = cv2.GaussianBlur(filled, (0, 0), max(0.4, height / 250))
    weight = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), max(0.4, height / 300))
    return np.asarray(soft, np.uint8), np.asarray(weight, np.float32)[..., None]


def add_hands(image: Rgb, corners: Points, rng: np.random.Generator) -> Rgb:
    """Put gripping hands into an encoded picture ``(H, W, 3) uint8``, which is not changed."""
    hands, weight = hand_layer(image.shape[0], image.shape[1], corners, rng)
    return (image + weight * (hands.astype(np.float32) - image) + 0.5).astype(np.uint8)
