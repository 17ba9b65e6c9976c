"""The product under evaluation: sessions as they come, answers before learning, and what it tells of itself."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
from ratta.errors import DataError
from ratta.evaluate.methods import FrameBatch, make_method
from ratta.evaluate.methods.torch_source import TorchSource


@pytest.fixture(scope="module")
def calibrated(adaptable):
    """A source that knows its bundle; the module is never asked."""
    from torch import nn

    return TorchSource(module=nn.Identity(), bundle=read_bundle(adaptable))


@pytest.fixture
def make(calibrated, frames):
    return lambda **options: make_method("ratta", calibrated, anchors=frames(1), options=options)


def stream(played, sessions, *, change=None, frames=2, pause_s=30.0):
    """Batches of one frame, session after session."""
    t = 0.0
    for number, (crops, _, _) in enumerate(islice(played(7, change=change, frames=frames), sessions)):
        for crop in crops:
            yield FrameBatch(crop[None], np.array([t]), np.array([number]))
            t += 0.2
        t += pause_s


def test_a_session_number_ends_the_attempt_before(make, played):
    """Five sessions: four have ended and been studied, the fifth is open."""
    method = make()
    for batch in stream(played, 5):
        method.observe(batch)
    assert 4 == method.adapter.counts["studied"]
    assert 0 < method.state()["spent_ms"] <= 0.05 * 1000 * batch.t[0]


def test_answers_before_it_learns(make, played):
    """What observe returns is what answer returned just before, and looking changes nothing."""
    looked, plain = make(), make()
    for batch in stream(played, 20, change="contrast-0.5"):
        expected = looked.answer(batch)
        assert expected == looked.observe(batch) == plain.observe(batch)
    assert looked.state() == plain.state()


def test_reset_is_fresh(make, played):
    """After reset time may begin anew, and everything is as at first, the books too."""
    method = make()
    first = [float(method.observe(batch)[0]) for batch in stream(played, 6, change="dark-2.2")]
    told = method.state()
    method.reset()
    assert first == [float(method.observe(batch)[0]) for batch in stream(played, 6, change="dark-2.2")]
    assert told == method.state()


def test_on_its_own_camera_it_is_the_source_bit_for_bit(make, played, adaptable):
    """Nothing drifted: every score is that of the bundle's network."""
    from ratta.engine import load

    network, method = load(adaptable).network, make()
    for batch in stream(played, 6):
        assert network.read((batch.pixels[0],)).live_score == method.observe(batch)[0]
    assert 0 == method.state()["updates"]


def test_it_tells_drift_refusals_and_budget(make, played):
    """What the report draws is there, for both detectors."""
    for drift in ("betting", "ema"):
        method = make(drift=drift)
        for batch in stream(played, 4, change="dark-2.2"):
            method.observe(batch)
        state = method.state()
        assert {"updates", "drift", "drift_limit", "budget_ms", "refused: source unsure"} <= set(state)
        assert all(isinstance(value, float) for value in state.values())
    assert 1.0 == state["drift_limit"]


def test_the_budget_can_be_cut(make, played):
    """A share near nothing studies nothing."""
    method = make(budget_share=1e-6)
    for batch in stream(played, 4):
        method.observe(batch)
    assert (0, 0.0) == (method.adapter.counts["studied"], method.state()["spent_ms"])


def test_a_model_without_reference_says_what_to_do(calibrated, source, frames):
    """Neither a source without a bundle nor a bundle without a reference runs."""
    plain = read_bundle(find_bundle(DEFAULT_MODEL))
    bare = replace(plain, statistics={k: v for k, v in plain.statistics.items() if k != "guard"})
    for one, message in ((source, "a source made of a bundle"), (replace(calibrated, bundle=bare), "write_adaptable")):
        with pytest.raises(DataError, match=message):
            make_method("ratta", one, anchors=frames(1))


def test_an_option_out_of_range_is_refused(make):
    """As for every other method."""
    with pytest.raises(DataError, match="method ratta: options: 'page-hinkley' is not a valid Drift"):
        make(drift="page-hinkley")
