"""What the networks are built of, and what all of them give."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentOutput:
    """What one forward pass of N inputs gives.

    Attributes
    ----------
    logits : Tensor
        ``(N, 2)`` in the order ``[spoof, live]``.
    hidden : Tensor
        ``(N, H)``, the input of the last linear layer; the embedding itself where the head has no hidden layer.
    embedding : Tensor
        ``(N, E)``, the pooled last feature map.
    middle, last : Tensor
        Feature maps at a sixteenth and at a thirty-second of the input's side.
    """

    logits: Tensor
    hidden: Tensor
    embedding: Tensor
    middle: Tensor
    last: Tensor


class Network(nn.Module):
    """What trainer, distillation and export ask of a network: features in a row, global mean, a head.

    A network sets the two sequences and the four attributes below; names of parameters follow torchvision.

    Attributes
    ----------
    features, classifier : Sequential
    middle_index : int
        The last part of ``features`` that still has a sixteenth of the input's side.
    middle_width, last_width, hidden_width : int
        Channels of ``middle``, of ``last`` (hence of the embedding) and of ``hidden``.
    """

    features: nn.Sequential
    classifier: nn.Sequential
    middle_index: int
    middle_width: int
    last_width: int
    hidden_width: int

    def forward(self, x: Tensor) -> StudentOutput:
        """Run normalised pixels ``(N, 3, S, S) float32`` through the network."""
        middle = x
        for index, part in enumerate(self.features):
            x = part(x)
            if index == self.middle_index:
                middle = x
        embedding = x.mean((2, 3))
        hidden = embedding
        for layer in list(self.classifier)[:-1]:
            hidden = layer(hidden)
        return StudentOutput(
            logits=self.classifier[-1](hidden), hidden=hidden, embedding=embedding, middle=middle, last=x
        )


def divisible_by_8(width: float) -> int:
    """Round a channel count to a multiple of eight, never below 90 % of it (MobileNet's rule)."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def conv_norm_act(
    inputs: int,
    outputs: int,
    *,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None,
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> nn.Sequential:
    """Convolution, batch normalisation and (if any) activation, padded to keep ``ceil(size / stride)``."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=eps, momentum=momentum),
    ]
    if act is not None:
        layers.append(act(inplace=True))
    return nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    """Channel gate: global mean, two 1x1 convolutions with an activation each (Hu et al. 2018)."""

    def __init__(self, width: int, *, squeezed: int, act: type[nn.Module], gate: type[nn.Module]) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)
        self.activation = act()
        self.scale_activation = gate()

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``(N, C, H, W)``."""
        squeezed = self.activation(self.fc1(x.mean((2, 3), keepdim=True)))
        gated: Tensor = x * self.scale_activation(self.fc2(squeezed))
        return gated


class StochasticDepth(nn.Module):
    """Leaves a branch out for some samples while training, and scales up the rest (Huang et al. 2016)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Tensor) -> Tensor:
        """Pass ``(N, C, H, W)`` on."""
        if not self.training or not self.chance:
            return x
        kept = torch.rand((len(x), 1, 1, 1), device=x.device) >= self.chance
        return x * (kept / (1 - self.chance)).to(x.dtype)


def initialise(module: nn.Module) -> None:
    """Give a convolution or linear layer its first weights; for ``Module.apply``."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.05)
        nn.init.zeros_(module.bias)


def normalise(pixels: Tensor, *, mean: float = 0.0, std: float = 255.0) -> Tensor:
    """Turn uint8 pixels ``(N, S, S, 3)`` RGB into the network's input ``(N, 3, S, S) float32``, channels last."""
    return (pixels.permute(0, 3, 1, 2).float() - mean) / std
