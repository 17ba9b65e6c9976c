"""MobileNetV2 x1.0 (Sandler et al. 2018) in torchvision's layout and naming, with two logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ratta.train.network.units import Network, conv_norm_act, initialise

STEM_WIDTH, LAST_WIDTH = 32, 1280


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks in a row: expansion, output channels, how many, stride of the first."""

    expansion: int
    outputs: int
    repeats: int
    stride: int


PLAN = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
SIXTEENTH = 4
"""The stage of the plan after which the map still has a sixteenth of the input's side."""


class LinearBottleneck(nn.Module):
    """Expand, filter depthwise, project without an activation; with a shortcut where shapes allow."""

    def __init__(self, *, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        expand = [conv_norm_act(inputs, width, kernel=1, act=nn.ReLU6)] if expansion > 1 else []
        filtered = conv_norm_act(width, width, kernel=3, stride=stride, groups=width, act=nn.ReLU6)
        project = conv_norm_act(width, outputs, kernel=1, act=None)
        self.conv = nn.Sequential(*expand, filtered, *project)

    def units(self) -> Iterator[tuple[str, nn.Sequential]]:
        """Give the block's units of convolution, normalisation and activation, each with its name."""
        *units, conv, norm = self.conv
        for index, unit in enumerate(units):
            assert isinstance(unit, nn.Sequential)
            yield f"conv.{index}", unit
        yield f"conv.{len(units)}", nn.Sequential(conv, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Run ``(N, C, H, W)`` through the block."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2(Network):
    """MobileNetV2 x1.0; class order ``[spoof, live]``.

    Parameters
    ----------
    plan : tuple of Stage
        The default is the published plan.
    last_width : int
        Channels of the last 1x1 convolution, hence of the embedding.
    dropout : float
        Before the last layer, while training.

    Examples
    --------
    >>> sum(p.numel() for p in MobileNetV2().parameters())
    2226434
    """

    def __init__(self, *, plan: tuple[Stage, ...] = PLAN, last_width: int = LAST_WIDTH, dropout: float = 0.2) -> None:
        super().__init__()
        parts: list[nn.Module] = [conv_norm_act(3, STEM_WIDTH, kernel=3, stride=2, act=nn.ReLU6)]
        width = STEM_WIDTH
        for index, stage in enumerate(plan):
            for position in range(stage.repeats):
                stride = stage.stride if position == 0 else 1
                parts.append(
                    LinearBottleneck(inputs=width, outputs=stage.outputs, expansion=stage.expansion, stride=stride)
                )
                width = stage.outputs
            if index == SIXTEENTH:
                self.middle_index, self.middle_width = len(parts) - 1, width
        parts.append(conv_norm_act(width, last_width, kernel=1, act=nn.ReLU6))
        self.last_width = self.hidden_width = last_width
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last_width, 2))
        self.apply(initialise)
