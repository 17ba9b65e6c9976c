"""Gradients, forward pass and folding against torch's autograd on the network that ratta trains."""

from pathlib import Path

import numpy as np
import pytest

from ratta.bundle import DEFAULT_MODEL
from ratta.inference.backward import Tail
from ratta.inference.graph import read_graph

torch = pytest.importorskip("torch")

SHIPPED = Path(__file__).parents[2] / "models" / DEFAULT_MODEL


def torch_network(state, dtype):
    from ratta.train.network import MobileNetV3Small

    network = MobileNetV3Small().to(dtype).eval()
    loaded = network.load_state_dict({name: torch.tensor(value) for name, value in state.items()}, strict=False)
    assert not loaded.unexpected_keys
    return network


def torch_name(name):
    """`features.12.gamma` is `features.12.1.weight` in torch."""
    layer, part = name.rsplit(".", 1)
    return {"gamma": f"{layer}.1.weight", "beta": f"{layer}.1.bias"}.get(part, name)


def unfolded_tail(graph, affine):
    """Undo the folding of an exported tail by the textbook, in float64, under torch's names."""
    weights = {name: stored.array.astype(np.float64) for name, stored in read_graph(graph).initializers.items()}
    frozen = ("classifier.", "features.10.block.2.fc", "features.11.block.2.fc")
    state = {name: value for name, value in weights.items() if name.startswith(frozen)}
    tail = ("features.10.", "features.11.", "features.12.")
    for layer in {name.rpartition(".")[0] for name in affine if name.startswith(tail)}:
        gamma, beta, mean, var = (
            affine[f"{layer}.{part}"].astype(np.float64) for part in ("gamma", "beta", "mean", "var")
        )
        state[f"{layer}.0.weight"] = weights[f"{layer}.weight"] * (np.sqrt(var + 1e-3) / gamma)[:, None, None, None]
        for part, value in (("weight", gamma), ("bias", beta), ("running_mean", mean), ("running_var", var)):
            state[f"{layer}.1.{part}"] = value
    return state


def check_gradients(graph, affine):
    """Compare all gradients of a bundle's tail with autograd's, on random cuts and in service precision."""
    tail, rng = Tail(graph, affine), np.random.default_rng(0)
    cuts, dlogits = np.abs(rng.normal(size=(4, *tail.cut))).astype(np.float32), rng.normal(size=(4, 2))
    network = torch_network(unfolded_tail(graph, affine), torch.float64)
    logits, expected = torch_gradients(network, cuts, dlogits, list(tail.source))
    trace = tail.forward(cuts, tail.source)
    np.testing.assert_allclose(logits, trace.logits, rtol=1e-4, atol=1e-4)
    actual = tail.backward(trace, dlogits)
    for name, gradient in expected.items():
        assert np.linalg.norm(actual[name] - gradient) <= 1e-5 * np.linalg.norm(gradient), name


def torch_gradients(network, cuts, dlogits, names):
    dtype = next(network.parameters()).dtype
    x = torch.tensor(cuts, dtype=dtype)
    for block in network.features[10:]:
        x = block(x)
    logits = network.classifier(x.mean((2, 3)))
    parameters = dict(network.named_parameters())
    wanted = [parameters[torch_name(name)] for name in names]
    found = torch.autograd.grad((logits * torch.tensor(dlogits, dtype=dtype)).sum(), wanted)
    return logits.detach().numpy(), dict(zip(names, (g.numpy() for g in found), strict=True))


@pytest.mark.parametrize("size", [64, 128, 224])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_gradient_is_that_of_autograd(make_network, precision, size):
    """Per tensor, the relative error is at most 1e-5, in both precisions, through gates, shortcuts and activations."""
    net, rng = make_network(size), np.random.default_rng(size)
    cuts, dlogits = rng.normal(size=(3, 96, size // 32, size // 32)).astype(np.float32), rng.normal(size=(3, 2))
    tail = Tail(net.graph, net.affine, dtype=precision)
    network = torch_network(net.state, torch.float64)
    logits, expected = torch_gradients(network, cuts, dlogits, list(tail.source))
    trace = tail.forward(cuts, tail.source)
    np.testing.assert_allclose(logits, trace.logits, rtol=1e-5, atol=1e-5)
    actual = tail.backward(trace, dlogits)
    for name, gradient in expected.items():
        assert np.linalg.norm(actual[name] - gradient) <= 1e-5 * np.linalg.norm(gradient), name


@pytest.mark.skipif(not (SHIPPED / "model.onnx").exists(), reason="the shipped bundle is not in models/ yet")
def test_every_gradient_of_the_shipped_model_is_that_of_autograd():
    """The same, on the weights that users get."""
    graph = (SHIPPED / "model.onnx").read_bytes()
    with np.load(SHIPPED / "affine.npz") as stored:
        affine = dict(stored)
    check_gradients(graph, affine)


def test_a_gradient_step_is_that_of_torch(net):
    """One step of gradient descent on cross-entropy, from the same cut features, gives the same logits after."""
    rng = np.random.default_rng(0)
    cuts, labels = rng.normal(size=(4, 96, 2, 2)).astype(np.float32), np.array([0, 1, 1, 0])
    tail = Tail(net.graph, net.affine, dtype=np.float64)
    trace = tail.forward(cuts, tail.source)
    p = np.exp(trace.logits) / np.exp(trace.logits).sum(1, keepdims=True)
    gradients = tail.backward(trace, (p - np.eye(2)[labels]) / 4)
    stepped = {name: value - 0.1 * gradients[name] for name, value in tail.source.items()}
    network = torch_network(net.state, torch.float64)
    optimiser = torch.optim.SGD([dict(network.named_parameters())[torch_name(name)] for name in tail.source], lr=0.1)
    for round_ in range(2):
        x = torch.tensor(cuts, dtype=torch.float64)
        for block in network.features[10:]:
            x = block(x)
        logits = network.classifier(x.mean((2, 3)))
        if round_ == 0:
            torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
            optimiser.step()
    np.testing.assert_allclose(logits.detach().numpy(), tail.forward(cuts, stepped).logits, rtol=1e-5, atol=1e-5)
