"""Tent: fully test-time adaptation by entropy minimisation (Wang et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.autograd import backward

from ratta.evaluate.methods.torch_source import adaptable, entropy, trained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource


class Tent:
    """One Adam step on the mean entropy of every batch, over the batch normalisation affine parameters.

    Parameters
    ----------
    source : TorchSource
    batch : int
        Frames a step.
    learning_rate : float
    statistics : str
        "batch" as published, "source" for the form that also runs frame by frame.
    """

    def __init__(
        self, source: TorchSource, *, batch: int = 16, learning_rate: float = 1e-3, statistics: str = "batch"
    ) -> None:
        self.source = source
        self.batch = batch
        self.learning_rate = learning_rate
        self.statistics = statistics
        self.reset()

    def reset(self) -> None:
        """Go back to the source model."""
        self.module = adaptable(self.source, statistics=self.statistics)
        self._optimizer = torch.optim.Adam([p for _, p in trained(self.module)], lr=self.learning_rate)
        self._updates = 0

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present parameters."""
        with torch.no_grad():
            return self.source.live_scores(self.module(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present parameters; then one step."""
        logits = self.module(self.source.inputs(batch)).logits
        self._optimizer.zero_grad()
        backward(entropy(logits).mean())
        self._optimizer.step()
        self._updates += 1
        return self.source.live_scores(logits)

    def state(self) -> dict[str, float]:
        """Count the steps."""
        return {"updates": float(self._updates)}
