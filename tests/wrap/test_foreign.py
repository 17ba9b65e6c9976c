"""Foreign graphs: what is read off them, and the sentence that one gets which cannot be wrapped."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from ratta.errors import BundleError  # noqa: E402
from ratta.inference import OrtSession  # noqa: E402
from ratta.wrap import read_foreign  # noqa: E402

RNG = np.random.default_rng(0)


def saved(path, nodes, weights, inputs, outputs, opset=17):
    """Write a graph and give its path."""
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in (*inputs, *outputs)]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", infos[: len(inputs)], infos[len(inputs) :], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def small(path, *, size=32, layout="NCHW", last="Gemm", end="", batch="N", kind=TensorProto.FLOAT, classes=2):
    """Write a pooling network whose last layer is of one kind."""
    node, feature = helper.make_node, np.float32
    shape = [batch, 3, size, size] if layout == "NCHW" else [batch, size, size, 3]
    nodes, x = [], "image"
    if kind != TensorProto.FLOAT:
        nodes, x = [node("Cast", [x], ["cast"], to=TensorProto.FLOAT)], "cast"
    if layout == "NHWC":
        nodes, x = [*nodes, node("Transpose", [x], ["planes"], perm=[0, 3, 1, 2])], "planes"
    weights = {"c": RNG.normal(size=(5, 3, 3, 3)).astype(feature), "w": RNG.normal(size=(5, classes)).astype(feature)}
    nodes += [node("Conv", [x, "c"], ["map"]), node("GlobalAveragePool", ["map"], ["pool"])]
    out = "y" if not end else "raw"
    if last == "Conv":
        weights["w"] = weights["w"].T.reshape(classes, 5, 1, 1)
        nodes += [node("Conv", ["pool", "w"], ["point"]), node("Flatten", ["point"], [out])]
    else:
        weights["b"] = np.zeros(classes, feature)
        nodes.append(node("Flatten", ["pool"], ["flat"]))
        nodes.append(node(last, ["flat", "w"] + (["b"] if last == "Gemm" else []), [out]))
    if end:
        nodes.append(node(end, ["raw"], ["y"]))
    return saved(path, nodes, weights, [("image", kind, shape)], [("y", TensorProto.FLOAT, [batch, classes])])


@pytest.mark.parametrize(
    ("last", "end", "expected"),
    [
        ("Gemm", "", ("logits", "flat")),
        ("MatMul", "Softmax", ("probabilities", "flat")),
        ("Conv", "", ("logits", "pool")),
        ("MatMul", "LogSoftmax", ("logits", "flat")),
    ],
)
def test_the_feature_before_the_last_layer_is_found(tmp_path, last, end, expected):
    """Whatever stands between that layer and the scores; and the graph that is cut to both gives the same scores."""
    network = read_foreign(small(tmp_path / "net.onnx", last=last, end=end))
    scores = network.scores()
    assert expected == (network.kind(scores), network.embedding(scores))
    crop = RNG.random((1, 3, 32, 32), np.float32)
    (before,) = OrtSession(network.graph).run({"image": crop})
    after, feature = OrtSession(network.with_outputs(scores, expected[1])).run({"image": crop})
    np.testing.assert_array_equal(before, after)
    assert 5 == feature.size


@pytest.mark.parametrize(("layout", "size", "batch"), [("NCHW", 80, 1), ("NHWC", 96, "N"), ("NHWC", 224, 1)])
@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.FLOAT, "float32"), (TensorProto.UINT8, "uint8")])
def test_size_layout_and_type_are_read_off_the_input(tmp_path, layout, size, batch, kind, dtype):
    """A graph of any size, with an open or a fixed number of crops."""
    found = read_foreign(small(tmp_path / "net.onnx", layout=layout, size=size, batch=batch, kind=kind))
    assert (layout, size, dtype, "image") == (found.layout, found.size, found.dtype, found.input)


def test_normalisations_that_were_not_folded_are_read(tmp_path):
    """With what they remember of their input."""
    node = helper.make_node
    held = {name: np.array([value] * 3, np.float32) for name, value in zip("sbmv", (1, 0, 7, 4), strict=True)}
    nodes = [node("BatchNormalization", ["x", *"sbmv"], ["n"]), node("GlobalAveragePool", ["n"], ["p"])]
    nodes.append(node("Flatten", ["p"], ["y"]))
    ports = [("x", TensorProto.FLOAT, ["N", 3, 32, 32])], [("y", TensorProto.FLOAT, ["N", 3])]
    network = read_foreign(saved(tmp_path / "net.onnx", nodes, held, *ports))
    ((name, mean, var),) = network.normalisations()
    assert ("x", 7.0, 4.0) == (name, mean[0], var[2])
    assert "" == network.embedding("y")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": [("x", TensorProto.FLOAT16, ["N", 3, 32, 32])]}, "float32 or uint8, got FLOAT16"),
        ({"inputs": [("x", TensorProto.FLOAT, ["N", 1, 32, 32])]}, "grey"),
        ({"inputs": [("x", TensorProto.FLOAT, ["N", 9])]}, "colour crop"),
        ({"inputs": [("x", TensorProto.FLOAT, ["N", 3, 32, 64])]}, "square input, got 32x64"),
        ({"inputs": [(name, TensorProto.FLOAT, ["N", 3, 32, 32]) for name in "xz"]}, "one input, the picture"),
    ],
)
def test_a_network_that_cannot_be_wrapped_gets_a_sentence(tmp_path, changes, message):
    """It says what was expected."""
    ports = {"inputs": [("x", TensorProto.FLOAT, ["N", 3, 32, 32])], "outputs": [("y", TensorProto.FLOAT, ["N"])]}
    path = saved(tmp_path / "net.onnx", [helper.make_node("Identity", ["x"], ["y"])], {}, **{**ports, **changes})
    with pytest.raises(BundleError, match=message):
        read_foreign(path)


def test_what_is_no_onnx_file_gets_a_sentence(tmp_path):
    """Missing, foreign, cut."""
    with pytest.raises(BundleError, match="expected a readable ONNX file"):
        read_foreign(tmp_path / "none.onnx")
    (tmp_path / "net.tflite").write_bytes(b"TFL3 is something else")
    with pytest.raises(BundleError, match=r"convert it first"):
        read_foreign(tmp_path / "net.tflite")


def test_several_outputs_must_be_told_apart(tmp_path):
    """Two that could be the scores: the user says which."""
    node = helper.make_node
    nodes = [node("GlobalAveragePool", ["x"], ["p"]), node("Flatten", ["p"], ["a"]), node("Neg", ["a"], ["b"])]
    ports = [("x", TensorProto.FLOAT, ["N", 3, 32, 32])], [(n, TensorProto.FLOAT, ["N", 3]) for n in "ab"]
    network = read_foreign(saved(tmp_path / "net.onnx", nodes, {}, *ports))
    with pytest.raises(BundleError, match="say --scores"):
        network.scores()
    assert "b" == network.scores("b")
    with pytest.raises(BundleError, match="expected an output 'c'"):
        network.scores("c")
