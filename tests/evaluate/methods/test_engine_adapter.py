"""The product under evaluation: sessions as they come, answers before learning, and what it tells of itself."""

from dataclasses import replace

import numpy as np
import pytest

from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
from ratta.errors import DataError
from ratta.evaluate.methods import FrameBatch, make_method
from ratta.evaluate.methods.engine_adapter import crops_of
from ratta.evaluate.methods.torch_source import TorchSource
from ratta.inference import OrtSession
from ratta.networks import open_single

FRAMES = 4


@pytest.fixture(scope="module")
def shipped_source():
    """A source that knows the shipped bundle; the module is never asked."""
    from torch import nn

    return TorchSource(module=nn.Identity(), bundle=read_bundle(find_bundle(DEFAULT_MODEL)))


@pytest.fixture
def make(shipped_source, frames):
    return lambda **options: make_method("ratta", shipped_source, development=frames(1), options=options)


@pytest.fixture(scope="module")
def live_sessions(played):
    """Twenty sessions of the one person, from the simulator; the same crop stands for the wide and the tight one."""
    endless = (crops for crops, is_live, _ in played(7, frames=FRAMES) if is_live)
    return [np.stack([crops, crops], axis=1) for crops in (next(endless) for _ in range(20))]


def stream(sessions, *, confirmed=frozenset(), pause_s=30.0):
    """Batches of one frame, session after session."""
    t = 0.0
    for number, crops in enumerate(sessions):
        for place, crop in enumerate(crops):
            known = frozenset({number - 1} & confirmed) if place == 0 else frozenset()
            yield FrameBatch(crop[None], np.array([t]), np.array([number]), known)
            t += 0.25
        t += pause_s


EVERYONE = frozenset(range(20))


def test_a_session_number_ends_the_attempt_before(make, live_sessions):
    """Five sessions: four have ended and been studied, the fifth is open."""
    method = make()
    for batch in stream(live_sessions[:5]):
        method.observe(batch)
    assert 4 == method.adapter.counts["studied"]


def test_confirmed_sessions_are_learnt_and_set_a_threshold(make, live_sessions):
    """What the batch confirms is learnt as confirmed; without it nothing is, where gated evidence is forbidden."""
    told, untold = make(gated=False), make(gated=False)
    for batch, plain in zip(stream(live_sessions, confirmed=EVERYONE), stream(live_sessions), strict=True):
        told.observe(batch)
        untold.observe(plain)
    assert (19, 0) == (told.adapter.counts["confirmed"], untold.adapter.counts["confirmed"])
    assert np.isfinite(told.state()["threshold"])
    assert not np.isfinite(untold.state()["threshold"])


def test_never_above_the_source_and_below_it_for_what_is_unlike(make, live_sessions, shipped_source):
    """No score is above the source's; noise that was never seen is lowered, under shadow it is not."""
    network, strange = (
        open_single(shipped_source.bundle, OrtSession(shipped_source.bundle.graph)),
        np.random.default_rng(0).integers(0, 256, (8, 2, 128, 128, 3)),
    )
    sessions = [*live_sessions, strange.astype(np.uint8)]
    for shadow in (False, True):
        method, lower = make(shadow=shadow), []
        for batch in stream(sessions, confirmed=EVERYONE):
            source = network.read(crops_of(batch.pixels[0])).live_score
            answered = float(method.observe(batch)[0])
            assert answered <= source
            lower.append(answered < source)
        assert shadow != any(lower[-FRAMES:])


def test_answers_before_it_learns(make, live_sessions):
    """Looking changes nothing, and within a session observe returns what answer returned just before."""
    looked, plain = make(), make()
    for batch in stream(live_sessions, confirmed=EVERYONE):
        inside = looked._session == batch.sessions[0]
        expected = looked.answer(batch)
        answered = looked.observe(batch)
        assert answered == plain.observe(batch)
        assert not inside or expected == answered
    assert looked.state() == plain.state()


def test_reset_is_fresh(make, live_sessions):
    """After reset time may begin anew, and everything is as at first, the accounts too."""
    method = make()
    first = [float(method.observe(batch)[0]) for batch in stream(live_sessions[:12], confirmed=EVERYONE)]
    told = method.state()
    method.reset()
    assert first == [float(method.observe(batch)[0]) for batch in stream(live_sessions[:12], confirmed=EVERYONE)]
    assert told == method.state()


def test_without_anchors_it_is_the_source_bit_for_bit(make, live_sessions, shipped_source):
    """Every score is that of the bundle's network."""
    network, method = open_single(shipped_source.bundle, OrtSession(shipped_source.bundle.graph)), make(anchors=False)
    for batch in stream(live_sessions, confirmed=EVERYONE):
        assert network.read(crops_of(batch.pixels[0])).live_score == method.observe(batch)[0]
    assert 0 == method.state()["updates"]


def test_it_tells_what_the_report_draws(make, live_sessions):
    """Level, alpha, threshold, refusals and budget, all numbers; drift only where it is measured."""
    method = make(alpha=0.1)
    for batch in stream(live_sessions[:3]):
        method.observe(batch)
    state = method.state()
    assert {"updates", "level", "threshold", "budget_ms", "refused: source not confident of live"} <= set(state)
    assert all(isinstance(value, float) for value in state.values())
    assert 0.1 == state["alpha"] == state["level"]
    assert "drift" not in state


def test_the_budget_can_be_cut(make, live_sessions):
    """A share near nothing learns nothing that costs."""
    method = make(budget_share=1e-9)
    for batch in stream(live_sessions, confirmed=EVERYONE):
        method.observe(batch)
    assert (0.0, -np.inf) == (method.state()["spent_ms"], method.state()["threshold"])


def test_a_source_without_what_it_takes_says_so(shipped_source, source, frames):
    """Neither a source without a bundle nor a network without an embedding runs."""
    contract = shipped_source.bundle.contract
    bare = replace(
        shipped_source.bundle, contract=replace(contract, outputs=replace(contract.outputs, embedding="", split=""))
    )
    for one, message in ((source, "a source made of a bundle"), (replace(shipped_source, bundle=bare), "an embedding")):
        with pytest.raises(DataError, match=message):
            make_method("ratta", one, development=frames(1))


def test_an_option_out_of_range_is_refused(make):
    """As for every other method."""
    with pytest.raises(DataError, match=r"method ratta: .*alpha: expected a number in \(0, 0.3\], got 2"):
        make(alpha=2)
