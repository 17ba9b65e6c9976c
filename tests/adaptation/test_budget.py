import json
import math
import random
from dataclasses import replace

import pytest

from ratta.adaptation.budget import (
    FIVE_PERCENT,
    Allowance,
    Budget,
    PowerPolicy,
    PowerState,
    Reservation,
    Shortage,
    Thermal,
)
from ratta.errors import InputError, StateError

WIDE = Allowance(refill_per_s=50.0, capacity=500.0, per_session=1e9, per_hour=1e9, per_day=1e9)
TIGHT = Allowance(refill_per_s=50.0, capacity=300.0, per_session=800.0, per_hour=4000.0, per_day=30_000.0)
ROUNDING = 1e-6


def spend(budget: Budget, cost_ms: float, spent_ms: float, *, t: float) -> bool:
    step = budget.reserve(cost_ms, t=t)
    if not isinstance(step, Reservation):
        return False
    budget.settle(step, spent_ms)
    return True


def full(allowance: Allowance = WIDE, **arguments: float) -> Budget:
    """Make a budget whose bucket has filled by t = 1000."""
    budget = Budget(watts=2.0, time=allowance, **arguments)
    budget.reserve(1.0, t=0.0)
    budget.set_power(PowerState(), t=1000.0)
    return budget


def most_over(events: list[tuple[float, float]], refill_per_s: float) -> float:
    """Most that any interval's spending exceeds its refill: one pass over `(t, spent)`."""
    worst, lowest, spent = 0.0, math.inf, 0.0
    for t, amount in events:
        lowest = min(lowest, spent - refill_per_s * t)
        spent += amount
        worst = max(worst, spent - refill_per_s * t - lowest)
    return worst


def most_within(events: list[tuple[float, float]], window_s: float) -> float:
    """Most that was spent within any window of this length."""
    worst, total, first = 0.0, 0.0, 0
    for t, amount in events:
        total += amount
        while events[first][0] < t - window_s:
            total -= events[first][1]
            first += 1
        worst = max(worst, total)
    return worst


def test_the_buckets_start_empty():
    """Deleting the state, or starting again, buys nothing."""
    assert Budget(watts=1.0).reserve(1.0, t=5.0) is Shortage.TIME


def test_a_step_reserves_its_worst_case_and_gets_the_rest_back():
    """500 in the bucket; 6 of margin 1.5 reserved; 3 used."""
    budget = full()
    step = budget.reserve(4.0, t=1000.0)
    assert isinstance(step, Reservation)
    assert (budget.level_ms, budget.level_mj) == (494.0, 988.0)
    budget.settle(step, 3.0)
    assert (budget.level_ms, budget.level_mj, budget.spent_ms, budget.spent_mj) == (497.0, 994.0, 3.0, 6.0)


def test_either_bucket_alone_refuses_and_then_nothing_is_taken():
    """Enough time, too little energy: no reservation in either."""
    energy = Allowance(refill_per_s=1.0, capacity=10.0, per_session=1e9, per_hour=1e9, per_day=1e9)
    budget = full(energy=energy)
    budget.settle(budget.reserve(4.0, 6.0, t=1000.0), 4.0, 9.0)
    assert budget.reserve(4.0, 6.0, t=1000.0) is Shortage.ENERGY
    assert (budget.level_ms, budget.level_mj) == (496.0, 1.0)


def test_an_open_step_blocks_all_others():
    """A step that was never settled counts as spent, for ever."""
    budget = full()
    budget.reserve(4.0, t=1000.0)
    assert budget.reserve(4.0, t=2000.0) is Shortage.OPEN_STEP
    assert budget.spent_ms == 6.0


def test_a_reservation_is_settled_once():
    """A refund is not given twice."""
    budget = full()
    step = budget.reserve(4.0, t=1000.0)
    budget.settle(step, 1.0)
    with pytest.raises(InputError, match="open reservation"):
        budget.settle(step, 1.0)


@pytest.mark.parametrize("spent", [-1.0, math.nan, math.inf])
def test_an_impossible_bill_leaves_the_step_open(spent):
    """Nobody gets a refund for nonsense."""
    budget = full()
    step = budget.reserve(4.0, t=1000.0)
    with pytest.raises(InputError, match="spent_ms"):
        budget.settle(step, spent)
    assert budget.level_ms == 494.0


