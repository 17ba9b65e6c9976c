"""Does a correction bring frames nearer to what the source knows? Asked once before it commits, and always after."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.guard.finding import Finding
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]


class Landmarks:
    """Class means of a feature, and the distance to the nearest.

    Parameters
    ----------
    prototypes : (2, D)
    precision : (D, D)
        Inverse covariance within classes, positive definite; `drift.shrunk_precision` gives one.

    Raises
    ------
    InputError
        If shapes do not fit, a value is not finite or `precision` is not positive definite.

    Examples
    --------
    >>> Landmarks(np.array([[0.0, 0.0], [3.0, 3.0]]), np.eye(2)).distance(np.array([3.0, 4.0]))
    1.0
    """

    def __init__(self, prototypes: Floats, precision: Floats) -> None:
        width = prototypes.shape[-1]
        if prototypes.shape != (2, width) or precision.shape != (width, width):
            raise InputError(
                f"landmarks: expected (2, D) prototypes and (D, D) precision, got {prototypes.shape}, {precision.shape}"
            )
        if not (np.isfinite(prototypes).all() and np.isfinite(precision).all()):
            raise InputError("landmarks: expected finite numbers, got others; calibrate again")
        try:
            root = np.linalg.cholesky(precision.astype(np.float64)).T
        except np.linalg.LinAlgError:
            root = np.full_like(precision, np.nan, dtype=np.float64)  # as NumPy in a browser gives it, without an error
        if not np.isfinite(root).all():
            raise InputError("landmarks: expected a positive definite precision, got another; calibrate again")
        # One product whitens a feature for both prototypes; float32 halves what has to be read from memory.
        self._root = np.ascontiguousarray(root, np.float32)
        self._marks = (prototypes.astype(np.float64) @ root.T).astype(np.float32)

    def distance(self, feature: Floats) -> float:
        """Mahalanobis distance of one (D,) feature to the nearer prototype (Lee et al. 2018)."""
        gaps = self._root @ feature.astype(np.float32) - self._marks
        return math.sqrt(float(np.einsum("cd,cd->c", gaps, gaps).min()))


@dataclass(frozen=True, slots=True)
class Nearness:
    """Distances of one frame's embedding (576 wide) and hidden feature (64 wide) to the nearer prototype."""

    wide: float
    narrow: float


@dataclass(frozen=True, slots=True, eq=False)
class DeepReference:
    """What the source knows of its deep features.

    Attributes
    ----------
    wide, narrow : Landmarks
        Of the embedding and of the hidden feature.
    wide_median : float
        Of the embedding's distance on development frames.
    """

    wide: Landmarks
    narrow: Landmarks
    wide_median: float

    def __post_init__(self) -> None:
        if not 0 < self.wide_median < math.inf:
            raise InputError(f"deep reference: expected a positive finite median, got {self.wide_median}")

    def nearness(self, embedding: Floats, hidden: Floats) -> Nearness:
        """Measure one frame."""
        return Nearness(self.wide.distance(embedding), self.narrow.distance(hidden))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepCheck:
    """An early candidate commits only if it brings held-back frames nearer to the source's prototypes.

    A distance of early statistics cannot tell an adaptable camera from a far domain; this can. Asked of the medians
    over both sides of the source's verdict together: the wide distance shrinks to `max_wide_ratio`, the narrow one does
    not grow, and what is left is within `max_wide_medians` development medians. Asked of each side alone: enough
    frames, and the wide distance does not grow, so that one class cannot vote for the other.

    Attributes
    ----------
    max_wide_ratio, max_narrow_ratio, max_wide_medians : float
    min_frames : int
        On each side.
    """

    max_wide_ratio: float = 0.95
    max_narrow_ratio: float = 1.0
    max_wide_medians: float = 2.0
    min_frames: int = 8

    def __post_init__(self) -> None:
        limits = (self.max_wide_ratio, self.max_narrow_ratio, self.max_wide_medians)
        if not all(0 < limit < math.inf for limit in limits) or self.min_frames < 1:
            raise InputError(
                f"deep check: expected positive finite limits and min_frames of at least 1, got {limits} and "
                f"{self.min_frames}"
            )

    def enough(self, sides: Sequence[bool]) -> Finding:
        """Say whether there are enough frames on each side to ask at all."""
        live = sum(sides)
        passed = min(live, len(sides) - live) >= self.min_frames
        reason = "enough held-back frames" if passed else "too few held-back frames of a side"
        return Finding(passed, reason, {"spoof_frames": len(sides) - live, "live_frames": live})

    def judge(
        self, before: Sequence[Nearness], after: Sequence[Nearness], sides: Sequence[bool], *, wide_median: float
    ) -> Finding:
        """Compare the same frames before and after; `sides` says which of them the source calls live."""
        enough = self.enough(sides)
        if not enough.passed:
            return enough
        live = np.array(sides, bool)
        wide = np.array([[n.wide for n in nearness] for nearness in (before, after)])
        narrow = np.array([[n.narrow for n in nearness] for nearness in (before, after)])
        numbers = {
            "wide_ratio": ratio(wide),
            "narrow_ratio": ratio(narrow),
            "wide_medians": float(np.median(wide[1])) / wide_median,
            "spoof_ratio": ratio(wide[:, ~live]),
            "live_ratio": ratio(wide[:, live]),
        }
        limits = (self.max_wide_ratio, self.max_narrow_ratio, self.max_wide_medians, 1.0, 1.0)
        above = [name for (name, value), limit in zip(numbers.items(), limits, strict=True) if not value <= limit]
        return Finding(not above, f"not nearer: {', '.join(above)}" if above else "nearer", numbers)


class Arbiter:
    """Lets a correction answer only while it keeps the features of the last frames nearer.

    A camera may change back at any moment; a correction that outlives its camera does harm. So the corrected network
    answers only after `window` frames whose median says it is nearer, and only while checks keep up with frames: when
    as many frames again were answered unchecked, what is known is stale and the source answers.

    Examples
    --------
    >>> arbiter = Arbiter(window=2)
    >>> arbiter.update(2.0, 1.0); arbiter.update(2.0, 1.9)
    >>> arbiter.nearer
    True
    >>> arbiter.skip(); arbiter.skip()
    >>> arbiter.nearer
    False
    """

    def __init__(self, *, window: int = 8) -> None:
        if window < 1:
            raise InputError(f"arbiter: expected a window of at least 1 frame, got {window}")
        self.window = window
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._gains: deque[float] = deque(maxlen=self.window)
        self._unchecked = 0

    def update(self, source: float, corrected: float) -> None:
        """Take in one frame's distance under either network; no number is no gain."""
        gain = source - corrected
        self._gains.append(gain if math.isfinite(gain) else -math.inf)
        self._unchecked = 0

    def skip(self) -> None:
        """Note a frame that was kept and is not checked yet."""
        self._unchecked += 1
        if self._unchecked >= self.window:
            self._gains.clear()

    @property
    def nearer(self) -> bool:
        """Whether the corrected network may answer."""
        return len(self._gains) == self.window and bool(np.median(self._gains) > 0)


def ratio(pair: npt.NDArray[np.float64]) -> float:
    """Median after over median before; infinite where there was no distance before."""
    before, after = np.median(pair, axis=1)
    return float(after / before) if before > 0 else math.inf
