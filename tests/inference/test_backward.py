from pathlib import Path

import numpy as np
import pytest

from ratta.errors import BundleError, InputError
from ratta.inference import OrtSession, backward
from ratta.inference.backward import GAMMA_FLOOR, Tail
from ratta.inference.graph import patched

GOLDEN = Path(__file__).with_name("golden_gradients.npz")


@pytest.fixture(scope="module")
def tail(net):
    return Tail(net.graph, net.affine)


@pytest.fixture(scope="module")
def exact(net):
    return Tail(net.graph, net.affine, dtype=np.float64)


def cuts_of(n, side, seed=3):
    return np.random.default_rng(seed).normal(size=(n, 96, side, side)).astype(np.float32)


def moved(tail, amount=0.2, seed=5):
    """Parameters some way off the source."""
    rng = np.random.default_rng(seed)
    return {
        name: value + amount * rng.normal(size=value.shape).astype(value.dtype) for name, value in tail.source.items()
    }


def total(tail, cuts, parameters, dlogits):
    return float((tail.forward(cuts, parameters).logits * dlogits).sum())


def test_the_tail_moves_seven_normalisations_and_two_linear_maps(tail):
    """Their names and sizes are what adaptation sees: 2 x 2,688 affine values and the head."""
    affine = {name: value.size for name, value in tail.source.items() if not name.startswith("classifier")}
    assert len(affine) == 14
    assert sum(affine.values()) == 2 * (2 * (576 + 576 + 96) + 576)
    assert {name: value.shape for name, value in tail.source.items() if name.startswith("classifier")} == {
        "classifier.0.weight": (64, 576),
        "classifier.0.bias": (64,),
        "classifier.2.weight": (2, 64),
        "classifier.2.bias": (2,),
    }


def test_the_source_cannot_be_written_to(tail):
    """What the model shipped with stays as it is."""
    with pytest.raises(ValueError, match="read-only"):
        tail.source["classifier.2.bias"][0] = 1


def test_the_source_answers_as_the_whole_graph(net, tail, crops):
    """From the cut on, the tail gives the logits and the embedding of the graph."""
    logits, embedding, cut = OrtSession(net.graph).run({"pixels": crops})
    trace = tail.forward(cut, tail.source)
    np.testing.assert_allclose(logits, trace.logits, atol=1e-4)
    np.testing.assert_allclose(embedding, trace.embedding, atol=1e-4)
    assert trace.hidden.shape == (4, 64)


def test_moved_parameters_fold_into_the_graph(net, tail, crops):
    """Fold, patch, run in a fresh session: the logits are those of the tail with the same parameters."""
    parameters = moved(tail)
    logits, embedding, cut = OrtSession(patched(net.graph, tail.fold(parameters))).run({"pixels": crops})
    trace = tail.forward(cut, parameters)
    np.testing.assert_allclose(logits, trace.logits, atol=1e-4)
    np.testing.assert_allclose(embedding, trace.embedding, atol=1e-4)
    assert np.abs(logits - tail.forward(cut, tail.source).logits).max() > 0.1