def test_an_overrun_is_booked_in_full_and_blocks_until_repaid():
    """600 used of 500: 100 of debt take 2 s, the next reservation of 6 a little longer."""
    budget = full()
    assert spend(budget, 4.0, 600.0, t=1000.0)
    assert budget.level_ms == -100.0
    assert budget.reserve(4.0, t=1002.0) is Shortage.TIME
    assert isinstance(budget.reserve(4.0, t=1002.2), Reservation)


def test_costs_measured_here_correct_the_calibration():
    """Two slow steps may be chance; with the third, similar steps reserve what they really cost."""
    budget = full()
    corrections = []
    for i in range(4):
        spend(budget, 4.0, 12.0, t=1000.0 + i)
        corrections.append(budget.correction)
    assert corrections == [1.0, 1.0, 3.0, 3.0]
    step = budget.reserve(4.0, t=1010.0)
    assert isinstance(step, Reservation)
    assert step.limit_ms == 4.0 * 3.0 * 1.5


def test_two_hiccups_among_many_steps_correct_nothing():
    """A step that was interrupted by another program is not what steps cost."""
    budget = full()
    for i in range(20):
        spend(budget, 4.0, 100.0 if i in (3, 11) else 4.0, t=1000.0 + 10 * i)
    assert budget.correction == 1.0


@pytest.mark.parametrize("spent_ms", [400.0, 4000.0, 4e6])
def test_preempted_steps_never_make_later_ones_too_large(spent_ms):
    """A busy machine waits until the bucket is full and no longer, and a day later pays what it did before."""
    budget = full()
    for i in range(3):
        step = budget.reserve(4.0, t=1000.0 + 20 * i)
        if isinstance(step, Reservation):
            budget.settle(step, 400.0)
    budget.settle(budget.reserve(4.0, t=2000.0), spent_ms)
    repaid_s = 2000.0 + spent_ms / 50 + 10
    step = budget.reserve(4.0, t=repaid_s)
    assert isinstance(step, Reservation)
    assert (WIDE.most, 0) == (step.limit_ms, budget.refused[Shortage.TOO_LARGE])
    budget.settle(step, 4.0)
    step = budget.reserve(4.0, t=repaid_s + 86_401)
    assert isinstance(step, Reservation)
    assert step.limit_ms == 6.0


def test_no_measured_cost_makes_a_step_too_large():
    """The energy's own bucket caps the energy's reservation, the time's the time's."""
    energy = Allowance(refill_per_s=100.0, capacity=900.0, per_session=1e9, per_hour=1e9, per_day=1e9)
    budget = full(energy=energy)
    for i in range(3):
        spend(budget, 4.0, 400.0, t=1000.0 + 20 * i)
    step = budget.reserve(4.0, t=2000.0)
    assert isinstance(step, Reservation)
    assert (step.limit_ms, step.limit_mj) == (500.0, 900.0)


@pytest.mark.parametrize("name", ["capacity", "per_session", "per_hour", "per_day"])
def test_the_largest_step_is_what_the_smallest_bound_lets_through(name):
    """Exactly that much is admitted, and no more."""
    allowance = replace(WIDE, **{"capacity": 5000.0, name: 80.0})
    assert allowance.most == 80.0
    budget = full(allowance, margin=1.0)
    assert budget.reserve(80.001, t=1000.0) is Shortage.TOO_LARGE
    assert isinstance(budget.reserve(80.0, t=1000.0), Reservation)


def test_what_can_never_be_saved_up_is_too_large_from_the_start():
    """A calibrated cost beyond the bucket is refused as such: no time would help."""
    assert full().reserve(400.0, t=1000.0) is Shortage.TOO_LARGE


@pytest.mark.parametrize("first_t", [0.0, 1000.0, 1e9])
def test_a_clock_that_began_anew_neither_fills_nor_goes_back(first_t):
    """From the first `t` on, whatever it is, time passes as usual; what was saved and spent stays."""
    budget = full()
    spend(budget, 300.0, 450.0, t=1000.0)
    budget.begin_clock()
    budget.advance(first_t)
    assert (budget.level_ms, budget.spent_ms) == (50.0, 450.0)
    budget.advance(first_t + 1.0)
    assert budget.level_ms == 100.0
    with pytest.raises(InputError, match="time never goes back"):
        budget.advance(first_t)


def test_caps_hold_over_a_clock_that_began_anew():
    """The hour is counted in seconds that passed, on either clock."""
    budget = full(replace(WIDE, per_hour=100.0))
    assert spend(budget, 60.0, 60.0, t=1000.0)
    budget.advance(1000.0 + 1800)
    budget.begin_clock()
    assert budget.reserve(60.0, t=0.0) is Shortage.HOUR
    assert budget.reserve(60.0, t=1799.0) is Shortage.HOUR
    assert isinstance(budget.reserve(60.0, t=1861.0), Reservation)


