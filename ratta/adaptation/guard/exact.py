"""Exact tests on counts, a line or two each: small samples deserve no approximation."""

from __future__ import annotations

from math import comb, exp, fsum, log, log1p


def at_least(hits: int, trials: int, rate: float) -> float:
    """Chance of at least so many hits where each trial hits with `rate` (binomial).

    Examples
    --------
    >>> round(at_least(2, 2, 0.5), 9), at_least(0, 5, 0.1)
    (0.25, 1.0)
    """
    if hits <= 0 or rate >= 1:
        return float(hits <= trials)
    if rate <= 0:
        return 0.0
    # In logarithms: the number of ways outgrows a float from 1,030 trials on.
    hit, miss = log(rate), log1p(-rate)
    return min(1.0, fsum(exp(log(comb(trials, k)) + k * hit + (trials - k) * miss) for k in range(hits, trials + 1)))


def paired_rise(gained: int, lost: int) -> float:
    """Chance of at least so many changes for the worse, were both directions equally likely (McNemar, exact).

    Examples
    --------
    >>> paired_rise(gained=1, lost=0), paired_rise(gained=1, lost=1)
    (0.5, 0.75)
    """
    # In integers: a net rise by one is 1/2 exactly, however many changes there are.
    changes = gained + lost
    return sum(comb(changes, k) for k in range(gained, changes + 1)) / (1 << changes)


def unequal_rates(hits: int, trials: int, other_hits: int, other_trials: int) -> float:
    """Two-sided chance of rates so different were they the same (Fisher's exact test, the smaller tail doubled).

    Examples
    --------
    >>> round(unequal_rates(10, 10, 0, 10), 7), unequal_rates(5, 10, 5, 10)
    (1.08e-05, 1.0)
    """
    together, everything = hits + other_hits, trials + other_trials
    low, high = max(0, together - other_trials), min(trials, together)
    ways = [comb(trials, k) * comb(other_trials, together - k) for k in range(low, high + 1)]
    tail = min(sum(ways[: hits - low + 1]), sum(ways[hits - low :]))
    return min(1.0, 2 * tail / comb(everything, together))
