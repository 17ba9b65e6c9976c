"""SAR: sharpness-aware and reliable entropy minimisation (Niu et al. 2023)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd import backward

from ratta.evaluate.methods.torch_source import adaptable, entropy, trained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource

MARGIN = 0.4 * math.log(2)
RESET_TWO_CLASSES = 0.2 * math.log(2) / math.log(1000)
"""The published 0.2 nat of 1000 classes, at the same share of the highest entropy of 2: 0.020 nat."""


class SAR:
    """Entropy minimisation on reliable frames where the loss is flat, with a reset when entropy collapses.

    Frames with entropy below `margin` count. The parameters are moved by `radius` along the gradient, the gradient
    there (of those still reliable) is applied where they stood before. When the moving mean of the second loss falls
    below `reset_below`, the model goes back to the source; the moving mean stays, as published.

    With two classes every reliable frame is below 0.4 ln 2 = 0.277 nat and the mean nearly always below the published
    0.2, so the model resets at every step; `reset_below=RESET_TWO_CLASSES` is the corrected constant. The paper leaves
    out the last stage of its networks; here all batch normalisation layers adapt.

    Parameters
    ----------
    source : TorchSource
    batch : int
        Frames a step.
    learning_rate, momentum : float
        Of the stochastic gradient descent.
    margin : float
        In nat; published 0.4 ln C.
    radius : float
        Published 0.05.
    reset_below : float
        In nat; published 0.2.
    statistics : str
        "batch" as published for networks with batch normalisation, or "source".
    """

    def __init__(
        self,
        source: TorchSource,
        *,
        batch: int = 16,
        learning_rate: float = 2.5e-4,
        momentum: float = 0.9,
        margin: float = MARGIN,
        radius: float = 0.05,
        reset_below: float = 0.2,
        statistics: str = "batch",
    ) -> None:
        self.source = source
        self.batch = batch
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.margin = margin
        self.radius = radius
        self.reset_below = reset_below
        self.statistics = statistics
        self.reset()

    def reset(self) -> None:
        """Go back to the source model and forget everything."""
        self._restore()
        self._mean: float | None = None
        self._counts = {"updates": 0, "used": 0, "resets": 0, "refused: entropy": 0, "refused: sharp": 0}

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present parameters."""
        with torch.no_grad():
            return self.source.live_scores(self.module(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present parameters; then a step, if any frame counts."""
        inputs = self.source.inputs(batch)
        logits = self.module(inputs).logits
        nat = entropy(logits)
        reliable = torch.nonzero(nat < self.margin)[:, 0]
        self._counts["refused: entropy"] += len(logits) - len(reliable)
        if len(reliable):
            self._learn(inputs, nat[reliable].mean(), reliable)
        return self.source.live_scores(logits)

    def state(self) -> dict[str, float]:
        """Count steps, resets, frames used and frames refused by reason."""
        return {name: float(n) for name, n in self._counts.items()}

    def _learn(self, inputs: Tensor, loss: Tensor, reliable: Tensor) -> None:
        parameters = [p for _, p in trained(self.module)]
        moves = self._climb(parameters, torch.autograd.grad(loss, parameters))
        nat = entropy(self.module(inputs).logits)[reliable]
        flat = nat[nat < self.margin]
        self._counts["refused: sharp"] += len(nat) - len(flat)
        self._optimizer.zero_grad()
        if len(flat):
            backward(flat.mean())
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.sub_(move)
        if not len(flat):
            return
        self._optimizer.step()
        self._counts["updates"] += 1
        self._counts["used"] += len(flat)
        second = float(flat.mean().detach())
        self._mean = second if self._mean is None else 0.9 * self._mean + 0.1 * second
        if self._mean < self.reset_below:
            self._counts["resets"] += 1
            self._restore()

    def _climb(self, parameters: list[torch.nn.Parameter], gradient: tuple[Tensor, ...]) -> list[Tensor]:
        norm = torch.stack([g.norm() for g in gradient]).norm()
        moves = [g * self.radius / (norm + 1e-12) for g in gradient]
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.add_(move)
        return moves

    def _restore(self) -> None:
        self.module = adaptable(self.source, statistics=self.statistics)
        parameters = [p for _, p in trained(self.module)]
        self._optimizer = torch.optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum)
