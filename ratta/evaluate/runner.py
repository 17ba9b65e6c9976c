"""Prequential evaluation: every frame is answered before anything is learnt from it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.evaluate.methods.method import FrameBatch
from ratta.metrics import ScoreSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from ratta.evaluate.methods.method import Method
    from ratta.evaluate.sessions import CropSession
    from ratta.evaluate.streams import Stream

    Frame = tuple[npt.NDArray[np.uint8], float, int]
    """Pixels, time, and the number of the session."""

TRACE_POINTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class StreamRun:
    """What a method did on a stream.

    Attributes
    ----------
    live_scores : (N,) float64
        One a frame of the stream, `nan` where the frame was refused.
    trace : tuple of (int, dict)
        The method's state after so many frames, about a hundred times along the stream.
    wall_s, cpu_s : float
        Inside the method alone.
    """

    live_scores: npt.NDArray[np.float64]
    trace: tuple[tuple[int, dict[str, float]], ...]
    wall_s: float
    cpu_s: float


def run_stream(method: Method, stream: Stream, *, progress: Callable[[int], None] | None = None) -> StreamRun:
    """Run a method over a stream from where it stands.

    Parameters
    ----------
    method : Method
        Reset it first for a result that stands for itself.
    stream : Stream
    progress : callable, optional
        Called with the number of frames done since the last call.
    """
    scores = np.full(len(stream), np.nan)
    trace: list[tuple[int, dict[str, float]]] = [(0, method.state())]
    step = max(1, len(stream) // TRACE_POINTS)
    wall_s = cpu_s = 0.0
    done = 0
    for places, batch in batches(stream, method.batch):
        wall, cpu = time.perf_counter(), time.process_time()
        scores[places] = method.observe(batch)
        wall_s, cpu_s = wall_s + time.perf_counter() - wall, cpu_s + time.process_time() - cpu
        now = int(places[-1]) + 1
        if now // step > trace[-1][0] // step:
            trace.append((now, method.state()))
        if progress is not None:
            progress(now - done)
        done = now
    if trace[-1][0] != len(stream):
        trace.append((len(stream), method.state()))
    return StreamRun(scores, tuple(trace), wall_s, cpu_s)


def batches(stream: Stream, size: int) -> Iterator[tuple[npt.NDArray[np.int64], FrameBatch]]:
    """Gather accepted frames in order: their places in the stream, and the batch; the last one may be shorter.

    That a session was live, where it is confirmed, is told with the next frame of a later session.
    """
    places: list[int] = []
    frames: list[Frame] = []
    confirmed: set[int] = set()
    told = 0
    for place, frame in _accepted(stream):
        number = frame[2]
        confirmed |= {k for k in range(told, number) if stream.sessions[k].confirmed}
        told = number
        places.append(place)
        frames.append(frame)
        if len(places) == size:
            yield np.array(places), _batch(frames, confirmed)
            places, frames, confirmed = [], [], set()
    if places:
        yield np.array(places), _batch(frames, confirmed)


def _accepted(stream: Stream) -> Iterator[tuple[int, Frame]]:
    """Give the place of each frame that was not refused, and the frame."""
    start = 0
    for number, one in enumerate(stream.sessions):
        for i in np.flatnonzero(one.session.refusals == "").tolist():
            yield start + i, (one.session.pixels[i], one.start_s + float(one.session.t[i]), number)
        start += len(one.session)


def _batch(frames: Sequence[Frame], confirmed: set[int]) -> FrameBatch:
    pixels, times, sessions = zip(*frames, strict=True)
    return FrameBatch(np.stack(pixels), np.array(times), np.array(sessions), frozenset(confirmed))


def score_set(sessions: Sequence[CropSession], live_scores: npt.NDArray[np.float64]) -> ScoreSet:
    """Put scores beside what the sessions say of their frames."""
    counts = [len(one) for one in sessions]
    return ScoreSet(
        live_scores=live_scores,
        is_live=np.repeat([one.is_live for one in sessions], counts),
        species=np.repeat(np.array([one.species for one in sessions], np.str_), counts),
        subjects=np.repeat(np.array([one.subject for one in sessions], np.str_), counts),
    )


def answer_all(method: Method, stream: Stream) -> npt.NDArray[np.float64]:
    """Score a stream in the present state, without learning; refused frames are `nan`."""
    scores = np.full(len(stream), np.nan)
    for places, batch in batches(stream, method.batch):
        scores[places] = method.answer(batch)
    return scores
