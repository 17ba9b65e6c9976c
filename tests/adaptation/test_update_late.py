import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ratta.adaptation.update import LATE, LateStep, Lesson, fisher_information, hidden_feature
from ratta.adaptation.update.late import cross_entropy
from ratta.errors import InputError
from ratta.inference.backward import Tail
from ratta.records import sigmoid

SEEDED = Path(__file__).parents[1] / "inference" / "conftest.py"


class FlatTail:
    """A tail of one linear map, so that a step can be reckoned by hand."""

    def __init__(self):
        self.source = {"weight": np.array([[0.0, 0.0], [3.0, 4.0]]), "bias": np.array([0.0, 0.0])}

    def forward(self, cuts, parameters):
        x = cuts.reshape(len(cuts), -1)
        return SimpleNamespace(logits=x @ parameters["weight"].T + parameters["bias"], x=x)

    def backward(self, trace, dlogits, into):
        for name, value in (("weight", dlogits.T @ trace.x), ("bias", dlogits.sum(0))):
            into[name] = into.get(name, 0) + value
        return into


def flat_step(**arguments):
    tail = FlatTail()
    fisher = {name: np.ones(value.shape) for name, value in tail.source.items()}
    return LateStep(tail, fisher, **{"temperature": 1.0, "bias": 0.0, "names": tuple(tail.source), **arguments})


def lesson(x, *, is_live, source_logit=0.0):
    return Lesson(cut=np.array(x, np.float64).reshape(-1, 1, 1), is_live=is_live, source_logit=source_logit)


@pytest.fixture(scope="module")
def tail():
    """The real tail with seeded weights, in float64."""
    spec = importlib.util.spec_from_file_location("seeded_network_of_update", SEEDED)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.network(64)
    return Tail(net.graph, net.affine, dtype=np.float64)


@pytest.fixture(scope="module")
def lessons(tail):
    rng = np.random.default_rng(0)
    kinds = (True, False, False, True, False)
    return [Lesson(cut=rng.normal(size=tail.cut), is_live=live, source_logit=float(rng.normal())) for live in kinds]


def ones(tail):
    return {name: np.ones_like(tail.source[name]) for name in LATE}


def loss_and_gradient(step, lessons, parameters):
    gradient = {}
    counts = sum(not one.is_live for one in lessons), sum(one.is_live for one in lessons)
    loss = sum(step.add_gradient(one, parameters, gradient, class_frames=counts) for one in lessons)
    return loss, gradient


def test_the_gradient_is_that_of_the_loss(tail, lessons):
    """Along a random direction, against central differences of the loss that `add_gradient` itself reports."""
    step, rng = LateStep(tail, ones(tail), temperature=1.7, bias=0.3, kl=0.8), np.random.default_rng(5)
    along = {name: rng.normal(size=tail.source[name].shape) for name in LATE}
    _, gradient = loss_and_gradient(step, lessons, tail.source)
    up, down = (
        loss_and_gradient(step, lessons, {**tail.source, **{n: tail.source[n] + e * along[n] for n in LATE}})[0]
        for e in (1e-6, -1e-6)
    )
    expected = sum(float(np.vdot(along[n], gradient[n])) for n in LATE)
    assert math.isclose(expected, (up - down) / 2e-6, rel_tol=1e-5)


def test_each_class_counts_by_half():
    """One spoof against three live lessons at logit 0: slopes +1/4 and three times -1/12 in the bias of live."""
    step, gradient = flat_step(kl=0.0), {}
    for is_live in (False, True, True, True):
        step.add_gradient(lesson([0.0, 0.0], is_live=is_live), step.tail.source, gradient, class_frames=(1, 3))
        if not is_live:
            assert [-0.25, 0.25] == gradient["bias"].tolist()
    np.testing.assert_allclose([0.0, 0.0], gradient["bias"], atol=1e-15)


