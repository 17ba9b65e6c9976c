"""The networks: MobileNetV3-Small, which is shipped, MobileNetV2 and EfficientNet-B0; all give `StudentOutput`."""

from __future__ import annotations

from ratta.errors import InputError
from ratta.train.network.efficientnet import EfficientNetB0
from ratta.train.network.mobilenet_v2 import MobileNetV2
from ratta.train.network.mobilenet_v3 import (
    CUT_INDEX,
    EMBEDDING_WIDTH,
    HIDDEN_WIDTH,
    BlockPlan,
    InvertedResidual,
    MobileNetV3Small,
)
from ratta.train.network.units import Network, SqueezeExcitation, StudentOutput, normalise

NETWORKS: dict[str, type[Network]] = {
    "mobilenet-v3-small": MobileNetV3Small,
    "mobilenet-v2": MobileNetV2,
    "efficientnet-b0": EfficientNetB0,
}


def make_network(name: str) -> Network:
    """Make a fresh network by name.

    Raises
    ------
    InputError
        If the name is not in `NETWORKS`.
    """
    if name not in NETWORKS:
        raise InputError(f"network: expected one of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]()


__all__ = [
    "CUT_INDEX",
    "EMBEDDING_WIDTH",
    "HIDDEN_WIDTH",
    "NETWORKS",
    "BlockPlan",
    "EfficientNetB0",
    "InvertedResidual",
    "MobileNetV2",
    "MobileNetV3Small",
    "Network",
    "SqueezeExcitation",
    "StudentOutput",
    "make_network",
    "normalise",
]
