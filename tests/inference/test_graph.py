import numpy as np
import pytest

from ratta.errors import BundleError
from ratta.inference.graph import Graph, Node, patched, read_graph


@pytest.fixture
def small(onnx):
    """`y = Relu(x + bias)` as bytes."""
    nodes = [onnx.node("Add", ["x", "bias"], ["sum"]), onnx.node("Relu", ["sum"], ["y"])]
    weights = {"bias": np.array([1.5, -2, 3], np.float32)}
    return onnx.model(nodes, weights, [onnx.port("x", "float32", ["N", 3])], [onnx.port("y", "float32", ["N", 3])])


def test_a_graph_is_read_with_its_ports_nodes_and_weights(small):
    """What was written is read: names, types, a free dimension, the order of the operators, the numbers."""
    graph = read_graph(small)
    assert [(port.name, port.dtype, port.shape) for port in graph.inputs] == [("x", "float32", (None, 3))]
    assert [(port.name, port.dtype, port.shape) for port in graph.outputs] == [("y", "float32", (None, 3))]
    assert [(node.op, node.inputs, node.outputs) for node in graph.nodes] == [
        ("Add", ("x", "bias"), ("sum",)),
        ("Relu", ("sum",), ("y",)),
    ]
    assert graph.initializers["bias"].array.tolist() == [1.5, -2, 3]


def test_weights_are_read_only_views_at_their_offset(small):
    """An initializer copies nothing, cannot be written to, and knows where its bytes are."""
    bias = read_graph(small).initializers["bias"]
    assert small[bias.offset : bias.offset + bias.array.nbytes] == bias.array.tobytes()
    assert not bias.array.flags.owndata
    assert not bias.array.flags.writeable


@pytest.mark.parametrize(
    ("value", "default"), [((-1, 0, 2**40), (0,)), (-3, 0), (0.25, 1.0), ("nearest", "linear"), ((), (1, 1))]
)
def test_attributes_keep_their_type_and_sign(onnx, value, default):
    """Numbers, texts and lists of integers come back as they were written, negative ones too."""
    nodes = [onnx.node("Some", ["x"], ["y"], key=value)]
    graph = read_graph(onnx.model(nodes, {}, [onnx.port("x", "float32", [1])], []))
    assert graph.nodes[0].attribute("key", default) == value


def test_an_absent_attribute_is_its_default_and_one_of_another_type_is_refused():
    """The default gives the type: a text where a number belongs is an error, not a surprise later."""
    node = Node("Conv", "first", (), ("y",), {"group": "three"})
    assert node.attribute("strides", (1, 1)) == (1, 1)
    with pytest.raises(BundleError, match=r"graph.first.group: expected int, got 'three'"):
        node.attribute("group", 1)


@pytest.mark.parametrize("packed", [False, True])
def test_integers_stored_as_numbers_are_read(onnx, packed):
    """Shapes may be stored as varints, one by one or packed, where weights are raw bytes."""
    values = [1, -1, 896]
    data = b"".join(map(onnx.varint, values))
    stored = onnx.entry(7, data) if packed else b"".join(onnx.entry(7, value) for value in values)
    tensor = onnx.entry(1, 3) + onnx.entry(2, 7) + onnx.entry(8, "shape") + stored
    graph = read_graph(onnx.entry(7, onnx.entry(5, tensor)))
    assert graph.initializers["shape"].array.tolist() == values


def test_patching_replaces_the_named_bytes_and_nothing_else(small):
    """The new model has the new numbers, the old model the old ones, and all other bytes are equal."""
    new = np.array([7, 8, 9], np.float32)
    before = bytes(bytearray(small))
    result = patched(small, {"bias": new})
    assert read_graph(result).initializers["bias"].array.tolist() == [7, 8, 9]
    assert result == small.replace(np.array([1.5, -2, 3], np.float32).tobytes(), new.tobytes())
    assert small == before


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("wrong", np.zeros(3, np.float32), "expected an initializer 'wrong'"),
        ("bias", np.zeros(4, np.float32), r"expected shape \(4,\), got \(3,\)"),
        ("bias", np.zeros(3, np.float64), "expected float32 .* got float64"),
    ],
)
def test_patching_refuses_what_does_not_fit(small, name, array, message):
    """A weight that is not there, or of another shape or type, changes nothing and says so."""
    with pytest.raises(BundleError, match=message):
        patched(small, {name: array})


