"""Laws of live anchors over arbitrary streams: what they never do, whatever is shown and said of it."""

import math

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ratta.adaptation.anchors import GREATEST_PENALTY, LEAST_SESSIONS, LiveAnchor, Worth  # noqa: E402
from ratta.adaptation.source import Space  # noqa: E402
from ratta.adaptation.stats import binary_entropy, conformal_threshold  # noqa: E402
from ratta.adapter import Idle  # noqa: E402
from ratta.decision import Judge  # noqa: E402
from ratta.errors import InputError, StateError  # noqa: E402
from ratta.records import Reason, Refusal, Verdict  # noqa: E402

PROPERTY = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)

COLOUR = st.integers(0, 255)
FRAME = st.tuples(COLOUR, COLOUR, COLOUR, st.sampled_from([0.0, 0.1, 0.2, 0.25, 1.5]), st.sampled_from("sssssnr"))
"""Red, green (the embedding), blue (the log-odds), seconds, and whether it is scored, of a new face, or refused."""
SESSION = st.tuples(
    st.lists(FRAME, min_size=1, max_size=16),
    st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    st.sampled_from([True, True, False, None]),
    st.sampled_from(["idle", "idle", "late", "never"]),
)
"""Frames (or, by a seed, eight frames about one place), what is claimed of them, and when the engine is idle."""
SESSIONS = st.lists(SESSION, min_size=1, max_size=5)
TAUGHT = 12
SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=64)


def frames_of(session):
    frames, seed, *_ = session
    if seed is None:
        return frames
    rng = np.random.default_rng(seed)
    colours = np.clip(rng.integers(0, 256, 3) + rng.normal(0, 6, (8, 3)), 0, 255).astype(int).tolist()
    return [(*colour, 0.25, "s") for colour in colours]


def play(toy, stream, session, judges):
    """Play one session; (the source's log-odds, the answer's) of each frame, and both judges' verdicts."""
    adapter, readings, verdicts = stream.adapter, [], []
    attempt, source = adapter.begin(), toy.Network()
    for red, green, blue, dt, kind in frames_of(session):
        stream.t += dt
        if kind == "r":
            for judge in judges:
                judge.refuse(Refusal(Reason.NO_FACE), t=stream.t)
        else:
            pixels = toy.crop(red, green, blue)
            pair = source.read(pixels).live_logit, adapter.read(attempt, pixels, t=stream.t).live_logit
            readings.append(pair)
            for judge, live_logit in zip(judges, pair, strict=False):
                judge.update(live_logit, t=stream.t, box=None, new_face=kind == "n")
        verdicts.append(tuple(judge.verdict for judge in judges))
    adapter.end(attempt, t=stream.t)
    _, _, claimed, when = session
    if claimed is not None:
        adapter.confirm(attempt, is_live=claimed)
    if when != "never":
        stream.t += 100.0 * (when == "late")
        adapter.idle(stream.t)
    return readings, verdicts


def taught(toy, **arguments):
    """Make a stream that has learnt twelve short sessions of one person: its anchors deny."""
    stream = toy.Stream(toy.controller(**arguments))
    for _ in range(TAUGHT):
        stream.session(confirmed=True, frames=4)
    return stream


@PROPERTY
@given(sessions=SESSIONS, before=st.booleans())
def test_no_frame_is_ever_answered_above_the_source(toy, sessions, before):
    """Granted: none, whatever is shown, whatever is claimed of it, whenever it is learnt."""
    stream = taught(toy) if before else toy.Stream(toy.controller())
    for session in sessions:
        for source, answer in play(toy, stream, session, ())[0]:
            assert source - GREATEST_PENALTY <= answer <= source


@PROPERTY
@given(sessions=SESSIONS, open_ended=st.booleans())
def test_no_session_is_live_that_is_not_live_to_the_source(toy, sessions, open_ended):
    """At no frame and at no end, also when faces change and frames are refused."""
    stream = taught(toy)
    for session in sessions:
        judges = [Judge(toy.policy, open_ended=open_ended) for _ in range(2)]
        for by_source, adapted in play(toy, stream, session, judges)[1]:
            assert adapted is not Verdict.LIVE or by_source is Verdict.LIVE


