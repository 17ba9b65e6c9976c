"""The replay pool: worker processes fill it with judged inputs, the student draws from it and never waits.

Every slot holds one input and what the teacher said of it. Workers overwrite slots in turn and stop when each slot has
been drawn fewer than ``reuse`` times on average; when they fall behind, slots are simply drawn more often.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, multiprocessing

from ratta.errors import TrainingError
from ratta.train.inputs import UNLABELLED
from ratta.train.teachers import TeacherOutput, live_margin

CHUNK = 32
MIDDLE_SIDE, LAST_SIDE, TEACHER_WIDTH, POOLED_WIDTH, EMBEDDING_WIDTH = 8, 4, 128, 512, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBatch:
    """Inputs with a teacher's opinions.

    Attributes
    ----------
    pixels : Tensor
        ``(N, S, S, 3) uint8`` RGB.
    labels : Tensor
        ``(N,) int64``: 1 live, 0 spoof, -1 where the input has no honest label.
    logits, embedding, pooled, middle, last : Tensor
        The teacher's ``(N, 3)``, ``(N, 128)``, ``(N, 512)``, ``(N, 128, 8, 8)`` and ``(N, 128, 4, 4)``.
    extra : Tensor
        ``(N, E)`` live margins of further teachers (E may be 0).
    """

    pixels: Tensor
    labels: Tensor
    logits: Tensor
    embedding: Tensor
    pooled: Tensor
    middle: Tensor
    last: Tensor
    extra: Tensor

    @property
    def target_margin(self) -> Tensor:
        """Mean live margin of all teachers, ``(N,)``."""
        first = live_margin(self.logits, live=1)[:, None]
        return torch.cat((first, self.extra), 1).mean(1)

    def fields(self) -> dict[str, Tensor]:
        """Every tensor by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def empty_batch(count: int, *, size: int, extra: int = 0) -> JudgedBatch:
    """Give a zeroed batch of ``count`` slots; features in half precision."""
    half = torch.float16
    return JudgedBatch(
        pixels=torch.zeros((count, size, size, 3), dtype=torch.uint8),
        labels=torch.full((count,), UNLABELLED, dtype=torch.int64),
        logits=torch.zeros((count, 3)),
        embedding=torch.zeros((count, EMBEDDING_WIDTH), dtype=half),
        pooled=torch.zeros((count, POOLED_WIDTH), dtype=half),
        middle=torch.zeros((count, TEACHER_WIDTH, MIDDLE_SIDE, MIDDLE_SIDE), dtype=half),
        last=torch.zeros((count, TEACHER_WIDTH, LAST_SIDE, LAST_SIDE), dtype=half),
        extra=torch.zeros((count, extra)),
    )


def pack(pixels: Tensor, labels: Tensor, opinion: TeacherOutput, extra: Tensor) -> JudgedBatch:
    """Put inputs and a teacher's opinion together, feature maps resampled to the student's grid."""
    resample = torch.nn.functional.interpolate
    return JudgedBatch(
        pixels=pixels,
        labels=labels,
        logits=opinion.logits,
        embedding=opinion.embedding,
        pooled=opinion.pooled,
        middle=resample(opinion.middle, size=MIDDLE_SIDE, mode="bilinear", antialias=True),
        last=resample(opinion.last, size=LAST_SIDE, mode="bilinear", antialias=True),
        extra=extra,
    )


Producer = Callable[[np.random.Generator, int], JudgedBatch]
"""Makes a batch of a given size."""
ProducerFactory = Callable[[], Producer]
"""Builds a producer inside a worker process; must be picklable."""


def _work(
    factory: ProducerFactory, slots: JudgedBatch, first: int, last: int, counters: Tensor, worker: int, seed: int
) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parent = os.getppid()
    producer = factory()
    rng = np.random.default_rng((seed, worker))
    position = first
    while os.getppid() == parent:
        if counters[0] * CHUNK > counters[1]:
            time.sleep(0.02)
            continue
        batch = producer(rng, CHUNK)
        for name, values in batch.fields().items():
            getattr(slots, name)[position : position + CHUNK] = values
        counters[2 + worker] += CHUNK
        counters[0] = counters[2:].sum() // CHUNK
        position = position + CHUNK if position + 2 * CHUNK <= last else first


class ReplayPool:
    """Slots shared between worker processes and the student.

    Parameters
    ----------
    factory : callable
        Builds the producer inside each worker.
    slots : int
        How many judged inputs the pool holds.
    size : int
        Side of the inputs in pixels.
    workers : int
        Worker processes, one thread each.
    reuse : float
        How often each input is drawn on average before it is replaced.
    seed : int
        Seed of the workers' generators.
    extra : int
        Number of further teachers' margins.
    """

    def __init__(
        self, *, factory: ProducerFactory, slots: int, size: int, workers: int, reuse: float, seed: int, extra: int = 0
    ) -> None:
        self.reuse = reuse
        self._slots = empty_batch(slots, size=size, extra=extra)
        for values in self._slots.fields().values():
            values.share_memory_()  # type: ignore[no-untyped-call]
        self._per_worker = slots // workers // CHUNK * CHUNK
        self._counters = torch.zeros(2 + workers, dtype=torch.int64)
        self._counters.share_memory_()  # type: ignore[no-untyped-call]
        self._counters[1] = self._per_worker * workers
        self._drawn = 0
        context = multiprocessing.get_context("spawn")
        self._workers = [
            context.Process(
                target=_work,
                args=(factory, self._slots, i * self._per_worker, (i + 1) * self._per_worker, self._counters, i, seed),
                daemon=True,
            )
            for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

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

    def draw(self, rng: np.random.Generator, count: int) -> JudgedBatch:
        """Draw ``count`` filled slots, inputs of rare teacher margins somewhat more often."""
        self._check()
        candidates = self._candidates(rng, 2 * count)
        margin = live_margin(self._slots.logits[candidates], live=1)
        bins = (margin / 1.5).round().clamp(-9, 9).long() + 9
        share = torch.bincount(bins, minlength=19).float()[bins]
        chance = (share**-0.5).numpy()
        picked = rng.choice(2 * count, count, replace=False, p=chance / chance.sum())
        self._drawn += count
        self._counters[1] = int(self._drawn / self.reuse) + self._per_worker * len(self._workers)
        index = candidates[torch.from_numpy(picked)]
        return JudgedBatch(**{name: values[index] for name, values in self._slots.fields().items()})

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
