"""The reader of `ratta.inference.graph` against the onnx package."""

import numpy as np
import pytest

from ratta.inference.graph import patched, read_graph

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def reference(net):
    return onnx.load_from_string(net.graph)


def test_the_seeded_network_is_a_valid_model(reference):
    """What our own writer made passes onnx's checker, so that the tests read real ONNX."""
    onnx.checker.check_model(reference, full_check=True)


def test_nodes_and_attributes_agree(net, reference):
    """Operators, names of values and attributes are those that onnx reads."""
    nodes = read_graph(net.graph).nodes
    assert len(reference.graph.node) == len(nodes)
    for theirs, ours in zip(reference.graph.node, nodes, strict=True):
        assert (theirs.op_type, tuple(theirs.input), tuple(theirs.output)) == (ours.op, ours.inputs, ours.outputs)
        for attribute in theirs.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            value = tuple(value) if isinstance(value, list) else value
            assert (value.decode() if isinstance(value, bytes) else value) == ours.attributes[attribute.name]


def test_weights_agree(net, reference):
    """Names, shapes, types and numbers of all initializers."""
    initializers = read_graph(net.graph).initializers
    assert {tensor.name for tensor in reference.graph.initializer} == set(initializers)
    for tensor in reference.graph.initializer:
        expected, actual = onnx.numpy_helper.to_array(tensor), initializers[tensor.name].array
        assert expected.dtype == actual.dtype
        assert np.array_equal(expected, actual)


def test_a_model_saved_by_onnx_reads_the_same(reference, net):
    """Written again by onnx, with its order of fields, the model holds the same weights at other offsets."""
    again = read_graph(reference.SerializeToString())
    for name, initializer in read_graph(net.graph).initializers.items():
        assert np.array_equal(initializer.array, again.initializers[name].array)


def test_every_way_to_store_a_tensor_is_read():
    """Raw bytes, packed floats and packed integers, as onnx writes them."""
    helper, kinds = onnx.helper, onnx.TensorProto
    tensors = [
        helper.make_tensor("floats", kinds.FLOAT, [2], [0.5, -1.5]),
        helper.make_tensor("integers", kinds.INT64, [3], [1, -1, 2**40]),
        onnx.numpy_helper.from_array(np.array([[1, 2]], np.float16), "raw"),
        helper.make_tensor("scalar", kinds.FLOAT, [], [3.0]),
    ]
    model = helper.make_model(helper.make_graph([], "g", [], [], tensors))
    initializers = read_graph(model.SerializeToString()).initializers
    for tensor in tensors:
        assert np.array_equal(onnx.numpy_helper.to_array(tensor), initializers[tensor.name].array)


def test_a_patched_model_reads_the_same_in_onnx(net):
    """Onnx finds the new numbers under the name, and all other weights as they were."""
    new = np.arange(2, dtype=np.float32)
    before, after = (
        onnx.load_from_string(data) for data in (net.graph, patched(net.graph, {"classifier.2.bias": new}))
    )
    for old, tensor in zip(before.graph.initializer, after.graph.initializer, strict=True):
        expected = new if tensor.name == "classifier.2.bias" else onnx.numpy_helper.to_array(old)
        assert np.array_equal(expected, onnx.numpy_helper.to_array(tensor))
