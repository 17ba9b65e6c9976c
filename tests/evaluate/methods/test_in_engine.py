"""A baseline inside an engine: sessions and verdicts around it, learning off the answer path."""

import numpy as np
import pytest

from ratta.adapter import Idle
from ratta.engine import Engine
from ratta.errors import InputError
from ratta.evaluate.methods import make_method
from ratta.evaluate.methods.in_engine import InEngine
from ratta.records import Box, Face, Verdict

FACE = Box(200, 100, 400, 340)


class Graph:
    """Always an attack: whoever is let in was let in by the method."""

    inputs = ("pixels",)
    outputs = ("logits", "embedding", "cut")

    def run(self, feeds):
        return np.array([[0.0, -4.0]], np.float32), np.zeros((1, 576), np.float32), np.zeros((1, 96, 4, 4), np.float32)


class OneFace:
    """Finds the same face in every frame."""

    def detect(self, frame, *, color="bgr"):
        return (Face(FACE, 0.9),)


class Noting:
    """Answers 0.9 until it has learnt three batches, then 0.1; notes what it saw."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.reset()

    def answer(self, batch):
        self.asked.append(len(batch))
        return np.full(len(batch), 0.9 if len(self.learnt) < 3 else 0.1)

    def observe(self, batch):
        self.learnt.append((batch.pixels.shape, batch.sessions.tolist(), batch.confirmed))
        return np.zeros(len(batch))

    def reset(self) -> None:
        self.asked, self.learnt = [], []

    def state(self):
        return {"updates": float(len(self.learnt))}


@pytest.fixture
def play(tiny_bundle, textured):
    """Play attempts with a method inside; the engine, and each attempt's session."""

    def playing(method, attempts: int, *, confirm=None, idle=True):
        engine = Engine(tiny_bundle, Graph(), detector=OneFace(), adapter=InEngine(method), max_attempts=99)
        sessions, t = [], 0.0
        for _ in range(attempts):
            with engine.session() as session:
                for i in range(12):
                    t += 0.2
                    frame = np.roll(textured, i, axis=1) + np.uint8(i % 2)
                    if session.step(frame, t=t, box=FACE).final:
                        break
                    if idle:
                        engine.idle(t)
            if confirm is not None:
                session.confirm(is_live=confirm)
            t += 30
            engine.idle(t)
            sessions.append(session)
        return engine, sessions

    return playing


def test_the_method_decides(play) -> None:
    """Whole sessions end by the method's scores, and by what it learnt in between."""
    method = Noting(batch=4)
    _, sessions = play(method, 5)
    assert Verdict.LIVE is sessions[0].verdict
    assert Verdict.SPOOF is sessions[-1].verdict


def test_it_learns_whole_batches_in_idle_only(play) -> None:
    """A batch has as many frames as the method wants, in order; an answer sees at most so many, and never waits."""
    method = Noting(batch=4)
    play(method, 3)
    assert {(4, 64, 64, 3)} == {shape for shape, *_ in method.learnt}
    order = [number for _, sessions, _ in method.learnt for number in sessions]
    assert sorted(order) == order
    assert (1, 4) == (method.asked[0], max(method.asked))


def test_what_is_confirmed_as_live_is_told_once_and_attacks_never(play) -> None:
    """Confirmed sessions go with the next batch."""
    live, attack = Noting(batch=1), Noting(batch=1)
    engine, _ = play(live, 3, confirm=True)
    play(attack, 3, confirm=False)
    assert [1, 2, 3] == [number for *_, confirmed in live.learnt for number in confirmed]
    assert 0 == sum(len(confirmed) for *_, confirmed in attack.learnt)
    assert 3 == engine.adapter.counts["confirmed"]


def test_a_published_method_runs_inside(play, source, frames) -> None:
    """Tent on a tiny network learns from an engine's frames, and a reset of the engine resets it."""
    method = make_method("tent", source, development=frames(4), options={"batch": 4})
    engine, _ = play(method, 3)
    assert 0 < method.state()["updates"] == engine.adapter.counts["updates"]
    assert engine.adapter.adapted
    engine.reset()
    assert (0.0, False) == (method.state()["updates"], engine.adapter.adapted)


def test_no_time_no_learning() -> None:
    """`within_ms=0` says that there is more to do."""
    method = Noting(batch=1)
    adapter = InEngine(method)
    adapter.read(adapter.begin(), (np.zeros((8, 8, 3), np.uint8),), t=1.0)
    assert (Idle.MORE, 0) == (adapter.idle(1.0, within_ms=0), len(method.learnt))
    assert (Idle.DONE, 1) == (adapter.idle(1.0), len(method.learnt))


def test_it_has_no_state_to_seal(play, tmp_path) -> None:
    """Saving says so."""
    engine, _ = play(Noting(batch=1), 1)
    with pytest.raises(InputError, match="a baseline, which keeps none"):
        engine.save_state(tmp_path / "state", key=bytes(32), counter=1)
