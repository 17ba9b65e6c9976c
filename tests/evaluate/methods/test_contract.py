"""What every method keeps: answer first, look without learning, reset to the source, same seed same result."""

import copy
import sys
import types

import numpy as np
import pytest

from ratta.errors import DataError
from ratta.evaluate.methods import METHODS, make_method


@pytest.fixture(params=[name for name in METHODS if name != "ratta"])  # it needs a bundle: test_engine_adapter.py
def make(request, source, frames):
    """Make the method under test, on the same source every time."""

    def build(**options):
        return make_method(request.param, source, development=frames(32, seed=9), seed=1, options=options)

    return build


def test_looking_never_changes_anything(make, frames) -> None:
    """Two answers to the same frames are equal, also after learning."""
    method = make()
    method.observe(frames(16))
    first = method.answer(frames(16, seed=5))
    np.testing.assert_array_equal(first, method.answer(frames(16, seed=5)))


def test_answers_before_it_learns(make, frames) -> None:
    """What observe returns is what answer would have returned before."""
    method = make()
    for seed in range(5):
        before = method.answer(frames(16, seed=seed))
        if type(method).__name__ == "CoTTA":
            continue  # its published answer is the average over random augmentations
        np.testing.assert_allclose(method.observe(frames(16, seed=seed)), before, rtol=1e-6)


def test_reset_is_fresh(make, frames) -> None:
    """After reset a method does exactly what a new one does."""
    used, fresh = make(), make()
    for seed in range(6):
        used.observe(frames(16, seed=seed))
    used.reset()
    for seed in range(6, 10):
        np.testing.assert_array_equal(fresh.observe(frames(16, seed=seed)), used.observe(frames(16, seed=seed)))
    assert fresh.state() == used.state()


def test_source_and_frames_stay_untouched(make, source, frames) -> None:
    """Neither the source model nor the caller's frames are changed by learning."""
    weights = copy.deepcopy(source.module.state_dict())
    method, batch = make(), frames(16)
    pixels = batch.pixels.copy()
    for _ in range(5):
        method.observe(batch)
    assert all(bool((weights[name] == value).all()) for name, value in source.module.state_dict().items())
    np.testing.assert_array_equal(pixels, batch.pixels)


def test_scores_are_probabilities(make, frames) -> None:
    """Scores are finite, in [0, 1], one a frame."""
    scores = make().observe(frames(7))
    assert ((7,), True) == (scores.shape, bool(np.all((scores >= 0) & (scores <= 1))))


def test_unknown_option(make) -> None:
    """A misspelt option is refused with the list of those that exist."""
    with pytest.raises(DataError, match=r"options: expected some of \[.*'batch'.*\], got \['learning_rte'\]"):
        make(learning_rte=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no-tta", {"batch": 0}, "method no-tta: options: batch: expected at least 1 frame, got 0"),
        ("tent", {"learning_rate": -1.0}, "method tent: options: .*-1"),
        ("tent", {"statistics": "none"}, "statistics: expected 'batch' or 'source', got 'none'"),
        ("bn-ema", {"momentum": 0}, r"momentum: expected a share in \(0, 1\], got 0"),
        ("t3a", {"kept": 0}, "kept: expected a positive number, or -1 for all, got 0"),
    ],
)
def test_values_out_of_range(source, frames, name, options, message) -> None:
    """An option that exists but makes no sense is refused before anything runs."""
    with pytest.raises(DataError, match=message):
        make_method(name, source, development=frames(4), options=options)


def test_unknown_method(source, frames) -> None:
    """A method that does not exist is refused with the list of those that do."""
    with pytest.raises(DataError, match="method: expected one of no-tta, bn-batch, bn-ema"):
        make_method("ours", source, development=frames(1))


class Constant:
    """A method of somebody's own: always the same answer."""

    batch = 1

    def __init__(self, source, *, score=0.25) -> None:
        self.score = score

    def answer(self, batch):
        return np.full(len(batch), self.score)


def test_a_method_of_ones_own_is_named_as_python_imports_it(source, frames, monkeypatch) -> None:
    """`module:Class`, with options; a name that leads nowhere says so."""
    module = types.ModuleType("my_methods")
    module.Constant = Constant
    monkeypatch.setitem(sys.modules, "my_methods", module)
    method = make_method("my_methods:Constant", source, development=frames(32), options={"score": 0.5})
    np.testing.assert_array_equal(np.full(4, 0.5), method.answer(frames(4)))
    with pytest.raises(DataError, match="a class Other in my_methods"):
        make_method("my_methods:Other", source, development=frames(32))
    with pytest.raises(DataError, match="a module that Python finds"):
        make_method("no_such_module:Constant", source, development=frames(32))
