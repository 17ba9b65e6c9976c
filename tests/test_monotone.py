"""Whoever can only lower log-odds can only deny: the theorem of `ratta.decision`, tried on judges and attempts.

Adaptation rests on it: what learns may only lower a frame's log-odds, so no attempt that it lets in would have been
refused without it. Each test plays one sequence of frames, times and faces twice, some log-odds lower the second time.
"""

import math

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ratta.decision import Judge, Policy  # noqa: E402
from ratta.engine import Engine  # noqa: E402
from ratta.lockout import Lockout  # noqa: E402
from ratta.records import Box, Crop, Face, Reading, Reason, Refusal, Verdict  # noqa: E402

RANK = {Verdict.SPOOF: 0, Verdict.UNCERTAIN: 1, Verdict.REFUSED: 1, Verdict.LIVE: 2}
HERE, THERE = Box(100, 100, 300, 300), Box(400, 100, 600, 300)
POLICY = Policy(live_threshold=0.6, spoof_threshold=0.4)

LOGITS = st.one_of(
    st.floats(-8, 8, allow_nan=False),
    st.sampled_from([0.0, 4.0, -4.0, 1e300, -1e300, *(math.log(p / (1 - p)) for p in (0.4, 0.5, 0.6, 0.9))]),
)
STEPS = st.one_of(
    st.sampled_from([0.0, 1 / 30, 1 / 15, 0.1, 0.2, 0.2, 0.2, 0.25, 1.0, 1.02]), st.floats(0, 12, allow_nan=False)
)
FRAMES = st.tuples(
    STEPS,
    st.sampled_from(["score"] * 8 + ["refuse", "copy"]),
    st.sampled_from([False] * 9 + [True]),
    LOGITS,
    st.one_of(st.just(0.0), st.floats(0, 12, allow_nan=False)),
)
"""Seconds since the frame before, what becomes of it, whether the face jumps, its log-odds, and by how much they are
lowered."""


@st.composite
def policies(draw):
    low, high = sorted(draw(st.tuples(*[st.floats(0.05, 0.95)] * 2)))
    return Policy(
        live_threshold=high,
        spoof_threshold=low,
        hysteresis=draw(st.sampled_from([0.0, 0.4, 5.0])),
        max_logit=draw(st.sampled_from([3.0, 4.0, 10.0])),
        min_slots=draw(st.integers(2, 6)),
        hold_slots=draw(st.integers(0, 3)),
        max_against=draw(st.sampled_from([0.0, 0.25, 0.5, 0.9])),
        timeout_s=draw(st.sampled_from([2.0, 10.0])),
        gap_s=draw(st.sampled_from([0.3, 1.0, 3.0])),
    )


def judged(policy, frames, *, lowered, open_ended):
    judge, t = Judge(policy, open_ended=open_ended), 0.0
    for step_s, kind, new_face, value, drop in frames:
        t += step_s
        if kind == "score":
            yield judge.update(value - drop * lowered, t=t, box=None, new_face=new_face)
        else:
            yield judge.refuse(Refusal(Reason.NO_FACE, counts=kind == "refuse"), t=t)


@pytest.mark.parametrize("open_ended", [False, True])
@given(policy=policies(), frames=st.lists(FRAMES, min_size=5, max_size=60))
def test_the_judge_is_monotone(open_ended, policy, frames):
    """At every frame: the verdict, the end and the score, to the last bit."""
    for higher, lower in zip(
        judged(policy, frames, lowered=False, open_ended=open_ended),
        judged(policy, frames, lowered=True, open_ended=open_ended),
        strict=True,
    ):
        assert RANK[lower.verdict] <= RANK[higher.verdict]
        if lower.final and lower.verdict is Verdict.LIVE:
            assert (higher.final, higher.verdict) == (True, Verdict.LIVE)
        if higher.final and higher.verdict is not Verdict.LIVE:
            assert lower.final
        if not (lower.final or higher.final or math.isnan(lower.session_score)):
            assert lower.session_score <= higher.session_score


@given(frames=st.lists(st.tuples(st.floats(1.0, 4.0), st.floats(0, 5)), min_size=9, max_size=30), data=st.data())
def test_the_judge_is_monotone_where_it_is_live(frames, data):
    """The same, of sequences that mostly end LIVE: faces and gaps in between, a few slots lowered."""
    jumps = data.draw(st.sets(st.integers(0, len(frames) - 1), max_size=2))
    plain = [(0.2, "score", i in jumps, value, drop) for i, (value, drop) in enumerate(frames)]
    *_, higher = judged(POLICY, plain, lowered=False, open_ended=False)
    *_, lower = judged(POLICY, plain, lowered=True, open_ended=False)
    assert RANK[lower.verdict] <= RANK[higher.verdict]


