"""Class means of the embedding on a leash, and the head's bias that follows their midpoint."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.update.early import common_change
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.floating[Any]]
    Doubles = npt.NDArray[np.float64]


class Prototypes:
    """Follows both class means, never further from the source than the leash allows.

    What they are for: `shift` moves the last bias so that the source's midpoint, moved as both classes have moved,
    scores as it does at the source under the same head. What only one class shows moves nothing. The logit scale stays
    as it was, or the frozen threshold would mean nothing.

    Parameters
    ----------
    source : (2, D)
        Of the source, spoof first.
    rate : float
        Of the moving average per frame, in (0, 1].
    leash : float
        Least cosine with the source's prototype; an update that would go below is not made.
    max_shift : float
        Largest change of the logit margin.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> prototypes = Prototypes(np.eye(2), rate=0.5)
    >>> prototypes.update(np.array([0.0, 1.0]), is_live=True), prototypes.update(np.array([1.0, 0.0]), is_live=True)
    (True, False)
    """

    def __init__(self, source: Floats, *, rate: float = 0.01, leash: float = 0.95, max_shift: float = 0.5) -> None:
        if not 0 < rate <= 1 or not 0 < leash < 1 or not 0 <= max_shift < math.inf:
            raise InputError(
                "prototypes: expected rate in (0, 1], leash in (0, 1) and max_shift >= 0, "
                f"got {rate}, {leash} and {max_shift}"
            )
        if source.ndim != 2 or len(source) != 2 or not np.isfinite(source).all() or not source.any(axis=1).all():
            raise InputError(f"prototypes: expected two finite vectors that are not zero, got shape {source.shape}")
        self.source = source.astype(np.float64)
        self.rate = rate
        self.leash = leash
        self.max_shift = max_shift
        self.reset()

    def reset(self) -> None:
        """Go back to the source."""
        self._now = self.source.copy()

    @property
    def now(self) -> Doubles:
        """Where they are, (2, D) float64, spoof first; a copy."""
        return self._now.copy()

    def update(self, embedding: Floats, *, is_live: bool) -> bool:
        """Take in one admitted frame; say whether the leash allowed it."""
        moved = (1 - self.rate) * self._now[int(is_live)] + self.rate * embedding
        allowed = cosine(moved, self.source[int(is_live)]) >= self.leash
        if allowed:
            self._now[int(is_live)] = moved
        return allowed

    def shift(self, parameters: Mapping[str, Array]) -> float:
        """Change of the logit margin that gives the midpoint its score back, within `max_shift`."""
        midpoint = self.source.mean(axis=0)
        moved = midpoint + common_change(*(self._now - self.source))
        change = live_margin(moved, parameters) - live_margin(midpoint, parameters)
        return float(np.clip(-change, -self.max_shift, self.max_shift))


def cosine(a: Floats, b: Floats) -> float:
    """Cosine of the angle between two vectors; `nan` when one is zero or not finite."""
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else math.nan


def hidden_feature(embedding: Floats, parameters: Mapping[str, Array]) -> Floats:
    """From the embedding to the feature between the head's two linear maps: (..., 576) to (..., 64)."""
    x = embedding @ parameters["classifier.0.weight"].T + parameters["classifier.0.bias"]
    y: Floats = x * np.clip(x / 6 + 0.5, 0, 1)
    return y


def live_margin(embedding: Floats, parameters: Mapping[str, Array]) -> float:
    """`logit_live - logit_spoof` of an embedding under a head."""
    spoof, live = parameters["classifier.2.weight"] @ hidden_feature(embedding, parameters)
    bias = parameters["classifier.2.bias"]
    return float(live - spoof) + float(bias[1] - bias[0])
