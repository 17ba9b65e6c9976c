"""An ONNX model read from its bytes, without the onnx package, and written back with other weights.

ONNX files are protocol buffers: a message is a run of fields, each a *key* (field number and wire type, as one varint)
and a *value* (a varint, four or eight bytes, or a length and that many bytes; the last holds strings, nested messages
and tensors). That is the whole grammar, and `_Field.fields` reads it. What the numbers mean is in `onnx.proto`
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

Weights are not copied: an initializer is a NumPy view of the file's bytes, and it remembers its offset. So new weights
of the same shape and type are laid over the old ones in place (`patched`), and nothing else of the file changes.

The reader is strict. A file that is cut, altered or uses what the runtime core does not support is a `BundleError` that
says where; it is never half a graph.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ratta.errors import BundleError

Array = npt.NDArray[Any]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | Array
T = TypeVar("T", int, float, str, tuple[int, ...], Array)

_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_SIZES = {_VARINT: 0, _EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Initializer:
    """One stored weight.

    Attributes
    ----------
    array : ndarray
        Read-only view of the file's bytes.
    offset : int
        Where these bytes begin in the file; there are `array.nbytes` of them.
    """

    array: Array
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator of the graph; an optional input or output that is left out is an empty string."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]

    def attribute(self, name: str, default: T) -> T:
        """Return an attribute, which must be of the type of `default`, or `default` where the node has none."""
        value = self.attributes.get(name, default)
        if not isinstance(value, type(default)):
            raise BundleError(f"graph.{self.name}.{name}: expected {type(default).__name__}, got {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of the graph; a free dimension is `None`."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A model as data: weights by name, operators in the order they run, ports.

    Attributes
    ----------
    initializers : mapping of str to Initializer
    nodes : tuple of Node
    inputs, outputs : tuple of Port
        Inputs that are also initializers (constants, in old files) are left out.
    """

    initializers: Mapping[str, Initializer]
    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def weight(self, name: str, shape: tuple[int | None, ...]) -> Array:
        """Return one initializer, checked; `None` in `shape` stands for any size.

        Raises
        ------
        BundleError
            If it is absent or has another shape.
        """
        if name not in self.initializers:
            raise BundleError(f"graph: expected an initializer {name!r}, got none; export the model again")
        array = self.initializers[name].array
        if array.ndim != len(shape) or any(e not in (None, g) for e, g in zip(shape, array.shape, strict=True)):
            raise BundleError(f"graph.{name}: expected shape {shape}, got {array.shape}; export the model again")
        return array


def read_graph(data: bytes) -> Graph:
    """Read an ONNX model.

    Parameters
    ----------
    data : bytes
        A self-contained `.onnx` file. The arrays of the result are views of it.

    Raises
    ------
    BundleError
        If the bytes are no ONNX model, are cut or altered, or hold what is not supported here: subgraphs, weights
        outside the file, weights that are not numbers.

    Examples
    --------
    >>> read_graph(b"not a model")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ratta.errors.BundleError: graph, byte 0: expected a field number above 0 and wire type 0, 1, 2 or 5, got ...
    """
    graphs = _Field(data, 0, _BYTES, 0, 0, len(data)).parts()[7]
    if len(graphs) != 1:
        raise BundleError(f"graph: expected one graph in the model, got {len(graphs)}; the file is no ONNX model")
    parts = graphs[0].parts()
    initializers = dict(_tensor(field) for field in parts[5])
    if len(initializers) != len(parts[5]):
        raise BundleError("graph: expected unique names of initializers, got one twice; the file is altered")
    inputs = [port for port in (_port(field) for field in parts[11]) if port.name not in initializers]
    nodes, outputs = [_node(field) for field in parts[1]], [_port(field) for field in parts[12]]
    graph = Graph(initializers, tuple(nodes), tuple(inputs), tuple(outputs))
    _check_order(graph)
    return graph


def patched(data: bytes, weights: Mapping[str, Array]) -> bytes:
    """Return the model with some initializers replaced and every other byte as it was.

    Parameters
    ----------
    data : bytes
        An ONNX model.
    weights : mapping of str to ndarray
        New values under the names of initializers, of the same shape and dtype.

    Raises
    ------
    BundleError
        If a name is not in the model, or an array differs in shape or dtype.
    """
    graph = read_graph(data)
    copy = bytearray(data)
    for name, array in weights.items():
        old = graph.weight(name, array.shape)
        offset = graph.initializers[name].offset
        if array.dtype != old.dtype or offset < 0:
            raise BundleError(f"patched, {name}: expected {old.dtype} stored as raw bytes, got {array.dtype}")
        copy[offset : offset + old.nbytes] = array.astype(old.dtype).tobytes()
    return bytes(copy)