@PROPERTY
@given(sessions=SESSIONS, mode=st.sampled_from([{"shadow": True}, {"anchors": False}]))
def test_shadow_and_no_anchors_are_the_source_bit_for_bit(toy, sessions, mode):
    """Whatever was learnt before and is learnt meanwhile."""
    stream = taught(toy, **mode)
    for session in sessions:
        for source, answer in play(toy, stream, session, ())[0]:
            assert source.hex() == answer.hex()
        assert not stream.adapter.adapted


@PROPERTY
@given(sessions=SESSIONS, after=SESSIONS)
def test_a_restored_adapter_answers_bit_for_bit_alike(toy, sessions, after):
    """From anywhere in a stream, once what waited has been studied."""
    one, other = taught(toy), toy.Stream(toy.controller())
    for session in sessions:
        play(toy, one, session, ())
    one.t += 100
    one.adapter.idle(one.t)
    other.adapter.restore_state(*one.adapter.export_state())
    other.t = one.t
    assert one.adapter.anchor.threshold == other.adapter.anchor.threshold
    for session in after:
        assert play(toy, one, session, ()) == play(toy, other, session, ())


@PROPERTY
@given(sessions=SESSIONS)
def test_nothing_is_denied_after_a_rollback_until_ten_sessions_are_learnt(toy, sessions):
    """Whatever follows; the sessions here are fewer."""
    stream = taught(toy)
    for _ in range(32):
        stream.adapter.monitor.update(denied=True)
    stream.session(confirmed=True)
    assert 1 == stream.adapter.counts["rollbacks"]
    for session in sessions:
        for source, answer in play(toy, stream, session, ())[0]:
            assert source.hex() == answer.hex()


@PROPERTY
@given(sessions=SESSIONS, within_ms=st.sampled_from([math.inf, 1.5, 7.0]))
def test_idle_ends_at_a_fixed_time_and_leaves_nothing_done_halfway(toy, sessions, within_ms):
    """`while idle(t) is MORE` ends; DONE stays DONE; and all attempts whose time is up have then been studied."""
    now = iter(range(10**9))
    stream = taught(toy, clock=lambda: float(next(now)))
    for session in sessions:
        play(toy, stream, session, ())
    stream.t += 100
    calls = 0
    while (found := stream.adapter.idle(stream.t, within_ms=within_ms)) is Idle.MORE:
        calls += 1
        assert calls < 1000
    assert (Idle.DONE, Idle.DONE) == (found, stream.adapter.idle(stream.t))
    played = sum(any(kind != "r" for *_, kind in frames_of(session)) for session in sessions)
    assert TAUGHT + played == stream.adapter.counts["studied"]


ADVERSARY = st.lists(st.one_of(st.just("below"), st.just("above"), st.floats(-100, 100)), min_size=60, max_size=160)


@PROPERTY
@given(
    moves=st.one_of(ADVERSARY, st.integers(60, 160).map(lambda n: ["below"] * n)),
    alpha=st.sampled_from([0.02, 0.05, 0.1, 0.3]),
    rate=st.sampled_from([0.05, 0.2]),
)
def test_the_share_of_confirmed_live_sessions_denied_is_bounded(moves, alpha, rate):
    """At most `alpha + (0.3 + rate) / (rate T)` (Gibbs and Candes 2021), also where all go below the threshold."""
    anchor, denials, z = LiveAnchor(Space.unknown(1), alpha=alpha, rate=rate), 0, np.ones((1, 1))
    for _ in range(LEAST_SESSIONS):
        anchor.learn(z, 0.0, denied=False, worth=Worth.CONFIRMED)
    for move in moves:
        anchor.refit()
        near = anchor.threshold if math.isfinite(anchor.threshold) else 0.0
        conformity = near - 1 if move == "below" else near + 1 if move == "above" else move
        denied = anchor.penalty(conformity) > 0
        denials += denied
        anchor.learn(z, conformity, denied=denied, worth=Worth.CONFIRMED)
    assert denials / len(moves) <= alpha + (0.3 + rate) / (rate * len(moves))


