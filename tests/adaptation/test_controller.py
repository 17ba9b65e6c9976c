import math

import numpy as np
import pytest

from ratta.adaptation.anchors import Worth
from ratta.adaptation.controller import lowered
from ratta.adaptation.drift import Band
from ratta.adaptation.gate import RejectReason
from ratta.adaptation.source import SourceReference
from ratta.adapter import Adapter, Idle
from ratta.errors import InputError
from ratta.records import Reading

MODES = {"anchors": {"anchors": False}, "shadow": {"shadow": True}}


class FixedBand:
    """A detector that always says the same."""

    def __init__(self, band: Band) -> None:
        self.band, self.alarm, self.evidence, self.samples = band, band is not Band.IN, {}, []

    def update(self, sample) -> None:
        self.samples.append(sample)

    def reset(self) -> None:
        self.samples = []


def taught(toy, *, sessions=20, confirmed=True, **arguments):
    stream = toy.Stream(toy.controller(**arguments))
    for _ in range(sessions):
        stream.session(confirmed=confirmed)
    return stream


def answers(stream, toy):
    return [stream.session(place, spread=2.0) for place in (toy.me, toy.screen, toy.stranger)]


# -- what is answered


def test_it_is_an_adapter(toy):
    """Everything that the protocol asks for is there."""
    asked = [name for name in vars(Adapter) if not name.startswith("_")]
    assert [] == [name for name in asked if not hasattr(toy.controller(), name)]
    assert {"begin", "read", "idle", "band"} < set(asked)


def test_what_the_source_lets_in_and_no_live_face_was_like_is_denied(learnt, toy):
    """After twenty sessions of one person a screen is lowered from its first frame on, and the person is not."""
    assert 1.0 == toy.lowered(learnt.session(toy.screen))
    assert learnt.adapter.adapted
    assert 0.0 == toy.lowered(learnt.session(toy.me, spread=2.0))
    assert not learnt.adapter.adapted


def test_before_ten_live_sessions_the_source_answers(toy):
    """Nine teach nothing that could deny."""
    stream = taught(toy, sessions=9)
    assert 0.0 == toy.lowered(stream.session(toy.screen))
    assert 0.0 == toy.lowered(taught(toy, sessions=9).session(toy.screen))


def test_an_attempt_of_outliers_is_lowered_below_any_threshold(learnt, toy):
    """Bounded evidence a slot, but none of it for live."""
    assert max(answer for _, answer in learnt.session(toy.screen, blue=250)[4:]) < -30


def test_an_odd_frame_or_two_is_not_denied(learnt, toy):
    """The running median of an attempt counts, not one frame."""
    attempt = learnt.adapter.begin()
    for place in (toy.me, toy.me, toy.screen, toy.me):
        pixels = toy.crop(*place, 180)
        learnt.t += 0.25
        assert toy.Network().read(pixels).live_logit == learnt.adapter.read(attempt, pixels, t=learnt.t).live_logit


@pytest.mark.parametrize("mode", MODES)
def test_the_source_answers_bit_for_bit(toy, mode):
    """Without anchors, and in shadow: the reading is the network's own, after any lesson."""
    stream = taught(toy, **MODES[mode])
    attempt, network = stream.adapter.begin(), toy.Network()
    for blue in (0, 100, 180, 255):
        pixels = toy.crop(*toy.screen, blue)
        stream.t += 0.25
        expected, actual = network.read(pixels), stream.adapter.read(attempt, pixels, t=stream.t)
        assert (expected.live_logit, expected.embedding.tobytes(), expected.logits.tobytes()) == (
            actual.live_logit,
            actual.embedding.tobytes(),
            actual.logits.tobytes(),
        )
    assert (False, 0.0) == (stream.adapter.adapted, attempt.penalty)


def test_a_shadow_learns_and_tells_what_it_would_deny(toy):
    """The anchors are those of an adapter in force."""
    shadow, forced = taught(toy, shadow=True), taught(toy)
    assert forced.adapter.anchor.threshold == shadow.adapter.anchor.threshold > -math.inf
    attempt, _ = shadow.attempt(toy.screen)
    assert attempt.denied(toy.live_logit)


def test_without_anchors_nothing_is_learnt(toy):
    """Attempts are studied for drift alone."""
    counts = taught(toy, anchors=False).adapter.counts
    assert {"studied": 20, "confirmed": 0, "gated": 0, "denied": 0, "rollbacks": 0} == counts


def test_without_learning_nothing_is_studied(toy):
    """Only a profile could deny."""
    assert 0 == taught(toy, learning=False).adapter.counts["studied"]


@pytest.mark.parametrize(("band", "share"), [(Band.IN, 0.0), (Band.ADAPT, 1.0), (Band.REFUSE, 1.0)])
def test_the_band_says_whether_anchors_may_deny(toy, band, share):
    """Near the source the source alone answers; else, even too far to trust a correction, denying is safe."""
    stream = taught(toy, detector=FixedBand(band))
    assert (band, share) == (stream.adapter.band, toy.lowered(stream.session(toy.screen)))