def test_gradients_are_those_that_torch_found(exact):
    """Norm and four entries of every gradient, recorded from torch in float64 (`tests/parity/make_golden.py`)."""
    with np.load(GOLDEN) as golden:
        trace = exact.forward(golden["cuts"], exact.source)
        gradients = exact.backward(trace, golden["dlogits"])
        np.testing.assert_allclose(golden["logits"], trace.logits, rtol=1e-5)
        for name, gradient in gradients.items():
            sample = gradient.ravel()[:: max(gradient.size // 4, 1)][:4]
            np.testing.assert_allclose(golden[f"{name}/sample"], sample, rtol=1e-5, atol=1e-9)
            np.testing.assert_allclose(golden[f"{name}/norm"], np.linalg.norm(gradient), rtol=1e-6)
        assert set(gradients) == set(exact.source)


@pytest.mark.parametrize("size", [64, 192])
def test_gradients_are_slopes(make_network, size):
    """Central differences in a random direction of each parameter, on a small map and on one larger than the kernel."""
    net = make_network(size)
    tail = Tail(net.graph, net.affine, dtype=np.float64)
    cuts, dlogits, parameters = cuts_of(2, size // 32), np.array([[0.3, -0.7], [-0.2, 0.5]]), moved(tail, 0.05)
    gradients = tail.backward(tail.forward(cuts, parameters), dlogits)
    rng = np.random.default_rng(1)
    for name, value in parameters.items():
        step = 1e-6 * rng.normal(size=value.shape)
        ahead, behind = {**parameters, name: value + step}, {**parameters, name: value - step}
        slope = (total(tail, cuts, ahead, dlogits) - total(tail, cuts, behind, dlogits)) / 2
        assert slope == pytest.approx(float((gradients[name] * step).sum()), rel=1e-5, abs=1e-12), name


def test_float32_is_as_good_as_float64(tail, exact):
    """In service precision each gradient is within 1e-5 of the exact one, relative to its norm."""
    cuts, dlogits = cuts_of(3, 2), np.array([[0.5, -0.5], [-0.2, 0.2], [0.1, -0.1]])
    expected = exact.backward(exact.forward(cuts, exact.source), dlogits)
    actual = tail.backward(tail.forward(cuts, tail.source), dlogits)
    for name, gradient in expected.items():
        assert actual[name].dtype == np.float32
        assert np.linalg.norm(actual[name] - gradient) <= 1e-5 * np.linalg.norm(gradient), name


def test_frames_one_by_one_add_up_to_the_batch(exact):
    """The gradient of a batch is the sum over its frames, gathered in place."""
    cuts, dlogits = cuts_of(3, 2), np.array([[0.5, -0.5], [-0.2, 0.2], [0.1, -0.1]])
    gathered = {}
    for cut, dlogit in zip(cuts[:, None], dlogits[:, None], strict=True):
        assert exact.backward(exact.forward(cut, exact.source), dlogit, gathered) is gathered
    for name, gradient in exact.backward(exact.forward(cuts, exact.source), dlogits).items():
        np.testing.assert_allclose(gradient, gathered[name], rtol=1e-9, atol=1e-12)


def test_a_trace_may_be_pulled_twice(exact):
    """The backward pass uses nothing up and writes to none of its inputs."""
    cuts, dlogits = cuts_of(1, 2), np.array([[0.5, -0.5]])
    before = cuts.copy()
    trace = exact.forward(cuts, exact.source)
    first, second = exact.backward(trace, dlogits), exact.backward(trace, dlogits)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert np.array_equal(before, cuts)


def test_a_small_map_takes_the_short_way_to_the_same_numbers():
    """All pixels to all pixels is the depthwise convolution, forward and back."""
    rng = np.random.default_rng(0)
    kernel, x, dy = rng.normal(size=(5, 5, 7)), rng.normal(size=(2, 3, 4, 7)), rng.normal(size=(2, 3, 4, 7))
    points = np.broadcast_to(np.eye(12).reshape(12, 3, 4, 1), (12, 3, 4, 7))
    transfer = backward.depthwise(points, {}, kernel=kernel)[0].reshape(12, 12, 7)
    (y, pull), (short_y, short_pull) = (
        backward.depthwise(x, {}, kernel=kernel),
        backward.all_to_all(x, {}, transfer=transfer),
    )
    np.testing.assert_allclose(y, short_y, atol=1e-12)
    np.testing.assert_allclose(pull(dy, {}), short_pull(dy, {}), atol=1e-12)


def test_a_gate_sees_the_mean_and_scales_its_channel():
    """Mean (2, 5) -> squeezed relu(2 + 5 - 6) = 1 -> gates hardsigmoid(0, -3) = (1/2, 0)."""
    x = np.array([[[[1.0, 4.0], [3.0, 6.0]]]])
    squeeze, excite = (np.array([[1.0, 1.0]]), np.array([-6.0])), (np.array([[1.0], [-4.0]]), np.array([-1.0, 1.0]))
    y, pull = backward.squeeze_excite(x, {}, squeeze=squeeze, excite=excite)
    assert y.tolist() == [[[[0.5, 0], [1.5, 0]]]]
    # d gate 0 = (1 + 3) / 6, which both channels' means raise at half a pixel each; gate 1 is shut
    np.testing.assert_allclose(pull(np.ones_like(x), {}), [[[[0.5 + 1 / 3, 1 / 3], [0.5 + 1 / 3, 1 / 3]]]])


def test_the_slope_of_hardswish():
    """0, then from -1/2 to 3/2, then 1: the true derivative, not a clipped one."""
    x = np.array([-5.0, -3.1, -2.9, -1.5, 0.0, 1.5, 2.9, 3.1, 5.0])
    expected = [0, 0, -2.9 / 3 + 0.5, 0, 0.5, 1, 2.9 / 3 + 0.5, 1, 1]
    _, pull = backward.hardswish(x, {})
    np.testing.assert_allclose(expected, pull(np.ones(9), {}), atol=1e-12)


def test_a_channel_that_is_nearly_off_keeps_its_function(net, crops):
    """A gamma below the floor is moved out to it; the logits stay, and the gradient stays finite."""
    name = "features.11.block.0"
    affine = {**net.affine, f"{name}.gamma": net.affine[f"{name}.gamma"].copy()}
    scale = np.ones(576, np.float32)
    scale[:3] = 1e-4, -1e-5, 0
    affine[f"{name}.gamma"] *= scale
    source = Tail(net.graph, net.affine)
    folded = source.fold({**source.source, f"{name}.gamma": affine[f"{name}.gamma"]})
    graph = patched(net.graph, folded)
    logits, _, cut = OrtSession(graph).run({"pixels": crops})
    tail = Tail(graph, affine)
    assert np.abs(tail.source[f"{name}.gamma"]).min() == np.float32(GAMMA_FLOOR)
    trace = tail.forward(cut, tail.source)
    np.testing.assert_allclose(logits, trace.logits, atol=1e-4)
    assert all(np.isfinite(g).all() for g in tail.backward(trace, np.ones((4, 2))).values())


@pytest.mark.parametrize("change", ["drop", "shape", "nan"])
def test_a_normalisation_of_another_model_is_refused(net, change):
    """Absent, of another width, or not finite: the error names the array."""
    name = "features.12.gamma"
    affine = dict(net.affine)
    if change == "drop":
        del affine[name]
    else:
        affine[name] = np.ones(64) if change == "shape" else np.full(576, np.nan)
    with pytest.raises(BundleError, match=r"affine.features.12.gamma: expected finite numbers \(576,\)"):
        Tail(net.graph, affine)


def test_cuts_of_another_shape_are_refused(tail):
    """A cut without its batch axis, or of another image size, is refused before anything is computed."""
    assert tail.cut == (96, 2, 2)
    for shape in ((96, 2, 2), (1, 96, 4, 4)):
        with pytest.raises(InputError, match=r"expected cut features \('N', 96, 2, 2\), got"):
            tail.forward(np.zeros(shape, np.float32), tail.source)
