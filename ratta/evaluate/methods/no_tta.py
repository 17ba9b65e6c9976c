"""No test-time adaptation: the source model as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource


class NoTTA:
    """Answers by the source model and never learns."""

    def __init__(self, source: TorchSource, *, batch: int = 1) -> None:
        self.source = source
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Go back to the source model."""
        self._module = self.source.copy()

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the source model."""
        with torch.no_grad():
            return self.source.live_scores(self._module(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the source model."""
        return self.answer(batch)

    def state(self) -> dict[str, float]:
        """Nothing is ever learnt."""
        return {"updates": 0.0}