class _Field(NamedTuple):
    """One field of a message: a number if its wire type says so, and the bytes `start` to `stop` otherwise."""

    data: bytes
    number: int
    wire: int
    value: int
    start: int
    stop: int

    def fields(self) -> Iterator[_Field]:
        """Yield the fields of a nested message; each lies wholly inside this one and moves on by a byte or more."""
        self.expect(_BYTES)
        at = self.start
        while at < self.stop:
            begin = at
            key, at = self._varint(at)
            wire, number, value = key & 7, key >> 3, 0
            if wire not in (_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES) or number == 0:
                expected = "a field number above 0 and wire type 0, 1, 2 or 5"
                raise self._error(begin, f"{expected}, got {number} and {wire}; the file is no ONNX model")
            if wire in (_VARINT, _BYTES):
                value, at = self._varint(at)
            stop = at + _SIZES.get(wire, value)
            if stop > self.stop:
                raise self._error(begin, f"{stop - at} bytes, got {self.stop - at}; the file is cut or altered")
            yield _Field(self.data, number, wire, value, at, stop)
            at = stop

    def parts(self) -> defaultdict[int, list[_Field]]:
        """Return the fields of a nested message by number."""
        parts: defaultdict[int, list[_Field]] = defaultdict(list)
        for field in self.fields():
            parts[field.number].append(field)
        return parts

    def expect(self, *wires: int) -> None:
        """Raise unless the field came with one of these wire types."""
        if self.wire not in wires:
            raise self._error(
                self.start, f"wire type {wires} for field {self.number}, got {self.wire}; the file is altered"
            )

    def integer(self) -> int:
        self.expect(_VARINT)
        return _signed(self.value)

    def integers(self) -> list[int]:
        """Read one element of a repeated integer field, or, packed, all of them."""
        self.expect(_VARINT, _BYTES)
        if self.wire == _VARINT:
            return [_signed(self.value)]
        numbers, at = [], self.start
        while at < self.stop:
            value, at = self._varint(at)
            numbers.append(_signed(value))
        return numbers

    def floats(self) -> tuple[float, ...]:
        """Read one element of a repeated float field, or, packed, all of them."""
        self.expect(_FOUR_BYTES, _BYTES)
        count, rest = divmod(self.stop - self.start, 4)
        if rest:
            raise self._error(self.start, f"a multiple of 4 bytes, got {self.stop - self.start}; the file is altered")
        return struct.unpack_from(f"<{count}f", self.data, self.start)

    def text(self) -> str:
        self.expect(_BYTES)
        try:
            return self.data[self.start : self.stop].decode()
        except UnicodeDecodeError as error:
            raise self._error(self.start, f"UTF-8 text, got {error.reason}; the file is altered") from error

    def _varint(self, at: int) -> tuple[int, int]:
        """Return the number at `at` (seven bits a byte, low ones first) and where the next thing begins."""
        if at < self.stop and self.data[at] < 0x80:
            return self.data[at], at + 1
        value = 0
        for index in range(at, min(at + 10, self.stop)):
            value |= (self.data[index] & 0x7F) << 7 * (index - at)
            if self.data[index] < 0x80:
                return value & (1 << 64) - 1, index + 1
        raise self._error(at, f"a number that ends before byte {self.stop}, got none; the file is cut or altered")

    def _error(self, at: int, message: str) -> BundleError:
        return BundleError(f"graph, byte {at}: expected {message}")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(fields: list[_Field]) -> str:
    return fields[-1].text() if fields else ""


def _integer(fields: list[_Field]) -> int:
    return fields[-1].integer() if fields else 0


def _tensor(message: _Field) -> tuple[str, Initializer]:
    """Read a TensorProto: its name (8), and its numbers where they lie, given shape (1) and type (2)."""
    parts = message.parts()
    name, code, shape = _text(parts[8]), _integer(parts[2]), [n for field in parts[1] for n in field.integers()]
    if parts[13]:
        raise BundleError(f"graph.{name}: expected weights inside the file, got external data; export it whole")
    if code not in _DTYPES or len(shape) > _MOST_DIMENSIONS or not all(0 <= n <= len(message.data) for n in shape):
        raise BundleError(f"graph.{name}: expected a numeric tensor inside the file, got shape {shape} of type {code}")
    dtype = np.dtype(_DTYPES[code])
    integers = [n for field in parts[5] + parts[7] for n in field.integers()]
    if integers:
        return name, _copied(name, dtype, shape, integers)
    raw = parts[9] or parts[4]  # packed floats (4) are the same bytes as raw ones
    return name, _viewed(name, dtype, shape, raw[-1] if raw else None, message.data)


