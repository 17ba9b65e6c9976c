"""Export: the student as an ONNX graph written node by node, its batch normalisation folded, and its affine parts.

The graph takes ``pixels (N, S, S, 3) uint8`` RGB and gives ``logits (N, 2)``, ``embedding (N, 576)`` and
``cut (N, 96, h, w)``. Weights carry stable names: ``features.0.weight``, ``features.10.block.1.bias``, ... and, so that
names do not carry the file over its limit, short ones for the frozen middle: ``f4.1.w`` is
``features.4.block.1.weight`` (see :func:`stored_name`). Beside it, ``affine.npz`` holds what was folded, under full
names: ``<layer>.gamma``, ``.beta``, ``.mean`` and ``.var``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from torch import nn

from ratta.errors import TrainingError
from ratta.train.loop import write_atomically
from ratta.train.network import CUT_INDEX, MobileNetV3Small, SqueezeExcitation, normalise

OPSET = 17
IR_VERSION = 9
MAX_BYTES = 3_840_000
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote and how true it is.

    Attributes
    ----------
    path : str
        The graph.
    parameters, size_bytes : int
        Trained parameters of the network, and bytes of the graph.
    max_deviation : float
        Largest absolute difference of a logit between torch and ONNX Runtime on the crops given; nan without crops.
    crops : int
        How many crops were compared.
    """

    path: str
    parameters: int
    size_bytes: int
    max_deviation: float
    crops: int


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


def affine_parts(network: MobileNetV3Small) -> dict[str, Array]:
    """Gamma, beta, running mean and variance of every normalisation, under its layer's name."""
    parts: dict[str, Array] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            layer = name.rpartition(".")[0]
            assert module.running_mean is not None
            assert module.running_var is not None
            values = (module.weight, module.bias, module.running_mean, module.running_var)
            for part, value in zip(("gamma", "beta", "mean", "var"), values, strict=True):
                parts[f"{layer}.{part}"] = value.detach().numpy().astype(np.float32).copy()
    return parts


class _Writer:
    """Collects nodes and weights of a graph."""

    def __init__(self, *, size: int) -> None:
        self.size = size
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, value: NDArray[Any]) -> str:
        name = stored_name(name)
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
        if len(unit) < 3:
            return x
        return self.op("HardSwish" if isinstance(unit[2], nn.Hardswish) else "Relu", [x])

    def gate(self, x: str, name: str, gate: SqueezeExcitation) -> str:
        """Squeeze and excitation; the gate is broadcast by Resize, which runs faster than a broadcast product."""
        y = self.op("GlobalAveragePool", [x])
        for layer, conv, kind in (("fc1", gate.fc1, "Relu"), ("fc2", gate.fc2, "HardSigmoid")):
            assert conv.bias is not None
            weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
            y = self.conv(y, f"{name}.{layer}", conv, weight, bias)
            slope: dict[str, Any] = {"alpha": 1 / 6} if kind == "HardSigmoid" else {}
            y = self.op(kind, [y], **slope)
        return self.op("Mul", [x, self.op("Resize", [y, "", self._scales()])])

    def _scales(self) -> str:
        """Scales that spread a 1x1 map over the current grid (nearest is Resize's default), shared by all gates."""
        name = f"x{self.size}"
        if all(weight.name != name for weight in self.weights):
            self.weight(name, np.array([1, 1, self.size, self.size], np.float32))
        return name

    def linear(self, x: str, name: str, linear: nn.Linear, output: str = "") -> str:
        weights = [
            self.weight(f"{name}.weight", linear.weight.detach().numpy()),
            self.weight(f"{name}.bias", linear.bias.detach().numpy()),
        ]
        return self.op("Gemm", [x, *weights], output, transB=1)


def _write_features(writer: _Writer, network: MobileNetV3Small, *, divide: float) -> str:
    x = writer.op("Transpose", ["pixels"], perm=[0, 3, 1, 2])
    x = writer.op("Cast", [x], to=TensorProto.FLOAT)
    last = len(network.features) - 1
    x = writer.unit(x, "features.0", network.features[0], divide=divide)  # type: ignore[arg-type]
    for index in range(1, last):
        if index == CUT_INDEX:
            x = writer.op("Identity", [x], "cut")
        x = _write_block(writer, x, f"features.{index}", network.features[index])
    return writer.unit(x, f"features.{last}", network.features[last])  # type: ignore[arg-type]


def _write_block(writer: _Writer, x: str, name: str, block: Any) -> str:
    y = x
    for step, part in enumerate(block.block):
        inner = f"{name}.block.{step}"
        y = writer.gate(y, inner, part) if isinstance(part, SqueezeExcitation) else writer.unit(y, inner, part)
    return writer.op("Add", [x, y]) if block.shortcut else y