def test_a_fast_device_reserves_no_less_than_calibrated():
    """The refund is enough."""
    budget = full()
    for i in range(300):
        spend(budget, 4.0, 1.0, t=1000.0 + i)
    assert budget.correction == 1.0


def test_the_session_cap_holds_within_a_session():
    """800 for one session, 800 for the next."""
    budget = full(replace(TIGHT, capacity=5000.0, per_hour=1e9))
    counts = []
    for session in range(2):
        budget.begin_session()
        counts.append(sum(spend(budget, 100.0, 100.0, t=2000.0 * (session + 1)) for _ in range(20)))
    assert counts == [7, 7]
    assert budget.refused[Shortage.SESSION] == 26


def test_a_step_open_between_sessions_counts_for_the_new_one():
    """Its refund cannot make the new session's sum negative."""
    budget = full()
    step = budget.reserve(4.0, t=1000.0)
    budget.begin_session()
    budget.settle(step, 1.0)
    assert budget.export_state()["ms.in_session"] == 1.0


@pytest.mark.parametrize(("cap", "window_s"), [("per_hour", 3600.0), ("per_day", 86_400.0)])
def test_window_caps_hold_and_slide(cap, window_s):
    """What was spent counts until the window, and at most a sixtieth of it more, has passed."""
    budget = full(replace(WIDE, **{cap: 100.0}))
    assert spend(budget, 60.0, 60.0, t=1000.0)
    refused = [isinstance(budget.reserve(60.0, t=1000.0 + dt), Shortage) for dt in (1.0, window_s, window_s * 61 / 60)]
    assert refused == [True, True, False]


def test_power_stops_and_halves():
    """Below the stop nothing is spent, however full the bucket; between, the refill is halved."""
    budget = full()
    budget.set_power(PowerState(battery_fraction=0.1), t=1000.0)
    assert budget.reserve(4.0, t=1001.0) is Shortage.POWER
    assert spend_all(budget, t=1001.0) == 0
    budget.set_power(PowerState(battery_fraction=0.3), t=1001.0)
    spend(budget, 300.0, 450.0, t=1001.0)
    before = budget.level_ms
    budget.set_power(PowerState(), t=1003.0)
    assert budget.level_ms - before == 50.0


def spend_all(budget: Budget, *, t: float) -> int:
    return sum(spend(budget, 4.0, 4.0, t=t) for _ in range(1000))


@pytest.mark.parametrize(
    ("state", "multiplier"),
    [
        (PowerState(), 1.0),
        (PowerState(battery_fraction=0.5), 1.0),
        (PowerState(battery_fraction=0.49), 0.5),
        (PowerState(battery_fraction=0.2), 0.5),
        (PowerState(battery_fraction=0.19), 0.0),
        (PowerState(battery_fraction=0.0, charging=True), 1.0),
        (PowerState(thermal=Thermal.FAIR), 0.5),
        (PowerState(battery_fraction=0.3, thermal=Thermal.FAIR), 0.25),
        (PowerState(charging=True, thermal=Thermal.SERIOUS), 0.0),
        (PowerState(thermal=Thermal.CRITICAL), 0.0),
    ],
)
def test_power_policy(state, multiplier):
    """The table of the policy."""
    assert PowerPolicy().multiplier(state) == multiplier


def test_every_question_is_counted():
    """Admitted and refused add up, by reason."""
    budget = full(TIGHT)
    for _ in range(10):
        spend(budget, 100.0, 50.0, t=1000.0)
    budget.reserve(1e6, t=1000.0)
    # One of `full` itself, while the bucket was empty.
    assert budget.admitted == 4
    assert {k: v for k, v in budget.refused.items() if v} == {Shortage.TIME: 7, Shortage.TOO_LARGE: 1}


@pytest.mark.parametrize("t", [999.0, math.nan, math.inf])
def test_time_never_goes_back(t):
    """A time that went back, or is none, is an error and refills nothing."""
    budget = full()
    with pytest.raises(InputError, match="time never goes back"):
        budget.reserve(1.0, t=t)
    assert budget.level_ms == 500.0


