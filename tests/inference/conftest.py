"""The network with seeded weights as ONNX bytes, written without the onnx package, so that the plain run needs none."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest

EPS = 1e-3
TYPES = {"float32": 1, "uint8": 2, "int64": 7, "float16": 10}
PLAN = (  # inputs, kernel, expanded, outputs, squeezed (0 = no gate), hardswish, stride
    (16, 3, 16, 16, 8, False, 2),
    (16, 3, 72, 24, 0, False, 2),
    (24, 3, 88, 24, 0, False, 1),
    (24, 5, 96, 40, 24, True, 2),
    (40, 5, 240, 40, 64, True, 1),
    (40, 5, 240, 40, 64, True, 1),
    (40, 5, 120, 48, 32, True, 1),
    (48, 5, 144, 48, 40, True, 1),
    (48, 5, 288, 96, 72, True, 2),
    (96, 5, 576, 96, 144, True, 1),
    (96, 5, 576, 96, 144, True, 1),
)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def entry(number: int, value: int | float | str | bytes) -> bytes:
    """One protocol buffer field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, array: np.ndarray) -> bytes:
    head = b"".join(entry(1, n) for n in array.shape) + entry(2, TYPES[array.dtype.name])
    return head + entry(8, name) + entry(9, array.tobytes())


def attribute(name: str, value: Any) -> bytes:
    if isinstance(value, tuple):
        return entry(1, name) + b"".join(entry(8, n) for n in value) + entry(20, 7)
    number, kind = {int: (3, 2), float: (2, 1), str: (4, 3)}[type(value)]
    return entry(1, name) + entry(number, value) + entry(20, kind)


def node(op: str, inputs: Iterable[str], outputs: Iterable[str], **attributes: Any) -> bytes:
    parts = [entry(1, name) for name in inputs] + [entry(2, name) for name in outputs] + [entry(4, op)]
    return b"".join(parts) + b"".join(entry(5, attribute(k, v)) for k, v in attributes.items())


def port(name: str, kind: str, shape: Iterable[int | str]) -> bytes:
    dims = b"".join(entry(1, entry(1 if isinstance(n, int) else 2, n)) for n in shape)
    return entry(1, name) + entry(2, entry(1, entry(1, TYPES[kind]) + entry(2, dims)))


def model(
    nodes: Iterable[bytes], weights: dict[str, np.ndarray], inputs: Iterable[bytes], outputs: Iterable[bytes]
) -> bytes:
    graph = (
        b"".join(entry(1, n) for n in nodes) + entry(2, "g") + b"".join(entry(5, tensor(*w)) for w in weights.items())
    )
    graph += b"".join(entry(11, p) for p in inputs) + b"".join(entry(12, p) for p in outputs)
    return entry(1, 8) + entry(7, graph) + entry(8, entry(1, "") + entry(2, 17))


