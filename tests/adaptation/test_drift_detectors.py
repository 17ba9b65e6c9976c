import json
import math
from fractions import Fraction

import numpy as np
import pytest

from ratta.adaptation.drift import Band, BettingDrift, DriftReference, DriftSample, EmaDrift, Horizon
from ratta.adaptation.drift.betting import finite_reference_margin
from ratta.errors import InputError, StateError

DETECTORS = [EmaDrift, BettingDrift, lambda reference: BettingDrift(reference, restarting=True)]
FAR = 1000.0


def draw(seed: int, sessions: int, *, shift: float = 0.0) -> list[DriftSample]:
    values = 10 + shift + np.random.default_rng(seed).standard_normal((sessions, 3))
    return [DriftSample(*row) for row in values.tolist()]


def reference(seed: int = 0, sessions: int = 500) -> DriftReference:
    return DriftReference.from_samples(draw(seed, sessions), draw(seed + 1, 200, shift=6.0))


def sessions_until_alarm(detector, samples: list[DriftSample]) -> int | None:
    for session, sample in enumerate(samples, start=1):
        detector.update(sample)
        if detector.alarm:
            return session
    return None


@pytest.mark.parametrize("make", DETECTORS)
def test_a_fresh_detector_is_in(make):
    """Without evidence there is nothing to do."""
    detector = make(reference())
    assert (detector.alarm, detector.band) == (False, Band.IN)


@pytest.mark.parametrize("make", DETECTORS)
@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_shift_to_either_side_is_found(make, shift):
    """Two standard deviations are found within 25 sessions, and mean ADAPT."""
    detector = make(reference())
    assert sessions_until_alarm(detector, draw(7, 25, shift=shift)) is not None
    assert Band.ADAPT is detector.band


@pytest.mark.parametrize("make", DETECTORS)
def test_an_alarm_ends_when_the_camera_comes_back(make):
    """The source again, and the band is IN again."""
    detector = make(reference())
    sessions_until_alarm(detector, draw(7, 100, shift=2.0))
    back = draw(8, 200)
    calm = 0
    for sample in back:
        detector.update(sample)
        calm += detector.band is Band.IN
    assert calm > 50


@pytest.mark.parametrize("make", DETECTORS)
def test_reset_is_a_fresh_detector(make):
    """Nothing of the past remains."""
    detector = make(reference())
    fresh = detector.export_state()
    for sample in draw(1, 40, shift=3.0):
        detector.update(sample)
    detector.reset()
    assert fresh == detector.export_state()


@pytest.mark.parametrize("make", DETECTORS)
def test_state_round_trips_through_json(make):
    """A restored detector says what the saved one would have said, bit for bit, to the end."""
    one, other = make(reference()), make(reference())
    for sample in draw(1, 60, shift=0.4):
        one.update(sample)
    other.restore_state(json.loads(json.dumps(one.export_state())))
    for sample in draw(2, 60, shift=1.0):
        one.update(sample)
        other.update(sample)
        assert (one.evidence, one.band) == (other.evidence, other.band)


@pytest.mark.parametrize("make", DETECTORS)
@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("sessions"),
        lambda s: s.update(extra=1.0),
        lambda s: s.update(sessions=math.nan),
        lambda s: s.update(sessions="1"),
        lambda s: s.update(sessions=-1),
        lambda s: s.update({"horizon.smoothed": -1.0}),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(make, change):
    """Missing, unknown or impossible numbers."""
    detector = make(reference())
    for sample in draw(1, 10):
        detector.update(sample)
    before = detector.export_state()
    state = dict(before)
    change(state)
    with pytest.raises(StateError):
        detector.restore_state(state)
    assert before == detector.export_state()