def test_without_a_detector_every_camera_counts_as_changed(toy):
    """There is nothing that could say that it is the source's."""
    assert Band.ADAPT is toy.controller().band


def test_a_reading_is_never_raised():
    """What may only deny refuses to grant, and what it is given stays as it was."""
    reading = Reading(np.zeros((1, 2), np.float32), np.zeros(2, np.float32), np.zeros(0, np.float32), 3.0)
    assert reading is lowered(reading, 0.0)
    assert (1.0, 3.0) == (lowered(reading, 2.0).live_logit, reading.live_logit)
    for penalty in (-1e-9, math.nan, math.inf, -math.inf):
        with pytest.raises(InputError, match="penalty: expected"):
            lowered(reading, penalty)


@pytest.mark.parametrize("place", ["me", "screen"])
def test_a_network_that_answers_no_number_is_answered_as_such(learnt, toy, place):
    """The decision refuses the frame; nothing of it is learnt, not even when it is confirmed."""
    read = learnt.adapter.network.read
    learnt.adapter.network.read = lambda pixels: Reading(
        *(getattr(read(pixels), n) for n in ("logits", "embedding", "cut")), math.nan
    )
    before = learnt.adapter.anchor.evidence[Worth.CONFIRMED].weight
    attempt = learnt.adapter.begin()
    for _ in range(4):
        learnt.t += 0.25
        assert math.isnan(learnt.adapter.read(attempt, toy.crop(*getattr(toy, place), 180), t=learnt.t).live_logit)
    learnt.adapter.end(attempt, t=learnt.t)
    learnt.adapter.confirm(attempt, is_live=True)
    learnt.adapter.idle(learnt.t + 1)
    assert before == learnt.adapter.anchor.evidence[Worth.CONFIRMED].weight
    assert 1 == learnt.adapter.gate.rejected[RejectReason.NOT_FINITE]


# -- what is learnt


def test_answering_changes_nothing_before_idle(learnt, toy):
    """An attempt, its end and its confirmation leave anchor, threshold and counts alone."""
    before = learnt.adapter.anchor.threshold, learnt.adapter.counts
    attempt, _ = learnt.attempt(toy.stranger)
    learnt.adapter.confirm(attempt, is_live=True)
    assert before == (learnt.adapter.anchor.threshold, learnt.adapter.counts)
    learnt.adapter.idle(learnt.t)
    assert 21 == learnt.adapter.counts["confirmed"]


@pytest.mark.parametrize(
    ("confirmed", "blue", "expected"),
    [(True, 180, "confirmed"), (True, 20, "confirmed"), (None, 180, "gated"), (None, 110, None), (False, 180, None)],
)
def test_what_is_evidence(toy, confirmed, blue, expected):
    """Confirmed live, whatever the source said; confident, by the gate; never a confirmed attack."""
    stream = toy.Stream(toy.controller())
    stream.session(confirmed=confirmed, blue=blue)
    found = {key: value for key, value in stream.adapter.counts.items() if value}
    assert {"studied": 1, **({expected: 1} if expected else {})} == found


def test_unconfirmed_sessions_may_be_excluded(toy):
    """`gated=False`: the most confident session of all is not learnt."""
    assert 0 == taught(toy, confirmed=None, gated=False).adapter.counts["gated"]


def test_a_confirmed_session_runs_no_network(toy):
    """Only the gate needs augmented views: two of each of two frames."""
    runs = {}
    for confirmed in (True, None):
        stream = toy.Stream(toy.controller())
        stream.session(confirmed=confirmed)
        runs[confirmed] = stream.adapter.network.runs
    assert {True: 8, None: 12} == runs


def test_views_that_disagree_are_no_evidence(toy):
    """Just confident, but not when it is a little darker."""
    stream = toy.Stream(toy.controller())
    stream.session(blue=144, spread=0.0)
    stream.session(blue=144, spread=0.0)
    assert 1 <= stream.adapter.gate.rejected[RejectReason.VIEWS]


def test_a_denied_session_that_is_confirmed_lowers_the_level(learnt, toy):
    """The most valuable evidence: it is counted, and less is denied from now on."""
    level = learnt.adapter.anchor.level
    attempt, found = learnt.attempt(toy.screen)
    assert 1.0 == toy.lowered(found)
    learnt.adapter.confirm(attempt, is_live=True)
    learnt.adapter.idle(learnt.t)
    assert (1, True) == (learnt.adapter.counts["denied"], learnt.adapter.anchor.level < level)


def test_an_attempt_without_frames_is_none(toy):
    """It is neither studied nor waited for; ending twice is ending once."""
    adapter = toy.controller()
    adapter.end(adapter.begin(), t=0.0)
    stream = toy.Stream(adapter)
    attempt, _ = stream.attempt()
    adapter.end(attempt, t=stream.t)
    adapter.idle(stream.t + 100)
    adapter.idle(stream.t + 200)
    assert 1 == adapter.counts["studied"]


