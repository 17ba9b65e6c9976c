"""One late step against the same rule in torch: loss, clipping, SGD, trust region, and the way back."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ratta.adaptation.update import LATE, LateStep, Lesson

from ratta.inference.backward import Tail

torch = pytest.importorskip("torch")

SPEC = importlib.util.spec_from_file_location("parity_gradients", Path(__file__).with_name("test_gradients.py"))
gradients = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gradients)

TEMPERATURE, BIAS, KL, PULL, MAX_NORM, RADIUS, RECALL = 1.7, 0.3, 0.8, 2.0, 1.0, 0.05, 0.01
LABELS = (True, False, False, True, False)
RATES = {"clipped": 0.01, "at the trust region": 100.0}


@dataclass
class Case:
    """Some lessons, parameters in force that have left the source a little, and how much each may move."""

    tail: Tail
    cuts: np.ndarray
    source_logits: np.ndarray
    fisher: dict
    in_force: dict


def make_case(net, dtype):
    tail, rng = Tail(net.graph, net.affine, dtype=dtype), np.random.default_rng(0)
    return Case(
        tail=tail,
        cuts=rng.normal(size=(len(LABELS), *tail.cut)).astype(np.float32),
        source_logits=rng.normal(size=len(LABELS)),
        fisher={name: rng.uniform(0, 2, tail.source[name].shape).astype(np.float32) for name in LATE},
        in_force={
            name: (value + (name in LATE) * 0.002 * rng.normal(size=value.shape)).astype(dtype)
            for name, value in tail.source.items()
        },
    )


def our_step(case, **arguments):
    step = LateStep(case.tail, case.fisher, temperature=TEMPERATURE, bias=BIAS, kl=KL, pull=PULL, **arguments)
    gradient, counts = {}, (LABELS.count(False), LABELS.count(True))
    for cut, is_live, source_logit in zip(case.cuts, LABELS, case.source_logits, strict=True):
        lesson = Lesson(cut=cut, is_live=is_live, source_logit=float(source_logit))
        step.add_gradient(lesson, case.in_force, gradient, class_frames=counts)
    return step.step(case.in_force, gradient)


def torch_step(case, state, *, rate, max_norm=MAX_NORM):
    """Take the step in float64 by autograd and `torch.optim.SGD`; say how long the gradient was, and what held."""
    network = gradients.torch_network(state, torch.float64)
    parameters = dict(network.named_parameters())
    late = {name: parameters[gradients.torch_name(name)] for name in LATE}
    source = {name: torch.tensor(np.array(case.tail.source[name])).double() for name in LATE}
    with torch.no_grad():
        for name, parameter in late.items():
            parameter.copy_(torch.tensor(case.in_force[name]))
    optimiser = torch.optim.SGD(list(late.values()), lr=rate)
    loss = torch_loss(network, case) + PULL / 2 * sum(
        (torch.tensor(case.fisher[name]) * (late[name] - source[name]) ** 2).sum() for name in LATE
    )
    optimiser.zero_grad()
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(list(late.values()), max_norm))
    optimiser.step()
    after, held = {}, set()
    for name, parameter in late.items():
        delta, bound = parameter.detach() - source[name], RADIUS * source[name].norm()
        if delta.norm() > bound:
            delta, held = delta * bound / delta.norm(), held | {name}
        after[name] = (source[name] + (1 - RECALL) * delta).numpy()
    return after, norm, held


def torch_loss(network, case):
    """Balanced cross-entropy, and the divergence of the adapted model from the source's verdicts."""
    functional = torch.nn.functional
    x = torch.tensor(case.cuts).double()
    for block in network.features[10:]:
        x = block(x)
    spoof, live = network.classifier(x.mean((2, 3))).T
    logits, labels = (live - spoof) / TEMPERATURE + BIAS, torch.tensor(LABELS)
    errors = functional.binary_cross_entropy_with_logits(logits, labels.double(), reduction="none")
    balanced = (errors[labels].mean() + errors[~labels].mean()) / 2
    source = torch.tensor(case.source_logits)
    before = torch.stack([functional.logsigmoid(-source), functional.logsigmoid(source)], 1)
    after = torch.stack([functional.logsigmoid(-logits), functional.logsigmoid(logits)], 1)
    return balanced + KL * functional.kl_div(after, before, reduction="batchmean", log_target=True)


def relative_error(expected, actual):
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_a_late_step_is_that_of_torch(net, rate):
    """What the step changes, tensor by tensor, to 1e-5; the gradient is clipped in both cases."""
    case = make_case(net, np.float64)
    after, norm, held = torch_step(case, net.state, rate=rate)
    actual = our_step(case, rate=rate)
    assert norm > MAX_NORM
    assert (set(LATE) if rate > 1 else set()) == held
    for name in LATE:
        source = case.tail.source[name]
        assert relative_error(after[name] - source, actual[name] - source) <= 1e-5, name


def test_a_late_step_without_clipping_is_that_of_torch(net):
    """The same with a bound that the gradient does not reach."""
    case = make_case(net, np.float64)
    after, norm, _ = torch_step(case, net.state, rate=1e-3, max_norm=1e3)
    actual = our_step(case, rate=1e-3, max_norm=1e3)
    assert norm < 1e3
    for name in LATE:
        assert relative_error(after[name] - case.tail.source[name], actual[name] - case.tail.source[name]) <= 1e-5, name


@pytest.mark.skipif(not (gradients.SHIPPED / "model.onnx").exists(), reason="the shipped bundle is not in models/ yet")
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_a_late_step_of_the_shipped_model_is_that_of_torch(rate):
    """The same to 1e-5 on the weights that users get."""
    graph = (gradients.SHIPPED / "model.onnx").read_bytes()
    with np.load(gradients.SHIPPED / "affine.npz") as stored:
        affine = dict(stored)
    case = make_case(SimpleNamespace(graph=graph, affine=affine), np.float64)
    after, _, _ = torch_step(case, gradients.unfolded_tail(graph, affine), rate=rate)
    actual = our_step(case, rate=rate)
    for name in LATE:
        source = case.tail.source[name]
        assert relative_error(after[name] - source, actual[name] - source) <= 1e-5, name


def test_a_late_step_in_service_precision_is_that_of_torch(net):
    """In float32 new parameters agree to 1e-6; of the small change, storing them in float32 leaves 1e-4."""
    case = make_case(net, np.float32)
    after, _, _ = torch_step(case, net.state, rate=0.01)
    actual = our_step(case)
    for name in LATE:
        assert np.float32 == actual[name].dtype
        source = case.tail.source[name].astype(np.float64)
        assert relative_error(after[name], actual[name]) <= 1e-6, name
        assert relative_error(after[name] - source, actual[name] - source) <= 1e-4, name
    assert all(actual[name] is value for name, value in case.tail.source.items() if name not in LATE)
