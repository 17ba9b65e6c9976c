from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from ratta.bench.energy import CpuTimeModel
from ratta.bench.frames import Scene, Stream, portrait_frames
from ratta.bench.result import BARE
from ratta.bench.scenarios import Answering, Windows, check_scored, sustain, throughput, timings_of
from ratta.bench.timing import Clock, Contestant, race
from ratta.errors import DataError
from ratta.records import Verdict


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Steps:
    """A `step` that notes its arguments and refuses from the n-th frame on."""

    refuse_from: int = 10**9
    seen: int = 0
    boxes: int = 0

    def __call__(self, frame: object, *, t: float, box: object) -> SimpleNamespace:
        self.seen += 1
        self.boxes += box is not None
        refused = self.seen > self.refuse_from
        return SimpleNamespace(verdict=Verdict.REFUSED if refused else Verdict.LIVE, reason="no face", detail="")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return portrait_frames(2)


@pytest.mark.parametrize(("with_box", "boxes"), [(True, 3), (False, 0)])
def test_the_box_is_given_or_not(scene: Scene, with_box: bool, boxes: int) -> None:
    """With a box every call passes one, without none does."""
    steps = Steps()
    answering = Answering(steps, Stream(scene), with_box=with_box)
    for _ in range(3):
        answering()
    assert (3, boxes) == (steps.seen, steps.boxes)


def test_an_engine_that_refuses_is_not_timed(scene: Scene) -> None:
    """Refusing is fast; a benchmark of it would flatter."""
    with pytest.raises(DataError, match="no face"):
        check_scored(Answering(Steps(refuse_from=5), Stream(scene), with_box=True))


def test_timings_are_relative_to_the_bare_run() -> None:
    """The bare run has no ratio, what takes twice as long has 2 on both clocks."""
    now = [0]

    def work(ms: int) -> None:
        now[0] += ms * 1_000_000

    clock = Clock(lambda: now[0], lambda: now[0])
    pair = [Contestant(BARE, lambda: work(1)), Contestant("twice", lambda: work(2))]
    timings = timings_of(race(pair, seconds=0.1, clock=clock))
    assert timings[BARE].wall_ratio is None
    twice = timings["twice"]
    assert twice.wall_ratio is not None
    assert twice.cpu_ratio is not None
    assert (twice.wall_ratio.value, twice.cpu_ratio.value, twice.wall_ms.p50) == (2.0, 2.0, 2.0)


def test_a_fast_engine_keeps_the_rate() -> None:
    """10 ms of work at 50 frames a second: all on time, half of a core."""
    clock, cpu = Seconds(), Seconds()

    def frame() -> None:
        clock.sleep(0.01)
        cpu.sleep(0.01)

    found = throughput(frame, fps=50, seconds=2.0, clock=clock, cpu_s=cpu, sleep=clock.sleep)
    assert pytest.approx((found.reached_fps, found.late)) == (50.0, 0.0)
    assert found.cpu_share == pytest.approx(0.5)
    assert found.answer_ms.p95 == pytest.approx(10.0)


def test_a_slow_engine_falls_behind() -> None:
    """40 ms of work at 50 frames a second: 25 frames a second, all late."""
    clock = Seconds()
    found = throughput(lambda: clock.sleep(0.04), fps=50, seconds=2.0, clock=clock, cpu_s=clock, sleep=clock.sleep)
    assert pytest.approx((found.reached_fps, found.late, found.cpu_share)) == (25.0, 1.0, 1.0)


def test_windows_keep_only_medians() -> None:
    """Four frames of a quarter second make a window of one second."""
    clock = Seconds()
    windows = Windows(lambda: clock.sleep(0.25), clock)
    for _ in range(9):
        windows()
    windows.close()
    assert windows.medians_ms == [250.0, 250.0, 250.0]
    assert windows.frames == 9


def test_throttling_shows_as_drift() -> None:
    """A device that halves its speed after half of the time drifts by 2."""
    clock = Seconds()
    found, energy = sustain(
        lambda: clock.sleep(0.1 if clock.now < 30 else 0.2), seconds=60.0, clock=clock, read_c=lambda: 40.0
    )
    assert pytest.approx((found.drift, found.first_ms, found.last_ms, found.worst_window_ms)) == (
        2.0,
        100.0,
        200.0,
        200.0,
    )
    assert (found.start_c, found.end_c, energy) == (40.0, 40.0, None)


def test_a_sustained_run_can_be_metered() -> None:
    """With a meter the same loop also gives an energy."""
    count = [0]

    def frame() -> None:
        count[0] += 1

    found, energy = sustain(frame, seconds=0.5, meter=CpuTimeModel(2.0, origin="data sheet"), read_c=lambda: None)
    assert energy is not None
    assert (count[0], count[0], False) == (found.frames, energy.frames, energy.measured)
