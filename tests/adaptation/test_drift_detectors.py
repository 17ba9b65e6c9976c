import json
import math
from fractions import Fraction

import numpy as np
import pytest

from ratta.adaptation.drift import Band, BettingDrift, DriftReference, DriftSample
from ratta.adaptation.drift.band import Horizon
from ratta.adaptation.drift.betting import finite_reference_margin
from ratta.errors import InputError, StateError


def draw(seed: int, sessions: int, *, shift: float = 0.0) -> list[DriftSample]:
    values = 10 + shift + np.random.default_rng(seed).standard_normal((sessions, 2))
    return [DriftSample(*row) for row in values.tolist()]


def reference(seed: int = 0, sessions: int = 500) -> DriftReference:
    return DriftReference.from_samples(draw(seed, sessions), draw(seed + 1, 200, shift=6.0))


def sessions_until_alarm(detector, samples: list[DriftSample]) -> int | None:
    for session, sample in enumerate(samples, start=1):
        detector.update(sample)
        if detector.alarm:
            return session
    return None


def test_a_fresh_detector_is_in():
    """Without evidence there is nothing to do."""
    detector = BettingDrift(reference())
    assert (detector.alarm, detector.band) == (False, Band.IN)


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_shift_to_either_side_is_found(shift):
    """Two standard deviations are found within 25 sessions, and mean ADAPT."""
    detector = BettingDrift(reference())
    assert sessions_until_alarm(detector, draw(7, 25, shift=shift)) is not None
    assert Band.ADAPT is detector.band


def test_an_alarm_ends_when_the_camera_comes_back():
    """The source again, and the band is IN again."""
    detector = BettingDrift(reference())
    sessions_until_alarm(detector, draw(7, 100, shift=2.0))
    back = draw(8, 200)
    calm = 0
    for sample in back:
        detector.update(sample)
        calm += detector.band is Band.IN
    assert calm > 50


def test_reset_is_a_fresh_detector():
    """Nothing of the past remains."""
    detector = BettingDrift(reference())
    fresh = detector.export_state()
    for sample in draw(1, 40, shift=3.0):
        detector.update(sample)
    detector.reset()
    assert fresh == detector.export_state()


def test_state_round_trips_through_json():
    """A restored detector says what the saved one would have said, bit for bit, to the end."""
    one, other = BettingDrift(reference()), BettingDrift(reference())
    for sample in draw(1, 60, shift=0.4):
        one.update(sample)
    other.restore_state(json.loads(json.dumps(one.export_state())))
    for sample in draw(2, 60, shift=1.0):
        one.update(sample)
        other.update(sample)
        assert (one.evidence, one.band) == (other.evidence, other.band)


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
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change):
    """Missing, unknown or impossible numbers."""
    detector = BettingDrift(reference())
    for sample in draw(1, 10):
        detector.update(sample)
    before = detector.export_state()
    state = dict(before)
    change(state)
    with pytest.raises(StateError):
        detector.restore_state(state)
    assert before == detector.export_state()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_sample_refuses_and_is_no_evidence(bad):
    """Fail closed: too far to trust, and the alarm is not its business."""
    detector = BettingDrift(reference())
    detector.update(DriftSample(10.0, bad))
    assert Band.REFUSE is detector.band
    assert not detector.alarm
    assert detector.evidence["sessions"] == 0


def test_one_session_beyond_the_envelope_refuses_at_once_and_not_for_ever():
    """An outlier costs some sessions of adaptation and no more, however far it was."""
    detector = BettingDrift(reference())
    for sample in draw(1, 20):
        detector.update(sample)
    detector.update(DriftSample(1e300, 10.0))
    assert Band.REFUSE is detector.band
    refused = 0
    for sample in draw(2, 50):
        detector.update(sample)
        refused += detector.band is Band.REFUSE
    assert 1 <= refused <= 15


def test_the_horizon_has_hysteresis():
    """Beyond `refuse_above` is too far; only below `trust_below` is near again."""
    bounds = DriftReference(np.zeros((2, 50)), trust_below=9.0, refuse_above=10.0, extreme_above=20.0)
    horizon = Horizon(bounds, rate=1.0)
    found = []
    for distance in (9.5, 10.5, 9.5, 8.5, 9.5):
        horizon.update(DriftSample(distance, 0.0))
        found.append(horizon.beyond)
    assert found == [False, True, True, False, False]


