"""One bounded gradient step on the last normalisation and the head; a candidate, never in place.

The loss over gated frames, on the calibrated probability `p` of live that the thresholds are meant for,

    L = CE(label, p), each class by half  +  kl KL(p_source || p)  +  pull / 2 sum F (theta - theta_source)^2

has the gradient `(w (p - y) + kl (p - p_source) / n) / temperature` in the logit margin and `pull F (theta -
theta_source)` in the parameters. Never an entropy: confident frames carry no information, and minimising their entropy
only inflates confidence. SGD without momentum: a step is forgotten once it has been taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ratta.errors import InputError
from ratta.records import sigmoid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Parameters = Mapping[str, Array]

LATE = (
    "features.12.gamma",
    "features.12.beta",
    "classifier.0.weight",
    "classifier.0.bias",
    "classifier.2.weight",
    "classifier.2.bias",
)
"""What a late candidate moves."""


class Trace(Protocol):
    """The way of some frames through the tail."""

    @property
    def logits(self) -> Array:
        """Spoof, live; (N, 2)."""


class Tail(Protocol):
    """From the cut to the logits and back; `ratta.inference.backward.Tail` is one."""

    @property
    def source(self) -> Parameters:
        """What may be moved, as the source has it."""

    def forward(self, cuts: Array, parameters: Parameters, /) -> Any:
        """Run (N, C, H, W) frames from the cut to a `Trace`."""

    def backward(self, trace: Any, dlogits: Array, into: dict[str, Array] | None, /) -> dict[str, Array]:
        """Add the gradient of a loss of the (N, 2) logits, summed over the frames, to `into`."""

    def fold(self, parameters: Parameters, /) -> dict[str, npt.NDArray[np.float32]]:
        """Weights of the graph with these parameters in force."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """One admitted frame, as the late step needs it: features, never a picture.

    Attributes
    ----------
    cut : (C, H, W)
    is_live : bool
        The gate's label.
    source_logit : float
        Calibrated log-odds of live of the frozen source.
    """

    cut: Array
    is_live: bool
    source_logit: float


class LateStep:
    """Makes new late parameters out of old ones and some lessons.

    Parameters
    ----------
    tail : Tail
    fisher : mapping of str to array
        Diagonal Fisher information of the source on development frames, see `fisher_information`.
    temperature, bias : float
        `live_logit = (logit_live - logit_spoof) / temperature + bias`.
    names : sequence of str
        Parameters that move; all others stay the source's.
    rate : float
        Learning rate.
    kl, pull : float
        Weights of the second and third term of the loss.
    max_norm : float
        Bound on the norm of the whole gradient.
    radius : float
        Trust region: no tensor leaves the source's by more than this share of its norm.
    recall : float
        Share of the way back to the source after every step.

    Raises
    ------
    InputError
        If a parameter is out of range, or `fisher` does not fit.
    """

    def __init__(
        self,
        tail: Tail,
        fisher: Parameters,
        *,
        temperature: float,
        bias: float,
        names: Sequence[str] = LATE,
        rate: float = 0.01,
        kl: float = 1.0,
        pull: float = 1.0,
        max_norm: float = 1.0,
        radius: float = 0.05,
        recall: float = 0.01,
    ) -> None:
        if not (0 < temperature < math.inf and 0 < rate < math.inf and 0 < max_norm < math.inf):
            raise InputError(
                f"late step: expected positive temperature, rate and max_norm, got {temperature}, {rate}, {max_norm}"
            )
        if not (0 <= kl < math.inf and 0 <= pull < math.inf and 0 < radius < 1 and 0 <= recall < 1):
            raise InputError(
                "late step: expected kl and pull >= 0, radius in (0, 1) and recall in [0, 1), "
                f"got {kl}, {pull}, {radius} and {recall}"
            )
        shapes = {n: value.shape for n, value in fisher.items()}
        unfit = [n for n in names if n not in tail.source or shapes.get(n) != tail.source[n].shape]
        if unfit or not names:
            raise InputError(f"late step: expected names and Fisher information that fit the tail, got others: {unfit}")
        self.tail = tail
        self.fisher = {name: fisher[name] for name in names}
        self.temperature = temperature
        self.bias = bias
        self.names = tuple(names)
        self.rate = rate
        self.kl = kl
        self.pull = pull
        self.max_norm = max_norm
        self.radius = radius
        self.recall = recall

    def add_gradient(
        self, lesson: Lesson, parameters: Parameters, into: dict[str, Array], *, class_frames: tuple[int, int]
    ) -> float:
        """Add one lesson's share of the gradient.

        Parameters
        ----------
        lesson : Lesson
        parameters : mapping of str to array
            All of the tail's, under the names of `tail.source`.
        into : dict of str to array
            Changed in place.
        class_frames : tuple of int
            Lessons of this step in all, spoof and live: each class counts by half.

        Returns
        -------
        float
            This lesson's share of the loss without the pull.

        Raises
        ------
        InputError
            If a class has no lesson: one alone must never move anything.
        """
        if min(class_frames) < 1:
            raise InputError(f"late step: expected lessons of both classes, got {class_frames}; wait for the other")
        trace = self.tail.forward(lesson.cut[None], parameters)
        live_logit = live_margin(trace) / self.temperature + self.bias
        p, source = sigmoid(live_logit), sigmoid(lesson.source_logit)
        weight, share = 1 / (2 * class_frames[lesson.is_live]), self.kl / sum(class_frames)
        slope = (weight * (p - lesson.is_live) + share * (p - source)) / self.temperature
        self.tail.backward(trace, np.array([[-slope, slope]]), into)
        return weight * cross_entropy(lesson.is_live, live_logit) + share * (
            cross_entropy(source, live_logit) - cross_entropy(source, lesson.source_logit)
        )

    def step(self, parameters: Parameters, gradient: Parameters) -> dict[str, Array]:
        """Take one bounded step down the gradient, stay in the trust region, and come back a little.

        Returns
        -------
        dict of str to array
            All of the tail's parameters; new arrays for those that move.

        Raises
        ------
        InputError
            If the gradient is not finite.
        """
        source = self.tail.source
        full = {n: gradient[n] + self.pull * self.fisher[n] * (parameters[n] - source[n]) for n in self.names}
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in full.values()))
        if not math.isfinite(norm):
            raise InputError("late step: expected a finite gradient, got another; the candidate is dropped")
        rate = self.rate * min(1.0, self.max_norm / norm) if norm else 0.0
        stepped = {n: parameters[n] - rate * full[n] for n in self.names}
        return {**source, **{n: self._held(n, stepped[n]) for n in self.names}}

    def _held(self, name: str, value: Array) -> Array:
        source = self.tail.source[name]
        delta = value - source
        length, bound = float(np.linalg.norm(delta)), self.radius * float(np.linalg.norm(source))
        share = (1 - self.recall) * (bound / length if length > bound else 1.0)
        held: Array = (source + share * delta).astype(source.dtype)
        return held


def live_margin(trace: Trace) -> float:
    """`logit_live - logit_spoof` of the only frame of a trace."""
    [[spoof, live]] = trace.logits.tolist()
    return float(live - spoof)


def cross_entropy(target: float, logit: float) -> float:
    """`-target log p - (1 - target) log(1 - p)` with `p = sigmoid(logit)`, without overflow.

    Examples
    --------
    >>> round(cross_entropy(1.0, 0.0), 4), cross_entropy(0.0, 1000.0)
    (0.6931, 1000.0)
    """
    return max(logit, 0.0) + math.log1p(math.exp(-abs(logit))) - target * logit


def fisher_information(
    tail: Tail,
    cuts: Sequence[Array],
    *,
    temperature: float,
    bias: float,
    names: Sequence[str] = LATE,
) -> dict[str, npt.NDArray[np.float32]]:
    """Diagonal Fisher information of the source on development frames; each tensor's mean is 1.

    `F = E[p (1 - p) (d live_logit / d theta)^2]`, the expectation over the model's own labels taken exactly
    (Kirkpatrick et al. 2017; Niu et al. 2022). The scale of a tensor is left to the trust region.

    Parameters
    ----------
    tail : Tail
    cuts : sequence of (C, H, W)
        A few hundred development frames of both classes.
    temperature, bias : float
        Of the calibration.
    names : sequence of str

    Raises
    ------
    InputError
        If there is no frame, or a tensor has no finite gradient.
    """
    total: dict[str, Array] = {name: np.zeros(tail.source[name].shape) for name in names}
    for cut in cuts:
        trace = tail.forward(cut[None], tail.source)
        p = sigmoid(live_margin(trace) / temperature + bias)
        slope = math.sqrt(p * (1 - p)) / temperature
        gradient = tail.backward(trace, np.array([[-slope, slope]]), {})
        for name in names:
            total[name] += gradient[name].astype(np.float64) ** 2
    means = {name: float(value.mean()) for name, value in total.items()}
    if not all(0 < mean < math.inf for mean in means.values()):
        raise InputError(f"fisher: expected finite gradients that are not all zero, got means {means}")
    return {name: (value / means[name]).astype(np.float32) for name, value in total.items()}
