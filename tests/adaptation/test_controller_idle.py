"""Until when an attempt can be confirmed, and what `idle` says of the work that is left."""

import math
from dataclasses import replace
from itertools import count

import pytest

from ratta.adaptation.budget import Budget, PowerState, Thermal
from ratta.adaptation.controller import WAITING
from ratta.adaptation.gate import RejectReason
from ratta.adapter import Idle
from ratta.errors import InputError

# -- confirm, and for how long


def test_confirm_works_after_idle_until_the_time_is_up(toy):
    """`idle` after the last frame leaves the attempt open for `confirm_s`, and not a moment longer."""
    stream = toy.Stream(toy.controller(confirm_s=60.0))
    attempt, _ = stream.attempt()
    for after_s in (0.0, 30.0, 60.0):
        stream.adapter.idle(stream.t + after_s)
        stream.adapter.confirm(attempt, is_live=True)
        attempt.confirmed = None  # as if nobody had
    stream.adapter.idle(stream.t + 1000)
    with pytest.raises(InputError, match="at most 60 s after its end"):
        stream.adapter.confirm(attempt, is_live=True)


def test_confirm_works_until_the_next_attempt_begins(stream):
    """Then its evidence is decided, even before it has been studied."""
    attempt, _ = stream.attempt()
    stream.adapter.idle(stream.t)
    stream.adapter.begin()
    with pytest.raises(InputError, match="before the next attempt begins"):
        stream.adapter.confirm(attempt, is_live=True)


def test_confirm_works_during_the_attempt_and_the_last_word_counts(stream):
    """An operator may take a word back as long as nothing was learnt from it."""
    attempt = stream.adapter.begin()
    stream.adapter.confirm(attempt, is_live=True)
    ended, _ = stream.attempt()
    stream.adapter.confirm(ended, is_live=True)
    stream.adapter.confirm(ended, is_live=False)
    stream.adapter.idle(stream.t)
    assert (0, 1) == (stream.adapter.counts["confirmed"], stream.adapter.gate.rejected[RejectReason.ATTACK])
    with pytest.raises(InputError):
        stream.adapter.confirm(ended, is_live=True)


def test_a_confirmed_attempt_is_learnt_by_the_next_idle_at_the_same_time(stream):
    """One call finishes an attempt that is known."""
    attempt, _ = stream.attempt()
    stream.adapter.idle(stream.t)
    stream.adapter.idle(stream.t + 10)
    assert 0 == stream.adapter.counts["studied"]
    stream.adapter.confirm(attempt, is_live=True)
    assert Idle.DONE is stream.adapter.idle(stream.t + 10)
    assert (1, 1) == (stream.adapter.counts["studied"], stream.adapter.counts["confirmed"])


def test_an_attempt_that_nobody_confirms_is_learnt_when_the_time_is_up(stream):
    """Or when the next one has begun."""
    stream.attempt()
    stream.adapter.idle(stream.t + 59)
    assert 0 == stream.adapter.counts["studied"]
    stream.adapter.idle(stream.t + 61)
    assert 1 == stream.adapter.counts["gated"]


# -- idle: done, waiting, more


def ticking(step_ms=1.0):
    """Make a clock that goes on with every look at it."""
    looks = count()
    return lambda: step_ms * next(looks)


def test_done_when_nothing_is_left(stream):
    """A fresh adapter, and one that has learnt all."""
    assert Idle.DONE is stream.adapter.idle(0.0)
    stream.session(confirmed=True)
    assert Idle.DONE is stream.adapter.idle(stream.t)


def test_waiting_while_the_budget_is_empty(stream):
    """At a fixed time it stays so; when time has passed it is done."""
    attempt, _ = stream.attempt()
    stream.adapter.confirm(attempt, is_live=True)
    stream.adapter.budget = Budget(watts=1.0)
    found = [stream.adapter.idle(stream.t + after_s) for after_s in (0, 0, 0, 1)]
    assert [Idle.WAITING] * 3 + [Idle.DONE] == found


@pytest.mark.parametrize("power", [PowerState(battery_fraction=0.1), PowerState(thermal=Thermal.CRITICAL)])
def test_waiting_while_the_power_is_low(stream, power):
    """However full the bucket; and it goes on when there is power again."""
    stream.session(confirmed=True)
    attempt, _ = stream.attempt()
    stream.adapter.confirm(attempt, is_live=True)
    stream.adapter.set_power(power, t=stream.t)
    assert Idle.WAITING is stream.adapter.idle(stream.t + 1000)
    stream.adapter.set_power(PowerState(), t=stream.t + 1000)
    assert Idle.DONE is stream.adapter.idle(stream.t + 1000)


