"""T3A: test-time classifier adjustment (Iwasawa and Matsuo 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ratta.errors import InputError
from ratta.evaluate.methods.torch_source import entropy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource


class T3A:
    """The last linear layer is replaced by the centroids of the least uncertain features seen of each class.

    The store begins with the classifier's own rows. Each feature enters with its pseudo-label (one-hot) and the
    entropy of the source classifier; per class, the `kept` entries of least entropy count. A score is the feature's
    dot product with the normalised sum of normalised entries. Published code answers after the feature entered; here
    the answer comes first.

    Its logits are on another scale than the source's from the beginning, so its threshold is its own.

    Parameters
    ----------
    source : TorchSource
    batch : int
        Frames a step.
    kept : int
        Entries a class, the paper's M; -1 for all.
    """

    def __init__(self, source: TorchSource, *, batch: int = 16, kept: int = 100) -> None:
        if kept == 0 or kept < -1:
            raise InputError(f"kept: expected a positive number, or -1 for all, got {kept}")
        self.source = source
        self.batch = batch
        self.kept = kept
        self._module = source.copy()
        self._classifier = [layer for layer in self._module.modules() if isinstance(layer, nn.Linear)][-1]
        self.reset()

    def reset(self) -> None:
        """Go back to the classifier's rows."""
        self._features = torch.empty((0, self._classifier.in_features))
        self._labels = torch.empty(0, dtype=torch.long)
        self._entropy = torch.empty(0)
        self._store(self._classifier.weight)
        self._updates = 0

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores by the present centroids."""
        with torch.no_grad():
            return self.source.live_scores(self._hidden(batch) @ self.centroids().T)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores by the present centroids; then the features enter the store."""
        with torch.no_grad():
            hidden = self._hidden(batch)
            scores = self.source.live_scores(hidden @ self.centroids().T)
            self._store(hidden)
        self._updates += 1
        return scores

    def centroids(self) -> Tensor:
        """Return unit vectors of spoof and live, `(2, D)`."""
        sums = [nn.functional.normalize(self._features[self._labels == c], dim=1).sum(0) for c in (0, 1)]
        return nn.functional.normalize(torch.stack(sums), dim=1)

    def state(self) -> dict[str, float]:
        """Batches seen, and the size of the store."""
        return {"updates": float(self._updates), "stored": float(len(self._labels))}

    def _hidden(self, batch: FrameBatch) -> Tensor:
        hidden: Tensor = self._module(self.source.inputs(batch)).hidden
        return hidden

    @torch.no_grad()
    def _store(self, features: Tensor) -> None:
        logits = self._classifier(features)
        self._features = torch.cat([self._features, features])
        self._labels = torch.cat([self._labels, logits.argmax(1)])
        self._entropy = torch.cat([self._entropy, entropy(logits)])
        if self.kept == -1:
            return
        best = []
        for c in (0, 1):
            of_class = torch.nonzero(self._labels == c)[:, 0]
            best.append(of_class[self._entropy[of_class].argsort(stable=True)[: self.kept]])
        index = torch.cat(best)
        self._features, self._labels, self._entropy = self._features[index], self._labels[index], self._entropy[index]
