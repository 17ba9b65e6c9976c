"""A ridge logistic head on features, with the source's log-odds as offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

LEAST_GAIN = 1e-8
MOST_STEPS = 50


def fit_head(
    z: Doubles, offset: Doubles, is_live: npt.NDArray[np.bool_], weights: Doubles, *, ridge: float
) -> tuple[Doubles, float]:
    """Minimise the weighted logistic loss of `offset + z w + b`, plus `ridge / 2 |w|^2`, by Newton's method.

    The offset keeps the source's knowledge: without evidence the head is zero, and the answer the source's.

    Parameters
    ----------
    z : (N, K) float64
        Features of about unit length.
    offset : (N,) float64
        The source's log-odds of live.
    is_live : (N,) bool
    weights : (N,) float64
        Of the frames; how classes, species and sessions are balanced is the caller's.
    ridge : float
        Positive. Of the squared length of `w`; the intercept is all but free.

    Returns
    -------
    w : (K,) float64
    b : float

    Examples
    --------
    >>> z, is_live = np.array([[1.0], [2.0], [-1.0], [-2.0]]), np.array([True, True, False, False])
    >>> w, b = fit_head(z, np.zeros(4), is_live, np.full(4, 0.25), ridge=0.1)
    >>> bool(w[0] > 0), abs(round(b, 6))
    (True, 0.0)
    """
    rows, back = _row_space(z)
    design = np.column_stack([rows, np.ones(len(z))])
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 1e-4 * min(ridge, 1.0)
    theta, loss = np.zeros(design.shape[1]), np.inf
    for _ in range(MOST_STEPS):
        margins = offset + design @ theta
        share = 1 / (1 + np.exp(-np.clip(margins, -40, 40)))
        gradient = design.T @ (weights * (share - is_live)) + penalty * theta
        curvature = (design * (weights * share * (1 - share))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        theta, new = _descend(theta, step, lambda t: _loss(offset + design @ t, is_live, weights, penalty, t))
        if loss - new < LEAST_GAIN:
            break
        loss = new
    return back @ theta[:-1], float(theta[-1])


def _row_space(z: Doubles) -> tuple[Doubles, Doubles]:
    """Rotate rows into the directions that they span: coordinates (N, R), and the way back (K, R)."""
    if z.shape[1] <= len(z):
        return z, np.eye(z.shape[1])
    squares, left = np.linalg.eigh(z @ z.T)
    kept = squares > 1e-10 * max(float(squares.max(initial=0.0)), 1e-30)
    values = np.sqrt(squares[kept])
    return left[:, kept] * values, z.T @ (left[:, kept] / values)


def _loss(
    margins: Doubles, is_live: npt.NDArray[np.bool_], weights: Doubles, penalty: Doubles, theta: Doubles
) -> float:
    return float((weights * (np.logaddexp(0, margins) - is_live * margins)).sum() + 0.5 * (penalty * theta**2).sum())


def _descend(theta: Doubles, step: Doubles, loss: object) -> tuple[Doubles, float]:
    """Take the step, halved until the loss does not rise."""
    assert callable(loss)
    before, share = loss(theta), 1.0
    while share > 1e-6:
        found = theta - share * step
        after = float(loss(found))
        if after <= before:
            return found, after
        share /= 2
    return theta, float(before)
