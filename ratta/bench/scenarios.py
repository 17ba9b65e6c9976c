"""What is measured, and how: the race of the stages, frames at a camera's rate, frames without a pause."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ratta.bench.device import temperature_c
from ratta.bench.energy import meter_loop
from ratta.bench.frames import Stream
from ratta.bench.result import BARE, PIPELINE, STEP, Sustained, Throughput, Timing
from ratta.bench.stages import scene_crops, stage_contestants
from ratta.bench.timing import Contestant, ratios_over, spread
from ratta.errors import DataError
from ratta.records import Verdict
from ratta.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ratta.bench.energy import Energy, Meter
    from ratta.bench.frames import Scene
    from ratta.bench.timing import Samples
    from ratta.engine import Engine
    from ratta.records import Decision

STREAM_FPS = 30.0


class Answering:
    """Answers one frame of a stream after another; a call is what gets timed.

    Parameters
    ----------
    step : callable
        `Engine.step` or `Session.step`.
    stream : Stream
    with_box : bool
        Whether to say where the face is.
    """

    def __init__(self, step: Callable[..., Decision], stream: Stream, *, with_box: bool) -> None:
        self.refused = 0
        self._step = step
        self._stream = stream
        self._with_box = with_box

    def __call__(self) -> Decision:
        """Answer the next frame."""
        frame, box, t = self._stream.next()
        decision = self._step(frame, t=t, box=box if self._with_box else None)
        self.refused += decision.verdict is Verdict.REFUSED
        return decision


def check_scored(answering: Answering, *, frames: int = 15) -> None:
    """Run a few frames and make sure that they are scored: refusing is fast and would be timed as if it were answering.

    Raises
    ------
    DataError
        If a frame was refused.
    """
    for _ in range(frames):
        decision = answering()
        if answering.refused:
            raise DataError(
                f"bench: expected the test face to be scored, got refused: {decision.reason} {decision.detail}; "
                "the figures would be those of an engine that does not answer"
            )


def race_contestants(engine: Engine, scene: Scene) -> list[Contestant]:
    """Line up the bare run, the answer path, the whole pipeline, and each stage.

    The bare run is the engine's own session on one crop: the same network, the same outputs, the same threads. The
    pipeline's round covers a second of video, so that the detector's share of it is the real one.
    """
    graph, feed = engine.network.session, engine.network.feed
    feeds = {feed.name: feed(scene_crops(engine, scene)[:1]).copy()}
    given = Answering(engine.step, Stream(scene, fps=STREAM_FPS), with_box=True)
    whole = Answering(Session(engine, open_ended=True).step, Stream(scene, fps=STREAM_FPS), with_box=False)
    check_scored(given)
    check_scored(whole)
    return [
        Contestant(BARE, lambda: graph.run(feeds)),
        Contestant(STEP, given),
        Contestant(PIPELINE, whole, calls=round(STREAM_FPS)),
        *stage_contestants(engine, scene),
    ]


def timings_of(samples: Mapping[str, Samples]) -> dict[str, Timing]:
    """Describe every contestant, with its ratio to the bare run."""
    by_wall, by_cpu = ratios_over(samples, BARE), ratios_over(samples, BARE, cpu=True)
    return {
        name: Timing(
            wall_ms=spread(entry.wall_ms),
            cpu_ms=spread(entry.cpu_ms),
            wall_ratio=by_wall.get(name),
            cpu_ratio=by_cpu.get(name),
        )
        for name, entry in samples.items()
    }


def throughput(
    frame: Callable[[], object],
    *,
    fps: float,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    cpu_s: Callable[[], float] = time.process_time,
    sleep: Callable[[float], None] = time.sleep,
) -> Throughput:
    """Offer frames at `fps` as a camera does, and see whether the answers keep up.

    A frame that is due while the one before is being answered waits; it is late when its answer comes after the next
    one was due.
    """
    begin, cpu_begin = clock(), cpu_s()
    answers: list[float] = []
    late = 0
    for number in range(max(1, round(seconds * fps))):
        due = begin + number / fps
        wait = due - clock()
        if wait > 0:
            sleep(wait)
        started = clock()
        frame()
        ended = clock()
        answers.append(1e3 * (ended - started))
        late += ended > due + 1 / fps
    took = max(clock() - begin, len(answers) / fps)
    return Throughput(
        target_fps=fps,
        reached_fps=len(answers) / took,
        late=late / len(answers),
        answer_ms=spread(np.array(answers)),
        cpu_share=(cpu_s() - cpu_begin) / took,
        seconds=took,
    )


@dataclass(slots=True)
class Windows:
    """Frame times in windows of a second, of which only the medians are kept."""

    frame: Callable[[], object]
    clock: Callable[[], float] = time.perf_counter
    window_s: float = 1.0
    frames: int = 0
    medians_ms: list[float] = field(default_factory=list)
    _window: list[float] = field(default_factory=list)
    _opened_s: float | None = None

    def __call__(self) -> None:
        """Answer one frame and note how long it took."""
        before = self.clock()
        self.frame()
        after = self.clock()
        self._opened_s = before if self._opened_s is None else self._opened_s
        self._window.append(1e3 * (after - before))
        self.frames += 1
        if after - self._opened_s >= self.window_s:
            self.close()

    def close(self) -> None:
        """Keep the open window's median, if it has frames."""
        if self._window:
            self.medians_ms.append(float(np.median(self._window)))
        self._window, self._opened_s = [], None


def sustain(
    frame: Callable[[], object],
    *,
    seconds: float,
    meter: Meter | None = None,
    clock: Callable[[], float] = time.perf_counter,
    read_c: Callable[[], float | None] = temperature_c,
) -> tuple[Sustained, Energy | None]:
    """Answer frames without a pause; with a meter, meter them too (after an idle run of a quarter of the time)."""
    windows = Windows(frame, clock)
    start_c, begin, energy = read_c(), clock(), None
    if meter is not None:
        energy = meter_loop(meter, windows, seconds=seconds, idle_seconds=max(2.0, seconds / 4))
    if not windows.frames:
        begin = clock()
        while clock() - begin < seconds or not windows.frames:
            windows()
    took = clock() - begin if energy is None else energy.seconds
    windows.close()
    medians = np.array(windows.medians_ms)
    third = max(1, len(medians) // 3)
    first_ms, last_ms = float(np.median(medians[:third])), float(np.median(medians[-third:]))
    sustained = Sustained(
        seconds=took,
        frames=windows.frames,
        first_ms=first_ms,
        last_ms=last_ms,
        drift=last_ms / first_ms,
        worst_window_ms=float(medians.max()),
        start_c=start_c,
        end_c=read_c(),
    )
    return sustained, energy