def test_more_when_the_milliseconds_are_over(toy):
    """Each call takes up some of the work, as long as it is given any time."""
    stream = toy.Stream(toy.controller(clock=ticking()))
    stream.adapter.idle(0.0)
    stream.attempt()
    stream.t += 100
    found = [stream.adapter.idle(stream.t, within_ms=2.5)]
    while found[-1] is Idle.MORE and len(found) < 50:
        found.append(stream.adapter.idle(stream.t, within_ms=2.5))
    assert (Idle.MORE, Idle.DONE, True) == (found[0], found[-1], len(found) < 12)
    assert 1 == stream.adapter.counts["gated"]


@pytest.mark.parametrize("within_ms", [math.inf, 100.0, 2.0, 1.5])
@pytest.mark.parametrize("capacity", [4.0, 1e6])
def test_asking_for_more_always_ends_at_a_fixed_time(toy, within_ms, capacity):
    """`while idle(t) is MORE` needs no clock of its own, with much budget and with little."""
    budget = Budget(watts=1.0, time=replace(toy.plenty, capacity=capacity))
    stream = toy.Stream(toy.controller(budget=budget, clock=ticking()))
    stream.adapter.idle(0.0)
    for confirmed in (True, None, False, None):
        attempt, _ = stream.attempt()
        if confirmed is not None:
            stream.adapter.confirm(attempt, is_live=confirmed)
    stream.t += 100
    calls = 1
    while (found := stream.adapter.idle(stream.t, within_ms=within_ms)) is Idle.MORE:
        calls += 1
        assert calls < 100
    assert found is (Idle.DONE if capacity > 4 else Idle.WAITING)


def test_no_piece_is_begun_without_any_time(stream):
    """A camera whose next frame is due already is not kept waiting."""
    stream.attempt()
    runs = stream.adapter.network.runs
    assert Idle.MORE is stream.adapter.idle(stream.t + 100, within_ms=0.0)
    assert runs == stream.adapter.network.runs
    assert Idle.DONE is stream.adapter.idle(stream.t + 100)


def test_a_busy_machine_loses_no_confirmed_session(stream):
    """More attempts than may wait, and no budget: confirmed ones are learnt all the same, gated ones are not."""
    stream.adapter.budget = Budget(watts=1.0)
    stream.adapter.set_power(PowerState(battery_fraction=0.1), t=0.0)
    for i in range(WAITING + 6):
        attempt, _ = stream.attempt()
        if i % 2:
            stream.adapter.confirm(attempt, is_live=True)
    assert (3, 3) == (
        stream.adapter.counts["confirmed"],
        stream.adapter.gate.rejected[RejectReason.UNAFFORDABLE],
    )
    assert Idle.WAITING is stream.adapter.idle(stream.t)
    stream.adapter.set_power(PowerState(), t=stream.t)
    stream.adapter.idle(stream.t + 1000)
    assert (7, 4) == (stream.adapter.counts["confirmed"], stream.adapter.counts["gated"])


def test_all_work_is_billed(toy):
    """Every view and refit, by the clock."""
    stream = toy.Stream(toy.controller(clock=ticking(3.0)))
    stream.adapter.idle(0.0)
    stream.session()
    assert (5, 15.0) == (stream.adapter.budget.admitted, stream.adapter.budget.spent_ms)


def test_work_that_fails_is_billed_and_not_lost(toy):
    """An error of the network reaches the caller; nothing blocks the budget afterwards."""
    stream = toy.Stream(toy.controller(clock=ticking()))
    stream.adapter.idle(0.0)
    stream.attempt()
    stream.t += 100
    read, stream.adapter.network.read = stream.adapter.network.read, lambda pixels: 1 / 0
    with pytest.raises(ZeroDivisionError):
        stream.adapter.idle(stream.t)
    stream.adapter.network.read = read
    assert (Idle.DONE, 1) == (stream.adapter.idle(stream.t), stream.adapter.counts["gated"])


@pytest.mark.parametrize("t", [math.nan, math.inf, "now", None, True, 99.0])
def test_a_time_that_is_none_or_goes_back_is_refused(stream, t):
    """Of `idle` and of `set_power`; nothing changes."""
    stream.adapter.idle(100.0)
    for call in (lambda: stream.adapter.idle(t), lambda: stream.adapter.set_power(PowerState(), t=t)):
        with pytest.raises(InputError, match="t: expected"):
            call()
    assert Idle.DONE is stream.adapter.idle(100.0)