@pytest.mark.parametrize("make", DETECTORS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_sample_refuses_and_is_no_evidence(make, bad):
    """Fail closed: too far to trust, and the alarm is not its business."""
    detector = make(reference())
    detector.update(DriftSample(bad, 10.0, 10.0))
    assert Band.REFUSE is detector.band
    assert not detector.alarm
    assert detector.evidence["sessions"] == 0


@pytest.mark.parametrize("make", DETECTORS)
def test_one_session_beyond_the_envelope_refuses_at_once_and_not_for_ever(make):
    """An outlier costs some sessions of adaptation and no more, however far it was."""
    detector = make(reference())
    for sample in draw(1, 20):
        detector.update(sample)
    detector.update(DriftSample(10.0, 1e300, 10.0))
    assert Band.REFUSE is detector.band
    refused = 0
    for sample in draw(2, 50):
        detector.update(sample)
        refused += detector.band is Band.REFUSE
    assert 1 <= refused <= 15


def test_the_horizon_has_hysteresis():
    """Beyond `refuse_above` is too far; only below `trust_below` is near again."""
    bounds = DriftReference(np.zeros((3, 50)), trust_below=9.0, refuse_above=10.0, extreme_above=20.0)
    horizon = Horizon(bounds, rate=1.0)
    found = []
    for distance in (9.5, 10.5, 9.5, 8.5, 9.5):
        horizon.update(DriftSample(0.0, distance, 0.0))
        found.append(horizon.beyond)
    assert found == [False, True, True, False, False]


def test_the_horizon_smooths_what_the_envelope_has_seen():
    """A single session above the bound, but within the envelope, is not yet too far; many are."""
    bounds = DriftReference(np.zeros((3, 50)), trust_below=9.0, refuse_above=10.0, extreme_above=20.0)
    horizon = Horizon(bounds, rate=0.2)
    found = []
    for distance in (5.0, 15.0, 15.0, 15.0, 15.0):
        horizon.update(DriftSample(0.0, distance, 0.0))
        found.append(horizon.beyond)
    assert found == [False, False, False, False, True]


def test_small_references_need_a_wide_margin():
    """The exact tail of a mean of n uniform ranks (Irwin and Hall, in fractions) is within what the margin allows."""
    for n, delta in ((20, 0.05), (50, 0.01), (50, 0.0005)):
        x = Fraction(n, 2) - n * Fraction(finite_reference_margin(n, delta))
        signed = ((-1) ** k * math.comb(n, k) * (x - k) ** n for k in range(math.floor(x) + 1))
        tail = sum(signed) / math.factorial(n)
        assert tail <= Fraction(delta) / 2


def test_the_luck_of_three_rankings_is_paid_for():
    """Each statistic may be unlucky on its own, so each gets a third of delta."""
    assert BettingDrift(reference()).eps == finite_reference_margin(500, 0.01 / 3)


def test_the_alarm_is_where_the_promise_puts_it():
    """1 over what alpha leaves after delta; in the restarting form the stake of the next session is no evidence yet."""
    thresholds = [BettingDrift(reference(), restarting=form).evidence["threshold"] for form in (False, True)]
    assert thresholds == pytest.approx([25.0, 26.0])


def test_the_money_of_one_session_by_hand():
    """At the lowest rank of 50, half a stake on each of 24 gamblers becomes the mean of both sides."""
    small = DriftReference.from_samples(draw(0, 50), draw(1, 50))
    detector = BettingDrift(small)
    detector.update(DriftSample(-1e3, -1e3, -1e3))
    edge = 0.5 - 0.5 / 51
    factors = [1 + bet * (side * edge - detector.eps) for side in (1, -1) for bet in (0.2, 0.4, 0.8, 1.6)]
    expected = 0.5 * sum(factors) / 8 + 0.5 * 100 / (101 * 100)
    assert detector.evidence["money"] == pytest.approx(expected, rel=1e-12)


def test_all_stakes_together_are_one():
    """Ville's bound is for one unit of money; the stakes of a million sessions do not exceed it."""
    detector = BettingDrift(reference())
    total = 0.0
    for session in range(10_000):
        detector.restore_state({**detector.export_state(), "sessions": session})
        total += detector._stake()
    assert pytest.approx(1 - 0.5 * 100 / (10_000 + 99), rel=1e-9) == total


def test_no_bet_ever_loses_more_than_there_is():
    """The worst rank leaves every gambler some money, in the smallest reference that is accepted."""
    small = DriftReference.from_samples(draw(0, 50), draw(1, 50))
    detector = BettingDrift(small)
    for sample in draw(0, 500, shift=100.0):
        detector.update(sample)
        assert all(value > 0 for key, value in detector.export_state().items() if key.startswith("money"))


def test_undrifted_sessions_raise_an_alarm_in_few_runs():
    """At most 5 % of runs; 40 runs of 400 sessions, each with a reference of its own."""
    alarms = [sessions_until_alarm(BettingDrift(reference(3 * run, 200)), draw(3 * run + 2, 400)) for run in range(40)]
    assert sum(alarm is not None for alarm in alarms) <= 2


def test_the_same_session_again_and_again_is_judged_by_its_rank():
    """A source session repeated for ever is no shift when it is the median, and one when it is the greatest."""
    calibrated = reference()
    median, greatest = (DriftSample(*np.quantile(calibrated.source, q, axis=1).tolist()) for q in (0.5, 1.0))
    assert sessions_until_alarm(BettingDrift(calibrated), [median] * 2000) is None
    assert sessions_until_alarm(BettingDrift(calibrated), [greatest] * 2000) is not None


def test_the_restarting_form_is_sooner_after_a_quiet_time():
    """That is what it gives its promise up for."""
    quiet, drifted = draw(5, 2000), draw(6, 500, shift=1.0)
    delays = []
    for detector in (BettingDrift(reference()), BettingDrift(reference(), restarting=True, alpha=1e-3, delta=1e-4)):
        assert sessions_until_alarm(detector, quiet) is None
        delays.append(sessions_until_alarm(detector, drifted))
    assert delays[1] < delays[0] < 200


def test_an_old_detector_neither_overflows_nor_sleeps():
    """After a million sessions a shift is still found."""
    detector = BettingDrift(reference())
    for sample in draw(1, 100):
        detector.update(sample)
    detector.restore_state({**detector.export_state(), "sessions": 10**6})
    assert sessions_until_alarm(detector, draw(2, 1000)) is None
    assert sessions_until_alarm(detector, draw(3, 200, shift=2.0)) is not None


@pytest.mark.slow
def test_a_million_sessions():
    """No overflow, no underflow, no false alarm here, and a shift is still found."""
    detector = BettingDrift(reference())
    for seed in range(100):
        assert sessions_until_alarm(detector, draw(100 + seed, 10_000)) is None
    assert detector.evidence["sessions"] == 10**6
    assert sessions_until_alarm(detector, draw(3, 200, shift=2.0)) is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda: EmaDrift(reference(), rate=0.0),
        lambda: EmaDrift(reference(), threshold_sigma=math.inf),
        lambda: EmaDrift(DriftReference(np.zeros((3, 50)), 1.0, 1.0, 1.0)),
        lambda: BettingDrift(reference(), alpha=0.01, delta=0.01),
        lambda: BettingDrift(reference(), alpha=1.0),
        lambda: BettingDrift(reference(), tolerance=0.5),
        lambda: BettingDrift(reference(), rate=math.nan),
        lambda: BettingDrift(reference(0, 50), alpha=1e-6, delta=1e-7),
    ],
)
def test_senseless_parameters_are_refused(make):
    """At once, in the constructor."""
    with pytest.raises(InputError):
        make()
