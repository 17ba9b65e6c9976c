"""From portraits and teachers to judged inputs: what a pool's worker runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ratta.errors import DataError
from ratta.simulate.portraits import PortraitBank
from ratta.train.inputs import InputMaker
from ratta.train.pool import JudgedBatch, Producer, pack
from ratta.train.teachers import SilentFaceTeacher


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationFactory:
    """Builds a producer of judged distillation inputs; picklable, so that workers can build their own.

    Parameters
    ----------
    cache : str
        Folder of prepared portraits.
    identities : tuple of str
        The persons to use.
    teacher : str
        A Silent-Face state dictionary; its features are regressed.
    second_teacher : str
        Another one whose live margin is given beside (averaged into the target by the loss); empty for none.
    bank, renew_every : int
        Simulated captures kept, and inputs made per new one; see :class:`InputMaker`.
    size : int
        Side of the inputs.
    """

    cache: str
    identities: tuple[str, ...]
    teacher: str
    second_teacher: str = ""
    bank: int = 0
    renew_every: int = 24
    size: int = 128

    def __call__(self) -> Producer:
        """Open the portraits and the teacher and give the producer."""
        maker = InputMaker(
            portraits=PortraitBank(self.cache, keep=self.identities),
            size=self.size,
            bank=self.bank,
            renew_every=self.renew_every,
        )
        teacher = SilentFaceTeacher(self.teacher)
        second = SilentFaceTeacher(self.second_teacher) if self.second_teacher else None

        def produce(rng: np.random.Generator, count: int) -> JudgedBatch:
            made = [maker.make(rng) for _ in range(count)]
            side = (teacher.size, teacher.size)
            small = [cv2.resize(m.pixels, side, interpolation=cv2.INTER_LINEAR) for m in made]
            views = np.asarray(np.stack(small), dtype=np.uint8)
            labels = torch.tensor([m.label for m in made], dtype=torch.int64)
            extra = torch.zeros((count, 0)) if second is None else second(views).margin[:, None]
            return pack(torch.from_numpy(np.stack([m.pixels for m in made])), labels, teacher(views), extra)

        return produce
