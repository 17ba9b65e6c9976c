"""A graph in NumPy alone, for places without ONNX Runtime.

Every value has the shape that ONNX gives it, (N, C, H, W), but lies in memory channels last. So the layers of
`layers.py` find the (N, H, W, C) they want behind a transposed view, and every other operator (transpose, reshape,
concat) is NumPy's own and right without a special case.

At load, weights are laid out once, operators of constants alone are computed once, and an activation that is the only
reader of a convolution is told to write into its memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ratta.errors import BundleError, InputError
from ratta.inference.graph import Array, Graph, Node, Port, read_graph
from ratta.inference.operators import ACTIVATIONS, Kernel, make_kernel


class NumpySession:
    """A graph in NumPy on the CPU; answers as `OrtSession` does.

    Parameters
    ----------
    graph : bytes
        The ONNX model, self-contained.
    outputs : tuple of str, optional
        Values inside the graph to answer with instead of the graph's outputs; only what they need is computed.

    Raises
    ------
    BundleError
        If the graph cannot be read or has an operator that is not implemented here.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names in graph order.
    shapes : dict of str to tuple
        The declared shape of every input and output of the graph; a free dimension is `None`.
    """

    def __init__(self, graph: bytes, *, outputs: tuple[str, ...] | None = None) -> None:
        parsed = read_graph(graph)
        self.inputs = tuple(port.name for port in parsed.inputs)
        self.outputs = outputs or tuple(port.name for port in parsed.outputs)
        self.shapes = {port.name: port.shape for port in (*parsed.inputs, *parsed.outputs)}
        self._ports = parsed.inputs
        self._constants: dict[str, Array | None] = {k: v.array for k, v in parsed.initializers.items()}
        self._constants[""] = None  # an optional input that is left out
        _check_known(self.outputs, parsed)
        try:
            self._steps = _plan(_needed(parsed.nodes, self.outputs), self.outputs, self._constants)
        except BundleError:
            raise
        except (ValueError, TypeError, IndexError) as error:  # shapes that do not fit each other
            raise BundleError(
                f"graph: expected operators and weights that fit, got: {error}; export it again"
            ) from error

    def run(self, feeds: dict[str, Array]) -> tuple[Array, ...]:
        """Run the graph once.

        Parameters
        ----------
        feeds : dict of str to array
            One array for each name in `inputs`.

        Returns
        -------
        tuple of arrays
            In the order of `outputs`.

        Raises
        ------
        InputError
            If an array does not fit the graph.
        """
        if set(feeds) != set(self.inputs):
            raise InputError(f"session.run: expected inputs {self.inputs}, got {tuple(feeds)}")
        values: dict[str, Any] = dict(self._constants)
        values.update((port.name, _fitting(np.asarray(feeds[port.name]), port)) for port in self._ports)
        for step in self._steps:
            try:
                values[step.output] = step.kernel(*[values[name] for name in step.inputs])
            except (ValueError, TypeError, IndexError) as error:
                raise InputError(
                    f"session.run, {step.output}: expected inputs that fit the graph, got: {error}"
                ) from error
            for name in step.done:
                del values[name]
        return tuple(values[name] for name in self.outputs)


def _check_known(outputs: tuple[str, ...], graph: Graph) -> None:
    known = {
        *graph.initializers,
        *(port.name for port in graph.inputs),
        *(o for node in graph.nodes for o in node.outputs),
    }
    for name in outputs:
        if name not in known:
            raise BundleError(f"graph: expected a value of the graph, got {name!r}")


class _Step(NamedTuple):
    """One operator: what computes it, from which values, under which name, and which values nobody reads after it."""

    kernel: Kernel
    inputs: tuple[str, ...]
    output: str
    done: tuple[str, ...]


def _fitting(array: Array, port: Port) -> Array:
    """Return the array if it has the rank, sizes and type that the port declares."""
    fits = array.ndim == len(port.shape) and all(e in (None, g) for e, g in zip(port.shape, array.shape, strict=True))
    if not fits or array.dtype != port.dtype:
        expected, got = f"{port.shape} {port.dtype}", f"{array.shape} {array.dtype}"
        raise InputError(f"session.run, {port.name}: expected {expected}, got {got}")
    return array


def _needed(nodes: Sequence[Node], outputs: tuple[str, ...]) -> list[Node]:
    """Return the operators that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _plan(nodes: list[Node], outputs: tuple[str, ...], constants: dict[str, Array | None]) -> list[_Step]:
    """Turn operators into steps; what constants alone decide becomes a constant."""
    readers = Counter([*(name for node in nodes for name in node.inputs), *outputs])
    spare: set[str] = set()
    steps = []
    for node in nodes:
        kernel = make_kernel(node, [constants.get(name) for name in node.inputs])
        inputs, output = node.inputs, node.outputs[0]
        if all(name in constants for name in inputs):
            constants[output] = kernel(*[constants[name] for name in inputs])
            continue
        if node.op in ACTIVATIONS and inputs[0] in spare:
            inputs = (inputs[0], inputs[0])  # `x` and `out`
        if node.op == "Conv" and readers[output] == 1:
            spare.add(output)  # fresh memory with a single reader: that reader may write over it
        readers.subtract(node.inputs)
        done = tuple(name for name in {*node.inputs} if readers[name] == 0 and name not in constants)
        steps.append(_Step(kernel, inputs, output, done))
    return steps
