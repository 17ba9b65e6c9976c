"""The store of judged inputs: on disk, so that a sample is made and judged once, and further runs take it up.

Workers fill it chunk by chunk; a chunk depends on the seed and its number, and on nothing else if the maker keeps
nothing from chunk to chunk. The student draws from what is there and never waits for a worker. A store that is full is
only read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, multiprocessing

from ratta.errors import DataError, TrainingError
from ratta.files import read_json
from ratta.outputs import replace_text
from ratta.train.pool import CHUNK, JudgedBatch, Producer, fields, judged_shapes

BIN, BINS = 1.5, 19
"""Width and number of the bins of the target margin that are drawn from evenly, nearly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFiles:
    """Where judged inputs lie, and what they are.

    Attributes
    ----------
    folder : str
        One array file a field, ``filled.npy``, and ``made-of.json``.
    count : int
        Inputs that fit, a multiple of 32.
    size, views, extra : int
        Side of a view, views a picture, and further teachers.
    made_of : str
        What decides the inputs, as text; a store of something else is refused.
    """

    folder: str
    count: int
    size: int
    views: int
    extra: int
    made_of: str

    def open(self) -> tuple[JudgedBatch, NDArray[np.bool_]]:
        """Map the files, made empty where there are none: every input, and which chunks are filled.

        Raises
        ------
        DataError
            If the folder holds a store of other inputs.
        """
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._check(folder / "made-of.json")
        shapes = judged_shapes(self.count, size=self.size, views=self.views, extra=self.extra)
        arrays = {name: _mapped(folder / f"{name}.npy", shape, kind) for name, (shape, kind) in shapes.items()}
        filled = _mapped(folder / "filled.npy", (self.count // CHUNK,), "bool")
        return JudgedBatch(**{name: torch.from_numpy(values) for name, values in arrays.items()}), filled

    def _check(self, path: Path) -> None:
        ours = {name: value for name, value in asdict(self).items() if name != "folder"}
        if not path.is_file():
            replace_text(path, json.dumps(ours, indent=1) + "\n")
        theirs = read_json(path)
        if theirs != ours:
            differing = [name for name in ours if theirs.get(name) != ours[name]]
            raise DataError(
                f"{path}: expected a store of the same inputs, got another {differing}; name another folder"
            )


def _mapped(path: Path, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    if not path.is_file():
        np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape).flush()
    return np.lib.format.open_memmap(path, mode="r+")


def _work(factory: Callable[[], Producer], files: StoreFiles, worker: int, workers: int, seed: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    os.nice(NICE)
    parent = os.getppid()
    producer = factory()
    slots, filled = files.open()
    for chunk in range(worker, len(filled), workers):
        if os.getppid() != parent:
            return
        if filled[chunk]:
            continue
        batch = producer(np.random.default_rng((seed, 0, chunk)), CHUNK)
        for name, values in fields(batch).items():
            getattr(slots, name)[chunk * CHUNK : (chunk + 1) * CHUNK] = values
        filled[chunk] = True


NICE = 5
"""What a worker adds to its niceness, so that the student never waits for it."""


class Store:
    """Judged inputs that worker processes add to and a student draws from.

    Parameters
    ----------
    files : StoreFiles
    factory : callable
        Builds the maker of judged inputs inside each worker; must be picklable.
    workers : int
        Worker processes, one thread each; 0 only reads.
    seed : int
        Of the inputs.
    """

    def __init__(self, files: StoreFiles, *, factory: Callable[[], Producer], workers: int, seed: int) -> None:
        self._slots, self._filled = files.open()
        context = multiprocessing.get_context("spawn")
        self._workers: list[BaseProcess] = [
            context.Process(target=_work, args=(factory, files, i, workers, seed), daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def __len__(self) -> int:
        return len(self._slots.target)

    @property
    def made(self) -> int:
        """Inputs that lie ready."""
        return int(self._filled.sum()) * CHUNK

    def wait_for(self, count: int) -> None:
        """Block until ``count`` inputs lie ready.

        Raises
        ------
        TrainingError
            If a worker fails first, or there is none.
        """
        while self.made < count:
            self._check()
            if not any(worker.is_alive() for worker in self._workers):
                raise TrainingError(f"store: expected {count} inputs, got {self.made} and no worker; set workers")
            time.sleep(0.2)

    def _check(self) -> None:
        for worker in self._workers:
            if worker.exitcode:
                raise TrainingError(
                    f"store: expected a living worker, one ended with code {worker.exitcode}; see its message above"
                )

    def draw(self, rng: np.random.Generator, count: int) -> JudgedBatch:
        """Draw ``count`` inputs, those of rare target margins somewhat more often."""
        self._check()
        chunks = np.flatnonzero(self._filled)
        candidates = torch.from_numpy(chunks[rng.integers(len(chunks), size=2 * count)] * CHUNK)
        candidates += torch.from_numpy(rng.integers(CHUNK, size=2 * count))
        picked = candidates[torch.from_numpy(rarest(rng, self._slots.target[candidates], count))]
        return JudgedBatch(**{name: values[picked] for name, values in fields(self._slots).items()})

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.terminate()
            worker.join()


def rarest(rng: np.random.Generator, target: Tensor, count: int) -> NDArray[np.int64]:
    """Pick ``count`` of some candidates, with a chance that falls with the root of how common their margin is."""
    half = BINS // 2
    bins = (target / BIN).round().clamp(-half, half).long() + half
    share = torch.bincount(bins, minlength=BINS).float()[bins]
    chance = (share**-0.5).double().numpy()
    return rng.choice(len(target), count, replace=False, p=chance / chance.sum())
