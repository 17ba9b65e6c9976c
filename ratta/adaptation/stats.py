"""Small statistics that several parts of adaptation need, one implementation each."""

from __future__ import annotations

import math
from math import comb, exp, fsum, log, log1p
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Doubles = npt.NDArray[np.float64]


def at_least(hits: int, trials: int, rate: float) -> float:
    """Probability of at least `hits` successes in `trials` Bernoulli trials of success probability `rate`.

    Examples
    --------
    >>> round(at_least(2, 2, 0.5), 9), at_least(0, 5, 0.1)
    (0.25, 1.0)
    """
    if hits <= 0 or rate >= 1:
        return float(hits <= trials)
    if rate <= 0:
        return 0.0
    # In logarithms: the binomial coefficient outgrows a float from 1,030 trials on.
    hit, miss = log(rate), log1p(-rate)
    return min(1.0, fsum(exp(log(comb(trials, k)) + k * hit + (trials - k) * miss) for k in range(hits, trials + 1)))


def conformal_threshold(scores: Collection[float], level: float) -> float:
    """Score below which a new, exchangeable session falls with probability about `level`.

    The `max(1, floor(level * (n + 1)))`-th smallest of `n` scores (split conformal prediction, Vovk et al. 2005);
    minus infinity at level 0: then nothing is denied.

    Examples
    --------
    >>> conformal_threshold([3.0, 1.0, 2.0], 0.5), conformal_threshold([3.0, 1.0, 2.0], 0.0)
    (2.0, -inf)
    """
    if level <= 0 or not scores:
        return -math.inf
    rank = max(1, math.floor(level * (len(scores) + 1)))
    return sorted(scores)[rank - 1]


def shrunk_covariance(residuals: Floats) -> Doubles:
    """Covariance shrunk towards a multiple of the identity by the weight of Ledoit and Wolf (2004).

    Parameters
    ----------
    residuals : (N, D)
        Features minus the mean of their own class.

    Returns
    -------
    (D, D) float64

    Raises
    ------
    InputError
        If there are fewer than two rows, or they do not vary.

    Examples
    --------
    >>> shrunk_covariance(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    if residuals.ndim != 2 or len(residuals) < 2 or not np.isfinite(residuals).all():
        raise InputError(f"shrunk_covariance: expected finite residuals (N >= 2, D), got shape {residuals.shape}")
    x = residuals.astype(np.float64)
    n, width = x.shape
    covariance = x.T @ x / n
    scale = float(np.trace(covariance)) / width
    if scale <= 0:
        raise InputError("shrunk_covariance: expected residuals that vary, got constant ones; give more sessions")
    spread = float(((covariance - scale * np.eye(width)) ** 2).sum())
    noise = float(((x**2).sum(axis=1) ** 2).sum() / n - (covariance**2).sum()) / n
    share = 1.0 if spread <= noise else noise / spread
    shrunk: Doubles = (1 - share) * covariance + share * scale * np.eye(width)
    return shrunk


def binary_entropy(p: float) -> float:
    """Entropy of a probability, in nats; `0 log 0 = 0`, and `nan` stays `nan`.

    Examples
    --------
    >>> binary_entropy(1.0), round(binary_entropy(0.5), 6)
    (0.0, 0.693147)
    """
    return -sum(q * log(q) for q in (p, 1 - p) if not q <= 0) + 0.0