def test_the_horizon_smooths_what_the_envelope_has_seen():
    """A single session above the bound, but within the envelope, is not yet too far; many are."""
    bounds = DriftReference(np.zeros((2, 50)), trust_below=9.0, refuse_above=10.0, extreme_above=20.0)
    horizon = Horizon(bounds, rate=0.2)
    found = []
    for distance in (5.0, 15.0, 15.0, 15.0, 15.0):
        horizon.update(DriftSample(distance, 0.0))
        found.append(horizon.beyond)
    assert found == [False, False, False, False, True]


def test_small_references_need_a_wide_margin():
    """The exact tail of a mean of n uniform ranks (Irwin and Hall, in fractions) is within what the margin allows."""
    for n, delta in ((20, 0.05), (50, 0.01), (50, 0.0005)):
        x = Fraction(n, 2) - n * Fraction(finite_reference_margin(n, delta))
        signed = ((-1) ** k * math.comb(n, k) * (x - k) ** n for k in range(math.floor(x) + 1))
        tail = sum(signed) / math.factorial(n)
        assert tail <= Fraction(delta) / 2


def test_the_luck_of_two_rankings_is_paid_for():
    """Each statistic may be unlucky on its own, so each gets half of delta."""
    assert finite_reference_margin(500, 0.002 / 2) == BettingDrift(reference()).eps


def test_the_alarm_is_where_the_promise_puts_it():
    """1 over what alpha leaves after delta, and 1 for the stake of the next session, which is no evidence yet."""
    assert pytest.approx(126.0) == BettingDrift(reference()).evidence["threshold"]


def test_the_wealth_of_one_session_by_hand():
    """At the lowest rank of 50 every gambler wins or loses by his bet, and a new stake of 1 enters."""
    small = DriftReference.from_samples(draw(0, 50), draw(1, 50))
    detector = BettingDrift(small)
    detector.update(DriftSample(-1e3, -1e3))
    edge = 0.5 - 0.5 / 51
    factors = [1 + bet * (side * edge - detector.eps) for side in (1, -1) for bet in (0.2, 0.4, 0.8, 1.5)]
    assert pytest.approx(sum(factors) / 8 + 1, rel=1e-12) == detector.evidence["wealth"]


def test_no_bet_ever_loses_more_than_there_is():
    """The worst rank leaves every gambler some wealth, in the smallest reference that is accepted."""
    small = DriftReference.from_samples(draw(0, 50), draw(1, 50))
    detector = BettingDrift(small)
    for sample in draw(0, 500, shift=100.0):
        detector.update(sample)
        assert all(value > 0 for key, value in detector.export_state().items() if key.startswith("wealth"))


def test_false_alarms_are_as_far_apart_as_promised():
    """At least 100 sessions on average, over 40 references of 200 sessions."""
    alarms = [sessions_until_alarm(BettingDrift(reference(3 * run, 200)), draw(3 * run + 2, 200)) for run in range(40)]
    assert np.mean([alarm or 200 for alarm in alarms]) >= 100


def test_the_same_session_again_and_again_is_judged_by_its_rank():
    """The greatest source session, repeated, is found sooner than the median one, which is at most a false alarm."""
    calibrated = reference()
    median, greatest = (DriftSample(*np.quantile(calibrated.source, q, axis=1).tolist()) for q in (0.5, 1.0))
    soon, late = (sessions_until_alarm(BettingDrift(calibrated), [sample] * 500) for sample in (greatest, median))
    assert soon < 20
    assert late is None or late >= 100


def test_a_false_alarm_ends_with_the_next_sessions():
    """Median sessions may raise an alarm by their mere number; it is over with the next, and all begins anew."""
    calibrated = reference()
    median = DriftSample(*np.quantile(calibrated.source, 0.5, axis=1).tolist())
    detector = BettingDrift(calibrated, alpha=0.05, delta=0.01)
    alarm = sessions_until_alarm(detector, [median] * 500)
    detector.update(median)
    assert not detector.alarm
    assert alarm == sessions_until_alarm(detector, [median] * 500)


def test_undrifted_sessions_seldom_count_as_drifted():
    """In band ADAPT anchors may deny; 400 sessions of the source itself, 10 references."""
    drifted = 0
    for run in range(10):
        detector = BettingDrift(reference(3 * run, 200))
        for sample in draw(3 * run + 2, 400):
            detector.update(sample)
            drifted += detector.band is Band.ADAPT
    assert drifted / 4000 <= 0.02


@pytest.mark.parametrize(
    "make",
    [
        lambda: Horizon(reference(), rate=0.0),
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
