"""What one session says about the camera: three numbers, however long it lasted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Doubles = npt.NDArray[np.float64]

VARIANCE_FLOOR = 1e-8
TIME_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class DriftSample:
    """The drift statistics of one ended session.

    Attributes
    ----------
    kl : float
        D1: symmetric Kullback-Leibler divergence of early channel moments, in nats; class-poor, sees the sensor.
    distance : float
        D2: distance of the pooled features to the nearest class; the only one that says "too far".
    entropy : float
        D3: entropy of the frozen source model, in nats.
    """

    kl: float
    distance: float
    entropy: float

    @property
    def finite(self) -> bool:
        """Whether all three are numbers; a detector refuses to trust a sample that is not."""
        return all(map(math.isfinite, self.values))

    @property
    def values(self) -> tuple[float, float, float]:
        """D1, D2, D3."""
        return self.kl, self.distance, self.entropy


@dataclass(frozen=True, slots=True, eq=False)
class SourceStatistics:
    """What the calibration knows of the source domain.

    Attributes
    ----------
    mean, variance : (K,)
        Moments of the watched early channels, of all layers one after another.
    prototypes : (C, D)
        Class means of the pooled features.
    precision : (D, D)
        Inverse of the shrunk within-class covariance; see `shrunk_precision`.

    Raises
    ------
    InputError
        If the shapes do not belong together or a value is not finite.
    """

    mean: Doubles
    variance: Doubles
    prototypes: Doubles
    precision: Doubles

    def __post_init__(self) -> None:
        width = self.prototypes.shape[-1]
        if self.mean.ndim != 1 or self.mean.shape != self.variance.shape:
            raise InputError(
                f"source: expected mean and variance of one shape (K,), got {self.mean.shape}, {self.variance.shape}"
            )
        if self.prototypes.ndim != 2 or self.precision.shape != (width, width):
            raise InputError(
                "source: expected prototypes (C, D) and precision (D, D), "
                f"got {self.prototypes.shape} and {self.precision.shape}"
            )
        if not all(np.isfinite(a).all() for a in (self.mean, self.variance, self.prototypes, self.precision)):
            raise InputError("source: expected finite statistics, got nan or infinity; calibrate again")


class SessionStatistics:
    """Gathers a bounded sample of one session's frames; nothing is computed until `measure`.

    At most `max_frames` frames, at least `min_gap_s` apart, are kept as features (never as pictures), so the answer
    path pays for copies only, and a long session weighs no more than a short one.

    Parameters
    ----------
    source : SourceStatistics
    max_frames : int
    min_gap_s : float

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> source = SourceStatistics(np.zeros(2), np.ones(2), np.zeros((2, 3)), np.eye(3))
    >>> session = SessionStatistics(source)
    >>> session.add(np.zeros(2), np.ones(2), np.ones(3), np.array([0.5, 0.5]), t=0.0)
    True
    >>> session.measure()
    DriftSample(kl=0.0, distance=1.7320508075688772, entropy=0.6931471805599453)
    """

    def __init__(self, source: SourceStatistics, *, max_frames: int = 16, min_gap_s: float = 0.2) -> None:
        if max_frames < 1 or not 0 <= min_gap_s < math.inf:
            raise InputError(
                f"statistics: expected max_frames >= 1 and min_gap_s >= 0, got {max_frames} and {min_gap_s}"
            )
        self.source = source
        self.max_frames = max_frames
        self.min_gap_s = min_gap_s
        self.reset()

    def reset(self) -> None:
        """Forget the session, as if newly made."""
        self._last_s = -math.inf
        self._means: list[Floats] = []
        self._variances: list[Floats] = []
        self._features: list[Floats] = []
        self._probabilities: list[Floats] = []

    @property
    def frames(self) -> int:
        """Frames kept so far."""
        return len(self._features)

    def add(self, mean: Floats, variance: Floats, features: Floats, probabilities: Floats, *, t: float) -> bool:
        """Keep a frame if the session still has room and enough time has passed.

        Parameters
        ----------
        mean, variance : (K,)
            Moments of the watched channels over this frame's pixels.
        features : (D,)
            Pooled features.
        probabilities : (C,)
            Of the frozen source model.
        t : float
            Seconds; a time that is not after the last kept frame is never accepted.

        Returns
        -------
        bool
            Whether the frame was kept.

        Raises
        ------
        InputError
            If a shape does not fit the source.
        """
        if self.frames >= self.max_frames or not t - self._last_s >= self.min_gap_s - TIME_TOLERANCE_S:
            return False
        expected = self.source.mean.shape, self.source.mean.shape, self.source.prototypes.shape[1:]
        if (mean.shape, variance.shape, features.shape) != expected:
            raise InputError(
                f"statistics: expected mean, variance and features of shapes {expected}, "
                f"got {(mean.shape, variance.shape, features.shape)}"
            )
        self._last_s = t
        self._means.append(mean.copy())
        self._variances.append(variance.copy())
        self._features.append(features.copy())
        self._probabilities.append(probabilities.copy())
        return True

    def measure(self) -> DriftSample:
        """Medians of the three statistics over the kept frames; all `nan` when there is none."""
        if not self.frames:
            return DriftSample(math.nan, math.nan, math.nan)
        source = self.source
        kl = gaussian_kl(np.stack(self._means), np.stack(self._variances), source.mean, source.variance)
        distance = class_minimum_mahalanobis(np.stack(self._features), source.prototypes, source.precision)
        surprise = entropy(np.stack(self._probabilities))
        return DriftSample(*(float(np.median(values)) for values in (kl, distance, surprise)))


def gaussian_kl(mean: Floats, variance: Floats, source_mean: Floats, source_variance: Floats) -> Doubles:
    """Symmetric Kullback-Leibler divergence of channel moments taken as Gaussians, mean over channels.

    `J = ((v/v0 + v0/v - 2) + (m - m0)^2 (1/v + 1/v0)) / 2`, the sum of both directions (Jeffreys 1946).

    Parameters
    ----------
    mean, variance : (..., K)
    source_mean, source_variance : (K,)

    Returns
    -------
    (...) float64
        In nats, at least 0; `nan` where an input is.

    Raises
    ------
    InputError
        If the last axes differ.

    Examples
    --------
    >>> float(gaussian_kl(np.array([1.0]), np.array([1.0]), np.array([0.0]), np.array([1.0])))
    1.0
    """
    if not mean.shape[-1:] == variance.shape[-1:] == source_mean.shape == source_variance.shape:
        raise InputError(
            f"gaussian_kl: expected (..., K) moments and (K,) source moments, got {mean.shape}, {variance.shape}, "
            f"{source_mean.shape}, {source_variance.shape}"
        )
    v = np.maximum(variance, VARIANCE_FLOOR).astype(np.float64)
    v0 = np.maximum(source_variance, VARIANCE_FLOOR).astype(np.float64)
    squared = (mean.astype(np.float64) - source_mean) ** 2
    divergence: Doubles = ((v - v0) ** 2 / (v * v0) + squared * (1 / v + 1 / v0)).mean(axis=-1) / 2
    return divergence


def class_minimum_mahalanobis(features: Floats, prototypes: Floats, precision: Floats) -> Doubles:
    """Mahalanobis distance to the nearest class, so that an attack is not taken for drift.

    Parameters
    ----------
    features : (N, D)
    prototypes : (C, D)
    precision : (D, D)
        Symmetric, positive definite.

    Returns
    -------
    (N,) float64
        `min_c sqrt((f - p_c)^T P (f - p_c))`, after Lee et al. (2018).

    Raises
    ------
    InputError
        If the shapes do not belong together.

    Examples
    --------
    >>> class_minimum_mahalanobis(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 3.0]]), np.eye(2))
    array([1.])
    """
    width = features.shape[-1]
    if features.ndim != 2 or prototypes.shape[1:] != (width,) or precision.shape != (width, width):
        raise InputError(
            "class_minimum_mahalanobis: expected (N, D), (C, D) and (D, D), "
            f"got {features.shape}, {prototypes.shape} and {precision.shape}"
        )
    distances = np.empty((len(prototypes), len(features)))
    for squared, prototype in zip(distances, prototypes, strict=True):
        residual = features.astype(np.float64) - prototype
        squared[:] = np.einsum("nd,nd->n", residual @ precision, residual)
    nearest: Doubles = np.sqrt(np.maximum(distances.min(axis=0), 0))
    return nearest


def entropy(probabilities: Floats) -> Doubles:
    """Shannon entropy in nats over the last axis; `0 log 0 = 0`.

    Examples
    --------
    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0.        , 0.69314718])
    """
    p = probabilities.astype(np.float64)
    nats: Doubles = -(p * np.log(np.where(p == 0, 1.0, p))).sum(axis=-1)
    return nats + 0.0  # -0.0 reads badly in a log


def shrunk_precision(residuals: Floats) -> Doubles:
    """Inverse of a covariance shrunk towards a multiple of the identity (Ledoit and Wolf 2004).

    Parameters
    ----------
    residuals : (N, D)
        Features minus the prototype of their own class.

    Returns
    -------
    (D, D) float64

    Raises
    ------
    InputError
        If there are fewer than two rows, or they do not vary.

    Examples
    --------
    >>> shrunk_precision(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    array([[2., 0.],
           [0., 2.]])
    """
    if residuals.ndim != 2 or len(residuals) < 2 or not np.isfinite(residuals).all():
        raise InputError(f"shrunk_precision: expected finite residuals (N >= 2, D), got shape {residuals.shape}")
    x = residuals.astype(np.float64)
    n, width = x.shape
    covariance = x.T @ x / n
    scale = float(np.trace(covariance)) / width
    if scale <= 0:
        raise InputError("shrunk_precision: expected residuals that vary, got constant ones; give more sessions")
    spread = float(((covariance - scale * np.eye(width)) ** 2).sum())
    noise = float(((x**2).sum(axis=1) ** 2).sum() / n - (covariance**2).sum()) / n
    share = 1.0 if spread <= noise else noise / spread
    precision: Doubles = np.linalg.inv((1 - share) * covariance + share * scale * np.eye(width))
    return precision
