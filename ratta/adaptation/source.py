"""What adaptation knows of the source: the space in which embeddings are compared, and how source sessions vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.drift import DriftReference, DriftSample
from ratta.adaptation.stats import binary_entropy
from ratta.errors import InputError
from ratta.records import sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[Any]]

DIRECTIONS = 64
PROJECTION_SEED = 576


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """An affine map of the embedding into at most 64 directions: `z = basis @ (embedding - mean)`.

    Attributes
    ----------
    mean : (D,) float32
    basis : (K, D) float32
    whitened : bool
        Whether the source's within-class covariance of `z` is the identity. A bundle without statistics has a fixed
        random projection instead, and the scale is taken from the sessions seen.

    Raises
    ------
    InputError
        If shapes do not fit or a value is not finite.
    """

    mean: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]
    whitened: bool = True

    def __post_init__(self) -> None:
        if self.basis.ndim != 2 or self.mean.shape != self.basis.shape[1:]:
            raise InputError(f"space: expected mean (D,) and basis (K, D), got {self.mean.shape}, {self.basis.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.basis).all()):
            raise InputError("space: expected finite numbers, got nan or infinity; calibrate the model again")

    @property
    def directions(self) -> int:
        """K."""
        return len(self.basis)

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return int(self.basis.shape[1])

    def project(self, embedding: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Map embeddings `(..., D)` to `(..., K)` float64."""
        projected: npt.NDArray[np.float64] = ((embedding - self.mean) @ self.basis.T).astype(np.float64)
        return projected

    @classmethod
    def of_covariance(
        cls, mean: npt.NDArray[np.floating[Any]], covariance: npt.NDArray[np.floating[Any]], *, most: int = DIRECTIONS
    ) -> Space:
        """Take the leading directions of a within-class covariance, whitened."""
        variances, directions = np.linalg.eigh(np.asarray(covariance, np.float64))
        kept = [i for i in np.argsort(variances)[::-1][:most] if variances[i] > 1e-12 * variances.max()]
        basis = (directions[:, kept] / np.sqrt(variances[kept])).T
        return cls(np.asarray(mean, np.float32), basis.astype(np.float32))

    @classmethod
    def unknown(cls, width: int, *, most: int = DIRECTIONS) -> Space:
        """Make the space of a network of which nothing is known but the width of its embedding.

        Up to 64 dimensions are taken as they are; more are projected at random (Johnson and Lindenstrauss 1984).
        """
        if width <= most:
            basis = np.eye(width)
        else:
            basis = np.linalg.qr(np.random.default_rng(PROJECTION_SEED).standard_normal((width, most)))[0].T
        return cls(np.zeros(width, np.float32), basis.astype(np.float32), whitened=False)


@dataclass(frozen=True, slots=True, eq=False)
class SourceReference:
    """The calibrated source.

    Attributes
    ----------
    space : Space
    prototypes : (2, K) float64 or None
        Class means of `z`, spoof first; `None` without calibration.
    drift : DriftReference or None
        Statistics of held-out source sessions; without them every camera counts as changed.
    """

    space: Space
    prototypes: npt.NDArray[np.float64] | None = None
    drift: DriftReference | None = None

    def __post_init__(self) -> None:
        shape = (2, self.space.directions)
        if self.prototypes is not None and (self.prototypes.shape != shape or not np.isfinite(self.prototypes).all()):
            raise InputError(f"reference: expected finite prototypes {shape}, got {self.prototypes.shape}")
        if self.drift is not None and self.prototypes is None:
            raise InputError("reference: expected prototypes beside the drift statistics, got none; calibrate again")

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, width: int) -> SourceReference:
        """Read a bundle's statistics.

        Statistics of version 0.5.0 give space and prototypes, no drift statistics; no statistics give
        `Space.unknown`.

        Raises
        ------
        InputError
            If an array does not fit the others, or the network's embedding of `width`.
        """
        if "space.basis" in arrays:
            return cls._read(arrays, width)
        if "embedding_precision" in arrays and "prototypes" in arrays:
            prototypes = arrays["prototypes"].astype(np.float64)
            space = _checked(Space.of_covariance(prototypes[-1], _inverse(arrays["embedding_precision"])), width)
            return cls(space, space.project(prototypes))
        return cls(Space.unknown(width))

    @classmethod
    def _read(cls, arrays: Arrays, width: int) -> SourceReference:
        try:
            space = Space(arrays["space.mean"].astype(np.float32), arrays["space.basis"].astype(np.float32))
            prototypes = arrays["space.prototypes"].astype(np.float64)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"statistics: expected space.mean, .basis and .prototypes, got {error}") from error
        drift = DriftReference.from_arrays(arrays) if "drift.source" in arrays else None
        return cls(_checked(space, width), prototypes, drift)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As plain arrays, for a bundle's `statistics.npz`; nothing where nothing is known."""
        if self.prototypes is None:
            return {}
        arrays: dict[str, npt.NDArray[Any]] = {
            "space.mean": self.space.mean,
            "space.basis": self.space.basis,
            "space.prototypes": self.prototypes.astype(np.float32),
        }
        return arrays | (self.drift.to_arrays() if self.drift is not None else {})


def drift_sample(
    z: npt.NDArray[np.float64], logits: Sequence[float], prototypes: npt.NDArray[np.float64]
) -> DriftSample:
    """Measure one session: calibration and device look at the same things.

    Parameters
    ----------
    z : (n, K)
        Projected embeddings.
    logits : sequence of n floats
        Calibrated log-odds of the source.
    prototypes : (2, K)
    """
    distances = np.linalg.norm(z[:, None] - prototypes, axis=2).min(axis=1)
    entropies = [binary_entropy(sigmoid(logit)) for logit in logits]
    return DriftSample(float(np.median(distances)), float(np.median(entropies)))


def _inverse(precision: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if precision.ndim != 2 or precision.shape[0] != precision.shape[1] or not np.isfinite(precision).all():
        raise InputError(f"statistics: expected a finite square embedding_precision, got shape {precision.shape}")
    try:
        return np.linalg.inv(precision.astype(np.float64))
    except np.linalg.LinAlgError as error:
        raise InputError(f"statistics: expected a regular embedding_precision, got: {error}") from error


def _checked(space: Space, width: int) -> Space:
    if space.width != width:
        raise InputError(
            f"statistics: expected a space for embeddings of {width} numbers, got one for {space.width}; "
            "calibrate the model again, or load it with all of its crops"
        )
    return space
