"""ONNX's operators in NumPy: a table from an operator's name to what makes its kernel.

A maker sees the node and those of its inputs that are constants, checks both once and returns the kernel: a function of
all inputs of the node. Values have ONNX's shape (N, C, H, W) and lie in memory channels last (see `numpy_session`).
Only what the shipped graphs use is here, in the way they use it; anything else is refused at load.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from ratta.errors import BundleError
from ratta.inference import layers
from ratta.inference.graph import Array, Node

Kernel = Callable[..., Array]
Constants = Sequence[Array | None]
Maker = Callable[[Node, Constants], Kernel]

_CASTS: Mapping[int, type[np.generic]] = {1: np.float32, 2: np.uint8, 6: np.int32, 7: np.int64, 11: np.float64}
_FEW_CHANNELS = 8


def make_kernel(node: Node, constants: Constants) -> Kernel:
    """Return the function that computes a node from its inputs.

    Parameters
    ----------
    node : Node
    constants : sequence of array or None
        One entry for each input of the node: its value if that is known at load.

    Raises
    ------
    BundleError
        If the operator, or the way it is used, is not implemented.
    """
    if node.op in ACTIVATIONS:
        return _activation(ACTIVATIONS[node.op](node))
    if node.op not in _OPERATORS:
        known = ", ".join(sorted({*_OPERATORS, *ACTIVATIONS}))
        raise BundleError(f"graph.{node.name}: expected one of {known}, got {node.op}; this graph needs ONNX Runtime")
    return _OPERATORS[node.op](node, constants)


def channels_last(x: Array) -> Array:
    """View (N, C, H, W) as (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def planes(x: Array) -> Array:
    """View (N, H, W, C) as (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def _require(holds: bool, node: Node, expected: str, got: object) -> None:
    if not holds:
        message = f"expected {node.op} with {expected}, got {got}; this graph needs ONNX Runtime"
        raise BundleError(f"graph.{node.name}: {message}")


def _constant(node: Node, constants: Constants, index: int) -> Array:
    array = constants[index] if index < len(constants) else None
    _require(array is not None, node, f"a constant as input {index}", "a value that is only known later")
    assert array is not None
    return array.copy()  # a view of the file may be unaligned, and unaligned numbers are slow


def _same(node: Node, name: str, default: tuple[int, ...]) -> int:
    """Return an attribute of two values that must be equal."""
    values = node.attribute(name, default)
    _require(len(values) == 2 and values[0] == values[1] > 0, node, f"two equal {name}", values)
    return values[0]


def _pads(node: Node) -> layers.Pads:
    """Return top, left, bottom, right, which is ONNX's order too."""
    pads = node.attribute("pads", layers.NO_PADS)
    _require(len(pads) == 4 and all(0 <= pad < 16 for pad in pads), node, "four small pads", pads)
    return pads[0], pads[1], pads[2], pads[3]


def _conv(node: Node, constants: Constants) -> Kernel:
    weight = _constant(node, constants, 1)
    bias = _constant(node, constants, 2) if len(node.inputs) == 3 else np.zeros(len(weight), weight.dtype)
    group, stride, pads = node.attribute("group", 1), _same(node, "strides", (1, 1)), _pads(node)
    _require(weight.ndim == 4 and weight.shape[2] == weight.shape[3], node, "a square kernel", weight.shape)
    _require(_same(node, "dilations", (1, 1)) == 1, node, "no dilation", node.attributes.get("dilations"))
    auto = node.attribute("auto_pad", "NOTSET")
    _require(auto == "NOTSET", node, "explicit pads", auto)
    if group == 1 and weight.shape[2] == stride == 1 and not any(pads):
        layer = partial(layers.pointwise, weight=np.ascontiguousarray(weight[:, :, 0, 0].T), bias=bias)
    elif group == 1:
        kernel = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
        layer = partial(layers.dense, weight=kernel, bias=bias, stride=stride, pads=pads)
    else:
        _require(group == len(weight) and weight.shape[1] == 1, node, "one group, or one per channel", group)
        kernel = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))
        layer = partial(layers.depthwise, kernel=kernel, bias=bias, stride=stride, pads=pads)
    return lambda x, *_: planes(layer(channels_last(x)))


def _gemm(node: Node, constants: Constants) -> Kernel:
    plain = node.attribute("alpha", 1.0) == node.attribute("beta", 1.0) == 1 and node.attribute("transA", 0) == 0
    _require(plain, node, "alpha = beta = 1 and transA = 0", dict(node.attributes))
    weight, bias = _constant(node, constants, 1), _constant(node, constants, 2)
    weight = weight if node.attribute("transB", 0) else weight.T
    return lambda x, *_: layers.linear(x, weight, bias)


def _activation(function: Callable[..., Array]) -> Kernel:
    def kernel(x: Array, out: Array | None = None) -> Array:
        if x.ndim != 4:
            return function(x, out)
        return planes(function(channels_last(x), None if out is None else channels_last(out)))

    return kernel