@pytest.mark.parametrize("first_t", [0.0, 1e9])
def test_a_restart_refills_nothing_whatever_the_clock_does(first_t):
    """The clock began anew, or ran on while the device was off: the bucket goes on with what it had."""
    budget = full()
    spend(budget, 300.0, 450.0, t=1000.0)
    restarted = Budget(watts=2.0, time=WIDE)
    restarted.restore_state(json.loads(json.dumps(budget.export_state())))
    assert restarted.reserve(100.0, t=first_t) is Shortage.TIME
    assert (restarted.level_ms, restarted.spent_ms) == (50.0, 450.0)
    restarted.set_power(PowerState(), t=first_t + 1.0)
    assert restarted.level_ms == 100.0


def test_caps_survive_a_restart():
    """The hour goes on where it was: 30 minutes before, 30 to come."""
    budget = full(replace(WIDE, per_hour=100.0))
    spend(budget, 60.0, 60.0, t=1000.0)
    budget.set_power(PowerState(), t=1000.0 + 1800)
    restarted = Budget(watts=2.0, time=replace(WIDE, per_hour=100.0))
    restarted.restore_state(json.loads(json.dumps(budget.export_state())))
    answers = [restarted.reserve(60.0, t=t) for t in (0.0, 1799.0, 1800.0 + 61)]
    assert answers[:2] == [Shortage.HOUR, Shortage.HOUR]
    assert isinstance(answers[2], Reservation)


def test_a_step_that_was_open_at_the_export_is_spent():
    """Being killed in the middle of a step is no refund."""
    budget = full()
    budget.reserve(4.0, t=1000.0)
    restarted = Budget(watts=2.0, time=WIDE)
    restarted.restore_state(budget.export_state())
    assert (restarted.level_ms, restarted.spent_ms) == (494.0, 6.0)
    assert isinstance(restarted.reserve(4.0, t=0.0), Reservation)


def test_debt_and_measured_costs_survive_a_restart():
    """Neither is escaped by restarting."""
    budget = full()
    for i in range(3):
        spend(budget, 4.0, 300.0, t=1000.0 + 10 * i)
    budget.settle(budget.reserve(0.01, t=1020.0 + 60), 1000.0)
    restarted = Budget(watts=2.0, time=WIDE)
    restarted.restore_state(json.loads(json.dumps(budget.export_state())))
    assert (budget.level_ms, budget.correction) == (restarted.level_ms, restarted.correction)
    assert restarted.level_ms < 0


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("ms.level"),
        lambda s: s.update(extra=0.0),
        lambda s: s.update({"ms.level": math.nan}),
        lambda s: s.update({"ms.level": True}),
        lambda s: s.update({"mj.spent": -1.0}),
        lambda s: s.update({"mj.in_session": "0"}),
        lambda s: s.update({"ms.hour": [[1.0]]}),
        lambda s: s.update({"ms.hour": 5}),
        lambda s: s.update({"ms.hour": [5]}),
        lambda s: s.update({"ms.hour": [[1.0, 1.0], [2.0, 1.0]]}),
        lambda s: s.update({"ms.hour": [[float(100 - i), 1.0] for i in range(63)]}),
        lambda s: s.update({"ms.day": [[1.0, -1.0]]}),
        lambda s: s.update({"excess": [[0.0, 1.0]] * 257}),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change):
    """Missing, unknown or impossible books."""
    budget = full()
    spend(budget, 4.0, 3.0, t=1000.0)
    before = budget.export_state()
    state = dict(before)
    change(state)
    with pytest.raises(StateError):
        budget.restore_state(state)
    assert before == budget.export_state()


def test_a_smaller_bucket_does_not_take_over_a_larger_level():
    """A changed configuration holds at once."""
    restarted = Budget(watts=2.0, time=TIGHT)
    restarted.restore_state(full().export_state())
    assert restarted.level_ms == 300.0


def test_reset_is_a_fresh_budget():
    """Empty buckets and clean books."""
    budget = full()
    spend(budget, 4.0, 3.0, t=1000.0)
    budget.reset()
    assert Budget(watts=2.0, time=WIDE).export_state() == budget.export_state()


def test_the_books_have_a_bounded_size():
    """Three days of one step a minute are no longer than one day."""
    budget = full()
    for minute in range(4320):
        spend(budget, 4.0, 3.0, t=1000.0 + 60 * minute)
    state = budget.export_state()
    assert max(len(state[key]) for key in ("ms.hour", "ms.day", "mj.hour", "mj.day")) <= 62
    assert len(state["excess"]) == 256


