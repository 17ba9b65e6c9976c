"""A made-up person: no photograph is needed to test the simulator."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

collect_ignore_glob = [] if importlib.util.find_spec("cv2") else ["test_*.py"]
Person = tuple[NDArray[np.uint8], tuple[float, float, float, float]]


def _draw_person(seed: int, side: int = 256) -> Person:
    """A head with eyes, mouth and shoulders before a wall, and its face box."""
    import cv2

    rng = np.random.default_rng(seed)
    skin = np.array([200, 160, 135]) * rng.uniform(0.5, 1.1)
    picture = np.full((side, side, 3), rng.uniform(60, 200, 3), np.uint8)
    middle, down = side // 2, int(side * 0.42)
    cv2.ellipse(picture, (middle, side), (int(side * 0.4), int(side * 0.3)), 0, 0, 360, rng.uniform(20, 200, 3), -1)
    cv2.ellipse(picture, (middle, down), (int(side * 0.19), int(side * 0.26)), 0, 0, 360, skin, -1)
    for x in (-0.08, 0.08):
        cv2.circle(picture, (int(middle + x * side), int(side * 0.38)), int(side * 0.025), (30, 25, 25), -1)
    cv2.ellipse(picture, (middle, int(side * 0.54)), (int(side * 0.07), int(side * 0.02)), 0, 0, 360, (150, 60, 60), -1)
    picture = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    box = (middle - side * 0.19, down - side * 0.26, middle + side * 0.19, down + side * 0.26)
    return picture, box


@pytest.fixture(scope="session")
def draw_person() -> Callable[[int], Person]:
    """Draws made-up persons by their seed."""
    return _draw_person


@pytest.fixture(scope="session")
def person(draw_person: Callable[[int], Person]) -> Person:
    """One made-up person."""
    return draw_person(0)