def _binary(function: Callable[[Array, Array], Array]) -> Maker:
    """Make elementwise operators of two inputs; a few values, one per channel, are repeated to rows for speed."""

    def make(_: Node, constants: Constants) -> Kernel:
        second = constants[1]
        if second is None or second.ndim != 4 or second.shape[2:] != (1, 1) or second.shape[1] > _FEW_CHANNELS:
            return function
        channels = second.ravel().copy()

        def per_row(x: Array, _: Array) -> Array:
            n, c, h, w = x.shape
            if len(channels) not in (1, c):
                return function(x, second)
            rows = channels_last(x).reshape(n, h, w * c)
            return planes(function(rows, np.tile(channels, w * c // len(channels))).reshape(n, h, w, c))

        return per_row

    return make


def _resize(node: Node, _: Constants) -> Kernel:
    """Grow a 1x1 map, which is how gates are broadcast; in NumPy that is a view."""
    mode = node.attribute("mode", "nearest")
    _require(mode == "nearest", node, "mode nearest", mode)

    def kernel(x: Array, _roi: Array | None, scales: Array | None, sizes: Array | None = None) -> Array:
        target = scales if sizes is None else sizes  # of a 1x1 map, the factors are the sizes
        if target is None or x.shape[2:] != (1, 1):
            raise ValueError(f"Resize grows 1x1 maps to a known size, got {x.shape}")
        return np.broadcast_to(x, (*x.shape[:2], int(target[2]), int(target[3])))

    return kernel


def _max_pool(node: Node, _: Constants) -> Kernel:
    kernel, stride, pads = _same(node, "kernel_shape", ()), _same(node, "strides", (1, 1)), _pads(node)
    auto = node.attribute("auto_pad", "NOTSET")
    _require(auto in ("NOTSET", "SAME_UPPER"), node, "explicit pads or SAME_UPPER", auto)

    def before_and_after(size: int) -> tuple[int, int]:
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2

    def pool(x: Array) -> Array:
        margins = pads
        if auto == "SAME_UPPER":
            (top, bottom), (left, right) = before_and_after(x.shape[2]), before_and_after(x.shape[3])
            margins = (top, left, bottom, right)
        return planes(layers.max_pool(channels_last(x), kernel, stride=stride, pads=margins))

    return pool


def _pad(node: Node, constants: Constants) -> Kernel:
    mode, sizes = node.attribute("mode", "constant"), _constant(node, constants, 1)
    _require(mode == "constant" and sizes.shape == (8,), node, "mode constant of (N, C, H, W)", (mode, sizes.shape))
    before, after = sizes[[0, 2, 3, 1]], sizes[[4, 6, 7, 5]]
    widths = list(zip(before.tolist(), after.tolist(), strict=True))

    def pad(x: Array, _pads: Array, value: Array | None = None) -> Array:
        return planes(np.pad(channels_last(x), widths, constant_values=0 if value is None else value.item()))

    return pad


def _reshape(_node: Node, _constants: Constants) -> Kernel:
    def reshape(x: Array, shape: Array) -> Array:
        return x.reshape([int(n) or x.shape[axis] for axis, n in enumerate(shape)])  # 0 keeps the size

    return reshape


def _flatten(node: Node, _: Constants) -> Kernel:
    axis = node.attribute("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[:axis]), -1)


def _transpose(node: Node, _: Constants) -> Kernel:
    order = node.attribute("perm", ())
    return lambda x: x.transpose(order or None)


def _concat(node: Node, _: Constants) -> Kernel:
    axis = node.attribute("axis", 0)
    return lambda *arrays: np.concatenate(arrays, axis)


def _cast(node: Node, _: Constants) -> Kernel:
    dtype = _CASTS.get(node.attribute("to", 0), np.void)
    _require(dtype is not np.void, node, "a numeric type", node.attributes.get("to"))
    return lambda x: x.astype(dtype)


def _stored(node: Node, _: Constants) -> Kernel:
    _require("value" in node.attributes, node, "a tensor", sorted(node.attributes))
    value = node.attribute("value", np.empty(0))
    return lambda: value


def _average(_node: Node, _constants: Constants) -> Kernel:
    return lambda x: layers.global_average(channels_last(x))[:, :, None, None]


def _identity(_node: Node, _constants: Constants) -> Kernel:
    return lambda x: x


def _hardsigmoid(node: Node) -> Callable[..., Array]:
    return partial(layers.hardsigmoid, slope=node.attribute("alpha", 0.2), offset=node.attribute("beta", 0.5))


ACTIVATIONS: Mapping[str, Callable[[Node], Callable[..., Array]]] = {
    "HardSigmoid": _hardsigmoid,
    "HardSwish": lambda _: layers.hardswish,
    "Relu": lambda _: layers.relu,
}
"""Elementwise operators of one input; their kernels take `out`, which may be that input."""

_OPERATORS: Mapping[str, Maker] = {
    "Add": _binary(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _stored,
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _average,
    "Identity": _identity,
    "MaxPool": _max_pool,
    "Mul": _binary(np.multiply),
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Transpose": _transpose,
}