@pytest.mark.parametrize("seed", range(8))
def test_no_stream_breaks_a_cap_as_long_as_steps_keep_their_limit(seed):
    """Random bursts, pauses, sessions, power and restarts: every cap holds over every interval, exactly."""
    chance = random.Random(seed)
    budget = Budget(watts=2.0, time=TIGHT, margin=chance.choice([1.0, 1.5, 3.0]))
    t, clock, events, session = 0.0, 0.0, [], 0.0
    for _ in range(3000):
        pause = chance.choice([0.0, 0.0, 0.03, 0.3, 5.0, 600.0, 20_000.0 * (chance.random() < 0.02)])
        t, clock = t + pause, clock + pause
        match chance.randrange(40):
            case 0:
                session = 0.0
                budget.begin_session()
            case 1:
                charge = chance.random()
                budget.set_power(PowerState(battery_fraction=charge), t=clock)
            case 2:
                books = json.loads(json.dumps(budget.export_state()))
                budget = Budget(watts=2.0, time=TIGHT, margin=budget.margin)
                budget.restore_state(books)
                clock = chance.choice([0.0, 1e6])
        step = budget.reserve(chance.choice([1.0, 10.0, 60.0]), t=clock)
        if isinstance(step, Reservation):
            used = step.limit_ms * chance.choice([0.0, 0.3, 1.0, 1.0])
            budget.settle(step, used)
            events.append((t, used))
            session += used
        assert session <= TIGHT.per_session + ROUNDING
    assert len(events) > 50
    assert most_over(events, TIGHT.refill_per_s) <= TIGHT.capacity + ROUNDING
    assert most_within(events, 3600.0) <= TIGHT.per_hour + ROUNDING
    assert most_within(events, 86_400.0) <= TIGHT.per_day + ROUNDING
    assert sum(used for _, used in events) <= TIGHT.refill_per_s * t + ROUNDING


@pytest.mark.parametrize("seed", range(4))
def test_an_overrun_breaks_a_cap_by_its_own_excess_at_most(seed):
    """Heavy-tailed costs: the excess over any interval, hour and day is never more than the worst single overrun."""
    chance = random.Random(seed)
    budget = Budget(watts=2.0, time=TIGHT)
    t, events, excess = 0.0, [], 0.0
    for _ in range(3000):
        t += chance.choice([0.0, 0.03, 1.0, 60.0])
        budget.begin_session()
        step = budget.reserve(10.0, t=t)
        if isinstance(step, Reservation):
            used = 5.0 * chance.paretovariate(1.2)
            budget.settle(step, used)
            events.append((t, used))
            excess = max(excess, used - step.limit_ms)
    assert excess > 100.0
    assert most_over(events, TIGHT.refill_per_s) <= TIGHT.capacity + excess + ROUNDING
    assert most_within(events, 3600.0) <= TIGHT.per_hour + excess + ROUNDING
    assert most_within(events, 86_400.0) <= TIGHT.per_day + excess + ROUNDING
    assert sum(used for _, used in events) <= TIGHT.refill_per_s * t + excess + ROUNDING


def test_ten_thousand_frames_that_all_want_to_learn_spend_five_percent():
    """The stress of the issue: 30 frames a second, a new session every 10 s, every frame asks."""
    chance = random.Random(0)
    allowance = replace(FIVE_PERCENT, per_session=1e9, per_hour=1e9)
    budget = Budget(watts=2.0, time=allowance)
    events = []
    for frame in range(10_000):
        t = frame / 30
        if frame % 300 == 0:
            budget.begin_session()
        step = budget.reserve(4.0, t=t)
        if isinstance(step, Reservation):
            used = min(step.limit_ms, 2.5 * math.exp(0.2 * chance.gauss(0, 1)))
            budget.settle(step, used)
            events.append((t, used))
    share = budget.spent_ms / (1000 * 9999 / 30)
    assert 0.045 < share <= 0.05
    assert most_over(events, allowance.refill_per_s) <= allowance.capacity
    assert budget.admitted + sum(budget.refused.values()) == 10_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(watts=0.0),
        lambda: Budget(watts=1.0, margin=0.9),
        lambda: Budget(watts=1.0, margin=math.nan),
        lambda: replace(WIDE, capacity=0.0),
        lambda: replace(WIDE, refill_per_s=math.inf),
        lambda: PowerState(battery_fraction=1.1),
        lambda: PowerState(battery_fraction=math.nan),
        lambda: PowerPolicy(full_above=0.1, stop_below=0.2),
        lambda: Budget(watts=1.0).reserve(0.0, t=0.0),
        lambda: Budget(watts=1.0).reserve(1.0, math.nan, t=0.0),
    ],
)
def test_senseless_parameters_are_refused(make):
    """At once, with what was expected."""
    with pytest.raises(InputError, match="expected"):
        make()