def test_the_divergence_from_the_source_pulls_back():
    """Without it a sure lesson gives 1/2 (p - y); with it, kl (p - p_source) / n more, and the loss has both terms."""
    step, gradient = flat_step(kl=2.0, temperature=2.0), {}
    one = lesson([0.6, 0.8], is_live=True, source_logit=-1.0)  # margin 5, logit 2.5
    loss = step.add_gradient(one, step.tail.source, gradient, class_frames=(1, 1))
    p, q = sigmoid(2.5), sigmoid(-1.0)
    assert math.isclose((0.5 * (p - 1) + 2 * (p - q) / 2) / 2, gradient["bias"][1], rel_tol=1e-12)
    divergence = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    assert math.isclose(-0.5 * math.log(p) + divergence, loss, rel_tol=1e-12)


def test_lessons_of_one_class_teach_nothing():
    """A step without the other class is refused before a gradient is made."""
    gradient = {}
    with pytest.raises(InputError, match="both classes"):
        flat_step().add_gradient(lesson([1.0, 1.0], is_live=True), FlatTail().source, gradient, class_frames=(0, 1))
    assert {} == gradient


def test_a_step_by_hand():
    """A gradient of norm 10 is clipped to 1; weight moves 0.1 of it and comes 1 % back; a zero bias stays in place."""
    step = flat_step(rate=0.1)
    after = step.step(step.tail.source, {"weight": np.array([[0.0, 0.0], [6.0, 0.0]]), "bias": np.array([8.0, 0.0])})
    np.testing.assert_allclose([[0.0, 0.0], [3.0 - 0.99 * 0.06, 4.0]], after["weight"], rtol=1e-12)
    assert [0.0, 0.0] == after["bias"].tolist()


def test_no_gradient_and_no_way_gone_is_the_source():
    """From the source without a gradient nothing moves."""
    step = flat_step()
    after = step.step(step.tail.source, {"weight": np.zeros((2, 2)), "bias": np.zeros(2)})
    assert step.tail.source["weight"].tolist() == after["weight"].tolist()


def test_the_trust_region_holds_over_many_steps():
    """The weight's norm is 5: no step, however often, takes it further than 0.05 * 5 from the source."""
    step = flat_step(rate=10.0)
    now, farthest = step.tail.source, 0.0
    for _ in range(50):
        now = step.step(now, {"weight": np.array([[0.0, 0.0], [1.0, -1.0]]), "bias": np.zeros(2)})
        farthest = max(farthest, float(np.linalg.norm(now["weight"] - step.tail.source["weight"])))
    assert math.isclose(0.99 * 0.25, farthest, rel_tol=1e-9)


def test_the_fisher_pull_takes_parameters_home():
    """Without a gradient 20 steps leave (1 - rate)^20 0.99^20 of the way that was gone."""
    step = flat_step(rate=0.1)
    source = step.tail.source
    now = {**source, "weight": source["weight"] + 0.1}
    for _ in range(20):
        now = step.step(now, {"weight": np.zeros((2, 2)), "bias": np.zeros(2)})
    np.testing.assert_allclose(0.1 * (0.9 * 0.99) ** 20, now["weight"] - source["weight"], rtol=1e-9)


