from pathlib import Path

import numpy as np
import pytest

from ratta.errors import BundleError, InputError
from ratta.inference import NumpySession, OrtSession


def test_the_network_answers_as_in_onnx_runtime(net, crops):
    """Logits, embedding and cut agree within 1e-4, one crop or several at once."""
    ours, theirs = NumpySession(net.graph), OrtSession(net.graph)
    assert (theirs.inputs, theirs.outputs, theirs.shapes) == (ours.inputs, ours.outputs, ours.shapes)
    for pixels in (crops, *crops[:, None]):
        for expected, actual in zip(theirs.run({"pixels": pixels}), ours.run({"pixels": pixels}), strict=True):
            assert expected.shape == actual.shape
            assert actual.dtype == np.float32
            np.testing.assert_allclose(expected, actual, atol=1e-4)


def test_a_run_leaves_no_trace(net, crops):
    """The same crop gives the same answer before and after another, and the crop is not written to."""
    session, before = NumpySession(net.graph), crops.copy()
    first = session.run({"pixels": crops[:1]})
    session.run({"pixels": crops[1:]})
    assert all(np.array_equal(a, b) for a, b in zip(first, session.run({"pixels": crops[:1]}), strict=True))
    assert np.array_equal(before, crops)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "expected inputs"),
        ({"image": np.zeros((1, 64, 64, 3), np.uint8)}, "expected inputs"),
        ({"pixels": np.zeros((1, 64, 64, 3), np.float32)}, "got .* float32"),
        ({"pixels": np.zeros((1, 32, 32, 3), np.uint8)}, r"got \(1, 32, 32, 3\) uint8"),
        ({"pixels": np.zeros((64, 64, 3), np.uint8)}, r"got \(64, 64, 3\) uint8"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(net, feeds, message):
    """A missing or misnamed input, another type, size or rank is an InputError, as in `OrtSession`."""
    with pytest.raises(InputError, match=message):
        NumpySession(net.graph).run(feeds)


def test_an_unknown_operator_is_refused_at_load(onnx):
    """The error names the operator and what there is instead."""
    port = onnx.port("x", "float32", [1])
    graph = onnx.model([onnx.node("Erf", ["x"], ["y"])], {}, [port], [onnx.port("y", "float32", [1])])
    with pytest.raises(BundleError, match=r"graph.y: expected one of Add, .*, got Erf; this graph needs ONNX Runtime"):
        NumpySession(graph)


def test_a_graph_that_does_not_fit_itself_is_an_input_error(onnx):
    """No exception of NumPy leaves a run."""
    ports = [onnx.port("x", "float32", ["N"])], [onnx.port("y", "float32", ["N"])]
    graph = onnx.model([onnx.node("Add", ["x", "w"], ["y"])], {"w": np.zeros(2, np.float32)}, *ports)
    with pytest.raises(InputError, match=r"session.run, y: expected inputs that fit the graph"):
        NumpySession(graph).run({"x": np.zeros(3, np.float32)})


def one_operator(onnx, op, shape, weights, attributes):
    ports = [onnx.port("x", "float32", shape)], [onnx.port("y", "float32", ["A", "B", "C", "D"])]
    return onnx.model([onnx.node(op, ["x", *weights], ["y"], **attributes)], weights, *ports)


CASES = [
    ("MaxPool", (1, 3, 7, 5), {}, {"kernel_shape": (2, 2), "strides": (2, 2), "auto_pad": "SAME_UPPER"}),
    ("MaxPool", (1, 3, 7, 5), {}, {"kernel_shape": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1)}),
    ("Pad", (1, 3, 4, 4), {"pads": np.array([0, 0, 1, 2, 0, 5, 0, 3], np.int64)}, {"mode": "constant"}),
    ("Transpose", (1, 3, 4, 5), {}, {"perm": (0, 2, 3, 1)}),
    ("Concat", (1, 3, 4, 5), {"more": np.ones((1, 2, 4, 5), np.float32)}, {"axis": 1}),
    ("Reshape", (1, 4, 6, 2), {"shape": np.array([0, 2, -1, 1], np.int64)}, {}),
    ("Mul", (2, 3, 4, 5), {"scale": np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)}, {}),
    ("Add", (2, 3, 4, 5), {"shift": np.full((1, 1, 1, 1), 2, np.float32)}, {}),
    ("Conv", (1, 3, 8, 8), {"w": np.ones((4, 3, 5, 5), np.float32)}, {"pads": (1, 1, 2, 2), "strides": (2, 2)}),
    ("Conv", (1, 3, 8, 8), {"w": np.ones((4, 3, 1, 1), np.float32)}, {"strides": (2, 2)}),
    ("Mul", (1, 1, 4, 5), {"scale": np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)}, {}),
    ("HardSigmoid", (1, 3, 4, 4), {}, {}),
]


