"""Batches of pictures and of judged inputs, and the replay pool that worker processes fill with pictures.

A GPU asks the teachers anew at every draw, so its pool holds pictures only; a CPU asks once (`store.py`). Workers
overwrite slots in turn and stop when each slot has been drawn fewer than ``reuse`` times on average; when they fall
behind, slots are simply drawn more often.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, multiprocessing

from ratta.errors import TrainingError
from ratta.train.inputs import UNLABELLED

CHUNK = 32
MIDDLE_SIDE, LAST_SIDE, TEACHER_WIDTH, POOLED_WIDTH, EMBEDDING_WIDTH = 8, 4, 128, 512, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Inputs before any teacher saw them.

    Attributes
    ----------
    pixels : Tensor
        ``(N, S, S, 3) uint8`` RGB.
    labels : Tensor
        ``(N,) int64``: 1 live, 0 spoof, -1 where the input has no honest label, -2 where there is no face in it.
    scale : Tensor
        ``(N,) float32``: side of the picture over the longer side of the face box.
    """

    pixels: Tensor
    labels: Tensor
    scale: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBatch:
    """The student's V views of each of N pictures, and the teachers' opinions of the same views.

    Attributes
    ----------
    pixels : Tensor
        ``(N, V, S, S, 3) uint8`` RGB, one view a crop rule.
    labels : Tensor
        As those of :class:`Pictures`.
    logits, embedding, pooled, middle, last : Tensor
        The first teacher's ``(N, V, 3)``, ``(N, V, 128)``, ``(N, V, 512)``, ``(N, V, 128, 8, 8)`` and
        ``(N, V, 128, 4, 4)``.
    extra : Tensor
        ``(N, V, E)`` calibrated live margins of further teachers (E may be 0).
    target : Tensor
        ``(N,)`` live margin that every view is taught: the mean over teachers and views.
    """

    pixels: Tensor
    labels: Tensor
    logits: Tensor
    embedding: Tensor
    pooled: Tensor
    middle: Tensor
    last: Tensor
    extra: Tensor
    target: Tensor

    @property
    def views(self) -> int:
        """How many views each picture has."""
        return self.pixels.shape[1]


Batch = TypeVar("Batch", Pictures, JudgedBatch)


def fields(batch: Pictures | JudgedBatch) -> dict[str, Tensor]:
    """Every tensor of a batch by name."""
    return {name: getattr(batch, name) for name in batch.__dataclass_fields__}


def bring(batch: Batch, device: torch.device) -> Batch:
    """Give the same batch on another device."""
    return type(batch)(**{name: values.to(device) for name, values in fields(batch).items()})


