"""From portraits and teachers to pictures and judged inputs: what a pool's worker runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ratta.errors import DataError
from ratta.simulate.portraits import PortraitBank
from ratta.train.inputs import InputMaker
from ratta.train.judge import Judge
from ratta.train.pool import JudgedBatch, PictureMaker, Pictures, Producer


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Identities of the three parts of a split by person."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_identities(names: Sequence[str], *, seed: int = 0) -> Split:
    """Split persons 80:10:10 by the hash of their name and a seed; the same person always falls on the same side.

    Raises
    ------
    DataError
        If a name occurs twice or any part would be empty.

    Examples
    --------
    >>> split = split_identities([f"person-{i}" for i in range(40)])
    >>> len(split.train) + len(split.validation) + len(split.test)
    40
    """
    if len(set(names)) != len(names):
        raise DataError(f"split: expected each person once, got {len(names) - len(set(names))} repeated; merge them")
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    tenth = len(ranked) // 10
    if tenth == 0:
        raise DataError(f"split: expected at least 10 persons, got {len(ranked)}; add portraits")
    return Split(
        train=tuple(ranked[2 * tenth :]), validation=tuple(ranked[:tenth]), test=tuple(ranked[tenth : 2 * tenth])
    )


def split_portraits(cache: str | Path) -> Split:
    """Split the persons of a prepared folder; a person's further portraits never cross the line.

    Only persons with one portrait of their own decide the split. Further portraits of the training persons, and those
    of persons without a portrait of their own, teach; further portraits of the others are left out.
    """
    bank = PortraitBank(cache)
    split = split_identities([name for name in bank.names if name not in bank.further])
    held_out = {*split.validation, *split.test}
    more = tuple(name for name in bank.names if name in bank.further and bank.further[name] not in held_out)
    return replace(split, train=split.train + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFactory:
    """Builds a maker of distillation pictures; picklable, so that workers can build their own.

    Parameters
    ----------
    cache : str
        Folder of prepared portraits.
    identities : tuple of str
        The persons to use.
    bank, renew_every : int
        Simulated captures kept, and inputs made per new one; see :class:`InputMaker`.
    size : int
        Side of the pictures.
    remember : bool
        Whether captures, backdrops and pictures to mix with are kept from one call to the next. Without, a call depends
        on its generator alone, and costs more.
    """

    cache: str
    identities: tuple[str, ...]
    bank: int = 0
    renew_every: int = 24
    size: int = 192
    remember: bool = True

    def __call__(self) -> PictureMaker:
        """Open the portraits and give the maker."""
        portraits = PortraitBank(self.cache, keep=self.identities)

        def new_maker() -> InputMaker:
            return InputMaker(portraits=portraits, size=self.size, bank=self.bank, renew_every=self.renew_every)

        kept = new_maker()

        def make(rng: np.random.Generator, count: int) -> Pictures:
            maker = kept if self.remember else new_maker()
            made = [maker.make(rng) for _ in range(count)]
            return Pictures(
                pixels=torch.from_numpy(np.stack([m.pixels for m in made])),
                labels=torch.tensor([m.label for m in made], dtype=torch.int64),
                scale=torch.tensor([m.scale for m in made]),
            )

        return make


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationFactory:
    """Builds a producer of judged distillation inputs; picklable like the maker of its pictures.

    Parameters
    ----------
    pictures : PictureFactory
    teachers : tuple of str
        Files of the teachers; see :class:`ratta.train.judge.Judge`.
    scales : tuple of tuple of float
        What the margins of each teacher are multiplied by in each view.
    size : int
        Side of the student's views.
    compiled : bool
        Whether torch compiles the teachers first.
    """

    pictures: PictureFactory
    teachers: tuple[str, ...]
    scales: tuple[tuple[float, ...], ...] = ()
    size: int = 128
    compiled: bool = False

    def __call__(self) -> Producer:
        """Open the portraits and the teachers and give the producer."""
        make, judge = self.pictures(), Judge(self.teachers, size=self.size, scales=self.scales, compiled=self.compiled)

        def produce(rng: np.random.Generator, count: int) -> JudgedBatch:
            pictures = make(rng, count)
            return judge.in_pieces(pictures, torch.Generator().manual_seed(int(rng.integers(2**62))))

        return produce
