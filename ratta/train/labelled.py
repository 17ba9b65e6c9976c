"""Labelled crops for training: from pools of sessions to three parts with different people in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratta.errors import DataError
from ratta.evaluate.sessions import CropSession
from ratta.metrics import ScoreSet
from ratta.train.factory import split_identities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """N labelled crops.

    Attributes
    ----------
    name : str
        ``train``, ``validation`` or ``test``.
    pixels : (N, S, S, 3) uint8
        RGB.
    is_live : (N,) bool
    species, subjects : (N,) str
        Species are empty for bona fide.
    """

    name: str
    pixels: NDArray[np.uint8]
    is_live: NDArray[np.bool_]
    species: NDArray[np.str_]
    subjects: NDArray[np.str_]

    def __post_init__(self) -> None:
        live = int(self.is_live.sum())
        if not 0 < live < len(self.is_live):
            raise DataError(
                f"{self.name}: expected live faces and attacks, got {live} live of {len(self.is_live)} crops; "
                "add the missing class, or more people"
            )

    def __len__(self) -> int:
        return len(self.is_live)

    def scored(self, live_scores: NDArray[np.float64]) -> ScoreSet:
        """Put scores ``(N,)`` to the crops."""
        return ScoreSet(
            live_scores=live_scores, is_live=self.is_live, species=self.species, subjects=list(self.subjects)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Three parts that share nobody.

    Raises
    ------
    DataError
        If somebody is in two parts: then a test would measure memory.
    """

    train: Part
    validation: Part
    test: Part

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        for index, one in enumerate(parts):
            for other in parts[index + 1 :]:
                both = sorted(set(one.subjects.tolist()) & set(other.subjects.tolist()))
                if both:
                    raise DataError(
                        f"split: expected everybody in one part, found {len(both)} in {one.name} and {other.name}, "
                        f"first {both[0]}; split by subject"
                    )


def gather(sessions: Iterable[CropSession], *, name: str) -> Part:
    """Take the crops of sessions that were not refused.

    Raises
    ------
    DataError
        If nothing is left, or one class is empty.
    """
    pixels, rows = [], []
    for one in sessions:
        kept = np.flatnonzero(one.refusals == "")
        pixels.append(one.pixels[kept])
        rows += [(one.is_live, one.species, one.subject)] * len(kept)
    if not rows:
        raise DataError(f"{name}: expected crops that were not refused, got none")
    live, species, subjects = zip(*rows, strict=True)
    return Part(
        name=name,
        pixels=np.concatenate(pixels),
        is_live=np.array(live),
        species=np.array(species),
        subjects=np.array(subjects),
    )


def divide(sessions: Sequence[CropSession], *, seed: int = 0) -> Parts:
    """Divide sessions 80:10:10 by person, by the hash of the person's name."""
    split = split_identities(sorted({one.subject for one in sessions}), seed=seed)
    return Parts(
        **{
            name: gather((one for one in sessions if one.subject in set(people)), name=name)
            for name, people in (("train", split.train), ("validation", split.validation), ("test", split.test))
        }
    )
