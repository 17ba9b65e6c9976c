"""The student: MobileNetV3-Small x1.0 in torchvision's layout and naming, with a compact two-logit head.

The layout is that of Howard et al. 2019, *Searching for MobileNetV3*; parameter names follow torchvision
(``features.4.block.1.0.weight``), so that tools written for that layout find what they expect.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

BN_EPS = 1e-3
BN_MOMENTUM = 0.01
EMBEDDING_WIDTH = 576
HIDDEN_WIDTH = 64
CUT_INDEX = 10
"""Index in ``features`` of the first block of the adapted tail; its input is the cut feature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPlan:
    """One inverted residual of MobileNetV3: widths, kernel, stride, squeeze-and-excitation, nonlinearity."""

    inputs: int
    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    hardswish: bool
    stride: int


def _plan(row: tuple[int, int, int, int, bool, bool, int]) -> BlockPlan:
    inputs, kernel, expanded, outputs, squeeze, hardswish, stride = row
    return BlockPlan(
        inputs=inputs,
        kernel=kernel,
        expanded=expanded,
        outputs=outputs,
        squeeze=squeeze,
        hardswish=hardswish,
        stride=stride,
    )


SMALL_PLAN: tuple[BlockPlan, ...] = tuple(
    _plan(row)
    for row in (
        (16, 3, 16, 16, True, False, 2),
        (16, 3, 72, 24, False, False, 2),
        (24, 3, 88, 24, False, False, 1),
        (24, 5, 96, 40, True, True, 2),
        (40, 5, 240, 40, True, True, 1),
        (40, 5, 240, 40, True, True, 1),
        (40, 5, 120, 48, True, True, 1),
        (48, 5, 144, 48, True, True, 1),
        (48, 5, 288, 96, True, True, 2),
        (96, 5, 576, 96, True, True, 1),
        (96, 5, 576, 96, True, True, 1),
    )
)


def divisible_by_8(width: float) -> int:
    """Round a channel count to a multiple of eight, never below 90 % of it (MobileNet's rule)."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def conv_norm_act(
    inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1, act: type[nn.Module] | None
) -> nn.Sequential:
    """Convolution, batch normalisation and (if any) activation, padded to keep ``ceil(size / stride)``."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=BN_EPS, momentum=BN_MOMENTUM),
    ]
    if act is not None:
        layers.append(act(inplace=True))
    return nn.Sequential(*layers)


class SqueezeExcitation(nn.Module):
    """Channel gate: global mean, two 1x1 convolutions, hard sigmoid (Hu et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = divisible_by_8(width / 4)
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``(N, C, H, W)``."""
        gate = nn.functional.relu(self.fc1(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.fc2(gate))


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, gate, project; with a shortcut where shapes allow."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        act: type[nn.Module] = nn.Hardswish if plan.hardswish else nn.ReLU
        self.shortcut = plan.stride == 1 and plan.inputs == plan.outputs
        layers: list[nn.Module] = []
        if plan.expanded != plan.inputs:
            layers.append(conv_norm_act(plan.inputs, plan.expanded, kernel=1, act=act))
        layers.append(
            conv_norm_act(
                plan.expanded, plan.expanded, kernel=plan.kernel, stride=plan.stride, groups=plan.expanded, act=act
            )
        )
        if plan.squeeze:
            layers.append(SqueezeExcitation(plan.expanded))
        layers.append(conv_norm_act(plan.expanded, plan.outputs, kernel=1, act=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Run ``(N, C, H, W)`` through the block."""
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentOutput:
    """What one forward pass gives: logits ``(N, 2)``, hidden ``(N, 64)``, embedding ``(N, 576)``, two feature maps."""

    logits: Tensor
    hidden: Tensor
    embedding: Tensor
    middle: Tensor
    last: Tensor


class MobileNetV3Small(nn.Module):
    """MobileNetV3-Small x1.0 with the head 576-64-2; class order ``[spoof, live]``.

    Parameters
    ----------
    plan : tuple of BlockPlan
        The inverted residuals; the default is the published x1.0 plan (927,008 feature parameters).
    last_width : int
        Channels of the last 1x1 convolution, hence of the embedding.
    hidden_width : int
        Width of the head's hidden layer.

    Examples
    --------
    >>> sum(p.numel() for p in MobileNetV3Small().parameters())
    964066
    """

    def __init__(
        self,
        *,
        plan: tuple[BlockPlan, ...] = SMALL_PLAN,
        last_width: int = EMBEDDING_WIDTH,
        hidden_width: int = HIDDEN_WIDTH,
    ) -> None:
        super().__init__()
        self.plan = plan
        self.last_width = last_width
        self.hidden_width = hidden_width
        stem = conv_norm_act(3, plan[0].inputs, kernel=3, stride=2, act=nn.Hardswish)
        tail = conv_norm_act(plan[-1].outputs, last_width, kernel=1, act=nn.Hardswish)
        self.features = nn.Sequential(stem, *(InvertedResidual(p) for p in plan), tail)
        self.classifier = nn.Sequential(nn.Linear(last_width, hidden_width), nn.Hardswish(), nn.Linear(hidden_width, 2))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> StudentOutput:
        """Run normalised pixels ``(N, 3, S, S) float32`` through the network."""
        middle = x
        for index, block in enumerate(self.features):
            x = block(x)
            if index == len(self.plan) - 3:
                middle = x
        embedding = x.mean((2, 3))
        hidden = self.classifier[1](self.classifier[0](embedding))
        return StudentOutput(
            logits=self.classifier[2](hidden), hidden=hidden, embedding=embedding, middle=middle, last=x
        )


def _initialise(module: nn.Module) -> None:
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
