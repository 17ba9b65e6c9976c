import math

import numpy as np
import pytest

from ratta.adaptation.drift import (
    SessionStatistics,
    SourceStatistics,
    class_minimum_mahalanobis,
    entropy,
    gaussian_kl,
    shrunk_precision,
)
from ratta.errors import InputError


@pytest.fixture
def source() -> SourceStatistics:
    return SourceStatistics(np.zeros(2), np.ones(2), np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]), np.eye(3))


def add(session: SessionStatistics, t: float, *, shift: float = 0.0) -> bool:
    return session.add(np.full(2, shift), np.ones(2), np.full(3, shift), np.array([0.5, 0.5]), t=t)


def test_divergence_of_equal_moments_is_zero():
    """A camera that did not change has no divergence."""
    assert gaussian_kl(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 0.0


def test_divergence_matches_both_directions_of_the_integral():
    """The closed form is the sum of the two Kullback-Leibler integrals, done numerically."""
    x = np.linspace(-30, 30, 200_001)
    p = np.exp(-((x - 1) ** 2) / (2 * 2)) / math.sqrt(2 * math.pi * 2)
    q = np.exp(-((x + 0.5) ** 2) / (2 * 5)) / math.sqrt(2 * math.pi * 5)
    expected = float(np.trapezoid((p - q) * (np.log(p) - np.log(q)), x))
    actual = float(gaussian_kl(np.array([1.0]), np.array([2.0]), np.array([-0.5]), np.array([5.0])))
    assert pytest.approx(expected, rel=1e-9) == actual


def test_divergence_is_symmetric_and_averages_channels():
    """Source and target may change places, and a second, equal channel halves the figure."""
    a, b = (np.array([1.0, 7.0]), np.array([2.0, 3.0])), (np.array([0.0, 7.0]), np.array([5.0, 3.0]))
    one = gaussian_kl(a[0][:1], a[1][:1], b[0][:1], b[1][:1])
    assert gaussian_kl(*a, *b) == gaussian_kl(*b, *a) == one / 2


def test_divergence_of_a_dead_channel_is_finite():
    """A channel without variance (a covered camera) is far away, not a division by zero."""
    actual = float(gaussian_kl(np.zeros(1), np.zeros(1), np.ones(1), np.ones(1)))
    assert math.isfinite(actual)
    assert actual > 1e6


def test_distance_is_to_the_nearest_class():
    """An attack near the attack prototype is no drift."""
    prototypes = np.array([[0.0, 0.0], [10.0, 0.0]])
    actual = class_minimum_mahalanobis(np.array([[1.0, 0.0], [10.0, 2.0]]), prototypes, np.diag([4.0, 1.0]))
    assert actual.tolist() == [2.0, 2.0]


def test_distance_of_nan_features_is_nan():
    """A broken feature never looks near."""
    assert np.isnan(class_minimum_mahalanobis(np.array([[np.nan, 0.0]]), np.zeros((2, 2)), np.eye(2))).all()


def test_entropy_of_a_coin_and_of_certainty():
    """One bit is ln 2 nats; certainty is zero."""
    assert [math.log(2), 0.0] == entropy(np.array([[0.5, 0.5], [0.0, 1.0]])).tolist()


def test_shrunk_precision_matches_ledoit_wolf_of_scikit_learn():
    """The few lines of ours are the published estimator."""
    x = np.random.default_rng(0).standard_normal((40, 12)) @ np.diag(np.arange(1, 13))
    covariance = pytest.importorskip("sklearn.covariance")
    expected = covariance.LedoitWolf(assume_centered=True).fit(x).precision_
    np.testing.assert_allclose(shrunk_precision(x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("residuals", [np.zeros((5, 2)), np.ones((1, 2)), np.full((5, 2), np.nan)])
def test_shrunk_precision_refuses_what_has_no_covariance(residuals):
    """Constant, single or broken rows have no precision."""
    with pytest.raises(InputError):
        shrunk_precision(residuals)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian_kl(np.zeros(2), np.ones(3), np.zeros(2), np.ones(2)),
        lambda: class_minimum_mahalanobis(np.zeros((1, 3)), np.zeros((2, 2)), np.eye(2)),
        lambda: SourceStatistics(np.zeros(2), np.ones(3), np.zeros((2, 3)), np.eye(3)),
        lambda: SourceStatistics(np.zeros(2), np.ones(2), np.zeros((2, 3)), np.eye(2)),
        lambda: SourceStatistics(np.zeros(2), np.array([1.0, np.inf]), np.zeros((2, 3)), np.eye(3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    """A wrong shape is an error where it happens, not a broadcast."""
    with pytest.raises(InputError, match="expected"):
        call()


def test_a_session_keeps_sixteen_frames_however_long_it_lasts(source):
    """Evidence and memory of one session are bounded."""
    session = SessionStatistics(source)
    kept = [add(session, t) for t in np.arange(0, 600, 0.5)]
    assert 16 == session.frames == sum(kept)


def test_frames_nearer_than_200_ms_do_not_count(source):
    """Neighbouring frames say the same thing again."""
    session = SessionStatistics(source)
    assert [add(session, t) for t in (0.0, 0.1, 0.25, 0.3)] == [True, False, True, False]


@pytest.mark.parametrize("t", [-1.0, math.nan])
def test_a_time_that_does_not_go_on_is_not_accepted(source, t):
    """Time never goes back."""
    session = SessionStatistics(source)
    add(session, 0.0)
    assert not add(session, t)


def test_a_session_is_measured_by_medians(source):
    """One odd frame of three changes nothing."""
    session = SessionStatistics(source)
    for t, shift in enumerate((1.0, 1.0, 1000.0)):
        add(session, float(t), shift=shift)
    assert (1.0, math.sqrt(3), math.log(2)) == session.measure().values


def test_an_empty_session_has_no_statistics(source):
    """Nothing seen is nan, which no detector trusts."""
    sample = SessionStatistics(source).measure()
    assert np.isnan(sample.values).all()
    assert not sample.finite


def test_kept_frames_are_copies(source):
    """A buffer that the network writes into again does not change the past."""
    session = SessionStatistics(source)
    features = np.ones(3)
    session.add(np.zeros(2), np.ones(2), features, np.array([0.5, 0.5]), t=0.0)
    features[:] = 7
    assert math.sqrt(3) == session.measure().distance


def test_reset_is_a_fresh_session(source):
    """After reset the first frame counts again, whatever its time."""
    session = SessionStatistics(source)
    add(session, 100.0, shift=5.0)
    session.reset()
    assert add(session, 0.0)
    assert session.measure().kl == 0.0


def test_a_frame_of_another_network_is_refused(source):
    """Shapes are checked where the frame comes in."""
    with pytest.raises(InputError, match="shapes"):
        SessionStatistics(source).add(np.zeros(2), np.ones(2), np.zeros(4), np.ones(2), t=0.0)


@pytest.mark.parametrize("arguments", [{"max_frames": 0}, {"min_gap_s": -1.0}, {"min_gap_s": math.nan}])
def test_a_session_without_bounds_is_refused(source, arguments):
    """The bounds are the point."""
    with pytest.raises(InputError):
        SessionStatistics(source, **arguments)
