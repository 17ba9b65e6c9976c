"""Interleaved timing: contestants take turns, so that their ratios hold on a machine whose speed drifts.

A *round* lets every contestant make its calls once; the order turns from round to round. What happens to the machine
during a round happens to all of them, so a ratio is taken over the rounds, and its interval by resampling rounds.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    Progress = Callable[[float], None]

PATIENCE = 3.0
"""How many times the time asked for a slow device may take, so that a benchmark ends."""
MAX_ROUNDS = 1000
"""More rounds than this tell nothing new, and a long run on a phone must stay small."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Two counters in nanoseconds: wall time, and the CPU time of this process (all threads)."""

    wall_ns: Callable[[], int] = time.perf_counter_ns
    cpu_ns: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something to time.

    Attributes
    ----------
    name : str
    call : callable
        Called without arguments; what it returns is dropped.
    calls : int
        Calls in one round. A stream with a detector every n-th frame needs rounds that cover whole periods.
    """

    name: str
    call: Callable[[], object]
    calls: int = 8

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise InputError(f"contestant {self.name}: expected at least 1 call in a round, got {self.calls}")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The times of one contestant.

    Attributes
    ----------
    wall_ms, cpu_ms : (rounds, calls) float64
    """

    wall_ms: npt.NDArray[np.float64]
    cpu_ms: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How times lie, in milliseconds.

    Attributes
    ----------
    p50, p95, p99, min, mean : float
        Percentiles by linear interpolation.
    count : int
        Calls timed.
    """

    p50: float
    p95: float
    p99: float
    min: float
    mean: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as long one contestant takes as another: value and 95 % interval."""

    value: float
    low: float
    high: float


def race(
    contestants: Sequence[Contestant],
    *,
    seconds: float,
    min_rounds: int = 5,
    warm_up: int = 2,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> dict[str, Samples]:
    """Let contestants take turns for about `seconds`.

    Parameters
    ----------
    contestants : sequence of Contestant
    seconds : float
        No further round begins after this time (but see `min_rounds`), nor after `MAX_ROUNDS` rounds.
    min_rounds : int
        Rounds timed even when they take longer, up to `PATIENCE` times `seconds`; one is always timed.
    warm_up : int
        Rounds before that, not timed; the second and later ones only while there is time.
    clock : Clock, optional
    progress : callable, optional
        Told the share of the time that is gone, in [0, 1], after every round.

    Returns
    -------
    dict of str to Samples
        Under the contestants' names.

    Examples
    --------
    >>> samples = race([Contestant("nothing", int, calls=4)], seconds=1e-9, min_rounds=1)
    >>> samples["nothing"].wall_ms.shape
    (1, 4)
    """
    clock = clock or Clock()
    kept: dict[str, list[npt.NDArray[np.float64]]] = {contestant.name: [] for contestant in contestants}
    warm_ns = clock.wall_ns()
    for done in range(warm_up):
        if done == 0 or clock.wall_ns() - warm_ns < seconds * 1e9:
            _ = [_time_calls(contestant, clock) for contestant in contestants]
    start_ns, done = clock.wall_ns(), 0
    while _goes_on(done, (clock.wall_ns() - start_ns) / 1e9, seconds, min_rounds):
        turn = done % len(contestants)
        for contestant in (*contestants[turn:], *contestants[:turn]):
            kept[contestant.name].append(_time_calls(contestant, clock))
        done += 1
        if progress is not None:
            progress(min(1.0, (clock.wall_ns() - start_ns) / max(seconds * 1e9, 1.0)))
    return {name: Samples(*np.stack(times, axis=1)) for name, times in kept.items()}


def spread(times_ms: npt.NDArray[np.float64]) -> Spread:
    """Describe times of any shape; `nan` everywhere when there are none.

    Examples
    --------
    >>> spread(np.array([1.0, 2.0, 3.0, 4.0, 5.0])).p50
    3.0
    """
    if times_ms.size == 0:
        return Spread(p50=math.nan, p95=math.nan, p99=math.nan, min=math.nan, mean=math.nan, count=0)
    p50, p95, p99 = (float(p) for p in np.percentile(times_ms, (50, 95, 99)))
    return Spread(
        p50=p50, p95=p95, p99=p99, min=float(times_ms.min()), mean=float(times_ms.mean()), count=times_ms.size
    )


def ratio(
    times_ms: npt.NDArray[np.float64],
    over_ms: npt.NDArray[np.float64],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Ratio:
    """Compare two contestants of one race.

    A contestant's value is the median over rounds of its mean within a round; the interval is the 2.5th to 97.5th
    percentile of the ratio when rounds are resampled, the same ones for both (paired bootstrap, Efron 1979).

    Parameters
    ----------
    times_ms, over_ms : (rounds, calls) float64
        The numbers of calls may differ, the numbers of rounds may not.
    resamples, seed : int

    Raises
    ------
    InputError
        If the two are not from one race.

    Examples
    --------
    >>> ratio(np.full((5, 2), 3.0), np.full((5, 4), 2.0))
    Ratio(value=1.5, low=1.5, high=1.5)
    """
    if times_ms.ndim != 2 or over_ms.ndim != 2 or len(times_ms) != len(over_ms) or len(times_ms) == 0:
        raise InputError(
            f"ratio: expected two (rounds, calls) arrays of one race, got shapes {times_ms.shape} and {over_ms.shape}"
        )
    upper, lower = times_ms.mean(axis=1), over_ms.mean(axis=1)
    picks = np.random.default_rng(seed).integers(len(upper), size=(resamples, len(upper)))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.median(upper[picks], axis=1) / np.median(lower[picks], axis=1)
        value = float(np.median(upper) / np.median(lower))
    low, high = (float(p) for p in np.percentile(drawn, (2.5, 97.5)))
    return Ratio(value=value, low=low, high=high)


def _goes_on(done: int, elapsed_s: float, seconds: float, min_rounds: int) -> bool:
    if done < min_rounds:
        return done == 0 or elapsed_s < PATIENCE * seconds
    return done < MAX_ROUNDS and elapsed_s < seconds


def _time_calls(contestant: Contestant, clock: Clock) -> npt.NDArray[np.float64]:
    """Return `(2, calls)`: wall and CPU milliseconds of every call."""
    times = np.empty((2, contestant.calls))
    call, wall_ns, cpu_ns = contestant.call, clock.wall_ns, clock.cpu_ns
    for i in range(contestant.calls):
        cpu_before, wall_before = cpu_ns(), wall_ns()
        call()
        wall_after, cpu_after = wall_ns(), cpu_ns()
        times[0, i] = wall_after - wall_before
        times[1, i] = cpu_after - cpu_before
    times *= 1e-6
    return times


def ratios_over(
    samples: Mapping[str, Samples], base: str, *, cpu: bool = False, resamples: int = 1000
) -> dict[str, Ratio]:
    """Every contestant of a race over the one named `base`, by wall time or by CPU time."""
    times = {name: entry.cpu_ms if cpu else entry.wall_ms for name, entry in samples.items()}
    return {name: ratio(own, times[base], resamples=resamples) for name, own in times.items() if name != base}
