"""What every figure is computed from: scores, what they should have been, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_T = TypeVar("_T", bound=np.generic)

BONA_FIDE = ""
"""The species of a bona fide presentation."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ScoreSet:
    """Scored presentations.

    Parameters
    ----------
    live_scores : (N,) float
        Higher = live, on any scale; `nan` = refused (failure to acquire). `score >= threshold` is classified live.
    is_live : (N,) bool
        Whether the presentation was bona fide.
    species : (N,) str, optional
        Presentation attack instrument species; forced to `""` for bona fide. Default: one species, `"attack"`.
    subjects : (N,) str, optional
        Who was presented (for an attack: who was attacked). Without it no subject bootstrap can be computed and
        compound intervals are `nan`.

    Raises
    ------
    InputError
        If lengths differ, an array is not one-dimensional, or an attack has no species.

    Examples
    --------
    >>> scores = ScoreSet(live_scores=[0.9, 0.2, float("nan")], is_live=[True, False, False])
    >>> len(scores), scores.species.tolist(), int(scores.refused.sum())
    (3, ['', 'attack', 'attack'], 1)
    """

    live_scores: npt.NDArray[np.float64]
    is_live: npt.NDArray[np.bool_]
    species: npt.NDArray[np.str_]
    subjects: npt.NDArray[np.str_] | None

    def __init__(
        self,
        *,
        live_scores: npt.ArrayLike,
        is_live: npt.ArrayLike,
        species: Sequence[str] | npt.NDArray[np.str_] | None = None,
        subjects: Sequence[str] | npt.NDArray[np.str_] | None = None,
    ) -> None:
        scores = _vector("live_scores", np.array(live_scores, dtype=np.float64), None)
        live = _vector("is_live", _as_bool(is_live), len(scores))
        kinds = np.full(len(scores), "attack") if species is None else np.asarray(species, dtype=np.str_)
        kinds = np.where(live, BONA_FIDE, _vector("species", kinds, len(scores)))
        if np.any(kinds[~live] == BONA_FIDE):
            raise InputError("species: expected a name for every attack, got an empty one; name the PAI species")
        people = None if subjects is None else _vector("subjects", np.array(subjects, dtype=np.str_), len(scores))
        for name, value in (("live_scores", scores), ("is_live", live), ("species", kinds), ("subjects", people)):
            if value is not None:
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.live_scores)

    @property
    def refused(self) -> npt.NDArray[np.bool_]:
        """Which presentations got no score, `(N,)`."""
        return np.isnan(self.live_scores)

    @property
    def attack_species(self) -> tuple[str, ...]:
        """The species presented, sorted."""
        return tuple(str(name) for name in np.unique(self.species[~self.is_live]))

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Self:
        """Return the presentations at `index`, in that order."""
        return type(self)(
            live_scores=self.live_scores[index],
            is_live=self.is_live[index],
            species=self.species[index],
            subjects=None if self.subjects is None else self.subjects[index],
        )

    def answered(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the scores of bona fide and of attack presentations that were not refused, each sorted ascending."""
        answered = ~self.refused
        live = np.sort(self.live_scores[answered & self.is_live])
        return live, np.sort(self.live_scores[answered & ~self.is_live])


def _as_bool(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    array = np.asarray(values)
    if array.size and not np.all(np.isin(array, (0, 1))):
        raise InputError(f"is_live: expected booleans, got values such as {array.ravel()[0]!r}")
    return array.astype(np.bool_)


def _vector(name: str, array: npt.NDArray[_T], length: int | None) -> npt.NDArray[_T]:
    if array.ndim != 1 or (length is not None and len(array) != length):
        expected = "(N,)" if length is None else f"({length},), as long as live_scores"
        raise InputError(f"{name}: expected {expected}, got {array.shape}")
    return array
