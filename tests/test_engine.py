"""The engine: the order of the rooms, attempts and their limit, purity, independence; with a scripted network."""

import math

import numpy as np
import pytest

import ratta
from ratta.engine import Engine, as_box
from ratta.errors import BundleError, InputError
from ratta.records import Box, Face, Reason, Verdict

FACE = Box(200, 100, 400, 340)


class ScriptedGraph:
    """Answers with the margins it is given, one a run."""

    inputs = ("pixels",)
    outputs = ("logits", "embedding", "cut")

    def __init__(self, margin=0.0):
        self.margin = margin
        self.runs = 0

    def run(self, feeds):
        self.runs += 1
        logits = np.array([[0.0, self.margin]], np.float32)
        return logits, np.zeros((1, 576), np.float32), np.zeros((1, 96, 4, 4), np.float32)


class OneFace:
    """Finds the same face in every frame."""

    def detect(self, frame, *, color="bgr"):
        return (Face(FACE, 0.9),)


@pytest.fixture
def graph():
    return ScriptedGraph(3.0)


@pytest.fixture
def engine(tiny_bundle, graph):
    return Engine(tiny_bundle, graph, detector=OneFace(), max_attempts=2, lockout_s=60.0)


def shaken(frame, i):
    """The same scene, a little different, as a real camera gives it."""
    return np.roll(frame, i % 3, axis=1) + np.uint8(i % 2)


def play(stepper, frame, *, frames=10, start=0.0):
    decision = None
    for i in range(frames):
        decision = stepper.step(shaken(frame, i), t=start + i * 0.2, box=FACE)
        if decision.final:
            break
    return decision


def test_a_living_face_is_live(engine, textured):
    """Steady live scores end an attempt LIVE."""
    with engine.session() as session:
        decision = play(session, textured)
    assert (decision.verdict, decision.final, session.verdict) == (Verdict.LIVE, True, Verdict.LIVE)
    assert decision.live_score == pytest.approx(1 / (1 + math.exp(-3)))
    assert decision.box == FACE


def test_an_attack_is_a_spoof(engine, graph, textured):
    """Steady attack scores end an attempt SPOOF."""
    graph.margin = -3.0
    with engine.session() as session:
        play(session, textured)
    assert (session.verdict, session.reason) == (Verdict.SPOOF, Reason.STABLE)


def test_score_is_pure(engine, graph, textured):
    """Looking changes nothing: neither the stream's later decisions nor the frame."""
    plain = [engine.step(shaken(textured, i), t=i * 0.2, box=FACE) for i in range(6)]
    engine.reset()
    frame = textured.copy()
    mixed = []
    for i in range(6):
        assert engine.score(frame).live_score == engine.score(frame).live_score
        mixed.append(engine.step(shaken(textured, i), t=i * 0.2, box=FACE))
    assert mixed == plain
    np.testing.assert_array_equal(frame, textured)


def test_engines_share_nothing(tiny_bundle, textured):
    """What one engine sees does not reach another."""
    live = Engine(tiny_bundle, ScriptedGraph(3.0), detector=OneFace())
    spoof = Engine(tiny_bundle, ScriptedGraph(-3.0), detector=OneFace())
    for i in range(8):
        a = live.step(shaken(textured, i), t=i * 0.2)
        b = spoof.step(shaken(textured, i), t=i * 0.2)
    assert (a.verdict, b.verdict) == (Verdict.LIVE, Verdict.SPOOF)


def test_the_number_of_attempts_is_limited(engine, graph, textured):
    """After two failed attempts the third is refused, even for a living face, until the lockout is over."""
    graph.margin = -3.0
    for attempt in range(2):
        with engine.session() as session:
            play(session, textured, start=attempt * 10.0)
    graph.margin = 3.0
    with engine.session() as locked:
        decision = play(locked, textured, start=20.0)
    assert (decision.verdict, decision.reason, decision.final) == (Verdict.REFUSED, Reason.ATTEMPTS_EXHAUSTED, True)
    with engine.session() as later:
        play(later, textured, start=80.0)
    assert (later.verdict, engine.failed_attempts) == (Verdict.LIVE, 0)


def test_breaking_off_is_a_failed_attempt(engine, textured):
    """Leaving early when it goes badly is no free retry."""
    with engine.session() as session:
        session.step(textured, t=0.0, box=FACE)
    assert (session.verdict, engine.failed_attempts) == (Verdict.UNCERTAIN, 1)


def test_a_session_without_a_face_costs_no_attempt(engine):
    """Nobody was there, so nobody failed."""
    with engine.session() as session:
        session.step(None, t=0.0)
    assert (session.verdict, engine.failed_attempts) == (Verdict.REFUSED, 0)


def test_a_final_session_runs_no_network(engine, graph, textured):
    """After the end frames cost nothing and change nothing."""
    session = engine.session()
    play(session, textured)
    runs = graph.runs
    assert session.step(textured, t=99.0, box=FACE).verdict is Verdict.LIVE
    assert graph.runs == runs