def _viewed(name: str, dtype: np.dtype[Any], shape: list[int], raw: _Field | None, data: bytes) -> Initializer:
    start, stop = (raw.start, raw.stop) if raw else (0, 0)
    expected = math.prod(shape) * dtype.itemsize
    if stop - start != expected:
        raise BundleError(f"graph.{name}: expected {expected} bytes for {shape} {dtype}, got {stop - start}")
    return Initializer(np.ndarray(shape, dtype, data, start), start)


def _copied(name: str, dtype: np.dtype[Any], shape: list[int], integers: list[int]) -> Initializer:
    """Take integers that are stored as varints, not as raw bytes: a few shapes and axes, never weights."""
    if dtype.kind != "i" or len(integers) != math.prod(shape):
        raise BundleError(f"graph.{name}: expected {math.prod(shape)} numbers of {dtype}, got {len(integers)} integers")
    limits = np.iinfo(dtype)
    if not all(limits.min <= value <= limits.max for value in integers):
        raise BundleError(f"graph.{name}: expected numbers of {dtype}, got some outside its range; the file is altered")
    array = np.array(integers, dtype).reshape(shape)
    array.setflags(write=False)
    return Initializer(array, -1)


def _node(message: _Field) -> Node:
    """Read a NodeProto: inputs (1), outputs (2), name (3), operator (4), attributes (5)."""
    parts = message.parts()
    op, domain, outputs = _text(parts[4]), _text(parts[7]), tuple(field.text() for field in parts[2])
    if domain not in ("", "ai.onnx") or not outputs:
        raise BundleError(f"graph: expected standard operators with outputs, got {domain}.{op} with {len(outputs)}")
    attributes = dict(_attribute(field) for field in parts[5])
    return Node(op, _text(parts[3]) or outputs[0], tuple(field.text() for field in parts[1]), outputs, attributes)


def _attribute(message: _Field) -> tuple[str, Attribute]:
    """Read an AttributeProto: its type (20) says which field holds the value."""
    parts = message.parts()
    name, kind = _text(parts[1]), _integer(parts[20])
    if kind == 6:
        return name, tuple(number for field in parts[7] for number in field.floats())
    if kind == 7:
        return name, tuple(number for field in parts[8] for number in field.integers())
    values = parts[{1: 2, 2: 3, 3: 4, 4: 5}.get(kind, -1)]
    if len(values) != 1:
        raise BundleError(f"graph, attribute {name!r}: expected a number, text, tensor or list, got type {kind}")
    return name, _single(kind, values[0])


def _single(kind: int, field: _Field) -> Attribute:
    if kind == 1:
        field.expect(_FOUR_BYTES)
        return field.floats()[0]
    if kind == 2:
        return field.integer()
    return field.text() if kind == 3 else _tensor(field)[1].array


def _port(message: _Field) -> Port:
    """Read a ValueInfoProto: a name (1), and a type (2) with a tensor type (1) with element type (1) and shape (2)."""
    parts = message.parts()
    tensors = [tensor.parts() for kind in parts[2] for tensor in kind.parts()[1]]
    name, code = _text(parts[1]), _integer(tensors[-1][1]) if tensors else 0
    if code not in _DTYPES:
        raise BundleError(f"graph.{name}: expected a port of a numeric type, got type {code}")
    shape = tuple(_dimension(d) for part in tensors[-1][2] for d in part.parts()[1])
    return Port(name, np.dtype(_DTYPES[code]).name, shape)


def _dimension(message: _Field) -> int | None:
    size = _integer(message.parts()[1])
    return size if size > 0 else None


def _check_order(graph: Graph) -> None:
    """Every value must exist before it is used, and be made once: then the nodes can simply run one after another."""
    known = {"", *graph.initializers, *(port.name for port in graph.inputs)}
    for node in graph.nodes:
        missing = [name for name in node.inputs if name not in known]
        if missing:
            raise BundleError(
                f"graph.{node.name}: expected inputs that exist by then, got {missing[0]!r}; export it again"
            )
        again = [name for name in node.outputs if name in known and name]
        if again:
            raise BundleError(
                f"graph.{node.name}: expected a new output name, got {again[0]!r} again; the file is altered"
            )
        known.update(node.outputs)
    for port in graph.outputs:
        if port.name not in known:
            raise BundleError(
                f"graph: expected some operator to make the output {port.name!r}, got none; export it again"
            )
