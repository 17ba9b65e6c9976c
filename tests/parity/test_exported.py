"""A graph from `ratta export`'s own writer: the NumPy room against torch and ONNX Runtime."""

import numpy as np
import pytest

from ratta.inference import NumpySession, OrtSession
from ratta.inference.backward import Tail

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def network(net):
    from ratta.train.network import MobileNetV3Small

    module = MobileNetV3Small().eval()
    module.load_state_dict({name: torch.tensor(value) for name, value in net.state.items()}, strict=False)
    return module


@pytest.fixture(scope="module")
def exported(network):
    from ratta.train.export import affine_parts, build_graph

    return build_graph(network, size=96, std=255.0).SerializeToString(), affine_parts(network)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(2).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)


def test_an_exported_graph_answers_in_numpy_as_in_onnx_runtime(exported, pixels):
    """Same ports, same numbers within 1e-4."""
    graph, _ = exported
    ours, theirs = NumpySession(graph), OrtSession(graph)
    assert (theirs.inputs, theirs.outputs, theirs.shapes) == (ours.inputs, ours.outputs, ours.shapes)
    for expected, actual in zip(theirs.run({"pixels": pixels}), ours.run({"pixels": pixels}), strict=True):
        np.testing.assert_allclose(expected, actual, atol=1e-4)


def test_the_tail_finds_its_layers_in_an_exported_graph(exported, pixels):
    """From the exported cut and the exported normalisation, the tail gives the exported logits."""
    graph, affine = exported
    logits, embedding, cut = OrtSession(graph).run({"pixels": pixels})
    tail = Tail(graph, affine)
    trace = tail.forward(cut, tail.source)
    np.testing.assert_allclose(logits, trace.logits, atol=1e-4)
    np.testing.assert_allclose(embedding, trace.embedding, atol=1e-4)