@pytest.mark.parametrize(("op", "shape", "weights", "attributes"), CASES)
def test_operators_answer_as_in_onnx_runtime(onnx, op, shape, weights, attributes):
    """Every operator of the face detector and the network, in the ways the graphs use them."""
    graph = one_operator(onnx, op, shape, weights, attributes)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (expected,), (actual,) = OrtSession(graph).run({"x": x}), NumpySession(graph).run({"x": x})
    np.testing.assert_allclose(expected, actual, atol=1e-5)


REFUSED = [
    ("Conv", {"w": np.ones((4, 3, 3, 3), np.float32)}, {"dilations": (2, 2)}, "no dilation"),
    ("Conv", {"w": np.ones((4, 3, 3, 3), np.float32)}, {"strides": (2, 1)}, "two equal strides"),
    ("Conv", {"w": np.ones((4, 3, 3, 3), np.float32)}, {"auto_pad": "SAME_LOWER"}, "explicit pads"),
    ("Conv", {"w": np.ones((4, 3, 3, 1), np.float32)}, {}, "a square kernel"),
    ("Conv", {"w": np.ones((4, 2, 3, 3), np.float32)}, {"group": 2}, "one group, or one per channel"),
    ("Pad", {"pads": np.zeros(8, np.int64)}, {"mode": "reflect"}, "mode constant"),
    ("Resize", {}, {"mode": "linear"}, "mode nearest"),
    ("Cast", {}, {"to": 8}, "a numeric type"),
    ("Gemm", {}, {"alpha": 2.0}, "alpha = beta = 1"),
]


@pytest.mark.parametrize(("op", "weights", "attributes", "message"), REFUSED)
def test_operators_in_other_ways_are_refused_at_load(onnx, op, weights, attributes, message):
    """What is not implemented is never computed as something else."""
    with pytest.raises(BundleError, match=f"expected {op} with {message}"):
        NumpySession(one_operator(onnx, op, (1, 3, 8, 8), weights, attributes))


def test_constants_are_computed_at_load(onnx):
    """A half-precision weight behind a cast, as the face detector stores them, costs nothing in a run."""
    nodes = [onnx.node("Cast", ["half"], ["w"], to=1), onnx.node("Add", ["x", "w"], ["y"])]
    ports = [onnx.port("x", "float32", [2])], [onnx.port("y", "float32", [2])]
    session = NumpySession(onnx.model(nodes, {"half": np.array([1, 2], np.float16)}, *ports))
    assert session.run({"x": np.zeros(2, np.float32)})[0].tolist() == [1, 2]
    assert len(session._steps) == 1


def test_a_convolution_with_two_readers_keeps_its_values(onnx):
    """An activation writes over a convolution only where nobody else reads it: x = 1, conv -2, relu 0, sum -2."""
    nodes = [
        onnx.node("Conv", ["x", "w"], ["conv"]),
        onnx.node("Relu", ["conv"], ["relu"]),
        onnx.node("Add", ["conv", "relu"], ["y"]),
    ]
    ports = [onnx.port("x", "float32", [1, 1, 1, 1])], [onnx.port("y", "float32", [1, 1, 1, 1])]
    session = NumpySession(onnx.model(nodes, {"w": np.full((1, 1, 1, 1), -2, np.float32)}, *ports))
    assert session.run({"x": np.ones((1, 1, 1, 1), np.float32)})[0].item() == -2


def test_the_face_detector_answers_as_in_onnx_runtime():
    """The shipped detector, half-precision weights and padding and all, within 1e-3 of scores up to a hundred."""
    graph = (Path(__file__).parents[2] / "models" / "blazeface-short-range" / "blazeface.onnx").read_bytes()
    pixels = np.random.default_rng(1).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    expected, actual = OrtSession(graph).run({"pixels": pixels}), NumpySession(graph).run({"pixels": pixels})
    for theirs, ours in zip(expected, actual, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_a_value_inside_the_graph_can_be_asked_for(net, crops):
    """`outputs` names any value; what it does not need is not computed."""
    whole, part = NumpySession(net.graph), NumpySession(net.graph, outputs=("cut",))
    assert np.array_equal(whole.run({"pixels": crops})[2], part.run({"pixels": crops})[0])
    assert len(part._steps) < len(whole._steps)


def test_a_value_that_the_graph_lacks_is_refused(net):
    """A misspelt name is an error at load."""
    with pytest.raises(BundleError, match="expected a value of the graph, got 'cutt'"):
        NumpySession(net.graph, outputs=("cutt",))
