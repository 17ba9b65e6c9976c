"""Backgrounds made of nothing but numbers: walls, rooms, foliage, text-like clutter, at any size.

Recapture is a property of the capture chain and not of faces, so content behind and around the face is made by noise.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


def random_colour(rng: np.random.Generator, *, spread: float = 0.15) -> NDArray[np.float32]:
    """Give a plausible surface colour, ``(3,) float32`` in 0-255: a grey level tinted at random."""
    grey = rng.uniform(15, 240)
    return np.clip(grey * (1 + rng.normal(0, spread, 3)), 0, 255).astype(np.float32)


def cloud(rng: np.random.Generator, size: int, *, coarsest: int = 2, roughness: float = 0.5) -> NDArray[np.float32]:
    """Fractal noise with zero mean and unit spread, ``(size, size) float32``, by summed octaves."""
    total = np.zeros((size, size), np.float32)
    cells, weight = coarsest, 1.0
    while cells < size:
        layer = rng.standard_normal((cells, cells), dtype=np.float32)
        total += np.float32(weight) * cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight * roughness
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), dtype=np.float32)


def wall(rng: np.random.Generator, size: int) -> Rgb:
    """Give a plain wall under uneven light."""
    shade = 1 + rng.uniform(0.02, 0.25) * cloud(rng, size, coarsest=2, roughness=rng.uniform(0.1, 0.6))
    return np.clip(random_colour(rng) * shade[..., None], 0, 255).astype(np.uint8)


def foliage(rng: np.random.Generator, size: int) -> Rgb:
    """Rough many-coloured texture such as leaves, carpets or crowds."""
    base = random_colour(rng, spread=0.4)
    rough = rng.uniform(0.6, 1.0)
    planes = [cloud(rng, size, coarsest=4, roughness=rough) for _ in range(2)]
    tint = rng.normal(0, 12, 3).astype(np.float32)
    image = base * (1 + 0.4 * planes[0][..., None]) + planes[1][..., None] * tint
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def room(rng: np.random.Generator, size: int) -> Rgb:
    """Straight edges: furniture, windows, shelves, as overlapping lit quadrilaterals."""
    image = wall(rng, size).astype(np.float32)
    for _ in range(int(rng.integers(4, 26))):
        centre = rng.uniform(0, size, 2)
        extent = size * rng.uniform(0.02, 0.4, 2)
        angle = np.deg2rad(rng.choice((0.0, 90.0)) + rng.normal(0, 4))
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * extent / 2) @ axes.T
        cv2.fillConvexPoly(image, corners.astype(np.int32), random_colour(rng).tolist(), cv2.LINE_AA)
    return np.clip(image, 0, 255).astype(np.uint8)


def clutter(rng: np.random.Generator, size: int) -> Rgb:
    """Lines of glyph-like strokes: posters, books, screens full of text."""
    image = np.full((size, size, 3), random_colour(rng), np.float32)
    ink = random_colour(rng).tolist()
    pitch = int(rng.integers(5, 24))
    for y in range(0, size, pitch):
        x = 0.0
        while x < size:
            stroke = rng.uniform(1, pitch)
            if rng.random() < 0.7:
                top = y + rng.uniform(0, pitch / 3)
                cv2.rectangle(image, (int(x), int(top)), (int(x + stroke), int(y + pitch * 0.7)), ink, -1)
            x += stroke + rng.uniform(1, pitch / 2)
    return np.clip(image, 0, 255).astype(np.uint8)


MAKERS: tuple[Callable[[np.random.Generator, int], Rgb], ...] = (wall, wall, foliage, room, room, clutter)


def background(rng: np.random.Generator, size: int, *, focus_blur: float | None = None) -> Rgb:
    """Draw a background of a random kind, out of focus by a random amount.

    Parameters
    ----------
    rng : Generator
        Source of all randomness.
    size : int
        Side in pixels.
    focus_blur : float, optional
        Standard deviation of the defocus in pixels; drawn at random when absent.

    Returns
    -------
    ndarray
        ``(size, size, 3) uint8`` RGB.
    """
    image = MAKERS[int(rng.integers(len(MAKERS)))](rng, size)
    sigma = rng.uniform(0, 3.0) if focus_blur is None else focus_blur
    if sigma > 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)
    return image
