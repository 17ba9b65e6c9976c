"""The rooms in order, on a toy model that can be reckoned by hand, with a detector that does as it is told."""

from dataclasses import replace

import numpy as np
import pytest

from ratta.adaptation.adapter import WAITING, Adapter
from ratta.adaptation.budget import Budget, Shortage, allowance_for
from ratta.adaptation.drift import Band
from ratta.adaptation.guard import Arbiter
from ratta.adaptation.learner import Learner
from ratta.adaptation.memory import export_memory, restore_memory
from ratta.adaptation.settings import Early
from ratta.adaptation.update import Moments, Stem
from ratta.assembly import timed_inference_ms
from ratta.errors import InputError, StateError


class ToldDrift:
    """Says the band it is told."""

    def __init__(self, band=Band.ADAPT):
        self.band = band
        self.samples = 0
        self.evidence = {}

    def update(self, sample):
        self.samples += 1

    def reset(self):
        self.samples = 0

    def export_state(self):
        return {"samples": self.samples}

    def restore_state(self, state):
        self.samples = state["samples"]


class ToyStem(Stem):
    """Its channels are the toy's cut feature."""

    def moments(self, crop):
        return Moments((crop.mean((0, 1))[:2] / 16).astype(np.float32), np.ones(2, np.float32))


class Rig:
    """An adapter and a day of sessions in front of it."""

    def __init__(self, toy, *, band=Band.ADAPT, budget=None, clock=lambda: 0.0, **settings):
        stem = ToyStem(toy.model.stem.weight, toy.model.stem.bias, mean=(0, 0, 0), std=(1, 1, 1))
        toy.model = replace(toy.model, stem=stem)
        self.toy = toy
        self.events = []
        self.now_s = 0.0
        self.detector = ToldDrift(band)
        self.adapter = Adapter(
            toy.model,
            toy.reference,
            budget=budget or Budget(watts=2.0),
            clock=clock,
            detector=self.detector,
            early=Early.MOMENTS,
            learner=Learner(toy.model, toy.reference, early_every=8, late_every=16, lessons_per_class=4),
            arbiter=Arbiter(window=4),
            on_event=self.events.append,
            **settings,
        )

    def session(self, *, is_live, camera=0.0, frames=6, idle=True, confirmed=None):
        """Play one attempt; give the log-odds that were answered."""
        attempt = self.adapter.begin()
        attempt.confirmed = confirmed
        answers = []
        for _ in range(frames):
            pixels = self.toy.frame(is_live=is_live, camera=camera).pixels
            answers.append(self.adapter.read(attempt, pixels, t=self.now_s).live_logit)
            self.now_s += 0.2
            if idle:
                self.adapter.idle(self.now_s)
        self.adapter.end(attempt, t=self.now_s)
        self.now_s += 30
        if idle:
            self.adapter.idle(self.now_s)
        return answers

    def day(self, sessions, **same):
        for index in range(sessions):
            self.session(is_live=index % 2 == 0, **same)

    def kinds(self):
        return [event.kind for event in self.events]


@pytest.fixture
def rig(toy):
    return Rig(toy)


def test_a_changed_camera_is_learnt_and_answered(rig):
    """Evidence of both classes under a camera that adds to both features becomes a correction that answers."""
    rig.day(24, camera=1.0)
    assert rig.adapter.counts["commits"] >= 1
    rig.day(2, camera=1.0)
    assert rig.adapter.adapted
    assert not rig.adapter.snapshots.current.is_source


class SlowNetwork:
    """Takes its time; opening one takes that of 23 runs, as was measured."""

    def __init__(self, network, device):
        self.network, self.device = network, device

    def read(self, pixels):
        self.device.now_ms += self.device.inference_ms
        return self.network.read(pixels)


class SlowDevice:
    """A device by whose clock nothing but runs of a network takes time."""

    def __init__(self, toy, inference_ms):
        self.inference_ms, self.now_ms = inference_ms, 0.0
        network, opened = SlowNetwork(toy.model.network, self), toy.model.open_network

        def open_network(weights):
            self.now_ms += 23 * inference_ms
            return SlowNetwork(opened(weights), self)

        toy.model = replace(toy.model, network=network, open_network=open_network)

    def clock(self):
        return self.now_ms


