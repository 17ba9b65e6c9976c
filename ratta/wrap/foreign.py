"""A foreign network as its ONNX file tells of it: input, outputs, the feature before the last layer, normalisations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from ratta.errors import BundleError, MissingExtraError

DTYPES = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}
MOST_CLASSES = 16
LAST_LAYERS = ("Gemm", "MatMul", "MatMulInteger", "Conv", "ConvInteger")
PASSING = (
    *("Softmax", "LogSoftmax", "Sigmoid", "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Add"),
    *("Mul", "Div", "Sub", "BatchNormalization", "Dropout", "Transpose", "Clip", "GlobalAveragePool", "ReduceMean"),
    *("DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"),
)
"""Operators that may stand between the last layer with weights and the scores."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Foreign:
    """A network that somebody else exported.

    Attributes
    ----------
    name : str
        Of the file, without its ending.
    model : onnx.ModelProto
        Self-contained.
    input : str
        The name of its only input.
    dtype, layout : str
        As in `ratta.contract.InputRule`, read off the input.
    size : int or None
        Side in pixels; `None` where the graph leaves it open.
    outputs : dict of str to tuple
        The declared shape of every output; a free dimension is `None`.
    """

    name: str
    model: Any
    input: str
    dtype: str
    layout: str
    size: int | None
    outputs: dict[str, tuple[int | None, ...]]

    @property
    def graph(self) -> bytes:
        """The file's content."""
        return bytes(self.model.SerializeToString())

    def scores(self, wanted: str = "") -> str:
        """Choose the output that holds the scores.

        Raises
        ------
        BundleError
            If it is not there, or several could be meant.
        """
        if wanted:
            if wanted not in self.outputs:
                raise BundleError(f"{self.name}: expected an output {wanted!r}, got {sorted(self.outputs)}")
            return wanted
        few = [n for n, s in self.outputs.items() if len(s) == 2 and (s[1] is None or s[1] <= MOST_CLASSES)]
        if len(self.outputs) == 1 and not few:
            few = [name for name, shape in self.outputs.items() if not shape or len(shape) == 2]
        if len(few) != 1:
            raise BundleError(
                f"{self.name}: expected one output (N, classes) with the scores, got {self.outputs}; say --scores"
            )
        return few[0]

    def kind(self, scores: str) -> str:
        """Tell whether the scores are "logits" or "probabilities", by the operator that makes them."""
        made = {out: node.op_type for node in self.model.graph.node for out in node.output}
        return "probabilities" if made.get(scores) in ("Softmax", "Sigmoid") else "logits"

    def embedding(self, scores: str) -> str:
        """Find the feature before the last layer with weights: its input; empty where there is none."""
        makers = {out: node for node in self.model.graph.node for out in node.output}
        weights = {one.name for one in self.model.graph.initializer}
        seen, waiting = set(), [scores]
        while waiting:
            name = waiting.pop(0)
            node = makers.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            if node.op_type in LAST_LAYERS:
                return _before_quantising(node.input[0], makers)
            if node.op_type in PASSING:
                waiting += [one for one in node.input if one and one not in weights]
        return ""

    def normalisations(self) -> Iterator[tuple[str, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        """Yield every batch normalisation that was not folded: its input, and the mean and variance it expects."""
        weights = {one.name: one for one in self.model.graph.initializer}
        for node in self.model.graph.node:
            if node.op_type == "BatchNormalization" and node.input[3] in weights and node.input[4] in weights:
                mean, var = (numpy_helper.to_array(weights[name]).astype(np.float64) for name in node.input[3:5])
                yield node.input[0], mean, var

    def with_outputs(self, *names: str) -> bytes:
        """Return the graph with these values as its outputs, and no others."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        known = {one.name: one for one in copy.graph.output}
        kept = [known.get(name) or onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        del copy.graph.output[:]
        copy.graph.output.extend(kept)
        return bytes(copy.SerializeToString())


def read_foreign(path: str | Path) -> Foreign:
    """Read somebody's network.

    Parameters
    ----------
    path : path
        An ONNX file; or a published Silent-Face state dictionary, `.pth`, which is exported on the way (needs torch).

    Raises
    ------
    BundleError
        If it cannot be wrapped: the message says why, and what would help.
    """
    path = Path(path)
    exported = _silent_face(path) if path.suffix == ".pth" else b""
    try:
        model = onnx.load_from_string(exported) if exported else onnx.load(str(path))
        onnx.checker.check_model(model)
    except OSError as error:
        raise BundleError(f"{path}: expected a readable ONNX file, got: {error.strerror or error}") from error
    except Exception as error:  # onnx and protobuf raise errors of no common base
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(
            f"{path.name}: expected an ONNX file, got: {reason}; convert it first, with torch.onnx.export, tf2onnx "
            "or the like"
        ) from error
    return _described(path.stem, model)


def _described(name: str, model: Any) -> Foreign:
    weights = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    if len(inputs) != 1:
        raise BundleError(f"{name}: expected one input, the picture, got {[one.name for one in inputs]}")
    (port,) = inputs
    dims, code = _dims(port), port.type.tensor_type.elem_type
    if code not in DTYPES:
        kind = TensorProto.DataType.Name(code)
        raise BundleError(f"{name}: expected an input of float32 or uint8, got {kind}; export it in float32")
    layout, sides = _layout(name, dims)
    if None not in sides and sides[0] != sides[1]:
        raise BundleError(
            f"{name}: expected a square input, got {sides[0]}x{sides[1]}; crops of a face are square here"
        )
    return Foreign(
        name=name,
        model=model,
        input=port.name,
        dtype=DTYPES[code],
        layout=layout,
        size=sides[0] or sides[1],
        outputs={one.name: _dims(one) for one in model.graph.output},
    )


def _dims(port: Any) -> tuple[int | None, ...]:
    shape = port.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in shape)


def _layout(name: str, dims: tuple[int | None, ...]) -> tuple[str, tuple[int | None, int | None]]:
    if len(dims) == 4 and dims[1] == 3:
        return "NCHW", (dims[2], dims[3])
    if len(dims) == 4 and dims[3] == 3:
        return "NHWC", (dims[1], dims[2])
    raise BundleError(
        f"{name}: expected an input (N, 3, S, S) or (N, S, S, 3), a colour crop, got {dims}; a network of grey, depth, "
        "infrared or several pictures cannot be wrapped"
    )


def _before_quantising(name: str, makers: dict[str, Any]) -> str:
    node = makers.get(name)
    while node is not None and node.op_type in ("DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"):
        name = node.input[0]
        node = makers.get(name)
    return name if node is not None else ""


def _silent_face(path: Path) -> bytes:
    try:
        from ratta.train.teachers import export_silent_face
    except ModuleNotFoundError as error:
        raise MissingExtraError("a .pth file needs torch to be exported: pip install 'ratta[train]'") from error
    return export_silent_face(path)
