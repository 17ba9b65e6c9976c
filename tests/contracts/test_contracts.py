"""What every stage promises: inputs are left alone, reset is a fresh start, same in same out, nothing is shared."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from ratta.adaptation.anchors import LiveAnchor, Worth
from ratta.adaptation.budget import Budget, Reservation
from ratta.adaptation.controller import Controller
from ratta.adaptation.drift import BettingDrift, DriftReference, DriftSample
from ratta.adaptation.gate import Gate
from ratta.adaptation.guard import RollbackMonitor
from ratta.adaptation.records import Attempt, BufferedFrame
from ratta.adaptation.source import SourceReference, Space
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle, read_detector
from ratta.contract import CropRule
from ratta.decision import Judge, Policy
from ratta.engine import Engine
from ratta.inference import Network, NumpySession, OrtSession
from ratta.perception import BlazeFace, FaceTracker, Perception
from ratta.records import Box, Face, Reading, Reason, Refusal

POLICY = Policy(live_threshold=0.6, spoof_threshold=0.4)


class Stage(NamedTuple):
    """How to make a stage, what to do with it, and two different inputs to do it with."""

    make: Callable[[], Any]
    act: Callable[[Any, Any], Any]
    items: list[Any]
    others: list[Any]


class RedPatch:
    """Finds the rectangle of pixels whose red is 255; a pure detector."""

    def detect(self, frame, *, color="bgr"):
        y, x = np.nonzero(frame[:, :, 2] == 255)
        return (Face(Box(x.min(), y.min(), x.max() + 1, y.max() + 1), 0.9),) if len(x) else ()


class Brightness:
    """A graph whose margin follows the brightness of the crop."""

    inputs = ("pixels",)
    outputs = ("logits", "embedding", "cut")

    def run(self, feeds):
        margin = (feeds["pixels"].mean() - 120) / 10
        zeros = np.zeros((1, 576), np.float32), np.zeros((1, 96, 4, 4), np.float32)
        return np.array([[0.0, margin]], np.float32), *zeros


def frozen(array):
    """Return a read-only copy: a stage that writes to it fails at once."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy


def walk(*, seed, step):
    """Return eleven (frame, t) of a textured patch that wanders, leaves for two frames and comes back elsewhere."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(20, 90, (240, 320, 3), dtype=np.uint8)
    patch = rng.integers(60, 200, (120, 100, 3), dtype=np.uint8)
    patch[:, :, 2] = 255
    frames = []
    for i in range(11):
        frame = ground + np.uint8(i % 2)
        if i not in (6, 7):
            left = 20 + step * i + (60 if i > 7 else 0)
            frame[60:180, left : left + 100] = patch
        frames.append((frozen(frame), 0.13 * i))
    return frames


def judged(*, seed):
    """Return thirty (live_logit or None, t, new_face): scores, refusals, a swap and a gap."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.02, 0.3, 30) + (np.arange(30) == 20) * 2.0)
    return [(None if i % 7 == 3 else float(rng.normal(1.0, 3.0)), float(t), i == 12) for i, t in enumerate(times)]


def judge(stage, item):
    live_logit, t, new_face = item
    if live_logit is None:
        return stage.refuse(Refusal(Reason.NO_FACE), t=t)
    return stage.update(live_logit, t=t, box=None, new_face=new_face)


def portraits(request):
    """Return two real faces, and the same two elsewhere."""
    face = request.getfixturevalue("portrait")
    both = frozen(face), frozen(face[:, ::-1])
    return list(both), [frozen(np.roll(face, 40, axis=1)) for face in both]


SPACE = Space(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))
DRIFT = DriftReference(np.sort(np.random.default_rng(0).random((2, 60))), 2.0, 3.0, 4.0)


class Pixel:
    """A network that reads log-odds and embedding off the first pixel."""

    def read(self, pixels):
        red, green, blue = pixels[0][0, 0].astype(np.float32) / 16
        return Reading(np.array([[0, blue]]), np.array([red, green]), np.zeros((0,), np.float32), float(blue) - 6)