@pytest.mark.parametrize("inference_ms", [0.2, 12.0, 200.0])
def test_a_device_of_any_speed_learns_when_its_run_was_timed(toy, inference_ms):
    """With the run as timed and the default share of 5 %, a slow device learns less often, but learns."""
    device = SlowDevice(toy, inference_ms)
    timed = timed_inference_ms(toy.model, device.clock)
    assert timed == pytest.approx(inference_ms)
    budget = Budget(watts=2.0, time=allowance_for(timed))
    rig = Rig(toy, clock=device.clock, inference_ms=timed, budget=budget)
    rig.day(60, camera=1.0)
    assert rig.adapter.counts["commits"] >= 1
    assert budget.spent_ms <= 50.0 * rig.now_s
    assert budget.refused[Shortage.TOO_LARGE] == 0


def test_what_can_never_be_paid_holds_up_nothing_else(toy):
    """A device six times as slow as declared cannot pay for a swap: that is dropped, and said; drift goes on."""
    device = SlowDevice(toy, 12.0)
    rig = Rig(toy, clock=device.clock, inference_ms=2.0)
    rig.day(60, camera=1.0)
    assert rig.adapter.counts["commits"] == 0 < rig.adapter.budget.refused[Shortage.TOO_LARGE]
    assert any(event.reason == Shortage.TOO_LARGE.value for event in rig.events if event.kind == "dropped")
    assert rig.detector.samples > 50


def test_the_correction_brings_the_features_back(rig):
    """Under the correction a shifted frame has its prototype's embedding, within the shrinkage of little evidence."""
    rig.day(60, camera=1.0)
    _, network = rig.adapter._current
    seen = network.read(rig.toy.frame(is_live=True, camera=1.0).pixels).embedding
    source = rig.toy.model.network.read(rig.toy.frame(is_live=True, camera=1.0).pixels).embedding
    prototype = rig.toy.reference.prototypes[1]
    assert np.abs(seen - prototype).max() < 0.3 * np.abs(source - prototype).max()


@pytest.mark.parametrize("is_live", [True, False])
def test_a_flood_of_one_class_moves_nothing(rig, is_live):
    """However long it lasts: no candidate is even tried."""
    for _ in range(200):
        rig.session(is_live=is_live, camera=1.0)
    assert {"commits": 0, "trials refused": 0} == {k: rig.adapter.counts[k] for k in ("commits", "trials refused")}
    assert not rig.adapter.adapted


@pytest.mark.parametrize("band", [Band.IN, Band.REFUSE])
def test_outside_of_adapt_the_source_answers_bit_for_bit(toy, band):
    """Nothing is learnt, and every answer is the source's."""
    rig = Rig(toy, band=band)
    for index in range(40):
        is_live = index % 2 == 0
        expected = toy.model.network.read(toy.frame(is_live=is_live, camera=1.0).pixels).live_logit
        assert [expected] * 6 == rig.session(is_live=is_live, camera=1.0)
    assert "commit" not in rig.kinds()


@pytest.mark.parametrize("band", [Band.IN, Band.REFUSE])
def test_leaving_the_band_drops_what_was_learnt(rig, band):
    """One session of another band and the source answers again."""
    rig.day(30, camera=1.0)
    assert rig.adapter.adapted
    rig.detector.band = band
    rig.session(is_live=True, camera=1.0)
    assert not rig.adapter.adapted
    assert rig.adapter.snapshots.current.is_source


def test_a_camera_that_changes_back_is_answered_by_the_source_within_the_arbiters_window(rig):
    """The correction outlives its camera by no more frames than the median of the window needs to turn."""
    rig.day(30, camera=1.0)
    assert rig.adapter.adapted
    answers = rig.session(is_live=True, camera=0.0)
    expected = rig.toy.model.network.read(rig.toy.frame(is_live=True).pixels).live_logit
    assert [expected] * 3 == answers[-3:]
    assert not rig.adapter.adapted


