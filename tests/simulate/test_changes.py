"""Changes of camera: named, seeded, and each of them does what its name says."""

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.simulate.changes import CHANGES, change_crops


@pytest.fixture(scope="module")
def crops():
    """Three smooth, colourful crops with a sharp edge and soft texture."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:64, 0:64] / 64
    base = np.stack([0.2 + 0.5 * x, 0.3 + 0.3 * y, 0.5 - 0.3 * x * y], axis=2)
    base[20:40, 24:44] += 0.25
    pictures = [255 * base * gain + rng.integers(-6, 7, base.shape) for gain in (0.8, 1.0, 1.2)]
    return np.stack(pictures).clip(0, 255).astype(np.uint8)


def detail(crops) -> float:
    """Mean absolute step between neighbours."""
    return float(np.abs(np.diff(crops.astype(float), axis=2)).mean())


@pytest.mark.parametrize("name", list(CHANGES))
def test_seeded_and_visible(crops, name) -> None:
    """Same seed, same crops, of the same form; the given ones are left alone; something is seen to change."""
    before = crops.copy()
    first, again = (change_crops(crops, name, seed=3) for _ in range(2))
    assert np.array_equal(first, again)
    assert (crops.shape, np.uint8) == (first.shape, first.dtype)
    assert np.array_equal(before, crops)
    assert np.abs(first.astype(int) - crops.astype(int)).mean() > 1.5


@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change.grain])
def test_grain_is_drawn_anew(crops, name) -> None:
    """Another seed, and another crop of the same picture, have other grain."""
    twice = np.stack([crops[0], crops[0]])
    first, second = change_crops(twice, name, seed=3)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, change_crops(twice, name, seed=4)[0])


@pytest.mark.parametrize(
    ("weaker", "stronger", "measure"),
    [
        ("dark-1.5", "dark-2.2", lambda c: -c.mean()),
        ("bright-0.7", "bright-0.5", lambda c: c.mean()),
        ("contrast-0.7", "contrast-0.5", lambda c: -c.std()),
        ("cast-mild", "cast-strong", lambda c: c[..., 0].mean() - c[..., 2].mean()),
    ],
)
def test_strength(crops, weaker, stronger, measure) -> None:
    """The plain crop, the mild change and the strong one stand in order."""
    found = [measure(c) for c in (crops, change_crops(crops, weaker, seed=0), change_crops(crops, stronger, seed=0))]
    assert sorted(found) == found
    assert len(set(found)) == 3


@pytest.mark.parametrize(("name", "more"), [("exposure-noise", True), ("other-lens", False), ("far", False)])
def test_fine_structure(crops, name, more) -> None:
    """Grain adds to what neighbours differ by; a soft lens and a far face take away."""
    assert more == (detail(change_crops(crops, name, seed=0)) > detail(crops))


def test_enough_of_each_reach() -> None:
    """Eight mild changes or more, the strong ones of the tone family, and three extreme ones."""
    reach = [change.reach for change in CHANGES.values()]
    assert (8, 4, 3) == tuple(reach.count(kind) for kind in ("mild", "strong", "extreme"))
    assert list(CHANGES) == [change.name for change in CHANGES.values()]


@pytest.mark.parametrize(
    ("wrong", "name", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.uint8), "dim", "change: expected one of bright-0.5, .*, got 'dim'"),
        (np.zeros((8, 8, 3), np.uint8), "far", r"crops: expected \(N, S, S, 3\) uint8 RGB, got \(8, 8, 3\) uint8"),
        (np.zeros((1, 8, 8, 3)), "far", "crops: expected .*, got .* float64"),
    ],
)
def test_refusals(wrong, name, message) -> None:
    """An unknown name lists the known ones; what is no crop is refused."""
    with pytest.raises(InputError, match=message):
        change_crops(wrong, name, seed=0)