def test_a_closed_session_is_an_error(engine, textured):
    """A step after the attempt has ended says what to do."""
    session = engine.session()
    session.close()
    with pytest.raises(InputError, match=r"engine\.session"):
        session.step(textured, t=0.0)


def test_another_face_starts_again(engine, textured):
    """A box far from the last one drops what spoke for the first face."""
    assert play(engine, textured, frames=7).verdict is Verdict.LIVE
    moved = engine.step(shaken(textured, 7), t=1.4, box=Box(420, 100, 620, 340))
    assert (moved.verdict, moved.reason) == (Verdict.UNCERTAIN, Reason.GATHERING)


def test_same_frames_same_decisions(tiny_bundle, textured):
    """Two engines that see the same frames agree bit for bit."""
    engines = [Engine(tiny_bundle, ScriptedGraph(0.7), detector=OneFace()) for _ in range(2)]
    first, second = ([e.step(shaken(textured, i), t=i * 0.1) for i in range(20)] for e in engines)
    assert first == second


@pytest.mark.parametrize(
    "graph_change",
    [
        {"inputs": ("image",)},
        {"outputs": ("logits",)},
        {"margin": math.nan},
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(tiny_bundle, graph_change):
    """Wrong names or answers that are no numbers are found when the engine is made."""
    graph = ScriptedGraph()
    for name, value in graph_change.items():
        setattr(graph, name, value)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Engine(tiny_bundle, graph, detector=OneFace())


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"lockout_s": 0.0}, {"lockout_s": math.nan}])
def test_the_constructor_is_checked(tiny_bundle, graph, wrong):
    """Limits that limit nothing are errors."""
    with pytest.raises(InputError, match="expected"):
        Engine(tiny_bundle, graph, detector=OneFace(), **wrong)


@pytest.mark.parametrize(
    "box", [(1, 2, 3), "box", "1289", {1: 0, 2: 0, 8: 0, 9: 0}, (1, 2, "x", 4), (0, 0, 10**400, 5), 7]
)
def test_a_box_is_four_numbers(box):
    """Anything else is an error that says so."""
    with pytest.raises(InputError, match="four numbers"):
        as_box(box)


def test_an_unknown_runtime_is_named():
    """The error lists the runtimes there are."""
    with pytest.raises(InputError, match="onnxruntime"):
        ratta.load(runtime="cuda")


class BrightGraph(ScriptedGraph):
    """Answers with the brightness of the crop."""

    def run(self, feeds):
        self.margin = float(feeds["pixels"].mean()) / 64
        return super().run(feeds)


def test_arguments_are_not_kept(tiny_bundle, textured):
    """What a caller writes into a frame later changes no decision: the frame is not kept, and a repeat is known."""
    kept, copied = (Engine(tiny_bundle, BrightGraph(), detector=OneFace()) for _ in range(2))
    frame = textured.copy()
    kept.step(frame, t=0.0)
    copied.step(textured, t=0.0)
    frame[:] = 0
    for i in range(3):
        # By what they show: nan is not itself, and since Python 3.13 records compare field by field.
        assert repr(kept.step(textured, t=0.2 + i)) == repr(copied.step(textured, t=0.2 + i))


def test_attempts_count_without_closing(engine, graph, textured):
    """Forgetting `close`, or never calling it, is no free retry."""
    graph.margin = -3.0
    for attempt in range(2):
        play(engine.session(), textured, start=attempt * 10.0)
    assert engine.locked(20.0)


def test_a_spare_attempt_does_not_lift_the_lockout(engine, graph, textured):
    """An attempt kept open from before the lockout and closed after it changes nothing."""
    graph.margin = -3.0
    spare = engine.session()
    spare.step(textured, t=0.0, box=FACE)
    with engine.session() as session:
        play(session, textured, start=1.0)
    assert engine.locked(10.0)
    spare.close()
    assert engine.locked(10.0)


def test_attempts_share_one_clock(engine, graph, textured):
    """An attempt before the last failure is an error that says so, not a lockout for ever."""
    graph.margin = -3.0
    with engine.session() as session:
        play(session, textured, start=100.0)
    with pytest.raises(InputError, match="time never goes back"):
        engine.session().step(textured, t=0.0, box=FACE)


def test_a_bad_argument_does_not_move_time(engine, textured):
    """A step that raises leaves the session where it was."""
    with pytest.raises(InputError, match="color"):
        engine.step(textured, t=5.0, color="hsv")
    assert not math.isnan(engine.step(textured, t=1.0, box=FACE).live_score)


def test_a_network_that_fails_later_is_refused(engine, graph, textured):
    """A network that begins to answer nan is never LIVE, neither in a stream nor in a single look."""
    graph.margin = math.nan
    assert play(engine, textured).verdict is Verdict.REFUSED
    assert engine.score(textured, box=FACE).refused