def test_a_shadow_learns_and_does_not_answer(toy):
    """Its commits are reported; the source answers every frame."""
    rig = Rig(toy, shadow=True)
    rig.day(30, camera=1.0)
    expected = toy.model.network.read(toy.frame(is_live=True, camera=1.0).pixels).live_logit
    assert rig.adapter.counts["commits"] >= 1
    assert [expected] * 6 == rig.session(is_live=True, camera=1.0)


def test_an_answer_takes_one_run_and_learning_waits_for_idle(rig):
    """Law 1: the answer path runs one network once, whatever is waiting."""
    rig.day(30, camera=1.0)
    pixels, attempt = rig.toy.frame(is_live=True, camera=1.0).pixels, rig.adapter.begin()
    networks = (rig.toy.model.network, rig.adapter._current[1])
    before = sum(network.asked for network in networks)
    for step in range(3):
        rig.adapter.read(attempt, pixels, t=rig.now_s + step)
    rig.adapter.end(attempt, t=rig.now_s + 3)
    assert before + 3 == sum(network.asked for network in networks)


def test_without_idle_nothing_is_studied_and_waiting_is_bounded(rig):
    """The oldest attempts give way; they are counted."""
    for _ in range(WAITING + 3):
        rig.session(is_live=True, idle=False)
    assert {"studied": 0, "dropped": 3} == {k: rig.adapter.counts[k] for k in ("studied", "dropped")}


def test_nothing_is_done_that_the_budget_does_not_admit(toy):
    """The buckets start empty: at t = 0 no piece of work is done; with time they fill, and it is."""
    rig = Rig(toy)
    rig.session(is_live=True, idle=False)
    assert not rig.adapter.idle(0.0)
    assert 0 == rig.adapter.counts["studied"]
    assert rig.adapter.idle(100.0)
    assert 1 == rig.adapter.counts["studied"]


def test_idle_begins_nothing_after_its_time(rig):
    """A camera's next frame leaves so much: at zero no piece is begun, later all of them are done."""
    rig.adapter.idle(0.0)
    rig.session(is_live=True, idle=False)
    assert not rig.adapter.idle(100.0, within_ms=0.0)
    assert 0 == rig.adapter.counts["studied"]
    assert rig.adapter.idle(101.0, within_ms=5.0)


def test_networks_are_never_counted_anew(rig):
    """An attempt that is open while the engine is reset remembers who answered, and no later network takes the name."""
    rig.day(24, camera=1.0)
    assert rig.adapter.counts["commits"] >= 1
    numbers = [rig.adapter._current[0]]
    rig.adapter.reset()
    rig.day(24, camera=1.0)
    assert rig.adapter._current[0] > numbers[0]


def test_a_confirmed_session_stands_in_for_confidence(toy):
    """Frames of which the source is unsure teach only where the integrator knows."""
    unsure = Rig(toy)
    for number, confirmed in enumerate((None, True)):
        attempt = unsure.adapter.begin()
        attempt.confirmed = confirmed
        for _ in range(4):
            unsure.adapter.read(attempt, toy.kept(3.0, 4.0).pixels, t=unsure.now_s)
            unsure.now_s += 0.2
        unsure.adapter.end(attempt, t=unsure.now_s)
        unsure.adapter.idle(unsure.now_s + 100)
        assert (0, 2 * number) == unsure.adapter.learner.gate.frames


def test_overturned_verdicts_take_the_commit_back(rig):
    """Where the adapted model contradicts a confident source too often, the source answers at once."""
    rig.day(30, camera=1.0)
    assert rig.adapter.adapted
    for _ in range(8):
        rig.adapter.watch.note_confident(overturned=True)
    rig.session(is_live=True, camera=1.0)
    assert 1 <= rig.adapter.counts["rollbacks"]
    assert "rollback" in rig.kinds()


