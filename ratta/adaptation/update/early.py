"""Match the first layer's moments to the source: they carry the sensor and the light, and little of the class.

A new camera moves mean and variance of the first convolution's channels. Moving them back is an affine map of each
channel, `z' = scale z + shift`, that is new affine parameters of the first normalisation,

    gamma' = scale gamma,    beta' = scale beta + shift

(with `scale = sigma / sigma'` the same as giving it the target's statistics), without a gradient and in 32 numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Doubles = npt.NDArray[np.float64]

VARIANCE_FLOOR = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of the first layer's channels over one frame's pixels.

    Attributes
    ----------
    mean, variance : (C,) float32
        Before the activation.
    """

    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]

    @property
    def log_variance(self) -> Doubles:
        """Natural logarithm of the variance, (C,)."""
        logs: Doubles = np.log(np.maximum(self.variance, VARIANCE_FLOOR).astype(np.float64))
        return logs


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """An early candidate: an affine map of the first layer's channels.

    Attributes
    ----------
    scale, shift : (C,) float64
    """

    scale: Doubles
    shift: Doubles


class Stem:
    """The first convolution, batch normalisation folded: a crop's moments, and the weights with a correction in force.

    Parameters
    ----------
    weight : (C, 3, 3, 3) float32
    bias : (C,) float32
    mean, std : sequence of 3 floats
        Normalisation of the pixels on the 0-255 scale.
    name : str
        Of the layer in the graph.

    Raises
    ------
    InputError
        If shapes do not fit.
    """

    def __init__(
        self, weight: Floats, bias: Floats, *, mean: Sequence[float], std: Sequence[float], name: str = "features.0"
    ) -> None:
        if weight.ndim != 4 or weight.shape[1:] != (3, 3, 3) or bias.shape != weight.shape[:1]:
            raise InputError(f"stem: expected (C, 3, 3, 3) weights and (C,) biases, got {weight.shape}, {bias.shape}")
        self.weight = weight
        self.bias = bias
        self.name = name
        scaled = weight.transpose(2, 3, 1, 0) / np.asarray(std, np.float64)[:, None]
        self._matrix = np.ascontiguousarray(scaled.reshape(27, -1), np.float32)
        self._offset = (bias - (scaled * np.asarray(mean, np.float64)[:, None]).sum((0, 1, 2))).astype(np.float32)

    def moments(self, crop: npt.NDArray[np.uint8]) -> Moments:
        """Moments over the places where the kernel lies wholly inside one (S, S, 3) uint8 crop."""
        windows = sliding_window_view(crop, (3, 3), axis=(0, 1))[1::2, 1::2]
        patches = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 27).astype(np.float32)
        z = patches @ self._matrix
        mean = z.mean(axis=0)
        z -= mean
        return Moments(mean + self._offset, np.einsum("nc,nc->c", z, z) / len(z))

    def fold(self, correction: Correction | None) -> dict[str, npt.NDArray[np.float32]]:
        """Weights of the graph with a correction in force; none changes none."""
        if correction is None:
            return {}
        weight = self.weight * correction.scale[:, None, None, None]
        bias = self.bias * correction.scale + correction.shift
        return {f"{self.name}.weight": weight.astype(np.float32), f"{self.name}.bias": bias.astype(np.float32)}