@PROPERTY
@given(scores=SCORES, c=st.floats(-1e3, 1e3), step=st.floats(0, 1e-3), level=st.floats(0.001, 0.3))
def test_the_penalty_is_bounded_falls_and_has_no_jump(scores, c, step, level):
    """More conformity never costs more, and a little less of it costs a little."""
    anchor = LiveAnchor(Space.unknown(1))
    anchor._threshold = conformal_threshold(scores, level)
    lower, higher = anchor.penalty(c), anchor.penalty(c + step)
    assert 0 <= higher <= lower <= GREATEST_PENALTY
    assert lower - higher <= 100 * step + 1e-6


@PROPERTY
@given(SCORES, st.floats(0.001, 0.3), st.floats(0.001, 0.3), st.randoms(use_true_random=False))
def test_the_threshold_is_a_score_and_grows_with_the_level(scores, low, high, chance):
    """It is one of the scores, whatever their order; a higher level never gives a lower one."""
    low, high = min(low, high), max(low, high)
    shuffled = chance.sample(scores, len(scores))
    assert conformal_threshold(scores, low) == conformal_threshold(shuffled, low)
    assert conformal_threshold(scores, low) in scores
    assert conformal_threshold(scores, low) <= conformal_threshold(scores, high)


@PROPERTY
@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_bounded(p):
    """A probability and its complement are as uncertain."""
    assert 0 <= binary_entropy(p) <= math.log(2) + 1e-15
    assert pytest.approx(binary_entropy(p), abs=1e-12) == binary_entropy(1 - p)


NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.floats(), st.sampled_from([0.0, 1e-3, 1.0]))


@PROPERTY
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["weight", "total", "second", "scores"]), st.integers(0, 3), NUMBERS),
        min_size=1,
        max_size=4,
    ),
    frames=st.lists(FRAME, min_size=1, max_size=6),
)
def test_a_tampered_state_is_refused_or_can_only_deny(toy, changes, frames):
    """Some number changed: either a `StateError` and the source, or answers at most the source's, and never a crash."""
    stream = taught(toy)
    values, arrays = stream.adapter.export_state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    for name, index, number in changes:
        flat = arrays[f"anchor.confirmed.{name}"].reshape(-1)
        flat[index % len(flat)] = number
        if name == "second":
            flat[[1, 2]] = flat[index % 2 + 1]  # a matrix that is not symmetric is refused anyway
    other = toy.Stream(toy.controller())
    try:
        with np.errstate(all="ignore"):
            other.adapter.restore_state(values, arrays)
    except StateError:
        assert -math.inf == other.adapter.anchor.threshold
    for source, answer in play(toy, other, (frames, None, True, "idle"), ())[0]:
        assert answer <= source


@PROPERTY
@given(waits=st.lists(st.floats(0, 200), min_size=1, max_size=6), confirm_s=st.sampled_from([0.0, 10.0, 60.0]))
def test_confirm_works_after_idle_until_the_time_is_up(toy, waits, confirm_s):
    """However often and whenever `idle` is called; then it is an InputError and changes nothing."""
    stream = toy.Stream(toy.controller(confirm_s=confirm_s))
    attempt, _ = stream.attempt()
    ended_s, t = stream.t, stream.t
    for wait in waits:
        t += wait
        stream.adapter.idle(t)
    if t - ended_s > confirm_s:
        before = stream.adapter.counts
        with pytest.raises(InputError, match="confirm: expected"):
            stream.adapter.confirm(attempt, is_live=True)
        assert (before, None) == (stream.adapter.counts, attempt.confirmed)
    else:
        stream.adapter.confirm(attempt, is_live=True)
        stream.adapter.idle(t)
        assert 1 == stream.adapter.counts["confirmed"]
