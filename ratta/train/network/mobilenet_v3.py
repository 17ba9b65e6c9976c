"""The student: MobileNetV3-Small x1.0 in torchvision's layout and naming, with a compact two-logit head.

The layout is that of Howard et al. 2019, *Searching for MobileNetV3*; parameter names follow torchvision
(``features.4.block.1.0.weight``), so that tools written for that layout find what they expect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ratta.train.network.units import Network, SqueezeExcitation, conv_norm_act, divisible_by_8, initialise

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


def _unit(
    inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1, act: type[nn.Module] | None
) -> nn.Sequential:
    """Convolution, normalisation and activation with this network's own constants of normalisation."""
    return conv_norm_act(
        inputs, outputs, kernel=kernel, stride=stride, groups=groups, act=act, eps=BN_EPS, momentum=BN_MOMENTUM
    )


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, gate, project; with a shortcut where shapes allow."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        act: type[nn.Module] = nn.Hardswish if plan.hardswish else nn.ReLU
        self.shortcut = plan.stride == 1 and plan.inputs == plan.outputs
        layers: list[nn.Module] = []
        if plan.expanded != plan.inputs:
            layers.append(_unit(plan.inputs, plan.expanded, kernel=1, act=act))
        layers.append(
            _unit(plan.expanded, plan.expanded, kernel=plan.kernel, stride=plan.stride, groups=plan.expanded, act=act)
        )
        if plan.squeeze:
            squeezed = divisible_by_8(plan.expanded / 4)
            layers.append(SqueezeExcitation(plan.expanded, squeezed=squeezed, act=nn.ReLU, gate=nn.Hardsigmoid))
        layers.append(_unit(plan.expanded, plan.outputs, kernel=1, act=None))
        self.block = nn.Sequential(*layers)

    def units(self) -> Iterator[tuple[str, nn.Module]]:
        """Give the block's parts, each with its name."""
        for index, part in enumerate(self.block):
            yield f"block.{index}", part

    def forward(self, x: Tensor) -> Tensor:
        """Run ``(N, C, H, W)`` through the block."""
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


class MobileNetV3Small(Network):
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
        self.middle_index, self.middle_width = len(plan) - 3, plan[-4].outputs
        stem = _unit(3, plan[0].inputs, kernel=3, stride=2, act=nn.Hardswish)
        tail = _unit(plan[-1].outputs, last_width, kernel=1, act=nn.Hardswish)
        self.features = nn.Sequential(stem, *(InvertedResidual(p) for p in plan), tail)
        self.classifier = nn.Sequential(nn.Linear(last_width, hidden_width), nn.Hardswish(), nn.Linear(hidden_width, 2))
        self.apply(initialise)
