"""The source model as the baselines see it: a torch module with the bundle's weights, and the parts they all use."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ratta.bundle import Bundle
    from ratta.evaluate.methods.method import FrameBatch


class NetworkOutput(Protocol):
    """What the module's forward returns."""

    @property
    def logits(self) -> Tensor:
        """Spoof and live, `(N, 2)`."""

    @property
    def hidden(self) -> Tensor:
        """The last linear layer's input, `(N, D)`."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TorchSource:
    """The source model.

    Attributes
    ----------
    module : nn.Module
        From normalised pixels `(N, 3, S, S) float32` to an output with `.logits` (N, 2) [spoof, live] and `.hidden`
        (N, D), the input of the last linear layer. Never changed; methods work on copies.
    mean, std : tuple of 3 floats
        Normalisation on the 0-255 scale.
    temperature, bias : float
        `live_score = sigmoid((logit_live - logit_spoof) / temperature + bias)`.
    bundle : Bundle or None
        Where the module is from, for a method that runs the product itself.
    """

    module: nn.Module
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    temperature: float = 1.0
    bias: float = 0.0
    bundle: Bundle | None = None

    def inputs(self, batch: FrameBatch) -> Tensor:
        """Normalise crops to `(B, 3, S, S) float32`, channels last."""
        pixels = torch.from_numpy(np.ascontiguousarray(batch.pixels)).permute(0, 3, 1, 2).float()
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std

    def live_scores(self, logits: Tensor) -> npt.NDArray[np.float64]:
        """Calibrated live scores `(B,)`."""
        margin = (logits[:, 1] - logits[:, 0]).detach().double().numpy()
        z = margin / self.temperature + self.bias
        return np.asarray(np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), 1 - 1 / (1 + np.exp(-np.abs(z)))))

    def copy(self) -> nn.Module:
        """Return the module in evaluation mode, nothing of it requiring a gradient, to do with as one likes."""
        return copy.deepcopy(self.module).eval().requires_grad_(False)


def norm_layers(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the batch normalisation layers in order.

    Raises
    ------
    InputError
        If there are none: methods that adapt them would silently do nothing.
    """
    found = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    if not found:
        raise InputError("network: expected batch normalisation layers, got none; is it the unfolded module?")
    return found


def adaptable(source: TorchSource, *, statistics: str) -> nn.Module:
    """Return a copy whose batch normalisation affine parameters, and nothing else, require a gradient.

    Parameters
    ----------
    source : TorchSource
    statistics : str
        "batch": each layer normalises by the statistics of the frames at hand, as published for Tent, EATA and SAR.
        "source": by the running statistics of the source.
    """
    if statistics not in ("batch", "source"):
        raise InputError(f"statistics: expected 'batch' or 'source', got {statistics!r}")
    module = source.copy()
    for layer in norm_layers(module):
        layer.requires_grad_(True)
        if statistics == "batch":
            layer.train()
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = None
    return module


def trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that require a gradient, by name."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax in nat, `(N,)`."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of the student's softmax under the teacher's, in nat, `(N,)`."""
    return -(teacher.softmax(1) * student.log_softmax(1)).sum(1)