def test_a_rolled_back_commit_gives_way_to_the_one_before(rig):
    """It is opened again when there is time; until then the source answers."""
    rig.day(60, camera=1.0)
    before = list(rig.adapter.snapshots._ring)
    assert len(before) >= 2
    for _ in range(8):
        rig.adapter.watch.note_confident(overturned=True)
    rig.session(is_live=True, camera=1.0, idle=False)
    rig.adapter.idle(rig.now_s + 1000)
    assert before[-2] is rig.adapter.snapshots.current
    assert rig.adapter._current is not None


def test_a_network_that_fails_is_dropped_and_told(rig, monkeypatch):
    """An error off the answer path costs that piece of work, and no answer."""

    def fail(pixels):
        raise InputError("session.run: expected inputs that fit, got: out of memory")

    rig.session(is_live=True, idle=False)
    monkeypatch.setattr(rig.toy.model.stem, "moments", fail)
    rig.adapter.idle(rig.now_s)
    assert rig.adapter.idle(rig.now_s + 100)
    assert ["dropped"] == rig.kinds()
    assert 6 == len(rig.session(is_live=True, idle=False))


def test_a_frame_of_no_attempt_is_answered_and_teaches_nothing(rig):
    """An open-ended stream knows no attempts."""
    for step in range(50):
        rig.adapter.read(None, rig.toy.frame(is_live=True).pixels, t=float(step))
        rig.adapter.idle(float(step))
    assert 0 == rig.adapter.counts["studied"]


def test_a_caller_may_use_its_frame_again(rig):
    """What is kept is a copy."""
    attempt, pixels = rig.adapter.begin(), rig.toy.frame(is_live=True).pixels
    rig.adapter.read(attempt, pixels, t=0.0)
    before = attempt.frames[0].pixels.copy()
    pixels[:] = 0
    assert np.array_equal(before, attempt.frames[0].pixels)


def test_reset_is_as_new(rig):
    """The same day after a reset is answered and told as the first time; only the budget's books go on."""
    rig.adapter.idle(0.0)
    rig.now_s = 1000.0
    first = [rig.session(is_live=i % 2 == 0, camera=1.0) for i in range(40)]
    told = rig.kinds()
    rig.adapter.reset()
    rig.events.clear()
    assert first == [rig.session(is_live=i % 2 == 0, camera=1.0) for i in range(40)]
    assert told == rig.kinds()


def test_memory_survives_a_restart(toy):
    """A restored adapter has in force what was in force, and goes on learning from the same evidence."""
    rig, later = Rig(toy), Rig(toy)
    rig.day(30, camera=1.0)
    values, arrays = export_memory(rig.adapter)
    restore_memory(later.adapter, values, arrays)
    for part in ("scale", "shift"):
        expected = getattr(rig.adapter.snapshots.current.early, part)
        assert np.array_equal(expected, getattr(later.adapter.snapshots.current.early, part))
    assert rig.adapter.learner.gate.frames == later.adapter.learner.gate.frames
    later.now_s = rig.now_s
    later.day(2, camera=1.0)
    assert later.adapter.adapted


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values, arrays: arrays.update({"early.scale": np.full(2, np.nan)}),
        lambda values, arrays: arrays.update({"early.scale": np.ones(3)}),
        lambda values, arrays: arrays.pop("early.shift"),
        lambda values, arrays: arrays.update({"late.nonsense": np.ones(2)}),
        lambda values, arrays: values.pop("budget"),
        lambda values, arrays: values.update(learner=7),
        lambda values, arrays: values["learner"].update(since_early=-1),
    ],
)
def test_a_memory_that_does_not_fit_leaves_the_source(toy, spoil):
    """Sealed or not, what cannot be is refused whole."""
    rig = Rig(toy)
    rig.day(30, camera=1.0)
    values, arrays = export_memory(rig.adapter)
    spoil(values, arrays)
    later = Rig(toy)
    with pytest.raises(StateError):
        restore_memory(later.adapter, values, arrays)
    assert later.adapter.snapshots.current.is_source
    assert not later.adapter.adapted
    assert (0, 0) == later.adapter.learner.gate.frames
