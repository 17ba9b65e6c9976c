import math
from fractions import Fraction

import numpy as np
import pytest

from ratta.adaptation.stats import at_least, binary_entropy, conformal_threshold, shrunk_covariance
from ratta.errors import InputError


@pytest.mark.parametrize(
    ("hits", "trials", "rate", "expected"),
    [
        (3, 3, 0.5, 1 / 8),
        (1, 2, 0.1, 0.19),
        (2, 4, 0.25, 67 / 256),
        (0, 5, 0.3, 1.0),
        (0, 0, 0.3, 1.0),
        (1, 5, 0.0, 0.0),
        (5, 5, 1.0, 1.0),
        (1, 0, 0.5, 0.0),
    ],
)
def test_the_binomial_tail_by_hand(hits, trials, rate, expected):
    """Values that can be reckoned on paper, and both ends."""
    assert math.isclose(expected, at_least(hits, trials, rate), rel_tol=1e-12)


@pytest.mark.parametrize(("hits", "trials", "rate"), [(7, 64, 0.02), (30, 624, 0.03), (60, 2000, 0.02), (1, 64, 1e-9)])
def test_the_binomial_tail_in_fractions(hits, trials, rate):
    """Against exact fractions; also where the number of ways outgrows a float."""
    p = Fraction(rate).limit_denominator(10**9)
    below = sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits))
    assert math.isclose(float(1 - below), at_least(hits, trials, rate), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.0, -math.inf), (-0.1, -math.inf), (0.001, 1.0), (0.1, 1.0), (0.19, 1.0), (0.2, 2.0), (0.3, 3.0)],
)
def test_the_conformal_threshold_by_hand(level, expected):
    """Of nine scores 1 to 9 the `floor(10 level)`-th smallest, the first at least; nothing at level 0."""
    assert expected == conformal_threshold([5.0, 9.0, 1.0, 7.0, 3.0, 2.0, 8.0, 4.0, 6.0], level)


def test_no_scores_no_threshold():
    """Nothing is denied before there is anything to compare with."""
    assert -math.inf == conformal_threshold([], 0.3)


def test_a_new_session_falls_below_at_the_level():
    """Over every rank that a tenth, exchangeable score can have, `floor(10 level) - 1` or so lie below."""
    for level in (0.1, 0.2, 0.3):
        below = sum(
            new < conformal_threshold([score for score in range(10) if score != new], level) for new in range(10)
        )
        assert below <= 10 * level


def test_shrinkage_by_hand():
    """Covariance diag(4.5, 0.5), scale 2.5, spread 8, noise (41 - 20.5) / 4: the share is 0.640625."""
    x = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    np.testing.assert_allclose(shrunk_covariance(x), np.diag([3.21875, 1.78125]), rtol=1e-12)


@pytest.mark.slow
def test_shrinkage_is_that_of_scikit_learn():
    """The few lines of ours are the published estimator."""
    x = np.random.default_rng(0).standard_normal((40, 12)) @ np.diag(np.arange(1, 13))
    covariance = pytest.importorskip("sklearn.covariance")
    expected = covariance.LedoitWolf(assume_centered=True).fit(x).covariance_
    np.testing.assert_allclose(shrunk_covariance(x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "residuals", [np.zeros((5, 2)), np.ones((1, 2)), np.ones(5), np.full((5, 2), np.nan), np.full((5, 2), np.inf)]
)
def test_what_has_no_covariance_is_refused(residuals):
    """Constant, single or broken rows."""
    with pytest.raises(InputError, match="shrunk_covariance: expected"):
        shrunk_covariance(residuals)


def test_entropy_of_a_coin_and_of_certainty():
    """One bit is ln 2 nats; certainty is zero, of either."""
    assert [math.log(2), 0.0, 0.0] == [binary_entropy(p) for p in (0.5, 0.0, 1.0)]
    assert "0.0" == str(binary_entropy(1.0))


def test_entropy_of_no_number_is_none():
    """Undefined is nan, never certainty."""
    assert math.isnan(binary_entropy(math.nan))