@dataclass(frozen=True, slots=True, eq=False)
class StemReference:
    """The source's first-layer moments by class, of development frames *that passed the same gate*.

    Attributes
    ----------
    mean, log_variance : (2, C) float64
        Means over frames, spoof first.

    Raises
    ------
    InputError
        If shapes differ or a value is not finite.
    """

    mean: Doubles
    log_variance: Doubles

    def __post_init__(self) -> None:
        if self.mean.ndim != 2 or len(self.mean) != 2 or self.mean.shape != self.log_variance.shape:
            raise InputError(f"stem reference: expected two (2, C), got {self.mean.shape}, {self.log_variance.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.log_variance).all()):
            raise InputError("stem reference: expected finite numbers, got others; calibrate again")

    @classmethod
    def from_development(cls, moments: Sequence[Moments], labels: Sequence[bool | None]) -> StemReference:
        """Average the moments of the frames that the gate admitted.

        Parameters
        ----------
        moments : sequence of Moments
        labels : sequence of bool or None
            The gate's label of each frame; `None` where it was refused.
        """
        chosen = [
            [m for m, label in zip(moments, labels, strict=True) if label is is_live] for is_live in (False, True)
        ]
        if not all(chosen):
            raise InputError(f"stem reference: expected frames of both classes, got {len(chosen[0])}, {len(chosen[1])}")
        mean = np.array([np.mean([m.mean for m in frames], axis=0, dtype=np.float64) for frames in chosen])
        return cls(mean, np.array([np.mean([m.log_variance for m in frames], axis=0) for frames in chosen]))


class MomentMatching:
    """Follows the first layer's moments by class, and says which correction both classes ask for.

    The classes are followed apart, since what one shows more than the other is not the camera. What is corrected is
    what they have in common: per channel nothing where they disagree in direction, otherwise the smaller of the two
    changes, shrunk while the poorer class has few frames. So no flood of one class, however long, moves a channel any
    further than the frames of the *other* class ask for by themselves.

    Corrections are reckoned from the source each time; they never add up.

    Parameters
    ----------
    reference : StemReference
    rate : float
        Of the moving average per frame, in (0, 1]; the first frames count alike.
    max_log_variance : float
        Largest change of a log-variance that is corrected.
    prior_frames : float
        Frames of the poorer class at which half of the change is corrected.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> matching = MomentMatching(StemReference(np.zeros((2, 1)), np.zeros((2, 1))), prior_frames=0)
    >>> seen = Moments(np.array([2.0], np.float32), np.array([1.0], np.float32))
    >>> matching.update(seen, is_live=True)
    >>> matching.correction().shift
    array([0.])
    >>> matching.update(seen, is_live=False)
    >>> matching.correction().shift
    array([-2.])
    """

    def __init__(
        self,
        reference: StemReference,
        *,
        rate: float = 0.03,
        max_log_variance: float = 1.4,
        prior_frames: float = 8.0,
    ) -> None:
        if not 0 < rate <= 1 or not 0 < max_log_variance < math.inf or not 0 <= prior_frames < math.inf:
            raise InputError(
                "moment matching: expected rate in (0, 1], max_log_variance > 0 and prior_frames >= 0, "
                f"got {rate}, {max_log_variance} and {prior_frames}"
            )
        self.reference = reference
        self.rate = rate
        self.max_log_variance = max_log_variance
        self.prior_frames = prior_frames
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._change = np.zeros((2, 2, self.reference.mean.shape[1]))
        self._frames = [0, 0]

    def update(self, moments: Moments, *, is_live: bool) -> None:
        """Take in one admitted frame."""
        reference = self.reference
        seen = np.stack(
            (moments.mean - reference.mean[int(is_live)], moments.log_variance - reference.log_variance[int(is_live)])
        )
        if not np.isfinite(seen).all():
            raise InputError("moment matching: expected finite moments, got others; the gate admits no such frame")
        self._frames[is_live] += 1
        rate = max(self.rate, 1 / self._frames[is_live])
        self._change[int(is_live)] += rate * (seen - self._change[int(is_live)])

    def correction(self) -> Correction:
        """Return the map that takes the common change back; the identity while a class has no frame."""
        poorer = min(self._frames)
        share = poorer / (poorer + self.prior_frames) if poorer else 0.0
        mean, log_variance = share * common_change(self._change[0], self._change[1])
        scale = np.exp(-np.clip(log_variance, -self.max_log_variance, self.max_log_variance) / 2)
        center = self.reference.mean.mean(axis=0)
        return Correction(scale, center - scale * (center + mean))

    def export_state(self) -> tuple[dict[str, int], dict[str, Doubles]]:
        """Everything followed: plain numbers, and arrays."""
        return {"frames.spoof": self._frames[0], "frames.live": self._frames[1]}, {"change": self._change.copy()}

    def restore_state(self, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If it does not fit; nothing has changed then.
        """
        counts = [values.get("frames.spoof"), values.get("frames.live")]
        change = arrays.get("change")
        if len(values) != 2 or any(type(count) is not int or count < 0 for count in counts):
            raise StateError(f"moments state: expected two frame counts, got {dict(values)!r:.80}")
        fits = change is not None and change.dtype == np.float64 and change.shape == self._change.shape
        if change is None or not fits or not np.isfinite(change).all():
            raise StateError("moments state: expected finite changes of the source's shape, got others")
        self._frames = [int(values["frames.spoof"]), int(values["frames.live"])]
        self._change = change.copy()


def common_change(first: Doubles, second: Doubles) -> Doubles:
    """Take what two changes have in common: the smaller where they agree in sign, else nothing (minmod, Roe 1986).

    Examples
    --------
    >>> common_change(np.array([1.0, -3.0, 2.0]), np.array([2.0, -1.0, -2.0]))
    array([ 1., -1.,  0.])
    """
    smaller = np.minimum(np.abs(first), np.abs(second))
    return np.where(first * second > 0, np.copysign(smaller, first), 0.0)
