"""EATA: efficient test-time adaptation without forgetting (Niu et al. 2022)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd import backward

from ratta.evaluate.methods.method import FrameBatch
from ratta.evaluate.methods.torch_source import adaptable, entropy, trained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.torch_source import TorchSource

MARGIN = 0.4 * math.log(2)


class EATA:
    """Entropy minimisation on reliable, non-redundant frames, tied to the source by Fisher-weighted distance.

    A frame counts if its entropy is below `margin` and the cosine between its softmax and the moving mean softmax of
    what counted before is below `redundancy`. Its loss is weighted by `exp(margin - entropy)`.

    With two classes the cosine of two probability vectors is below the published 0.05 only for confident frames of the
    class that has hardly been seen, so the published redundancy filter stops learning; `redundancy=None` switches it
    off.

    Parameters
    ----------
    source : TorchSource
    development : FrameBatch
        Source frames for the Fisher information (labels are the model's own, as published).
    batch : int
        Frames a step.
    learning_rate, momentum : float
        Of the stochastic gradient descent.
    margin : float
        In nat; published 0.4 ln C.
    redundancy : float or None
        Published 0.05.
    fisher_weight : float
        Published 2000.
    statistics : str
        "batch" as published, or "source".
    """

    def __init__(
        self,
        source: TorchSource,
        *,
        development: FrameBatch,
        batch: int = 16,
        learning_rate: float = 2.5e-4,
        momentum: float = 0.9,
        margin: float = MARGIN,
        redundancy: float | None = 0.05,
        fisher_weight: float = 2000.0,
        statistics: str = "batch",
    ) -> None:
        self.source = source
        self.batch = batch
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.margin = margin
        self.redundancy = redundancy
        self.fisher_weight = fisher_weight
        self.statistics = statistics
        self._fisher = fisher_information(source, development, statistics=statistics)
        self.reset()

    def reset(self) -> None:
        """Go back to the source model."""
        self.module = adaptable(self.source, statistics=self.statistics)
        self._anchor = {name: p.detach().clone() for name, p in trained(self.module)}
        parameters = [p for _, p in trained(self.module)]
        self._optimizer = torch.optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum)
        self._mean: Tensor | None = None
        self._counts = {"updates": 0, "used": 0, "refused: entropy": 0, "refused: redundant": 0}

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present parameters."""
        with torch.no_grad():
            return self.source.live_scores(self.module(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present parameters; then a step, if any frame counts."""
        logits = self.module(self.source.inputs(batch)).logits
        used = self._select(logits.detach())
        if len(used):
            nat = entropy(logits[used])
            loss = (nat * torch.exp(self.margin - nat.detach())).mean() + self.fisher_weight * self._pull()
            self._optimizer.zero_grad()
            backward(loss)
            self._optimizer.step()
            self._counts["updates"] += 1
            self._counts["used"] += len(used)
        return self.source.live_scores(logits)

    def state(self) -> dict[str, float]:
        """Count steps, frames used and frames refused by reason."""
        return {name: float(n) for name, n in self._counts.items()}

    def _select(self, logits: Tensor) -> Tensor:
        reliable = torch.nonzero(entropy(logits) < self.margin)[:, 0]
        self._counts["refused: entropy"] += len(logits) - len(reliable)
        softmax = logits[reliable].softmax(1)
        if self.redundancy is not None and self._mean is not None:
            cosine = nn.functional.cosine_similarity(self._mean[None], softmax, dim=1)
            fresh = cosine.abs() < self.redundancy
            self._counts["refused: redundant"] += int((~fresh).sum())
            reliable, softmax = reliable[fresh], softmax[fresh]
        if len(reliable):
            mean = softmax.mean(0)
            self._mean = mean if self._mean is None else 0.9 * self._mean + 0.1 * mean
        return reliable

    def _pull(self) -> Tensor:
        return torch.stack(
            [(self._fisher[name] * (p - self._anchor[name]) ** 2).sum() for name, p in trained(self.module)]
        ).sum()


def fisher_information(
    source: TorchSource, development: FrameBatch, *, statistics: str, batch: int = 64
) -> dict[str, Tensor]:
    """Mean squared gradient of the cross-entropy to the model's own labels, per parameter, over batches."""
    module = adaptable(source, statistics=statistics)
    total = {name: torch.zeros_like(p) for name, p in trained(module)}
    starts = range(0, len(development), batch)
    for start in starts:
        span = slice(start, start + batch)
        part = FrameBatch(development.pixels[span], development.t[span], development.sessions[span])
        logits = module(source.inputs(part)).logits
        module.zero_grad()
        backward(nn.functional.cross_entropy(logits, logits.argmax(1)))
        for name, p in trained(module):
            if p.grad is not None:
                total[name] += p.grad**2 / len(starts)
    return total