def test_what_the_source_is_sure_of_is_pulled_hardest():
    """Fisher information 0 and 4 on two weights that are 0.1 away: the pulls are 0 and pull * 4 * 0.1."""
    tail = FlatTail()
    fisher = {"weight": np.array([[0.0, 0.0], [0.0, 4.0]])}
    step = LateStep(tail, fisher, temperature=1.0, bias=0.0, names=("weight",), rate=0.1, pull=0.5, recall=0.0)
    after = step.step({**tail.source, "weight": tail.source["weight"] + 0.1}, {"weight": np.zeros((2, 2))})
    np.testing.assert_allclose([[0.1, 0.1], [3.1, 4.1 - 0.1 * 0.5 * 4 * 0.1]], after["weight"], rtol=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_without_a_number_drops_the_candidate(value):
    """Nothing comes out that could be committed."""
    with pytest.raises(InputError, match="finite gradient"):
        flat_step().step(FlatTail().source, {"weight": np.full((2, 2), value), "bias": np.zeros(2)})


def test_a_candidate_never_changes_what_is_in_force(tail, lessons):
    """Parameters in force and the source keep every bit; what does not move stays the source's."""
    step = LateStep(tail, ones(tail), temperature=1.0, bias=0.0, rate=0.1)
    in_force = {name: value.copy() for name, value in tail.source.items()}
    held = {name: value.tobytes() for name, value in in_force.items()}
    source = {name: value.tobytes() for name, value in tail.source.items()}
    _, gradient = loss_and_gradient(step, lessons, in_force)
    after = step.step(in_force, gradient)
    assert held == {name: value.tobytes() for name, value in in_force.items()}
    assert source == {name: value.tobytes() for name, value in tail.source.items()}
    assert set(LATE) == {name for name, value in after.items() if value.tobytes() != source[name]}
    assert not any(np.shares_memory(after[name], in_force[name]) for name in LATE)


def test_a_step_lowers_the_loss_of_its_own_lessons(tail, lessons):
    """A small step down the gradient is one downhill."""
    step = LateStep(tail, ones(tail), temperature=1.0, bias=0.0, rate=0.05)
    loss, gradient = loss_and_gradient(step, lessons, tail.source)
    assert loss_and_gradient(step, lessons, step.step(tail.source, gradient))[0] < loss


@pytest.mark.parametrize(("target", "logit"), [(0.0, 3.0), (1.0, 3.0), (0.3, -2.0)])
def test_cross_entropy_by_its_definition(target, logit):
    """Against the logarithms."""
    p = sigmoid(logit)
    assert math.isclose(-target * math.log(p) - (1 - target) * math.log(1 - p), cross_entropy(target, logit))


def test_fisher_information_by_hand():
    """Frames (1, 0) and (0, 2): `p (1 - p) x^2` of either column, each tensor's mean 1."""
    tail = FlatTail()
    cuts = [np.array([1.0, 0.0]).reshape(2, 1, 1), np.array([0.0, 2.0]).reshape(2, 1, 1)]
    found = fisher_information(tail, cuts, temperature=2.0, bias=-1.0, names=("weight", "bias"))
    a, b = (sigmoid(m / 2 - 1) * (1 - sigmoid(m / 2 - 1)) for m in (3.0, 8.0))
    row = np.array([a, 4 * b]) / np.mean([a, 4 * b])
    np.testing.assert_allclose([row, row], found["weight"], rtol=1e-6)
    assert [1.0, 1.0] == found["bias"].tolist()


def test_fisher_information_of_the_real_tail_fits_the_late_step(tail, lessons):
    """Positive somewhere in every tensor, mean 1, and accepted by the step."""
    found = fisher_information(tail, [one.cut for one in lessons], temperature=1.0, bias=0.0)
    np.testing.assert_allclose([1.0] * len(LATE), [found[name].mean() for name in LATE], rtol=1e-5)
    assert LATE == LateStep(tail, found, temperature=1.0, bias=0.0).names


def test_fisher_information_of_nothing_is_refused():
    """No frame, no information."""
    with pytest.raises(InputError, match="fisher"):
        fisher_information(FlatTail(), [], temperature=1.0, bias=0.0, names=("bias",))


def test_the_hidden_feature_is_the_tails_own(tail, lessons):
    """The same as the tail's trace, for many frames at once."""
    trace = tail.forward(np.stack([one.cut for one in lessons]), tail.source)
    np.testing.assert_allclose(trace.hidden, hidden_feature(trace.embedding, tail.source), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: flat_step(temperature=0.0),
        lambda: flat_step(rate=math.inf),
        lambda: flat_step(kl=math.nan),
        lambda: flat_step(pull=-1.0),
        lambda: flat_step(radius=1.0),
        lambda: flat_step(recall=1.0),
        lambda: flat_step(names=()),
        lambda: flat_step(names=("weight", "absent")),
        lambda: LateStep(FlatTail(), {}, temperature=1.0, bias=0.0, names=("weight",)),
    ],
)
def test_parameters_out_of_range_are_refused_at_once(make):
    """The step says what it expected."""
    with pytest.raises(InputError, match="expected"):
        make()