def build_graph(network: MobileNetV3Small, *, size: int, std: float) -> ModelProto:
    """Write the network's graph for inputs of side ``size``; pixels are divided by ``std`` inside the first weights."""
    network = network.eval()
    writer = _Writer(size=size)
    x = _write_features(writer, network, divide=std)
    cut_side = -(-size // 32)
    pooled = writer.op("GlobalAveragePool", [x])
    embedding = writer.op("Flatten", [pooled], "embedding", axis=1)
    hidden = writer.linear(embedding, "classifier.0", network.classifier[0])  # type: ignore[arg-type]
    hidden = writer.op("HardSwish", [hidden])
    writer.linear(hidden, "classifier.2", network.classifier[2], "logits")  # type: ignore[arg-type]
    width = network.plan[-1].outputs
    shapes: dict[str, tuple[str | int, ...]] = {
        "logits": ("N", 2),
        "embedding": ("N", network.last_width),
        "cut": ("N", width, cut_side, cut_side),
    }
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


def export_graph(
    network: MobileNetV3Small,
    *,
    size: int,
    mean: float = 0.0,
    std: float = 255.0,
    path: str | Path,
    crops: NDArray[np.uint8] | None = None,
) -> ExportReport:
    """Write the graph and, beside it, ``affine.npz``; check it against torch on real crops.

    Parameters
    ----------
    network : MobileNetV3Small
        The trained network.
    size : int
        Side of the input in pixels.
    mean, std : float
        Normalisation of pixels 0-255. Only ``mean = 0`` folds into the first convolution exactly at the borders.
    path : path
        The ``.onnx`` file to write.
    crops : ndarray, optional
        ``(N, size, size, 3) uint8`` RGB crops to compare on.

    Raises
    ------
    TrainingError
        If the mean is not zero, the file grows beyond 3.84 MB, the disk is full, or torch and ONNX Runtime differ.
    """
    if mean != 0.0:
        raise TrainingError(
            f"export: expected mean 0, got {mean}; train with pixels / std so that borders fold exactly"
        )
    data = build_graph(network, size=size, std=std).SerializeToString()
    if len(data) > MAX_BYTES:
        raise TrainingError(f"export: expected at most {MAX_BYTES} bytes, got {len(data)}; shrink the network")
    target = write_atomically(Path(path), data)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **affine_parts(network))
    write_atomically(target.with_name("affine.npz"), buffer.getvalue())
    deviation = float("nan") if crops is None else max_deviation(network, data, crops, std=std)
    if deviation > 1e-2:
        raise TrainingError(f"export: expected torch and ONNX Runtime to agree, got {deviation:.3g}; report this")
    return ExportReport(
        path=target.name,
        parameters=sum(p.numel() for p in network.parameters()),
        size_bytes=len(data),
        max_deviation=deviation,
        crops=0 if crops is None else len(crops),
    )


def max_deviation(network: MobileNetV3Small, graph: bytes, crops: NDArray[np.uint8], *, std: float = 255.0) -> float:
    """Largest absolute logit difference between torch and ONNX Runtime, crop by crop."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for start in range(0, len(crops), 50):
        chunk = np.ascontiguousarray(crops[start : start + 50])
        with torch.inference_mode():
            expected = network.eval()(normalise(torch.from_numpy(chunk), std=std)).logits.numpy()
        worst = max(worst, float(np.abs(expected - session.run(["logits"], {"pixels": chunk})[0]).max()))
    return worst


def card_facts(
    network: MobileNetV3Small, report: ExportReport, *, size: int, run: dict[str, Any], std: float = 255.0
) -> dict[str, Any]:
    """Everything a model card and a manifest need to say about training and export, as plain values."""
    return {
        "architecture": "MobileNetV3-Small x1.0, head 576-64-2",
        "parameters": report.parameters,
        "feature_parameters": sum(p.numel() for p in network.features.parameters()),
        "size_bytes": report.size_bytes,
        "export_max_deviation": report.max_deviation,
        "export_crops": report.crops,
        "input": {"name": "pixels", "size": size, "layout": "NHWC", "dtype": "uint8", "color": "rgb"},
        "normalisation": {"mean": 0.0, "std": std, "where": "folded into the first convolution"},
        "classes": ["spoof", "live"],
        "outputs": {"logits": 2, "embedding": EMBEDDING, "cut": "input of features.10"},
        **run,
    }


EMBEDDING = 576
