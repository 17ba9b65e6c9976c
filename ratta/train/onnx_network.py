"""An ONNX classifier as a torch module, so that it can judge on the device where the student learns.

Knows the operators of convolutional classifiers; :func:`open_classifier` leaves any other file to ONNX Runtime, and
checks what it takes over against it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from ratta.errors import DataError
from ratta.inference.session import import_onnxruntime

Attributes = dict[str, Any]
Operator = Callable[[list[Tensor], Attributes], Tensor]


def _check(attributes: Attributes, allowed: dict[str, object]) -> None:
    """Refuse a value of an attribute that would mean something else here."""
    for name, value in allowed.items():
        if attributes.get(name, value) != value:
            raise DataError(f"attribute {name}: expected {value!r}, got {attributes[name]!r}")


def _convolve(inputs: list[Tensor], a: Attributes) -> Tensor:
    _check(a, {"auto_pad": b"NOTSET"})
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    x = functional.pad(inputs[0], (left, right, top, bottom))
    bias = inputs[2] if len(inputs) > 2 else None
    steps, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    return functional.conv2d(x, inputs[1], bias, steps, 0, dilations, a.get("group", 1))


def _normalise(inputs: list[Tensor], a: Attributes) -> Tensor:
    x, weight, bias, mean, var = inputs
    return functional.batch_norm(x, mean, var, weight, bias, eps=a.get("epsilon", 1e-5))


def _prelu(inputs: list[Tensor], _: Attributes) -> Tensor:
    return functional.prelu(inputs[0], inputs[1].flatten())


def _gemm(inputs: list[Tensor], a: Attributes) -> Tensor:
    _check(a, {"transA": 0})
    weight = inputs[1].T if a.get("transB") else inputs[1]
    out: Tensor = a.get("alpha", 1.0) * (inputs[0] @ weight)
    if len(inputs) > 2:
        out = out + a.get("beta", 1.0) * inputs[2]
    return out


def _flatten(inputs: list[Tensor], a: Attributes) -> Tensor:
    _check(a, {"axis": 1})
    return inputs[0].flatten(1)


OPERATORS: dict[str, Operator] = {
    "Conv": _convolve,
    "BatchNormalization": _normalise,
    "PRelu": _prelu,
    "Gemm": _gemm,
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Sigmoid": lambda inputs, _: inputs[0].sigmoid(),
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Identity": lambda inputs, _: inputs[0],
}
SHAPES = {"Shape", "Gather", "Unsqueeze", "Concat", "Constant"}
"""Operators that only compute the shape of the flattened features, which a batch does not need."""


class OnnxNetwork(nn.Module):
    """A convolutional classifier read from an ONNX file.

    Parameters
    ----------
    path : path
        One float input ``(N, 3, S, S)``, one output; a ``Reshape`` may only flatten.

    Raises
    ------
    DataError
        If the file is not readable or has an operator that is not known here.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        try:
            graph = onnx.load(str(path)).graph
        except Exception as error:
            raise DataError(f"{Path(path).name}: expected a readable ONNX file, got {error}") from error
        unknown = {n.op_type for n in graph.node} - OPERATORS.keys() - SHAPES
        if unknown:
            raise DataError(f"{Path(path).name}: expected operators {', '.join(OPERATORS)}, got {', '.join(unknown)}")
        self._names = {tensor.name: f"w{index}" for index, tensor in enumerate(graph.initializer)}
        for tensor in graph.initializer:
            values = np.array(numpy_helper.to_array(tensor))
            self.register_buffer(self._names[tensor.name], torch.from_numpy(values))
        self._nodes = [
            (
                OPERATORS[node.op_type],
                list(node.input)[: 1 if node.op_type == "Reshape" else None],
                node.output[0],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
            if node.op_type in OPERATORS
        ]
        self._input = next(v.name for v in graph.input if v.name not in self._names)
        self._output = graph.output[0].name

    def forward(self, x: Tensor) -> Tensor:
        """Run ``(N, 3, S, S) float32`` and give the first output."""
        found = {name: getattr(self, buffer) for name, buffer in self._names.items()} | {self._input: x}
        for operator, inputs, output, attributes in self._nodes:
            found[output] = operator([found[name] for name in inputs], attributes)
        result: Tensor = found[self._output]
        return result


class RuntimeNetwork(nn.Module):
    """Any ONNX classifier, run by ONNX Runtime on the CPU wherever its input lies.

    Parameters
    ----------
    path : path
        One float input ``(N, 3, S, S)``.

    Raises
    ------
    DataError
        If the file is not readable.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise DataError(f"{Path(path).name}: expected a readable ONNX file, got {error}") from error
        self._input = self._session.get_inputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        """Run ``(N, 3, S, S) float32`` and give the first output."""
        values = self._session.run(None, {self._input: x.detach().cpu().numpy()})[0]
        return torch.from_numpy(np.asarray(values)).to(x.device)


def open_classifier(path: str | Path, *, size: int) -> OnnxNetwork | RuntimeNetwork:
    """Open a classifier for inputs of a size: in torch if that says what ONNX Runtime says, else in ONNX Runtime."""
    runtime = RuntimeNetwork(path)
    x = torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(0))
    try:
        expected = runtime(x)
    except Exception as error:
        raise DataError(f"{Path(path).name}: expected a classifier of (N, 3, {size}, {size}), got {error}") from error
    try:
        network = OnnxNetwork(path).eval().requires_grad_(False)
        same = torch.allclose(network(x), expected, rtol=1e-3, atol=1e-3)
    except (DataError, LookupError, RuntimeError):
        return runtime
    return network if same else runtime
