"""An engine that adapts keeps what it learnt, and only what is whole, its own and not older goes on."""

from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest

import ratta
from ratta.adaptation import Adaptation
from ratta.bundle import read_bundle
from ratta.errors import InputError, StateError

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def make(adaptable):
    """Engines that are billed a millisecond for every piece of work, on a camera that counts as changed."""
    return lambda **settings: ratta.load(adaptable, adapt=Adaptation(clock=count().__next__, drift=False, **settings))


@pytest.fixture(scope="module")
def learnt(make, played):
    """An engine that has learnt sixteen confirmed sessions, with bills in its accounts."""
    engine = make()
    adapter, t = engine.adapter, 0.0
    for crops, _, _ in islice(played(3, frames=4), 16):
        attempt = adapter.begin()
        for crop in crops:
            adapter.read(attempt, (crop,), t=t)
            t += 0.2
        adapter.end(attempt, t=t)
        adapter.confirm(attempt, is_live=True)
        t += 30
        adapter.idle(t)
    return engine


@pytest.fixture(scope="module")
def saved(learnt, tmp_path_factory):
    path = tmp_path_factory.mktemp("state") / "ratta.state"
    learnt.save_state(path, key=KEY, counter=7)
    return path


@pytest.fixture(scope="module")
def other(make):
    """An engine for trying to load; loading resets it first."""
    return make()


def is_the_source(engine):
    adapter = engine.adapter
    return -np.inf == adapter.anchor.threshold and not any(adapter.anchor.sessions.values()) and not adapter.adapted


def test_what_was_learnt_goes_on(learnt, saved, other, tmp_path):
    """Threshold, level and accounts come back, and saved again they are the same bytes."""
    assert 7 == other.load_state(saved, key=KEY, at_least=7)
    assert np.isfinite(learnt.adapter.anchor.threshold)
    assert learnt.adapter.anchor.threshold == other.adapter.anchor.threshold
    assert learnt.adapter.anchor.level == other.adapter.anchor.level
    assert learnt.adapter.budget.spent_ms == other.adapter.budget.spent_ms > 0
    other.save_state(tmp_path / "again", key=KEY, counter=7)
    assert saved.read_bytes() == (tmp_path / "again").read_bytes()


def test_a_state_holds_sums_and_scores_only(learnt):
    """Nothing in it has the shape of a frame, a crop or one frame's embedding."""
    _, arrays = learnt.adapter.export_state()
    k = learnt.adapter.anchor.space.directions
    shapes = {"weight": (1,), "total": (k,), "second": (k, k)}
    for name, array in arrays.items():
        kind = name.rsplit(".", 1)[1]
        assert array.shape == shapes.get(kind, array.shape)
        assert array.ndim <= 2


def test_every_changed_byte_is_refused_and_the_source_answers(saved, other, tmp_path):
    """One bit of each byte of the header, and of many more; the engine that was asked to load it is the source."""
    content, path = saved.read_bytes(), tmp_path / "ratta.state"
    for index in (*range(0, 600), *range(600, len(content), 211), len(content) - 1):
        path.write_bytes(content[:index] + bytes([content[index] ^ (1 << index % 8)]) + content[index + 1 :])
        with pytest.raises(StateError):
            other.load_state(path, key=KEY, at_least=7)
    assert is_the_source(other)


def test_an_older_state_is_refused(saved, other):
    """A replay: the integrator's counter is ahead of the file's."""
    with pytest.raises(StateError, match="expected counter 8 or later, got 7"):
        other.load_state(saved, key=KEY, at_least=8)
    assert is_the_source(other)


def test_another_model_is_refused(saved, other, adaptable, tmp_path):
    """The same network under another manifest is another model."""
    bundle = read_bundle(adaptable)
    other_bundle = replace(bundle, sha256="00" * 32)
    engine = ratta.engine.Engine(other_bundle, other.network.session, detector=None, adapter=other.adapter)
    with pytest.raises(StateError, match="expected model 0000"):
        engine.load_state(saved, key=KEY, at_least=7)
    assert is_the_source(engine)


@pytest.mark.parametrize("key", [None, b"short", "text" * 8])
def test_without_a_key_nothing_is_kept_or_taken(learnt, saved, other, tmp_path, key):
    """Both ways; no file is made."""
    with pytest.raises(InputError, match="key: expected"):
        learnt.save_state(tmp_path / "none", key=key, counter=8)
    with pytest.raises(InputError, match="key: expected"):
        other.load_state(saved, key=key, at_least=7)
    assert not (tmp_path / "none").exists()


def test_another_key_is_refused(saved, other):
    """A state that somebody else sealed is altered."""
    with pytest.raises(StateError, match="valid seal"):
        other.load_state(saved, key=bytes(32), at_least=7)


def test_an_engine_that_does_not_adapt_has_no_state(engine, tmp_path):
    """The error says how to get one that does."""
    with pytest.raises(InputError, match="adapt=True"):
        engine.save_state(tmp_path / "s", key=KEY, counter=1)
    with pytest.raises(InputError, match="adapt=True"):
        engine.load_state(tmp_path / "s", key=KEY, at_least=0)
