"""A memory in the manner of RoTTA: robust test-time adaptation in dynamic scenarios (Yuan, Xie and Li 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd import backward

from ratta.evaluate.methods.cotta import augmented
from ratta.evaluate.methods.torch_source import cross_entropy, entropy, norm_layers, trained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource

CLASSES = 2


@dataclass(slots=True, eq=False)
class MemoryItem:
    """A frame with its pseudo-label, the teacher's entropy in nat, and how many frames ago it came."""

    inputs: Tensor
    label: int
    nat: float
    age: int = 0


@dataclass(slots=True)
class Memory:
    """Category-balanced memory that prefers recent and certain frames (CSTU).

    A new frame replaces the oldest and least certain one of its class, or of the largest classes while its own is
    below its share; it is turned away if it is itself the worst.
    """

    capacity: int
    items: list[MemoryItem] = field(default_factory=list)

    def add(self, new: MemoryItem) -> bool:
        """Add a frame if it deserves a place, and let everything age."""
        kept = self._make_room(new)
        if kept:
            self.items.append(new)
        for item in self.items:
            item.age += 1
        return kept

    def badness(self, item: MemoryItem) -> float:
        """Age and uncertainty of a frame, each in [0, 1] and weighted alike; the highest goes first."""
        return 1 / (1 + math.exp(-item.age / self.capacity)) + item.nat / math.log(CLASSES)

    def _make_room(self, new: MemoryItem) -> bool:
        sizes = [sum(item.label == c for item in self.items) for c in range(CLASSES)]
        if sizes[new.label] < self.capacity / CLASSES:
            if len(self.items) < self.capacity:
                return True
            candidates = [item for item in self.items if sizes[item.label] == max(sizes)]
        else:
            candidates = [item for item in self.items if item.label == new.label]
        worst = max(candidates, key=self.badness)
        if self.badness(worst) <= self.badness(new):
            return False
        self.items.remove(worst)
        return True


class RobustNorm(nn.Module):
    """Batch normalisation by a slow moving average that is updated before it is used (RBN)."""

    def __init__(self, layer: nn.BatchNorm2d, *, momentum: float) -> None:
        super().__init__()
        assert layer.running_mean is not None
        assert layer.running_var is not None
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("mean", layer.running_mean.clone())
        self.register_buffer("var", layer.running_var.clone())
        self.eps, self.momentum = layer.eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)`; in training mode the average moves first."""
        mean, var = self.get_buffer("mean"), self.get_buffer("var")
        if self.training:
            batch_var, batch_mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
            mean = (1 - self.momentum) * mean + self.momentum * batch_mean
            var = (1 - self.momentum) * var + self.momentum * batch_var
            self.mean, self.var = mean.detach(), var.detach()
        scale = self.weight * torch.rsqrt(var + self.eps)
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


class RoTTA:
    """A teacher answers; every `every` frames a student learns from a balanced memory, and the teacher follows.

    Parameters
    ----------
    source : TorchSource
    seed : int
        Of augmentation.
    batch : int
        Frames answered at once.
    learning_rate : float
        Of Adam over the affine parameters; published 1e-3.
    capacity, every : int
        Frames in memory, and frames between two steps; published 64 and 64.
    norm_momentum : float
        Published 0.05.
    follow : float
        Share of the student in the teacher a step; published 0.001.
    """

    def __init__(
        self,
        source: TorchSource,
        *,
        seed: int = 0,
        batch: int = 16,
        learning_rate: float = 1e-3,
        capacity: int = 64,
        every: int = 64,
        norm_momentum: float = 0.05,
        follow: float = 0.001,
    ) -> None:
        self.source = source
        self.seed = seed
        self.batch = batch
        self.learning_rate = learning_rate
        self.capacity = capacity
        self.every = every
        self.norm_momentum = norm_momentum
        self.follow = follow
        self.reset()

    def reset(self) -> None:
        """Go back to the source model with an empty memory."""
        self.student = robust(self.source, momentum=self.norm_momentum)
        self.teacher = robust(self.source, momentum=self.norm_momentum).requires_grad_(False)
        self.memory = Memory(self.capacity)
        self._optimizer = torch.optim.Adam([p for _, p in trained(self.student)], lr=self.learning_rate)
        self._generator = torch.Generator().manual_seed(self.seed)
        self._seen = 0
        self._counts = {"updates": 0, "stored": 0, "refused: memory": 0}

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present teacher."""
        with torch.no_grad():
            return self.source.live_scores(self.teacher.eval()(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present teacher; then frames enter the memory, and now and then the student steps."""
        inputs = self.source.inputs(batch)
        with torch.no_grad():
            logits = self.teacher.eval()(inputs).logits
        for one, label, nat in zip(inputs, logits.argmax(1).tolist(), entropy(logits).tolist(), strict=True):
            stored = self.memory.add(MemoryItem(one, label, nat))
            self._counts["stored" if stored else "refused: memory"] += 1
            self._seen += 1
            if self._seen % self.every == 0:
                self._learn()
        return self.source.live_scores(logits)

    def state(self) -> dict[str, float]:
        """Count steps, and frames taken into memory or turned away."""
        return {name: float(n) for name, n in self._counts.items()}

    def _learn(self) -> None:
        inputs = torch.stack([item.inputs for item in self.memory.items])
        ages = torch.tensor([item.age / self.capacity for item in self.memory.items])
        timeliness = torch.exp(-ages) / (1 + torch.exp(-ages))
        with torch.no_grad():
            target = self.teacher.train()(inputs).logits
        student = self.student.train()(augmented(inputs, self._generator)).logits
        self._optimizer.zero_grad()
        backward((cross_entropy(student, target) * timeliness).mean())
        self._optimizer.step()
        with torch.no_grad():
            for teacher, student_p in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                teacher.mul_(1 - self.follow).add_(student_p, alpha=self.follow)
        self._counts["updates"] += 1


def robust(source: TorchSource, *, momentum: float) -> nn.Module:
    """Return a copy with every batch normalisation replaced by `RobustNorm`, its affine parameters trainable."""
    module = source.copy()
    norm_layers(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, RobustNorm(child.requires_grad_(True), momentum=momentum))
    return module