def test_the_journal_tells_what_was_learnt_and_why(toy):
    """One line an attempt, with the numbers behind it."""
    events = []
    stream = taught(toy, sessions=11, on_event=events.append)
    stream.session(toy.screen, confirmed=False)
    assert [("evidence", "confirmed")] * 11 + [("evidence", "confirmed attack")] == [(e.kind, e.reason) for e in events]
    assert {"logit", "conformity", "threshold", "denied", "level"} == set(events[0].numbers)
    assert 0 < events[0].t < events[1].t


def test_crops_are_not_kept_once_an_attempt_was_studied(stream):
    """A picture of a face lives in memory no longer than it must."""
    attempt, _ = stream.attempt()
    assert 2 == len(attempt.crops)
    stream.adapter.confirm(attempt, is_live=True)
    stream.adapter.idle(stream.t)
    assert [] == attempt.crops


def test_drift_is_measured_by_every_ended_attempt(toy):
    """Distance to the nearer prototype, and the source's entropy: medians, by hand."""
    detector = FixedBand(Band.ADAPT)
    reference = SourceReference(toy.source.space, np.array([[-9.0, 0.0], [1.25, 4.25]]))
    stream = toy.Stream(toy.controller(detector=detector, reference=reference))
    attempt = stream.adapter.begin()
    for i in range(3):
        stream.adapter.read(attempt, toy.crop(140, 140, 100), t=0.25 * i)
    stream.adapter.end(attempt, t=1.0)
    stream.adapter.idle(100.0)
    assert [(3.0, pytest.approx(math.log(2)))] == [sample.values for sample in detector.samples]


# -- the way back


def test_a_rollback_is_the_source_until_ten_more_sessions(learnt, toy):
    """Denials that the level does not explain drop the anchors at once; then they are learnt again."""
    events = []
    learnt.adapter.on_event = events.append
    for _ in range(12):
        learnt.adapter.monitor.update(denied=True)
    learnt.session(toy.me, confirmed=True)
    assert (1, -math.inf) == (learnt.adapter.counts["rollbacks"], learnt.adapter.anchor.threshold)
    assert "rollback" in [event.kind for event in events]
    for _ in range(8):
        assert 0.0 == toy.lowered(learnt.session(toy.screen))
        learnt.session(toy.me, confirmed=True)
    for _ in range(5):
        learnt.session(toy.me, confirmed=True)
    assert 1.0 == toy.lowered(learnt.session(toy.screen))


def test_reset_is_the_source(learnt, toy):
    """A used adapter answers, counts and learns like a new one; only the budget's accounts go on."""
    learnt.adapter.reset()
    fresh = toy.Stream(toy.controller())
    assert fresh.adapter.counts == learnt.adapter.counts
    again = toy.Stream(learnt.adapter)
    for _ in range(15):
        assert fresh.session(toy.me, confirmed=True) == again.session(toy.me, confirmed=True)
    assert answers(fresh, toy) == answers(again, toy)


def test_reset_drops_what_waits_and_begins_a_new_clock(stream):
    """An attempt of before is not learnt, and earlier times are accepted again."""
    attempt, _ = stream.attempt()
    stream.adapter.confirm(attempt, is_live=True)
    stream.adapter.idle(1e6)
    stream.adapter.reset()
    assert (Idle.DONE, 0) == (stream.adapter.idle(5.0), stream.adapter.counts["studied"])


def test_the_same_stream_gives_the_same_answers(toy):
    """Two instances agree bit for bit, and share nothing."""
    one, other = toy.Stream(toy.controller()), toy.Stream(toy.controller())
    for _ in range(15):
        assert one.session(confirmed=True) == other.session(confirmed=True)
        one.adapter.begin()
    assert answers(one, toy) == answers(other, toy)


def test_a_camera_change_costs_few_sessions(toy):
    """Another camera in mid-stream, by confirmed sessions: at most four of twenty are denied, none of the last ten."""
    for seed in range(10):
        stream = toy.Stream(toy.controller(), np.random.default_rng(seed))
        for _ in range(30):
            stream.session(toy.me, confirmed=True)
        denied = [toy.lowered(stream.session(toy.screen, confirmed=True)) > 0.25 for _ in range(20)]
        assert denied[0]
        assert (True, False) == (sum(denied) <= 4, any(denied[10:]))


@pytest.mark.parametrize(
    "arguments", [{"inference_ms": 0.0}, {"confirm_s": -1.0}, {"confirm_s": math.inf}, {"alpha": 0.0}, {"alpha": 0.4}]
)
def test_senseless_parameters_are_refused(toy, arguments):
    """At once, in the constructor."""
    with pytest.raises(InputError, match="expected"):
        toy.controller(**arguments)