def test_a_patched_model_answers_as_its_new_weights_say(small):
    """ONNX Runtime takes the patched bytes and computes with them."""
    from ratta.inference.session import OrtSession

    (y,) = OrtSession(patched(small, {"bias": np.full(3, 10, np.float32)})).run({"x": np.zeros((1, 3), np.float32)})
    assert y.tolist() == [[10, 10, 10]]


def broken_graphs(onnx):
    """Yield a name, the fields of a graph that must be refused, and what the error must say."""
    tensor = onnx.entry(1, 2) + onnx.entry(2, 1) + onnx.entry(8, "w")
    node, port = onnx.node("Relu", ["x"], ["y"]), onnx.port("x", "float32", [1])
    yield "too few bytes", onnx.entry(5, tensor + onnx.entry(9, b"\0" * 4)), "expected 8 bytes"
    yield "no bytes", onnx.entry(5, tensor), "expected 8 bytes"
    yield "bytes elsewhere", onnx.entry(5, tensor + onnx.entry(13, b"")), "external data"
    yield "a huge shape", onnx.entry(5, onnx.entry(1, 2**62) + tensor), "expected a numeric tensor inside the file"
    yield "a negative shape", onnx.entry(5, onnx.entry(1, -4) + tensor), "expected a numeric tensor inside the file"
    yield "text weights", onnx.entry(5, onnx.entry(2, 8) + onnx.entry(8, "w")), "expected a numeric tensor"
    yield "a name twice", onnx.entry(5, onnx.tensor("w", np.zeros(1, np.float32))) * 2, "unique names"
    yield "no such input", onnx.entry(1, node), "expected inputs that exist by then, got 'x'"
    yield "an output twice", onnx.entry(11, port) + onnx.entry(1, node) * 2, "expected a new output name, got 'y'"
    yield "an output unmade", onnx.entry(12, port), "expected some operator to make the output 'x'"
    yield "a subgraph", onnx.entry(1, node + onnx.entry(5, onnx.entry(1, "body") + onnx.entry(20, 5))), "got type 5"
    yield "a foreign operator", onnx.entry(1, node + onnx.entry(7, "com.example")), "expected standard operators"
    yield "a field without a number", onnx.entry(0, 1), "expected a field number above 0"
    yield "a number as a name", onnx.entry(1, onnx.entry(4, 1)), "expected wire type"
    yield "a name of no text", onnx.entry(1, onnx.entry(4, b"\xff")), "expected UTF-8 text"
    yield "integers as floats", onnx.entry(5, tensor + onnx.entry(7, 5)), "expected 2 numbers of float32"


def test_broken_graphs_are_refused_with_a_reason(onnx):
    """Each way of being wrong is a BundleError that says what was expected."""
    for what, fields, message in broken_graphs(onnx):
        with pytest.raises(BundleError, match=message):
            print(what, read_graph(onnx.entry(7, fields)))


@pytest.mark.parametrize("data", [b"", b"\0", b"PK\3\4", b"\x08" + b"\xff" * 11, b"\x3a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_model_are_refused(data):
    """Nothing, a zero, a zip file, an endless number and a length beyond the end are no models."""
    with pytest.raises(BundleError, match="graph"):
        read_graph(data)


def test_every_truncation_is_refused_or_a_graph(small):
    """A file cut anywhere gives an error of ours or a graph that holds together, never anything else."""
    refused = 0
    for length in range(len(small)):
        try:
            assert isinstance(read_graph(small[:length]), Graph)
        except BundleError:
            refused += 1
    assert refused > 0.9 * len(small)


def test_every_byte_flip_is_refused_or_a_graph(small):
    """So does a file with any one byte changed; some changes (a weight, an unused field) are still a graph."""
    rng = np.random.default_rng(0)
    outcomes = {"graph": 0, "refused": 0}
    for position in range(len(small)):
        for flip in (0x01, 0x80, 0xFF, *rng.integers(1, 255, 8).tolist()):
            altered = bytearray(small)
            altered[position] ^= flip
            try:
                assert isinstance(read_graph(bytes(altered)), Graph)
                outcomes["graph"] += 1
            except BundleError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


def test_a_weight_is_found_by_name_and_shape(net):
    """A caller says what it expects, and hears what there is instead."""
    graph = read_graph(net.graph)
    assert graph.weight("classifier.2.weight", (2, None)).shape == (2, 64)
    with pytest.raises(BundleError, match=r"graph.classifier.2.weight: expected shape \(3, None\), got \(2, 64\)"):
        graph.weight("classifier.2.weight", (3, None))
