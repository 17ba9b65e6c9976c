"""A network of ours as an ONNX graph, written node by node, its batch normalisation folded.

The graph takes ``pixels (N, S, S, 3) uint8`` RGB and gives ``logits (N, 2)`` and ``embedding (N, E)``; that of
MobileNetV3-Small, whose tail can be adapted, also ``cut (N, 96, h, w)``. Weights carry stable names:
``features.0.weight``, ``features.10.block.1.bias``, ... and, so that names do not carry the shipped file over its
limit, short ones for the frozen middle: ``f4.1.w`` is ``features.4.block.1.weight`` (see :func:`stored_name`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from torch import nn

from ratta.errors import TrainingError
from ratta.train.network import CUT_INDEX, MobileNetV3Small, Network, SqueezeExcitation

OPSET = 17
IR_VERSION = 9
Array = NDArray[np.float32]


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Array, Array]:
    """Fold a normalisation into the convolution before it: weight and bias."""
    scale, shift = _scale_shift(norm)
    weight = conv.weight.detach().double().numpy() * scale[:, None, None, None]
    return weight.astype(np.float32), shift.astype(np.float32)


def _scale_shift(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    return scale.numpy(), shift.numpy()


def stored_name(name: str) -> str:
    """Name of a weight in the graph: the full one for the first layer, the tail and the head, else a short one.

    Examples
    --------
    >>> stored_name("features.4.block.2.fc1.weight"), stored_name("features.10.block.0.bias")
    ('f4.2.fc1.w', 'features.10.block.0.bias')
    """
    parts = name.split(".")
    if parts[0] != "features" or not 0 < int(parts[1]) < CUT_INDEX:
        return name
    return ".".join((f"f{parts[1]}", *parts[3:-1], parts[-1][0]))


class _Writer:
    """Collects nodes and weights of a graph."""

    def __init__(self, *, size: int, rename: Callable[[str], str]) -> None:
        self.size = size
        self.rename = rename
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, value: NDArray[Any]) -> str:
        name = self.rename(name)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node without a name; names of inner values are kept short, since every byte of the file counts."""
        output = output or np.base_repr(len(self.nodes), 36)
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(self, x: str, name: str, conv: nn.Conv2d, weight: Array, bias: Array) -> str:
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        if stride > 1:
            self.size = (self.size - 1) // stride + 1
        weights = [self.weight(f"{name}.weight", weight), self.weight(f"{name}.bias", bias)]
        attributes: dict[str, Any] = {"pads": [kernel // 2] * 4} if kernel > 1 else {}
        attributes |= {"strides": [stride, stride]} if stride > 1 else {}
        attributes |= {"group": conv.groups} if conv.groups > 1 else {}
        return self.op("Conv", [x, *weights], **attributes)

    def unit(self, x: str, name: str, unit: nn.Sequential, *, divide: float = 1.0) -> str:
        """Give a convolution, its folded normalisation and its activation."""
        conv, norm = unit[0], unit[1]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        weight, bias = fold(conv, norm)
        x = self.conv(x, name, conv, (weight / divide).astype(np.float32), bias)
        return x if len(unit) < 3 else self.activation(x, unit[2])

    def activation(self, x: str, module: nn.Module) -> str:
        """Give an activation."""
        if isinstance(module, nn.SiLU):
            return self.op("Mul", [x, self.op("Sigmoid", [x])])
        if isinstance(module, nn.ReLU6):
            return self.op("Clip", [x, self._constant("low", 0.0), self._constant("high", 6.0)])
        if isinstance(module, nn.Hardsigmoid):
            return self.op("HardSigmoid", [x], alpha=1 / 6)
        kinds = {nn.ReLU: "Relu", nn.Hardswish: "HardSwish", nn.Sigmoid: "Sigmoid"}
        if type(module) not in kinds:
            raise TrainingError(f"export: expected an activation of {[k.__name__ for k in kinds]}, got {module}")
        return self.op(kinds[type(module)], [x])

    def _constant(self, name: str, value: float | list[int]) -> str:
        """Store a constant once."""
        if all(weight.name != name for weight in self.weights):
            self.weight(name, np.array(value, np.float32))
        return name

    def gate(self, x: str, name: str, gate: SqueezeExcitation) -> str:
        """Squeeze and excitation; the gate is broadcast by Resize, which runs faster than a broadcast product."""
        y = self.op("GlobalAveragePool", [x])
        layers = (("fc1", gate.fc1, gate.activation), ("fc2", gate.fc2, gate.scale_activation))
        for layer, conv, act in layers:
            assert conv.bias is not None
            weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
            y = self.activation(self.conv(y, f"{name}.{layer}", conv, weight, bias), act)
        # Nearest is Resize's default; the scales of one grid are shared by all its gates.
        scales = self._constant(f"x{self.size}", [1, 1, self.size, self.size])
        return self.op("Mul", [x, self.op("Resize", [y, "", scales])])

    def linear(self, x: str, name: str, linear: nn.Linear, output: str = "") -> str:
        weights = [
            self.weight(f"{name}.weight", linear.weight.detach().numpy()),
            self.weight(f"{name}.bias", linear.bias.detach().numpy()),
        ]
        return self.op("Gemm", [x, *weights], output, transB=1)


def _write_features(writer: _Writer, network: Network, *, divide: float) -> str:
    x = writer.op("Transpose", ["pixels"], perm=[0, 3, 1, 2])
    x = writer.op("Cast", [x], to=TensorProto.FLOAT)
    for index, part in enumerate(network.features):
        if index == CUT_INDEX and isinstance(network, MobileNetV3Small):
            x = writer.op("Identity", [x], "cut")
        x = _write_part(writer, x, f"features.{index}", part, divide=divide if index == 0 else 1.0)
    return x


def _write_part(writer: _Writer, x: str, name: str, part: Any, *, divide: float = 1.0) -> str:
    """Write a unit of convolution and normalisation, a gate, a block of them, or a row of blocks."""
    if isinstance(part, SqueezeExcitation):
        return writer.gate(x, name, part)
    if isinstance(part, nn.Sequential):
        if isinstance(part[0], nn.Conv2d):
            return writer.unit(x, name, part, divide=divide)
        for index, block in enumerate(part):
            x = _write_part(writer, x, f"{name}.{index}", block)
        return x
    y = x
    for inner, unit in part.units():
        y = _write_part(writer, y, f"{name}.{inner}", unit)
    return writer.op("Add", [x, y]) if part.shortcut else y


def _write_head(writer: _Writer, x: str, network: Network) -> None:
    last = len(network.classifier) - 1
    for index, layer in enumerate(network.classifier):
        if isinstance(layer, nn.Linear):
            x = writer.linear(x, f"classifier.{index}", layer, "logits" if index == last else "")
        elif not isinstance(layer, nn.Dropout):
            x = writer.activation(x, layer)


def build_graph(network: Network, *, size: int, std: float) -> ModelProto:
    """Write the network's graph for inputs of side ``size``; pixels are divided by ``std`` inside the first weights."""
    network = network.eval()
    adaptable = isinstance(network, MobileNetV3Small)
    writer = _Writer(size=size, rename=stored_name if adaptable else str)
    x = _write_features(writer, network, divide=std)
    pooled = writer.op("GlobalAveragePool", [x])
    embedding = writer.op("Flatten", [pooled], "embedding", axis=1)
    _write_head(writer, embedding, network)
    shapes: dict[str, tuple[str | int, ...]] = {"logits": ("N", 2), "embedding": ("N", network.last_width)}
    if isinstance(network, MobileNetV3Small):
        side = -(-size // 32)
        shapes["cut"] = ("N", network.plan[-1].outputs, side, side)
    graph = helper.make_graph(
        writer.nodes,
        "ratta",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ("N", size, size, 3))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        writer.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="ratta")
    model.ir_version = IR_VERSION
    checker.check_model(model)
    return model
