"""The prequential loop: order, batches, refusals, and that answers come before learning."""

import numpy as np
import pytest

from ratta.evaluate.runner import answer_all, batches, run_stream, score_set
from ratta.evaluate.streams import build_stream


class Counter:
    """Answers how many frames it has learnt from, over 1000; no network needed."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.seen: list[tuple[float, int]] = []

    def answer(self, batch):
        return np.full(len(batch), len(self.seen) / 1000)

    def observe(self, batch):
        scores = self.answer(batch)
        self.seen += list(zip(batch.t.tolist(), batch.sessions.tolist(), strict=True))
        return scores

    def reset(self) -> None:
        self.seen = []

    def state(self):
        return {"updates": float(len(self.seen))}


@pytest.fixture
def stream(corpus):
    """Twelve sessions of four frames; the second frame of every session is refused."""
    sessions = []
    for one in corpus(3):
        refusals = one.refusals.astype("<U8")
        refusals[1] = "too dark"
        sessions.append(type(one)(**{f: getattr(one, f) for f in one.__slots__ if f != "refusals"}, refusals=refusals))
    return build_stream("sessions", away=sessions, seed=0)


@pytest.mark.parametrize("size", [1, 5, 100])
def test_answers_before_learning(stream, size) -> None:
    """A frame's score knows only the batches before its own; refused frames have none and are not seen."""
    method = Counter(size)
    run = run_stream(method, stream)
    accepted = np.arange(48) % 4 != 1
    assert accepted.tolist() == (~np.isnan(run.live_scores)).tolist()
    order = np.cumsum(accepted) - 1
    np.testing.assert_allclose(run.live_scores[accepted], (order[accepted] // size * size) / 1000)
    assert 36 == len(method.seen)


def test_clock_and_sessions(stream) -> None:
    """Times only grow and name the session they belong to, in order."""
    method = Counter(5)
    run_stream(method, stream)
    times, sessions = zip(*method.seen, strict=True)
    assert (sorted(times), sorted(sessions)) == (list(times), list(sessions))
    assert list(range(12)) == sorted(set(sessions))


def test_batches_cover_every_accepted_frame_once(stream) -> None:
    """Places and pixels belong together, and the last batch is shorter."""
    found = list(batches(stream, 10))
    assert [10, 10, 10, 6] == [len(batch) for _, batch in found]
    place, batch = found[0]
    assert 0 == place[0]
    np.testing.assert_array_equal(stream.sessions[0].session.pixels[2], batch.pixels[1])


def test_trace_and_progress(stream) -> None:
    """The trace begins at 0 and ends at the end; progress adds up to the stream."""
    done: list[int] = []
    run = run_stream(Counter(4), stream, progress=done.append)
    assert ((0, {"updates": 0.0}), (48, {"updates": 36.0})) == (run.trace[0], run.trace[-1])
    assert 48 == sum(done)
    assert run.wall_s >= 0


def test_answer_all_learns_nothing(stream) -> None:
    """Looking at a whole stream changes nothing."""
    method = Counter(4)
    scores = answer_all(method, stream)
    assert ([], 36, 0.0) == (method.seen, int(np.sum(~np.isnan(scores))), np.nanmax(scores))


def test_score_set_knows_whose_frames_they_are(stream) -> None:
    """Species and subjects come from the sessions, frame by frame."""
    sessions = [one.session for one in stream.sessions]
    scores = score_set(sessions, np.arange(48.0))
    assert [s.species for s in sessions for _ in range(4)] == scores.species.tolist()
    assert [s.subject for s in sessions for _ in range(4)] == scores.subjects.tolist()


@pytest.mark.parametrize("size", [1, 5, 7, 100])
def test_confirmed_sessions_are_told_after_they_ended(corpus, size) -> None:
    """Each once, never before a frame of a later session; what was not confirmed is never told."""
    stream = build_stream("sessions", away=corpus(6), seed=3, confirm=0.6)
    told: list[int] = []
    for _, batch in batches(stream, size):
        assert all(number < batch.sessions.max() for number in batch.confirmed)
        told += sorted(batch.confirmed)
    wanted = [place for place, one in enumerate(stream.sessions[:-1]) if one.confirmed]
    assert 3 < len(wanted) < 12
    assert wanted == told