def judged_shapes(count: int, *, size: int, views: int, extra: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every field of ``count`` judged pictures; features in half precision."""
    each = (count, views)
    return {
        "pixels": ((*each, size, size, 3), "uint8"),
        "labels": ((count,), "int64"),
        "logits": ((*each, 3), "float32"),
        "embedding": ((*each, EMBEDDING_WIDTH), "float16"),
        "pooled": ((*each, POOLED_WIDTH), "float16"),
        "middle": ((*each, TEACHER_WIDTH, MIDDLE_SIDE, MIDDLE_SIDE), "float16"),
        "last": ((*each, TEACHER_WIDTH, LAST_SIDE, LAST_SIDE), "float16"),
        "extra": ((*each, extra), "float32"),
        "target": ((count,), "float32"),
    }


def joined(parts: Sequence[JudgedBatch]) -> JudgedBatch:
    """Put batches of the same views behind one another."""
    return JudgedBatch(**{name: torch.cat([getattr(part, name) for part in parts]) for name in fields(parts[0])})


def empty_pictures(count: int, *, size: int) -> Pictures:
    """Give zeroed slots for ``count`` pictures."""
    return Pictures(
        pixels=torch.zeros((count, size, size, 3), dtype=torch.uint8),
        labels=torch.full((count,), UNLABELLED, dtype=torch.int64),
        scale=torch.ones(count),
    )


Producer = Callable[[np.random.Generator, int], JudgedBatch]
"""Makes a judged batch of a given size."""
PictureMaker = Callable[[np.random.Generator, int], Pictures]
"""Makes so many pictures."""


def _work(
    factory: Callable[[], PictureMaker],
    slots: Pictures,
    first: int,
    last: int,
    counters: Tensor,
    worker: int,
    seed: int,
) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parent = os.getppid()
    producer = factory()
    rng = np.random.default_rng((seed, 0, worker))
    position = first
    while os.getppid() == parent:
        if counters[0] * CHUNK >= counters[1]:
            time.sleep(0.02)
            continue
        batch = producer(rng, CHUNK)
        for name, values in fields(batch).items():
            getattr(slots, name)[position : position + CHUNK] = values
        counters[2 + worker] += CHUNK
        counters[0] = counters[2:].sum() // CHUNK
        position = position + CHUNK if position + 2 * CHUNK <= last else first


class ReplayPool:
    """Slots shared between worker processes and the student.

    Parameters
    ----------
    factory : callable
        Builds the maker of pictures inside each worker; must be picklable.
    slots : Pictures
        Empty slots.
    device : torch.device, optional
        Where batches are wanted; a copy of the slots is kept there unless it is the CPU.
    workers : int
        Worker processes, one thread each.
    reuse : float
        How often each input is drawn on average before it is replaced.
    seed : int
        Seed of the workers' generators.
    """

    def __init__(
        self,
        *,
        factory: Callable[[], PictureMaker],
        slots: Pictures,
        workers: int,
        reuse: float,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self.reuse = reuse
        self._slots = slots
        for values in fields(slots).values():
            values.share_memory_()  # type: ignore[no-untyped-call]
        self._far = device is not None and device.type != "cpu"
        self._near = {name: values.to(device or values.device) for name, values in fields(slots).items()}
        self._brought = [0] * workers
        self._per_worker = len(slots.pixels) // workers // CHUNK * CHUNK
        self._counters = torch.zeros(2 + workers, dtype=torch.int64)
        self._counters.share_memory_()  # type: ignore[no-untyped-call]
        self._counters[1] = self._per_worker * workers
        self._drawn = 0
        context = multiprocessing.get_context("spawn")
        self._workers = [
            context.Process(
                target=_work,
                args=(factory, slots, i * self._per_worker, (i + 1) * self._per_worker, self._counters, i, seed),
                daemon=True,
            )
            for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def __len__(self) -> int:
        return len(self._slots.pixels)

    @property
    def made(self) -> int:
        """Inputs made so far."""
        return int(self._counters[2:].sum())

    def wait_for(self, count: int) -> None:
        """Block until every worker has filled its share of ``count`` slots."""
        share = min(count // len(self._workers), self._per_worker)
        while int(self._counters[2:].min()) < share:
            self._check()
            time.sleep(0.2)

    def _check(self) -> None:
        for worker in self._workers:
            if not worker.is_alive():
                raise TrainingError(
                    f"pool: expected a living worker, one ended with code {worker.exitcode}; see its message above"
                )

    def draw(self, rng: np.random.Generator, count: int) -> Pictures:
        """Draw ``count`` filled slots."""
        self._check()
        index = self._candidates(rng, count)
        self._drawn += count
        self._counters[1] = int(self._drawn / self.reuse) + self._per_worker * len(self._workers)
        self._bring()
        return Pictures(**{name: values[index.to(values.device)] for name, values in self._near.items()})

    def _bring(self) -> None:
        """Copy what the workers have made since the last draw to where it is wanted."""
        for worker, made in enumerate(self._counters[2:].tolist() if self._far else []):
            for position in range(max(self._brought[worker], made - self._per_worker), made, CHUNK):
                start = worker * self._per_worker + position % self._per_worker
                for name, values in fields(self._slots).items():
                    self._near[name][start : start + CHUNK] = values[start : start + CHUNK].to(self._near[name].device)
            self._brought[worker] = made

    def _candidates(self, rng: np.random.Generator, count: int) -> Tensor:
        made = self._counters[2:].numpy()
        worker = rng.integers(len(made), size=count)
        filled = np.minimum(made[worker], self._per_worker)
        return torch.from_numpy((rng.random(count) * filled).astype(np.int64) + worker * self._per_worker)

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.terminate()
            worker.join()
