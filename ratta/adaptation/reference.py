"""What adaptation must know of the source, kept in the bundle; `ratta.adaptation.development` measures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ratta.adaptation.drift import DriftReference, SourceStatistics
from ratta.adaptation.gate import GateLimits
from ratta.adaptation.guard import Canaries, DeepReference, Landmarks
from ratta.adaptation.tones import ToneReference
from ratta.adaptation.update import StemReference
from ratta.errors import InputError
from ratta.records import sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ratta.adaptation.drift import SessionStatistics
    from ratta.adaptation.update import Moments
    from ratta.records import Reading

    Arrays = dict[str, npt.NDArray[Any]]
    Pixels = npt.NDArray[np.uint8]
    Doubles = npt.NDArray[np.float64]

LIMITS = ("live_above", "spoof_below", "live_margin", "spoof_margin", "view_sd")
FISHER = "fisher."


class Network(Protocol):
    """Reads crops; `ratta.inference.Network` is one."""

    def read(self, pixels: Pixels) -> Reading:
        """Run the network on one (S, S, 3) uint8 RGB crop."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """The calibrated source, as the rooms of adaptation need it.

    Attributes
    ----------
    limits : GateLimits
    prototypes : (2, 576)
        Class means of the embedding, spoof first.
    variance : (576,)
        Of the embedding within classes.
    precision : (576, 576)
        Shrunk inverse covariance within classes.
    hidden_prototypes : (2, 64)
    hidden_precision : (64, 64)
    wide_median : float
        Of the embedding's distance to the nearer prototype, on sessions that were not used to fit it.
    stem : StemReference
    camera_mean, camera_variance : (K,)
        Of `camera_moments`, for drift.
    fisher : dict of str to array
        See `fisher_information`.
    canaries : Canaries
    agreement, overturn_rate : float
        Share of frames on which the source agrees with itself on a mild view, and share of its *confident* verdicts
        that such a view overturns.
    drift : DriftReference
    tones : ToneReference or None
        Without it no correction of tone is proposed.

    Raises
    ------
    InputError
        If shapes do not fit one another, a value is not finite, or a rate is not within (0, 1).
    """

    limits: GateLimits
    prototypes: Doubles
    variance: Doubles
    precision: Doubles
    hidden_prototypes: Doubles
    hidden_precision: Doubles
    wide_median: float
    stem: StemReference
    camera_mean: Doubles
    camera_variance: Doubles
    fisher: Mapping[str, npt.NDArray[np.float32]]
    canaries: Canaries
    agreement: float
    overturn_rate: float
    drift: DriftReference
    tones: ToneReference | None = None

    def __post_init__(self) -> None:
        width, narrow, channels = self.prototypes.shape[-1], self.hidden_prototypes.shape[-1], len(self.camera_mean)
        expected = {
            "prototypes": (2, width),
            "variance": (width,),
            "precision": (width, width),
            "hidden_prototypes": (2, narrow),
            "hidden_precision": (narrow, narrow),
            "camera_mean": (channels,),
            "camera_variance": (channels,),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value.shape != shape or not np.isfinite(value).all():
                raise InputError(f"reference: expected finite {name} of shape {shape}, got shape {value.shape}")
        if not (0 < self.agreement < 1 and 0 < self.overturn_rate < 1):
            raise InputError(f"reference: expected rates within (0, 1), got {self.agreement} and {self.overturn_rate}")

    @property
    def deep(self) -> DeepReference:
        """For the check of early candidates; a few milliseconds."""
        wide, narrow = (
            Landmarks(self.prototypes, self.precision),
            Landmarks(self.hidden_prototypes, self.hidden_precision),
        )
        return DeepReference(wide, narrow, self.wide_median)

    @property
    def statistics(self) -> SourceStatistics:
        """For drift."""
        return SourceStatistics(self.camera_mean, self.camera_variance, self.prototypes, self.precision)

    def to_arrays(self) -> Arrays:
        """As plain arrays, for a bundle's `statistics.npz`."""
        return {
            "prototypes": self.prototypes.astype(np.float32),
            "embedding_var": self.variance.astype(np.float32),
            "embedding_precision": self.precision.astype(np.float32),
            "hidden_prototypes": self.hidden_prototypes.astype(np.float32),
            "hidden_precision": self.hidden_precision.astype(np.float32),
            "stem_mean": self.stem.mean,
            "stem_log_variance": self.stem.log_variance,
            "camera_mean": self.camera_mean,
            "camera_variance": self.camera_variance,
            "canary_cuts": self.canaries.cuts,
            "canary_species": self.canaries.species,
            "gate": np.array([getattr(self.limits, name) for name in LIMITS]),
            "guard": np.array([self.wide_median, self.agreement, self.overturn_rate]),
            **{FISHER + name: value.astype(np.float16) for name, value in self.fisher.items()},
            **self.drift.to_arrays(),
            **(self.tones.to_arrays() if self.tones else {}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Reference:
        """Take back what `to_arrays` gave.

        Raises
        ------
        InputError
            If an array is missing or does not fit.
        """
        try:
            wide_median, agreement, overturn_rate = (float(x) for x in arrays["guard"])
            limits = GateLimits(**{name: float(x) for name, x in zip(LIMITS, arrays["gate"], strict=True)})
            return cls(
                limits=limits,
                prototypes=arrays["prototypes"].astype(np.float64),
                variance=arrays["embedding_var"].astype(np.float64),
                precision=arrays["embedding_precision"].astype(np.float64),
                hidden_prototypes=arrays["hidden_prototypes"].astype(np.float64),
                hidden_precision=arrays["hidden_precision"].astype(np.float64),
                wide_median=wide_median,
                stem=StemReference(arrays["stem_mean"], arrays["stem_log_variance"]),
                camera_mean=arrays["camera_mean"],
                camera_variance=arrays["camera_variance"],
                fisher={
                    n.removeprefix(FISHER): a.astype(np.float32) for n, a in arrays.items() if n.startswith(FISHER)
                },
                canaries=Canaries(arrays["canary_cuts"], arrays["canary_species"]),
                agreement=agreement,
                overturn_rate=overturn_rate,
                drift=DriftReference.from_arrays(arrays),
                tones=ToneReference.from_arrays(arrays) if "tone.sides" in arrays else None,
            )
        except KeyError as error:
            raise InputError(f"reference: expected the array {error}; calibrate the model again") from error
        except (TypeError, ValueError) as error:
            raise InputError(f"reference: {error}; calibrate the model again") from error


def camera_moments(
    moments: Moments, cut: npt.NDArray[np.floating[Any]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and variance of the first layer's channels and of the cut's, (C + 96,) each: what drift watches."""
    pixels = cut.reshape(len(cut), -1).astype(np.float32)
    return np.concatenate((moments.mean, pixels.mean(axis=1))), np.concatenate((moments.variance, pixels.var(axis=1)))


def add_frame(
    session: SessionStatistics,
    moments: Moments,
    cut: npt.NDArray[np.floating[Any]],
    embedding: npt.NDArray[np.floating[Any]],
    live_logit: float,
    *,
    t: float,
) -> None:
    """Give a session's drift statistics one frame: calibration and device must look at the same things."""
    p = sigmoid(live_logit)
    mean, variance = camera_moments(moments, cut)
    session.add(mean, variance, embedding, np.array([1 - p, p]), t=t)
