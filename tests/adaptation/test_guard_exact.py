import math
from fractions import Fraction

import numpy as np
import pytest

from ratta.adaptation.guard import at_least
from ratta.adaptation.guard.exact import paired_rise, unequal_rates


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


def test_the_tests_are_those_of_scipy():
    """Binomial tail to 1e-10; Fisher's to 1e-10 on its one-sided values, of which ours is twice the smaller."""
    stats, rng = pytest.importorskip("scipy.stats"), np.random.default_rng(0)
    for _ in range(50):
        trials, other = (int(n) for n in rng.integers(1, 65, 2))
        hits, other_hits, rate = int(rng.integers(0, trials + 1)), int(rng.integers(0, other + 1)), float(rng.random())
        assert math.isclose(stats.binom.sf(hits - 1, trials, rate), at_least(hits, trials, rate), rel_tol=1e-10)
        table = [[hits, trials - hits], [other_hits, other - other_hits]]
        tails = [float(stats.fisher_exact(table, alternative=side)[1]) for side in ("less", "greater")]
        expected = min(1.0, 2 * min(tails))
        assert math.isclose(expected, unequal_rates(hits, trials, other_hits, other), rel_tol=1e-10)


def test_different_rates_by_hand():
    """3 of 3 against 0 of 3: one way out of 20, twice; no difference: 1."""
    assert math.isclose(0.1, unequal_rates(3, 3, 0, 3), rel_tol=1e-12)
    assert unequal_rates(3, 3, 0, 3) == unequal_rates(0, 3, 3, 3)
    assert (1.0, 1.0) == (unequal_rates(0, 3, 0, 3), unequal_rates(2, 4, 2, 4))


def test_one_more_change_for_the_worse_is_one_half_exactly():
    """`k + 1` against `k` is 1/2 for every k: rounding must not let a rise by one slip past the level 1/2."""
    assert {0.5} == {paired_rise(k + 1, k) for k in range(300)}
    assert (1.0, 0.25, 0.75) == (paired_rise(0, 0), paired_rise(2, 0), paired_rise(1, 1))