def controller():
    return Controller(
        Pixel(),
        SourceReference(SPACE, np.zeros((2, 2)), DRIFT),
        live_logit=0.4,
        budget=Budget(watts=1.0),
        clock=lambda: 0.0,
        detector=BettingDrift(DRIFT),
    )


def attempts(*, seed):
    """Return eighteen (time, crops of five frames, whether it is confirmed), most about one place."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(18):
        place = (40, 220, 180) if i % 6 == 5 else (140 + 3 * seed, 140, 180)
        colours = np.clip(place + rng.normal(0, 4, (5, 3)), 0, 255).astype(np.uint8)
        made.append((100.0 * (i + 1), [(frozen(np.tile(c, (4, 4, 1))),) for c in colours], i % 3 != 2 or None))
    return made


def attend(stage, item):
    """Play an attempt, confirm it or not, and let it be learnt; all that can be seen of it."""
    t, frames, confirmed = item
    attempt = stage.begin()
    readings = [stage.read(attempt, pixels, t=t + 0.25 * i) for i, pixels in enumerate(frames)]
    stage.end(attempt, t=t + 2)
    if confirmed:
        stage.confirm(attempt, is_live=True)
    return readings, stage.idle(t + 90), stage.counts, stage.band, stage.anchor.threshold


def learn(stage, item):
    """Learn a session as an anchor does; what it makes of a place."""
    _, frames, _ = item
    z = np.stack([pixels[0][0, 0, :2] / 16 for pixels in frames])
    conformity = float(np.median([stage.conformity(row, 3.0) for row in z]))
    denied = stage.penalty(conformity) > 0
    stage.learn(frozen(z), conformity, denied=denied, worth=Worth.CONFIRMED)
    stage.refit()
    return stage.level, stage.threshold, stage.conformity(np.full(2, 9.0), 3.0), stage.sessions


def gated(stage, item):
    logit, confirmed = item
    attempt = Attempt(confirmed=confirmed, view_logits=[logit])
    attempt.frames.extend(BufferedFrame(float(t), np.zeros(2), logit, 0.0) for t in range(4))
    return stage.judge(attempt, views=1), dict(stage.rejected)


def spend(stage, item):
    t, cost = item
    step = stage.reserve(cost, t=t)
    if isinstance(step, Reservation):
        stage.settle(step, cost)
    return step, stage.level_ms, stage.spent_mj, dict(stage.refused)


def detect(stage, item):
    stage.update(DriftSample(*item))
    return stage.band, stage.evidence


def watch(stage, item):
    stage.update(denied=item)
    return stage.alarm, stage.export_state()


def adaptation_stages():
    """Return every stage of adaptation that has `reset`, by name."""
    rng, other = np.random.default_rng(4), np.random.default_rng(5)
    samples = [[tuple(float(x) for x in r.normal(1, 0.5, 2)) for _ in range(40)] for r in (rng, other)]
    costs = [[(float(i), float(r.uniform(1, 60))) for i in range(40)] for r in (rng, other)]
    verdicts = [[(float(r.normal(3, 3)), (True, None, False)[i % 3]) for i in range(20)] for r in (rng, other)]
    denials = [i % 3 == 0 for i in range(40)], [i % 4 == 0 for i in range(40)]
    streams = attempts(seed=0), attempts(seed=1)
    return {
        "Controller": (controller, attend, *streams),
        "LiveAnchor": (lambda: LiveAnchor(SPACE), learn, *streams),
        "Gate": (lambda: Gate(live_logit=0.4), gated, *verdicts),
        "RollbackMonitor": (lambda: RollbackMonitor(alpha=0.05), watch, *denials),
        "BettingDrift": (lambda: BettingDrift(DRIFT), detect, *samples),
        "Budget": (lambda: Budget(watts=2.0), spend, *costs),
    }


ADAPTATION = ("Controller", "LiveAnchor", "Gate", "RollbackMonitor", "BettingDrift", "Budget")
WITH_STATE = ("RollbackMonitor", "BettingDrift", "Budget", "Controller")


def perception():
    return Perception(detector=RedPatch(), crops=(CropRule(size=64, scale=1.5), CropRule(size=64, scale=1.0)))


@pytest.fixture(scope="module")
def shipped_bundle():
    return read_bundle(find_bundle(DEFAULT_MODEL))


@pytest.fixture
def stage(request, tiny_bundle, shipped_bundle):
    walks = walk(seed=0, step=2), walk(seed=1, step=4)
    rng = np.random.default_rng(2)
    side = shipped_bundle.contract.size
    crops = tuple([frozen(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(2)] for _ in range(2))
    feeds = tuple([{"pixels": frozen(crop[None])} for crop in half] for half in crops)
    frames = tuple([frame for frame, _ in half] for half in walks)
    faces = portraits(request) if request.param == "BlazeFace" else ()
    graph = shipped_bundle.graph

    def engine():
        return Engine(tiny_bundle, Brightness(), detector=RedPatch())

    def network():
        return Network(OrtSession(graph), shipped_bundle.contract, temperature=1.5, bias=0.1)

    def look(stage, frame):
        return stage.look(frame)

    makers = {
        **adaptation_stages(),
        "Judge": (lambda: Judge(POLICY), judge, judged(seed=0), judged(seed=1)),
        "Judge, open-ended": (lambda: Judge(POLICY, open_ended=True), judge, judged(seed=0), judged(seed=1)),
        "FaceTracker": (lambda: FaceTracker(detector=RedPatch()), lambda s, i: s.update(i[0], t=i[1]), *walks),
        "Perception.follow": (perception, lambda s, i: s.follow(i[0], t=i[1]), *walks),
        "Perception.look": (perception, look, *frames),
        "Engine.step": (engine, lambda s, i: s.step(i[0], t=i[1]), *walks),
        "Engine.session": (lambda: engine().session(), lambda s, i: s.step(i[0], t=i[1]), *walks),
        "Engine.score": (engine, lambda s, i: s.score(i), *frames),
        "BlazeFace": (lambda: BlazeFace(OrtSession(read_detector())), lambda s, i: s.detect(i), *faces),
        "Network": (network, lambda s, i: s.read((i, i)), *crops),
        "OrtSession": (lambda: OrtSession(graph), lambda s, i: s.run(i), *feeds),
        "NumpySession": (lambda: NumpySession(graph), lambda s, i: s.run(i), *feeds),
    }
    return Stage(*makers[request.param])


WITH_RESET = ("Judge", "Judge, open-ended", "FaceTracker", "Perception.follow", "Engine.step")
WITH_RESET += tuple(name for name in ADAPTATION if name != "Controller")
PURE = ("Perception.look", "Engine.score", "BlazeFace", "Network", "OrtSession", "NumpySession")
EVERY = (*WITH_RESET, "Controller", "Engine.session", *PURE)


def plain(value):
    """Return a result as nested tuples that compare bit for bit; NaN equals NaN."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return type(value).__name__, *(plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, dict):
        return tuple((key, plain(item)) for key, item in value.items())
    return tuple(plain(item) for item in value) if isinstance(value, tuple | list) else repr(value)


