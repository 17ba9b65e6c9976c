"""The engine: the order of the stages, attempts and their limit, purity, independence; with a scripted network."""

import math
import threading

import numpy as np
import pytest

import ratta
from ratta.adaptation.drift import Band
from ratta.adaptation.records import Attempt
from ratta.adapter import Idle
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle, write_bundle
from ratta.contract import Contract
from ratta.engine import Engine
from ratta.errors import BundleError, InputError
from ratta.inference import Network
from ratta.records import Box, Face, Reason, Verdict, logit
from ratta.session import as_box

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
    return np.roll(frame, i, axis=1) + np.uint8(i % 2)


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


@pytest.mark.parametrize(
    "wrong",
    [{"detector": 5}, {"detector": OneFace}, {"threads": 1.5}, {"threads": 2**40}, {"threads": None}, {"sha256": 123}],
)
def test_odd_arguments_are_errors_at_load(wrong):
    """Not at the first frame."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        ratta.load(**wrong)


def test_a_second_thread_is_told(engine, graph, textured):
    """While the first is being answered; afterwards any thread may call."""
    inside, go_on, told = threading.Event(), threading.Event(), []
    answer = graph.run

    def wait(feeds):
        inside.set()
        go_on.wait(10)
        return answer(feeds)

    graph.run = wait
    first = threading.Thread(target=lambda: told.append(engine.step(textured, t=0.0, box=FACE)))
    first.start()
    inside.wait(10)
    for call in (lambda: engine.score(textured, box=FACE), lambda: engine.session().step(textured, t=1.0, box=FACE)):
        with pytest.raises(InputError, match="one thread at a time"):
            call()
    go_on.set()
    first.join()
    assert not math.isnan(told[0].live_score)
    assert not engine.score(textured, box=FACE).refused


def test_a_masked_frame_is_refused(engine, textured):
    """Nobody says what lies under the mask."""
    assert engine.score(np.ma.masked_array(textured), box=FACE).reason is Reason.UNUSABLE_INPUT


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


class NotingAdapter:
    """Answers by the engine's graph and notes what it is asked."""

    def __init__(self, network):
        self.network = network
        self.adapted = True
        self.band = Band.ADAPT
        self.calls = []

    def begin(self):
        self.calls.append("begin")
        return Attempt()

    def read(self, attempt, pixels, *, t):
        self.calls.append("read")
        return self.network.read(pixels)

    def end(self, attempt, *, t):
        self.calls.append("end")

    def idle(self, t, *, within_ms):
        self.calls.append("idle")
        return Idle.WAITING

    def confirm(self, attempt, *, is_live):
        if attempt.studied:
            raise InputError("too late")
        attempt.confirmed = is_live

    def reset(self):
        self.calls.append("reset")


@pytest.fixture
def adapting(tiny_bundle, graph):
    network = Network(graph, tiny_bundle.contract)
    engine = Engine(tiny_bundle, graph, detector=OneFace(), adapter=NotingAdapter(network))
    engine.adapter.calls.clear()
    return engine


def test_an_attempt_begins_with_its_first_scored_frame_and_ends_once(adapting, textured):
    """Whether the verdict became final or the session was left; refused frames begin nothing."""
    with adapting.session() as session:
        session.step(np.zeros((480, 640, 3), np.uint8), t=0.0, box=FACE)
        assert adapting.adapter.calls == []
        play(session, textured, start=1.0)
        assert session.final
    assert ["begin", "end"] == [c for c in adapting.adapter.calls if c != "read"]
    adapting.adapter.calls.clear()
    with adapting.session() as session:
        play(session, textured, frames=2, start=50.0)
    assert ["begin", "read", "read", "end"] == adapting.adapter.calls


def test_a_decision_says_who_answered_and_what_drift_says(adapting, textured):
    """`adapted` and `band` are the adapter's at the moment of the answer; without one they are empty."""
    decision = adapting.session().step(textured, t=0.0, box=FACE)
    assert (True, "adapt") == (decision.adapted, decision.band)


