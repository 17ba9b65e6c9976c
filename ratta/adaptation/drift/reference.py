"""What a session says about the camera, and what sessions of the source camera say."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

STATISTICS = ("distance", "entropy")
MIN_SESSIONS = 50


@dataclass(frozen=True, slots=True)
class DriftSample:
    """The drift statistics of one ended session: medians over its frames.

    Attributes
    ----------
    distance : float
        Mahalanobis distance of the embedding to the nearer class prototype, after Lee et al. (2018): the minimum over
        the classes, so that an attack is not taken for drift.
    entropy : float
        Of the source model's answer, in nats.
    """

    distance: float
    entropy: float

    @property
    def values(self) -> tuple[float, float]:
        """Distance and entropy."""
        return self.distance, self.entropy

    @property
    def finite(self) -> bool:
        """Whether both are numbers; a detector refuses to trust a sample that is not."""
        return all(map(math.isfinite, self.values))


@dataclass(frozen=True, slots=True, eq=False)
class DriftReference:
    """The calibrated reference of drift.

    Attributes
    ----------
    source : (2, n) float64
        Distance and entropy of `n` source sessions, each row sorted; none may have been used to fit the space.
    trust_below, refuse_above, extreme_above : float
        95th and 99th percentile, and the greatest, of the distance over the envelope: the camera changes that count as
        adaptable.

    Raises
    ------
    InputError
        If there are fewer than 50 sessions, a value is not finite, or the three bounds are not in order.
    """

    source: Doubles
    trust_below: float
    refuse_above: float
    extreme_above: float

    def __post_init__(self) -> None:
        bounds = (self.trust_below, self.refuse_above, self.extreme_above)
        if self.source.ndim != 2 or len(self.source) != len(STATISTICS) or self.sessions < MIN_SESSIONS:
            raise InputError(f"reference: expected (2, n >= {MIN_SESSIONS}) statistics, got {self.source.shape}")
        if not np.isfinite(self.source).all() or (np.diff(self.source) < 0).any():
            raise InputError("reference: expected finite, sorted statistics, got others; calibrate again")
        if not (np.isfinite(bounds).all() and 0 < bounds[0] <= bounds[1] <= bounds[2]):
            raise InputError(f"reference: expected 0 < trust_below <= refuse_above <= extreme_above, got {bounds}")

    @classmethod
    def from_samples(cls, source: Sequence[DriftSample], envelope: Sequence[DriftSample]) -> DriftReference:
        """Make a reference from held-out sessions.

        Parameters
        ----------
        source : sequence of DriftSample
            At least 50 undrifted sessions; 500 find a shift of half a standard deviation about twice as fast as 200.
        envelope : sequence of DriftSample
            At least 50 sessions under the camera changes that may be adapted to; the source itself is added.

        Raises
        ------
        InputError
            If there are too few sessions, or a statistic is not finite.
        """
        if len(envelope) < MIN_SESSIONS:
            raise InputError(f"envelope: expected at least {MIN_SESSIONS} sessions, got {len(envelope)}")
        distances = np.array([sample.distance for sample in (*source, *envelope)])
        trust, refuse = np.quantile(distances, (0.95, 0.99), method="higher")
        statistics = np.sort(
            np.array([sample.values for sample in source], dtype=np.float64).reshape(-1, len(STATISTICS)).T
        )
        return cls(statistics, float(trust), float(refuse), float(distances.max()))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> DriftReference:
        """Take back what `to_arrays` gave.

        Raises
        ------
        InputError
            If an array is missing or does not fit.
        """
        try:
            source, bounds = arrays["drift.source"], arrays["drift.bounds"]
        except KeyError as error:
            raise InputError(f"reference: expected the array {error}; calibrate the model again") from error
        if bounds.shape != (3,):
            raise InputError(f"reference: expected three bounds, got shape {bounds.shape}; calibrate the model again")
        return cls(source.astype(np.float64), *(float(bound) for bound in bounds))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As plain arrays, for a bundle's `statistics.npz`."""
        bounds = np.array([self.trust_below, self.refuse_above, self.extreme_above])
        return {"drift.source": self.source, "drift.bounds": bounds}

    @property
    def sessions(self) -> int:
        """How many source sessions the reference holds."""
        return len(self.source[0])

    def ranks(self, sample: DriftSample) -> Doubles:
        """Smoothed rank of each statistic among the source sessions, in (0, 1); ties count half.

        Returns
        -------
        (2,) float64
            `(below + equal / 2 + 1 / 2) / (n + 1)`.
        """
        doubled = [
            bisect_left(row, x) + bisect_right(row, x) for row, x in zip(self.source, sample.values, strict=True)
        ]
        ranks: Doubles = (np.array(doubled) + 1) / (2 * (self.sessions + 1))
        return ranks
