"""Batch normalisation statistics of the stream: those of each batch, or a moving average (Nado et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ratta.errors import InputError
from ratta.evaluate.methods.torch_source import adaptable, norm_layers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource


class BatchStatistics:
    """Every batch is normalised by its own statistics; nothing is learnt.

    This is where Tent, EATA and SAR stand, as published, before their first step: what they gain or lose by learning is
    the difference to this, not to the source model.

    Parameters
    ----------
    source : TorchSource
    batch : int
        Frames normalised together.
    """

    def __init__(self, source: TorchSource, *, batch: int = 16) -> None:
        self.source = source
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Go back to the source model."""
        self._module = adaptable(self.source, statistics="batch")

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores under the batch's statistics."""
        with torch.no_grad():
            return self.source.live_scores(self._module(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores under the batch's statistics."""
        return self.answer(batch)

    def state(self) -> dict[str, float]:
        """Nothing is ever learnt."""
        return {"updates": 0.0}


class BNStatistics:
    """Running statistics move towards those of each batch: `m <- (1 - momentum) m + momentum m_batch`.

    Parameters
    ----------
    source : TorchSource
    batch : int
        Frames a step.
    momentum : float
        In (0, 1]; 1 forgets the source at once.
    """

    def __init__(self, source: TorchSource, *, batch: int = 16, momentum: float = 0.1) -> None:
        if not 0 < momentum <= 1:
            raise InputError(f"momentum: expected a share in (0, 1], got {momentum}")
        self.source = source
        self.batch = batch
        self.momentum = momentum
        self.reset()

    def reset(self) -> None:
        """Go back to the source statistics."""
        self._module = self.source.copy()
        for layer in norm_layers(self._module):
            layer.momentum = self.momentum
        self._updates = 0

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores under the present statistics."""
        with torch.no_grad():
            return self.source.live_scores(self._module(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores under the present statistics; these then move."""
        scores = self.answer(batch)
        layers = norm_layers(self._module)
        for layer in layers:
            layer.train()
        with torch.no_grad():
            self._module(self.source.inputs(batch))
        for layer in layers:
            layer.eval()
        self._updates += 1
        return scores

    def state(self) -> dict[str, float]:
        """How often the statistics moved."""
        return {"updates": float(self._updates)}
