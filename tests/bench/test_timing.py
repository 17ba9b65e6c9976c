import math

import numpy as np
import pytest

from ratta.bench.timing import Clock, Contestant, Ratio, race, ratio, ratios_over, spread
from ratta.errors import InputError


class FakeClock:
    """Stands still, unless a contestant moves it."""

    def __init__(self) -> None:
        self.now_ns = 0

    def work(self, ms: float) -> None:
        self.now_ns += round(ms * 1e6)

    def ticking(self, ms: float) -> Clock:
        """Return a clock that moves on with every look."""

        def look() -> int:
            self.work(ms)
            return self.now_ns

        return Clock(look, lambda: 0)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now_ns, lambda: self.now_ns // 2)


def test_percentiles_are_those_counted_by_hand() -> None:
    """Over 1..100 the interpolated percentiles lie where a pencil puts them."""
    found = spread(np.arange(1.0, 101.0))
    assert pytest.approx((found.p50, found.p95, found.p99, found.min, found.mean, found.count)) == (
        50.5,
        95.05,
        99.01,
        1.0,
        50.5,
        100,
    )


def test_nothing_has_no_spread() -> None:
    """Without samples every figure is nan."""
    found = spread(np.empty((0, 4)))
    assert math.isnan(found.p50)
    assert math.isnan(found.mean)
    assert found.count == 0


def test_a_ratio_on_a_known_clock_is_exact() -> None:
    """A contestant that takes three times as long has ratio 3, without doubt."""
    fake = FakeClock()
    samples = race(
        [Contestant("one", lambda: fake.work(2), calls=2), Contestant("three", lambda: fake.work(6), calls=5)],
        seconds=0.5,
        clock=fake.clock,
    )
    assert Ratio(value=3.0, low=3.0, high=3.0) == ratios_over(samples, "one")["three"]
    assert (samples["one"].cpu_ms[0, 0], samples["three"].cpu_ms[0, 0]) == (1.0, 3.0)


def test_a_drifting_machine_does_not_move_the_ratio() -> None:
    """When everything gets slower in the course of a race, the interleaved ratio stays."""
    fake, slow = FakeClock(), [1.0]

    def work(ms: float) -> None:
        slow[0] *= 1.01
        fake.work(ms * slow[0])

    pair = [Contestant("a", lambda: work(1), calls=1), Contestant("b", lambda: work(2), calls=1)]
    found = ratios_over(race(pair, seconds=1.0, min_rounds=100, clock=fake.clock), "a")["b"]
    assert found.value == pytest.approx(2.0, rel=0.02)


def test_the_interval_holds_the_true_ratio_of_noisy_times() -> None:
    """With lognormal noise of 20 % the bootstrap interval covers the truth and is narrow."""
    rng = np.random.default_rng(1)
    over = rng.lognormal(0.0, 0.2, (200, 8))
    found = ratio(1.5 * rng.lognormal(0.0, 0.2, (200, 8)), over)
    assert found.low < 1.5 < found.high
    assert found.high - found.low < 0.1


def test_contestants_take_turns_and_warm_up() -> None:
    """Every round calls everyone, in turning order, after two rounds that are not timed."""
    calls: list[str] = []
    names = ("a", "b", "c")
    race(
        [Contestant(n, lambda n=n: calls.append(n), calls=1) for n in names],
        seconds=0.02,
        min_rounds=3,
        clock=FakeClock().ticking(1),
    )
    assert ["".join(calls[i : i + 3]) for i in range(0, 15, 3)] == ["abc", "abc", "abc", "bca", "cab"]


def test_the_race_ends_in_time() -> None:
    """No round begins after the time is gone."""
    fake = FakeClock()
    samples = race([Contestant("a", lambda: fake.work(100), calls=1)], seconds=1.0, clock=fake.clock)
    assert samples["a"].wall_ms.shape == (10, 1)


def test_a_slow_device_is_given_up_on() -> None:
    """Rounds of two seconds in a race of one: two are timed instead of five, then the patience ends."""
    fake = FakeClock()
    samples = race([Contestant("a", lambda: fake.work(2000), calls=1)], seconds=1.0, clock=fake.clock)
    assert samples["a"].wall_ms.shape == (2, 1)


def test_progress_goes_to_one() -> None:
    """The share of time that is gone is reported after every round."""
    fake, told = FakeClock(), []
    contestant = Contestant("a", lambda: fake.work(100), calls=1)
    race([contestant], seconds=0.5, clock=fake.clock, progress=told.append)
    assert pytest.approx(told) == [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize("shape", [(4, 2), (0, 2), (5,)])
def test_a_ratio_needs_rounds_of_one_race(shape: tuple[int, ...]) -> None:
    """Times of different races are refused."""
    with pytest.raises(InputError, match="one race"):
        ratio(np.ones(shape), np.ones((5, 2)))


def test_a_contestant_calls_at_least_once() -> None:
    """A round without calls is refused."""
    with pytest.raises(InputError, match="at least 1 call"):
        Contestant("idle", int, calls=0)