def test_without_adaptation_a_decision_names_none(engine, textured):
    """The same fields, empty."""
    decision = engine.session().step(textured, t=0.0, box=FACE)
    assert (False, "") == (decision.adapted, decision.band)
    assert Idle.DONE is engine.idle(0.0)


def test_a_stream_teaches_nothing(adapting, textured):
    """Its attempt never ends, so it is never studied."""
    play(adapting, textured)
    assert {"begin", "read"} == set(adapting.adapter.calls)
    assert 1 == adapting.adapter.calls.count("begin")


def test_idle_and_reset_reach_the_adapter(adapting):
    """Learning happens in `idle`; a reset takes what was learnt back."""
    assert Idle.WAITING is adapting.idle(0.0)
    adapting.reset()
    assert ["idle", "reset"] == adapting.adapter.calls


def test_confirm_reaches_the_attempt(adapting, textured):
    """Before, during or after its end; only a truth value will do."""
    session = adapting.session()
    session.confirm(is_live=True)
    session.step(textured, t=0.0, box=FACE)
    assert session._attempt.confirmed is True
    session.close()
    session.confirm(is_live=False)
    assert session._attempt.confirmed is False
    with pytest.raises(InputError, match="True or False"):
        session.confirm(is_live=1)
    session._attempt.studied = True
    with pytest.raises(InputError, match="too late"):
        session.confirm(is_live=True)


@pytest.mark.parametrize("call", ["save_state", "load_state"])
def test_state_needs_an_engine_that_adapts(engine, tmp_path, call):
    """There is nothing to save or to restore otherwise."""
    arguments = {"key": bytes(32), "counter": 1} if call == "save_state" else {"key": bytes(32), "at_least": 0}
    with pytest.raises(InputError, match="adapt=True"):
        getattr(engine, call)(tmp_path / "state", **arguments)


def test_any_model_with_an_embedding_adapts(tmp_path):
    """Without statistics every camera counts as changed; adapt is a truth value or settings, nothing else."""
    bundle = ratta.read_bundle(find_bundle(DEFAULT_MODEL))
    fields = ("name", "version", "licence", "contract", "calibration", "graph", "affine", "card")
    write_bundle(tmp_path / "plain", **{f: getattr(bundle, f) for f in fields})
    assert "adapt" == ratta.load(tmp_path / "plain", adapt=True).adapter.band
    with pytest.raises(InputError, match="Adaptation"):
        ratta.load(adapt="yes")


@pytest.fixture(scope="module")
def wide_only(tmp_path_factory):
    """Folder of the shipped network behind a contract of its wide crop alone."""
    bundle = read_bundle(find_bundle(DEFAULT_MODEL))
    folder = tmp_path_factory.mktemp("wide")
    parts = ("name", "version", "licence", "calibration", "graph", "affine", "card")
    contract = Contract.native(size=bundle.contract.size, scales=(2.7,))
    write_bundle(folder, contract=contract, **{part: getattr(bundle, part) for part in parts})
    return folder


def test_two_crops_answer_with_the_mean_of_their_log_odds(wide_only, portrait):
    """Both is the default; wide or tight alone is the reader's choice, and the wide one is the model of one crop."""
    box = (190, 80, 280, 190)
    scores = {crops: ratta.load(crops=crops).score(portrait, box=box) for crops in ("both", "wide", "tight")}
    logits = {crops: logit(score.live_score) for crops, score in scores.items()}
    assert logits["both"] == pytest.approx((logits["wide"] + logits["tight"]) / 2, abs=1e-4)
    assert logits["wide"] == pytest.approx(logit(ratta.load(wide_only).score(portrait, box=box).live_score), abs=1e-6)
    assert ratta.load().bundle.contract.scales == (2.7, 1.15)


def test_a_choice_of_crops_needs_several(wide_only):
    """With one crop there is nothing to choose, and of two there are three choices."""
    with pytest.raises(InputError, match="several crops"):
        ratta.load(wide_only, crops="tight")
    with pytest.raises(InputError, match="expected one of"):
        ratta.load(crops="all")