@dataclass
class Builder:
    """Collects nodes and weights while the network is laid out."""

    rng: np.random.Generator
    nodes: list[bytes] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    affine: dict[str, np.ndarray] = field(default_factory=dict)
    state: dict[str, np.ndarray] = field(default_factory=dict)

    def op(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(node(op, inputs, [output], **attributes))
        return output

    def constant(self, name: str, array: Any) -> str:
        self.weights[name] = np.asarray(array)
        return name

    def normal(self, *shape: int, scale: float) -> np.ndarray:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def conv_norm(self, x: str, name: str, shape: tuple[int, int, int, int], stride: int = 1, groups: int = 1) -> str:
        """Write a convolution with batch normalisation folded in, and remember the normalisation."""
        width, kernel = shape[0], shape[2]
        weight = self.normal(*shape, scale=float(np.sqrt(1 / np.prod(shape[1:]))))
        bn = {
            "gamma": self.rng.uniform(0.7, 1.5, width) * self.rng.choice([-1, 1], width, p=[0.1, 0.9]),
            "beta": self.rng.normal(0.2, 0.5, width),
            "mean": self.rng.normal(0, 0.3, width),
            "var": self.rng.uniform(0.5, 1.5, width),
        }
        bn = {key: value.astype(np.float32) for key, value in bn.items()}
        self.affine |= {f"{name}.{key}": value for key, value in bn.items()}
        self.remember(name, weight, bn)
        scale = bn["gamma"] / np.sqrt(bn["var"] + np.float32(EPS))
        folded = self.constant(f"{name}.weight", (weight * scale[:, None, None, None]).astype(np.float32))
        bias = self.constant(f"{name}.bias", (bn["beta"] - bn["mean"] * scale).astype(np.float32))
        half = (kernel - 1) // 2
        return self.op(
            "Conv", [x, folded, bias], f"{name}.conv",
            kernel_shape=(kernel, kernel), pads=(half,) * 4, strides=(stride, stride), group=groups,
        )  # fmt: skip

    def remember(self, name: str, weight: np.ndarray, bn: dict[str, np.ndarray]) -> None:
        """Note the unfolded layer under the names that torch gives it."""
        torch_names = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
        self.state[f"{name}.0.weight"] = weight
        self.state |= {f"{name}.1.{torch_names[key]}": value for key, value in bn.items()}

    def plain(self, name: str, weight: np.ndarray, bias: np.ndarray) -> list[str]:
        """Store a layer without normalisation, and note it for torch."""
        arrays = {f"{name}.weight": weight, f"{name}.bias": bias}
        self.state |= arrays
        return [self.constant(key, value) for key, value in arrays.items()]

    def gate(self, x: str, name: str, width: int, squeezed: int, size: int) -> str:
        pooled = self.op("GlobalAveragePool", [x], f"{name}.pool")
        for layer, shape in (("fc1", (squeezed, width, 1, 1)), ("fc2", (width, squeezed, 1, 1))):
            weight, bias = self.normal(*shape, scale=1.5 / float(np.sqrt(shape[1]))), self.normal(shape[0], scale=0.2)
            stored = self.plain(f"{name}.{layer}", weight, bias)
            pooled = self.op("Conv", [pooled, *stored], f"{name}.{layer}", kernel_shape=(1, 1))
            if layer == "fc1":
                pooled = self.op("Relu", [pooled], f"{name}.relu")
        gate = self.op("HardSigmoid", [pooled], f"{name}.hardsigmoid", alpha=1 / 6, beta=0.5)
        scales = self.constant(f"{name}.scales", np.array([1, 1, size, size], np.float32))
        wide = self.op(
            "Resize", [gate, "", scales], f"{name}.wide",
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        return self.op("Mul", [x, wide], f"{name}.out")

    def block(self, x: str, index: int, size: int) -> tuple[str, int]:
        inputs, kernel, expanded, outputs, squeezed, hardswish, stride = PLAN[index - 1]
        activation, name, start, step = "HardSwish" if hardswish else "Relu", f"features.{index}.block", x, 0
        if expanded != inputs:
            x = self.op(activation, [self.conv_norm(x, f"{name}.0", (expanded, inputs, 1, 1))], f"{name}.0.out")
            step = 1
        x = self.conv_norm(x, f"{name}.{step}", (expanded, 1, kernel, kernel), stride, expanded)
        x, size = self.op(activation, [x], f"{name}.{step}.out"), size // stride
        if squeezed:
            step += 1
            x = self.gate(x, f"{name}.{step}", expanded, squeezed, size)
        x = self.conv_norm(x, f"{name}.{step + 1}", (outputs, expanded, 1, 1))
        return (self.op("Add", [x, start], f"{name}.sum") if stride == 1 and inputs == outputs else x), size

    def head(self, x: str) -> None:
        """From the last feature map to `embedding` and `logits`."""
        pooled = self.op("GlobalAveragePool", [x], "pooled")
        self.op("Flatten", [pooled], "embedding", axis=1)
        for layer, shape, out in ((0, (64, 576), "hidden"), (2, (2, 64), "logits")):
            stored = self.plain(f"classifier.{layer}", self.normal(*shape, scale=0.1), self.normal(shape[0], scale=0.1))
            self.op("Gemm", ["embedding" if layer == 0 else "hidden.out", *stored], out, transB=1)
            if layer == 0:
                self.op("HardSwish", ["hidden"], "hidden.out")


@dataclass(frozen=True)
class Model:
    """An exported network: the graph's bytes, the unfolded normalisation, and all of it under torch's names."""

    graph: bytes
    affine: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    size: int


def network(size: int = 64, seed: int = 0) -> Model:
    """MobileNetV3-Small x1.0 with the head 576-64-2, laid out as `ratta export` does it."""
    b = Builder(np.random.default_rng(seed))
    x = b.op("Transpose", ["pixels"], "planes", perm=(0, 3, 1, 2))
    x = b.op("Cast", [x], "floats", to=1)
    std = np.array([58, 57, 60], np.float32).reshape(1, 3, 1, 1)
    x = b.op("Mul", [x, b.constant("input.scale", 1 / std)], "scaled")
    x = b.op("Add", [x, b.constant("input.shift", -np.float32(120) / std)], "normalised")
    x = b.op("HardSwish", [b.conv_norm(x, "features.0", (16, 3, 3, 3), 2)], "features.0.out")
    side = size // 2
    for index in range(1, len(PLAN) + 1):
        if index == 10:
            x = b.op("Identity", [x], "cut")
        x, side = b.block(x, index, side)
    b.head(b.op("HardSwish", [b.conv_norm(x, "features.12", (576, 96, 1, 1))], "features.12.out"))
    outputs = [
        port("logits", "float32", ["N", 2]),
        port("embedding", "float32", ["N", 576]),
        port("cut", "float32", ["N", 96, size // 32, size // 32]),
    ]
    graph = model(b.nodes, b.weights, [port("pixels", "uint8", ["N", size, size, 3])], outputs)
    return Model(graph, b.affine, b.state, size)


@pytest.fixture(scope="session")
def net() -> Model:
    return network()


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Model]:
    return network


@pytest.fixture(scope="session")
def crops(net: Model) -> np.ndarray:
    """Four crops of noise, from dark to bright: (4, S, S, 3) uint8."""
    noise = np.random.default_rng(7).random((4, net.size, net.size, 3))
    return (noise * np.array([60, 120, 200, 255]).reshape(4, 1, 1, 1)).astype(np.uint8)


@pytest.fixture
def onnx() -> ModuleType:
    """Give tests that write small graphs of their own the writer in this file."""
    return sys.modules[__name__]