def play(stage, items):
    made = stage.make()
    return [plain(stage.act(made, item)) for item in items]


def every(names):
    return pytest.mark.parametrize("stage", names, indirect=True)


@every(EVERY)
def test_inputs_are_left_alone(stage):
    """A stage reads what it is given, which may be read-only, and writes nothing to it."""
    before = plain(stage.items)
    play(stage, stage.items)
    assert before == plain(stage.items)


@every(EVERY)
def test_the_same_gives_the_same(stage):
    """Two instances agree bit for bit, and different inputs are told apart."""
    assert play(stage, stage.items) == play(stage, stage.items)
    assert play(stage, stage.items) != play(stage, stage.others)


@every(EVERY)
def test_instances_share_nothing(stage):
    """What one instance is shown in between does not reach the other."""
    alone = play(stage, stage.items)
    one, other = stage.make(), stage.make()
    between = []
    for item, another in zip(stage.items, stage.others, strict=True):
        stage.act(other, another)
        between.append(plain(stage.act(one, item)))
    assert alone == between


@every(EVERY)
def test_results_are_the_callers(stage):
    """A result keeps its value, whatever the stage does afterwards."""
    made = stage.make()
    results = [stage.act(made, item) for item in stage.items]
    assert play(stage, stage.items) == [plain(result) for result in results]


