"""The store: workers fill it once, further runs take it up, and other inputs are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ratta.errors import DataError, TrainingError
from ratta.simulate import prepare_portraits
from ratta.train.factory import DistillationFactory, PictureFactory
from ratta.train.pool import CHUNK, fields
from ratta.train.store import Store, StoreFiles, rarest


@pytest.fixture
def factory(tmp_path: Path, silent_face_file: Path) -> DistillationFactory:
    """Judged inputs of two noise people; a call depends on its generator alone."""
    rng = np.random.default_rng(0)
    for index in range(2):
        cv2.imwrite(
            str(tmp_path / f"p{index}.png"), cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (200, 200))
        )
    cache = prepare_portraits(tmp_path, tmp_path / "cache", detect=lambda _: (60.0, 50.0, 140.0, 150.0))
    pictures = PictureFactory(cache=str(cache), identities=("p0", "p1"), size=48, remember=False)
    return DistillationFactory(pictures=pictures, teachers=(str(silent_face_file),), size=32)


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    """Room for two chunks."""
    return StoreFiles(folder=str(tmp_path / "labels"), count=2 * CHUNK, size=32, views=2, extra=0, made_of="noise")


def test_a_worker_fills_the_store_and_further_runs_read_it(files: StoreFiles, factory: DistillationFactory) -> None:
    """What lies there is what the factory makes of seed and chunk; a second store without workers draws from it."""
    store = Store(files, factory=factory, workers=1, seed=5)
    try:
        store.wait_for(len(store))
    finally:
        store.close()
    again = Store(files, factory=factory, workers=0, seed=5)
    assert again.made == 2 * CHUNK
    drawn = again.draw(np.random.default_rng(0), 8)
    assert drawn.pixels.shape == (8, 2, 32, 32, 3)
    assert int(drawn.pixels.flatten(1).max(1).values.min()) > 0
    slots, _ = files.open()
    expected = factory()(np.random.default_rng((5, 0, 1)), CHUNK)
    for name, values in fields(expected).items():
        torch.testing.assert_close(getattr(slots, name)[CHUNK:], values.to(getattr(slots, name).dtype), msg=name)


def test_a_store_of_other_inputs_is_refused(files: StoreFiles) -> None:
    """Other teachers, another size: the answers would not belong to the question."""
    files.open()
    with pytest.raises(DataError, match="expected a store of the same inputs"):
        replace(files, made_of="other").open()


def test_waiting_without_workers_is_an_error(files: StoreFiles, factory: DistillationFactory) -> None:
    """Nobody will ever fill it."""
    with pytest.raises(TrainingError, match="no worker"):
        Store(files, factory=factory, workers=0, seed=0).wait_for(CHUNK)


def test_rare_margins_are_picked_more_often() -> None:
    """One in ten is rare and is drawn more often than one in ten; nothing is drawn twice."""
    rng, target = np.random.default_rng(0), torch.cat((torch.zeros(90), torch.full((10,), 8.0)))
    picked = [rarest(rng, target, 20) for _ in range(50)]
    assert np.mean([(one >= 90).mean() for one in picked]) > 0.15
    assert all(len(set(one.tolist())) == 20 for one in picked)