class Eyes:
    """A frame is (log-odds, box), or None where nothing can be scored."""

    def follow(self, frame, *, t, box=None, color="bgr"):
        return Refusal(Reason.NO_FACE) if frame is None else Crop(np.full((1, 1, 1), frame[0]), Face(frame[1], 1.0))


class Net:
    def read(self, pixels):
        none = np.zeros(1)
        return Reading(none, none, none, float(pixels[0, 0, 0]))


class Host:
    """An engine of numbers."""

    adapter = None
    network = Net()
    new_perception = Eyes

    def __init__(self, engine, **limits):
        self.policy, self.turn = engine.policy, engine.turn
        self.lockout = Lockout(**limits)
        self.session = lambda: type(engine.session())(self)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
    from ratta.inference import NumpySession

    bundle = read_bundle(find_bundle(DEFAULT_MODEL))
    engine = Engine(bundle, NumpySession(bundle.graph), detector=Eyes())
    return lambda **limits: Host(engine, **limits)


ATTEMPTS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 30.0, 59.0, 61.0]), st.lists(FRAMES, max_size=12)), min_size=1, max_size=8
)
"""Seconds since the attempt before, and its frames."""


def attempted(host, attempts, *, lowered):
    """Give each attempt's (verdict, whether it was locked out), and the count and the time left after it."""
    t = 0.0
    for pause_s, frames in attempts:
        t += pause_s
        session, last = host.session(), None
        for step_s, kind, new_face, value, drop in frames:
            t += step_s
            box = THERE if new_face else HERE
            last = session.step((value - drop * lowered, box) if kind == "score" else None, t=t)
        session.close()
        shut = last is not None and last.reason is Reason.ATTEMPTS_EXHAUSTED
        yield session.verdict, shut, host.lockout.failed, host.lockout.locked(t)


@given(frames=st.lists(FRAMES, max_size=40))
def test_an_attempt_is_monotone_through_the_session(host, frames):
    """An attempt that ends LIVE with lowered log-odds ends LIVE with the higher ones, and charges no less."""
    (higher, _, failed, _), (lower, _, lowered_failed, _) = (
        next(attempted(host(), [(0.0, frames)], lowered=lowered)) for lowered in (False, True)
    )
    assert lower is not Verdict.LIVE or higher is Verdict.LIVE
    assert lowered_failed >= failed


@given(attempts=ATTEMPTS, max_attempts=st.integers(1, 4))
def test_lowering_brings_the_first_lockout_no_later(host, attempts, max_attempts):
    """Until the first lockout of the lower one both let in every attempt, and LIVE in the lower is LIVE in both."""
    runs = [list(attempted(host(max_attempts=max_attempts), attempts, lowered=low)) for low in (False, True)]
    for (higher, shut, failed, locked), (lower, lower_shut, lower_failed, lower_locked) in zip(*runs, strict=True):
        assert lower is not Verdict.LIVE or higher is Verdict.LIVE
        assert lower_failed >= failed
        assert lower_locked or not locked
        assert lower_shut or not shut
        if lower_locked:
            break  # from here on the two histories are let in at different times


@given(attempts=ATTEMPTS, max_attempts=st.integers(1, 3))
def test_without_lockouts_every_attempt_is_monotone(host, attempts, max_attempts):
    """Whatever came before."""
    runs = [list(attempted(host(max_attempts=10**6), attempts, lowered=low)) for low in (False, True)]
    for (higher, *_), (lower, *_) in zip(*runs, strict=True):
        assert lower is not Verdict.LIVE or higher is Verdict.LIVE


def test_who_is_locked_out_earlier_is_let_in_again_earlier(host):
    """Why the theorem speaks of attempts, not of whole histories: no lockout that ends can be monotone for ever."""
    live, attack = [(0.2, "score", False, 4.0, 8.0)] * 8, [(0.2, "score", False, -4.0, 0.0)] * 8
    good = [(0.2, "score", False, 4.0, 0.0)] * 8
    history = [(0.0, attack), (0.0, live), (0.0, attack), (50.0, attack), (10.0, good)]
    (*_, higher), (*_, lower) = (list(attempted(host(max_attempts=2), history, lowered=low)) for low in (False, True))
    assert (higher[:2], lower[:2]) == ((Verdict.REFUSED, True), (Verdict.LIVE, False))