@every(WITH_RESET)
def test_reset_is_a_fresh_start(stage):
    """After `reset` a used instance answers like a new one, also from an earlier time on."""
    fresh = play(stage, stage.items)
    used = stage.make()
    for seen in (stage.others, stage.items[:3], stage.items):
        for item in seen:
            stage.act(used, item)
        used.reset()
        assert fresh == [plain(stage.act(used, item)) for item in stage.items]
        used.reset()


@every(WITH_STATE)
def test_state_round_trips(stage):
    """What a new instance restored is, bit for bit, what was exported, wherever that was."""
    for taken in (0, 7, len(stage.items) - 1):
        one, other = stage.make(), stage.make()
        for item in stage.items[:taken]:
            stage.act(one, item)
        state = one.export_state()
        other.restore_state(*(state if isinstance(state, tuple) else (state,)))
        assert plain(state) == plain(other.export_state())


@every(PURE)
def test_looking_changes_nothing(stage):
    """A pure stage answers the same in any order and however often."""
    made = stage.make()
    forwards = [plain(stage.act(made, item)) for item in stage.items]
    backwards = [plain(stage.act(made, item)) for item in reversed(stage.items)]
    assert forwards == backwards[::-1]


def test_sessions_of_one_engine_share_no_evidence(tiny_bundle):
    """Two attempts at once on one engine decide as each would alone; so does the stream beside them."""
    engine = Engine(tiny_bundle, Brightness(), detector=RedPatch())
    walks = [walk(seed=seed, step=2 + seed) for seed in range(3)]

    def alone(frames):
        stepper = Engine(tiny_bundle, Brightness(), detector=RedPatch()).session()
        return [plain(stepper.step(frame, t=t)) for frame, t in frames]

    sessions = [engine.session() for _ in walks]
    together = [[] for _ in walks]
    for items in zip(*walks, strict=True):
        engine.step(items[0][0], t=items[0][1])
        for session, decisions, (frame, t) in zip(sessions, together, items, strict=True):
            decisions.append(plain(session.step(frame, t=t)))
    assert [alone(frames) for frames in walks] == together


def test_scoring_between_steps_changes_no_step(tiny_bundle):
    """`score` leaves the stream, an attempt and the count of attempts as they were."""
    frames, others = walk(seed=0, step=2), walk(seed=1, step=4)

    def run(*, look):
        engine = Engine(tiny_bundle, Brightness(), detector=RedPatch())
        decisions = []
        with engine.session() as session:
            for (frame, t), (other, _) in zip(frames, others, strict=True):
                if look:
                    engine.score(other)
                    engine.score(frame)
                decisions += [plain(engine.step(frame, t=t)), plain(session.step(frame, t=t)), engine.failed_attempts]
        return decisions, session.verdict, engine.failed_attempts

    assert run(look=False) == run(look=True)


def test_both_runtimes_read_alike(shipped_bundle):
    """ONNX Runtime and NumPy agree on logits, embedding and cut, and on the names and shapes of the graph."""
    ort, plain_numpy = OrtSession(shipped_bundle.graph), NumpySession(shipped_bundle.graph)
    side = shipped_bundle.contract.size
    pixels = np.random.default_rng(3).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    assert (ort.inputs, ort.outputs, ort.shapes) == (plain_numpy.inputs, plain_numpy.outputs, plain_numpy.shapes)
    for expected, actual in zip(ort.run({"pixels": pixels}), plain_numpy.run({"pixels": pixels}), strict=True):
        assert (expected.shape, expected.dtype) == (actual.shape, actual.dtype)
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
