"""EfficientNet-B0 (Tan and Le 2019) in torchvision's layout and naming, with two logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ratta.train.network.units import Network, SqueezeExcitation, StochasticDepth, conv_norm_act, initialise

STEM_WIDTH, LAST_WIDTH = 32, 1280


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks in a row: expansion, kernel, output channels, how many, stride of the first."""

    expansion: int
    kernel: int
    outputs: int
    repeats: int
    stride: int


PLAN = (
    Stage(1, 3, 16, 1, 1),
    Stage(6, 3, 24, 2, 2),
    Stage(6, 5, 40, 2, 2),
    Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3, 1),
    Stage(6, 5, 192, 4, 2),
    Stage(6, 3, 320, 1, 1),
)
SIXTEENTH = 4
"""The stage of the plan after which the map still has a sixteenth of the input's side."""


class MBConv(nn.Module):
    """Expand, filter depthwise, gate, project; with a shortcut, now and then left out, where shapes allow."""

    def __init__(self, *, inputs: int, stage: Stage, stride: int, drop: float) -> None:
        super().__init__()
        width = inputs * stage.expansion
        self.shortcut = stride == 1 and inputs == stage.outputs
        layers: list[nn.Module] = []
        if stage.expansion > 1:
            layers.append(conv_norm_act(inputs, width, kernel=1, act=nn.SiLU))
        layers.append(conv_norm_act(width, width, kernel=stage.kernel, stride=stride, groups=width, act=nn.SiLU))
        layers.append(SqueezeExcitation(width, squeezed=max(1, inputs // 4), act=nn.SiLU, gate=nn.Sigmoid))
        layers.append(conv_norm_act(width, stage.outputs, kernel=1, act=None))
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop)

    def units(self) -> Iterator[tuple[str, nn.Module]]:
        """Give the block's parts, each with its name."""
        for index, part in enumerate(self.block):
            yield f"block.{index}", part

    def forward(self, x: Tensor) -> Tensor:
        """Run ``(N, C, H, W)`` through the block."""
        y: Tensor = self.block(x)
        return x + self.stochastic_depth(y) if self.shortcut else y


class EfficientNetB0(Network):
    """EfficientNet-B0; class order ``[spoof, live]``.

    Parameters
    ----------
    plan : tuple of Stage
        The default is the published plan.
    last_width : int
        Channels of the last 1x1 convolution, hence of the embedding.
    dropout : float
        Before the last layer, while training.
    drop_depth : float
        How often the last block is left out while training; earlier ones in proportion.

    Examples
    --------
    >>> sum(p.numel() for p in EfficientNetB0().parameters())
    4010110
    """

    def __init__(
        self,
        *,
        plan: tuple[Stage, ...] = PLAN,
        last_width: int = LAST_WIDTH,
        dropout: float = 0.2,
        drop_depth: float = 0.2,
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = [conv_norm_act(3, STEM_WIDTH, kernel=3, stride=2, act=nn.SiLU)]
        width, done, total = STEM_WIDTH, 0, sum(stage.repeats for stage in plan)
        for stage in plan:
            blocks = []
            for position in range(stage.repeats):
                stride = stage.stride if position == 0 else 1
                blocks.append(MBConv(inputs=width, stage=stage, stride=stride, drop=drop_depth * done / total))
                width, done = stage.outputs, done + 1
            parts.append(nn.Sequential(*blocks))
        parts.append(conv_norm_act(width, last_width, kernel=1, act=nn.SiLU))
        self.middle_index = min(SIXTEENTH, len(plan) - 1) + 1
        self.middle_width = plan[self.middle_index - 1].outputs
        self.last_width = self.hidden_width = last_width
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last_width, 2))
        self.apply(initialise)
