"""Each baseline's step against its published rule, worked out here from the formula by autograd or by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from ratta.evaluate.methods.bn_statistics import BatchStatistics, BNStatistics
from ratta.evaluate.methods.cotta import CoTTA
from ratta.evaluate.methods.eata import EATA, fisher_information
from ratta.evaluate.methods.no_tta import NoTTA
from ratta.evaluate.methods.rotta import Memory, MemoryItem, RobustNorm, RoTTA
from ratta.evaluate.methods.sar import RESET_TWO_CLASSES, SAR
from ratta.evaluate.methods.t3a import T3A
from ratta.evaluate.methods.tent import Tent


def batch_logits(module, x, gamma, beta):
    """The tiny network's logits with given affine values and the batch's own statistics, from the formula."""
    y = nn.functional.conv2d(x, module.conv.weight)
    mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
    z = (y - mean) / torch.sqrt(var + module.norm.eps) * gamma[:, None, None] + beta[:, None, None]
    return module.last(module.first(z.relu().mean((2, 3))).relu())


def shannon(logits):
    """Entropy in nat, from the definition."""
    p = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    return -(p * torch.log(p)).sum(1)


@pytest.fixture
def affine(source):
    """Copies of the source's affine values that take gradients."""
    norm = source.module.norm
    return norm.weight.detach().clone().requires_grad_(), norm.bias.detach().clone().requires_grad_()


def assert_affine(module, gamma, beta) -> None:
    """The module's affine values are these."""
    torch.testing.assert_close(module.norm.weight.detach(), gamma.detach(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(module.norm.bias.detach(), beta.detach(), rtol=1e-4, atol=1e-7)


def test_no_tta_is_the_source(source, frames) -> None:
    """The score is the calibrated logistic of the margin of the source's logits."""
    batch = frames(5)
    with torch.no_grad():
        logits = source.module(source.inputs(batch)).logits.double().numpy()
    expected = 1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0])))
    np.testing.assert_allclose(NoTTA(source).observe(batch), expected, rtol=1e-6)


def test_batch_statistics(source, frames) -> None:
    """Each batch is normalised by its own mean and variance, and the next one by its own."""
    method = BatchStatistics(source)
    gamma, beta = source.module.norm.weight.detach(), source.module.norm.bias.detach()
    for seed in (1, 2):
        batch = frames(16, seed=seed)
        with torch.no_grad():
            expected = source.live_scores(batch_logits(source.module, source.inputs(batch), gamma, beta))
        np.testing.assert_allclose(method.observe(batch), expected, rtol=1e-4)


def test_bn_statistics_follow_by_momentum(source, frames) -> None:
    """Mean and (unbiased) variance move a tenth of the way to those of the batch."""
    method, batch = BNStatistics(source, momentum=0.1), frames(16)
    method.observe(batch)
    y = nn.functional.conv2d(source.inputs(batch), source.module.conv.weight).detach()
    norm = method._module.norm
    torch.testing.assert_close(norm.running_mean, 0.9 * source.module.norm.running_mean + 0.1 * y.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 * source.module.norm.running_var + 0.1 * y.var((0, 2, 3)))


def test_tent_two_steps(source, frames, affine) -> None:
    """Two Adam steps on the mean entropy, over gamma and beta alone, with batch statistics."""
    gamma, beta = affine
    optimizer = torch.optim.Adam([gamma, beta], lr=1e-3)
    method = Tent(source)
    for seed in (1, 2):
        batch = frames(16, seed=seed)
        method.observe(batch)
        optimizer.zero_grad()
        shannon(batch_logits(source.module, source.inputs(batch), gamma, beta)).mean().backward()
        optimizer.step()
    assert_affine(method.module, gamma, beta)
    assert torch.equal(method.module.conv.weight, source.module.conv.weight)


def test_tent_lowers_entropy(source, frames) -> None:
    """Many steps on the same frames do what the method says."""
    method, batch = Tent(source, learning_rate=1e-2), frames(16)
    before = shannon(method.module(source.inputs(batch)).logits).mean()
    for _ in range(30):
        method.observe(batch)
    assert shannon(method.module(source.inputs(batch)).logits).mean() < 0.9 * before


def test_tent_with_source_statistics_is_independent_of_company(source, frames) -> None:
    """With source statistics a frame's answer does not depend on the others in its batch."""
    batch = frames(16)
    single = [
        NoTTA(source).answer(type(batch)(batch.pixels[i : i + 1], batch.t[:1], batch.sessions[:1])) for i in (0, 9)
    ]
    method = Tent(source, statistics="source")
    np.testing.assert_allclose(method.answer(batch)[[0, 9]], np.concatenate(single), rtol=1e-5)


def test_t3a_centroids(source, frames) -> None:
    """Normalised rows and features, summed by pseudo-label over the M of least entropy, and normalised again."""
    method, batch = T3A(source, kept=3), frames(12)
    with torch.no_grad():
        start = nn.functional.normalize(source.module.last.weight, dim=1)
        torch.testing.assert_close(method.centroids(), start)
        method.observe(batch)
        features = torch.cat([source.module.last.weight, source.module(source.inputs(batch)).hidden])
        logits = source.module.last(features)
        expected = []
        for c in (0, 1):
            mine = (logits.argmax(1) == c).nonzero()[:, 0]
            best = mine[shannon(logits[mine]).argsort()[:3]]
            total = (features[best] / features[best].norm(dim=1, keepdim=True)).sum(0)
            expected.append(total / total.norm())
        torch.testing.assert_close(method.centroids(), torch.stack(expected))


def test_eata_step_without_redundancy(source, frames, affine) -> None:
    """Two SGD steps: reliable frames weighted by exp(margin - entropy), plus 2000 times the Fisher distance."""
    gamma, beta = affine
    margin = 0.4 * math.log(2)
    development = frames(32, seed=9)
    fisher = fisher_information(source, development, statistics="batch")
    start = gamma.detach().clone(), beta.detach().clone()
    optimizer = torch.optim.SGD([gamma, beta], lr=2.5e-4, momentum=0.9)
    method = EATA(source, development=development, redundancy=None)
    for seed in (1, 2):
        batch = frames(16, seed=seed)
        method.observe(batch)
        nat = shannon(batch_logits(source.module, source.inputs(batch), gamma, beta))
        reliable = nat[nat < margin]
        assert 0 < len(reliable) < 16
        pull = (fisher["norm.weight"] * (gamma - start[0]) ** 2).sum() + (
            fisher["norm.bias"] * (beta - start[1]) ** 2
        ).sum()
        optimizer.zero_grad()
        ((reliable / torch.exp(reliable.detach() - margin)).mean() + 2000 * pull).backward()
        optimizer.step()
    assert_affine(method.module, gamma, beta)


def test_fisher_information(source, frames) -> None:
    """The mean over batches of the squared gradient of the cross-entropy to the model's own labels."""
    development = frames(6)
    expected = torch.zeros(4)
    for start in (0, 3):
        gamma = source.module.norm.weight.detach().clone().requires_grad_()
        x = source.inputs(development)[start : start + 3]
        logits = batch_logits(source.module, x, gamma, source.module.norm.bias.detach())
        nn.functional.cross_entropy(logits, logits.argmax(1)).backward()
        expected += gamma.grad**2 / 2
    found = fisher_information(source, development, statistics="batch", batch=3)
    torch.testing.assert_close(found["norm.weight"], expected, rtol=1e-4, atol=1e-9)


def test_eata_redundancy_by_hand(source, frames) -> None:
    """The moving mean begins with the first reliable batch; later only frames nearly orthogonal to it count."""
    method = EATA(source, development=frames(4))
    sure = torch.tensor([[9.0, 0.0], [0.1, 0.0]])
    assert [0] == method._select(sure).tolist()
    torch.testing.assert_close(method._mean, torch.softmax(sure[0], 0))
    assert [] == method._select(torch.tensor([[5.0, 0.0], [0.0, 2.5]])).tolist()
    assert [1] == method._select(torch.tensor([[9.0, 0.0], [0.0, 9.0]])).tolist()
    torch.testing.assert_close(method._mean, 0.9 * torch.softmax(sure[0], 0) + 0.1 * torch.softmax(-sure[0], 0))


def test_sar_step(source, frames, affine) -> None:
    """Up by rho along the gradient of the reliable entropy; the gradient there is applied below."""
    gamma, beta = affine
    margin = 0.4 * math.log(2)
    optimizer = torch.optim.SGD([gamma, beta], lr=2.5e-4, momentum=0.9)
    method = SAR(source, reset_below=0.0)
    for seed in (1, 2):
        batch = frames(16, seed=seed)
        method.observe(batch)
        x = source.inputs(batch)
        nat = shannon(batch_logits(source.module, x, gamma, beta))
        reliable = (nat < margin).nonzero()[:, 0]
        gradient = torch.autograd.grad(nat[reliable].mean(), [gamma, beta])
        norm = torch.sqrt(sum((g**2).sum() for g in gradient))
        up = [(p + 0.05 * g / norm).detach().requires_grad_() for p, g in zip((gamma, beta), gradient, strict=True)]
        second = shannon(batch_logits(source.module, x, *up))[reliable]
        second[second < margin].mean().backward()
        gamma.grad, beta.grad = up[0].grad, up[1].grad
        optimizer.step()
    assert_affine(method.module, gamma, beta)


def test_cotta_step_without_restoration(source, frames, monkeypatch) -> None:
    """Adam on the cross-entropy to the teacher's mean, all parameters; the teacher moves a thousandth of the way."""
    monkeypatch.setattr("ratta.evaluate.methods.cotta.augmented", lambda inputs, _: inputs.flip(-1))
    method, batch = CoTTA(source, restored=0.0, sure_above=1.1, augmentations=2), frames(16)
    scores = method.observe(batch)
    student = copy.deepcopy(source.module).train()
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    target = student(source.inputs(batch).flip(-1)).logits.detach()
    loss = -(target.softmax(1) * student(source.inputs(batch)).logits.log_softmax(1)).sum(1).mean()
    loss.backward()
    optimizer.step()
    np.testing.assert_allclose(scores, source.live_scores(target), rtol=1e-5)
    found, teacher = dict(method.student.named_parameters()), dict(method.teacher.named_parameters())
    for name, expected in student.named_parameters():
        torch.testing.assert_close(found[name].detach(), expected.detach(), rtol=1e-3, atol=1e-5)
        origin = source.module.get_parameter(name)
        torch.testing.assert_close(teacher[name], 0.999 * origin + 0.001 * found[name], rtol=1e-6, atol=1e-8)


def test_cotta_restores_its_share(source, frames) -> None:
    """With a share of 1 the student is the source after every step, with 0.5 about half of its weights are."""
    for share, low, high in ((1.0, 1.0, 1.0), (0.5, 0.3, 0.7)):
        method = CoTTA(source, restored=share, sure_above=1.1, seed=4)
        method.observe(frames(16))
        same = [
            (p == source.module.get_parameter(name)).float().flatten() for name, p in method.student.named_parameters()
        ]
        assert low <= float(torch.cat(same).mean()) <= high


def test_cotta_averages_only_when_unsure(source, frames) -> None:
    """Augmentation happens when the source's confidence is below the bound, and then changes the answer."""
    sure, unsure = CoTTA(source, sure_above=0.0), CoTTA(source, sure_above=1.1)
    plain = sure.observe(frames(16))
    averaged = unsure.observe(frames(16))
    assert (0.0, 1.0) == (sure.state()["averaged"], unsure.state()["averaged"])
    assert not np.allclose(plain, averaged)


def item(label: int, nat: float, age: int = 0) -> MemoryItem:
    """A memory item without pixels."""
    return MemoryItem(torch.zeros(1), label, nat, age)


def test_memory_badness_by_hand() -> None:
    """Age over capacity through a logistic, and entropy over its maximum."""
    memory = Memory(capacity=4)
    assert pytest.approx(0.5 + 0.5) == memory.badness(item(0, 0.5 * math.log(2)))
    assert pytest.approx(1 / (1 + math.exp(-1))) == memory.badness(item(0, 0.0, age=4))


def test_memory_is_balanced() -> None:
    """A flood of one class fills its own share and leaves the rest free for the other."""
    memory = Memory(capacity=4)
    for nat in (0.1, 0.2, 0.3, 0.4, 0.0):
        memory.add(item(1, nat))
    assert [1, 1] == [i.label for i in memory.items]
    for _ in range(3):
        memory.add(item(0, 0.0))
    assert [0, 0, 1, 1] == sorted(i.label for i in memory.items)


def test_memory_turns_the_worst_away() -> None:
    """A frame less certain than everything stored of its class is not stored, and everything ages all the same."""
    memory = Memory(capacity=2)
    assert (True, True) == (memory.add(item(0, 0.0)), memory.add(item(1, 0.0)))
    assert not memory.add(item(0, 0.69))
    assert [3, 2] == [i.age for i in memory.items]


def test_robust_norm(source, frames) -> None:
    """In training the average moves a twentieth of the way before it is used; in evaluation it stays."""
    layer = RobustNorm(copy.deepcopy(source.module.norm), momentum=0.05)
    x = torch.randn(6, 4, 5, 5)
    torch.testing.assert_close(layer.eval()(x), source.module.norm(x))
    out = layer.train()(x)
    mean = 0.95 * source.module.norm.running_mean + 0.05 * x.mean((0, 2, 3))
    var = 0.95 * source.module.norm.running_var + 0.05 * x.var((0, 2, 3), unbiased=False)
    gamma, beta = source.module.norm.weight[:, None, None], source.module.norm.bias[:, None, None]
    expected = (x - mean[:, None, None]) / torch.sqrt(var + 1e-5)[:, None, None] * gamma + beta
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(layer.eval()(x), expected)


def test_rotta_steps_every_so_many_frames(source, frames) -> None:
    """The student steps after every 8 frames; the teacher follows by its share, and its statistics by theirs."""
    method = RoTTA(source, every=8, capacity=8, follow=0.25)
    for seed in range(3):
        method.observe(frames(6, seed=seed))
    assert (2.0, 18.0) == (method.state()["updates"], method.state()["stored"] + method.state()["refused: memory"])
    once = RoTTA(source, every=8, capacity=8, follow=0.25)
    once.observe(frames(8))
    student, teacher = once.student.norm.weight.detach(), once.teacher.norm.weight
    assert not torch.equal(student, source.module.norm.weight)
    torch.testing.assert_close(teacher, 0.75 * source.module.norm.weight + 0.25 * student)
    assert not torch.equal(once.teacher.norm.mean, source.module.norm.running_mean)


def test_rotta_loss_weighs_recent_frames_more(source, frames, monkeypatch) -> None:
    """The loss is the cross-entropy to the teacher, weighted by exp(-age) / (1 + exp(-age)), age over capacity."""
    monkeypatch.setattr("ratta.evaluate.methods.rotta.augmented", lambda inputs, _: inputs)
    method, batch = RoTTA(source, every=4, capacity=4, learning_rate=1e-3), frames(4)
    twin = RoTTA(source, every=99, capacity=4)
    twin.observe(batch)
    method.observe(batch)
    # The step is taken when the last frame enters, so the four have aged 4, 3, 2 and 1.
    kept = torch.stack([i.inputs for i in twin.memory.items])
    ages = torch.tensor([i.age for i in twin.memory.items]) / 4
    weight = torch.exp(-ages) / (1 + torch.exp(-ages))
    target = twin.teacher.train()(kept).logits.detach()
    logits = twin.student.train()(kept).logits
    (-(target.softmax(1) * logits.log_softmax(1)).sum(1) * weight).mean().backward()
    torch.optim.Adam([twin.student.norm.weight, twin.student.norm.bias], lr=1e-3).step()
    torch.testing.assert_close(method.student.norm.weight, twin.student.norm.weight)


def affine_shift(method, source) -> float:
    """How far the affine values are from the source."""
    return float((method.module.norm.weight - source.module.norm.weight).detach().abs().max())


@pytest.mark.parametrize(("statistics", "still"), [("batch", BatchStatistics), ("source", NoTTA)])
def test_stock_sar_learns_nothing_on_two_classes(source, frames, statistics, still) -> None:
    """With the published reset constant every step ends in a reset; with the two-class constant the model learns."""
    stock = SAR(source, statistics=statistics)
    corrected = SAR(source, statistics=statistics, reset_below=RESET_TWO_CLASSES)
    unmoved = still(source)
    for seed in range(20):
        np.testing.assert_array_equal(unmoved.observe(frames(16, seed=seed)), stock.observe(frames(16, seed=seed)))
        corrected.observe(frames(16, seed=seed))
    assert (20.0, 20.0, 0.0) == (stock.state()["updates"], stock.state()["resets"], affine_shift(stock, source))
    assert corrected.state()["resets"] < 20
    assert pytest.approx(0.0201, abs=1e-4) == RESET_TWO_CLASSES


def test_stock_eata_stops_on_two_classes(source, frames) -> None:
    """With the published redundancy margin hardly a frame counts after the first batches; without it they do."""
    stock = EATA(source, development=frames(16, seed=99))
    corrected = EATA(source, development=frames(16, seed=99), redundancy=None)
    used = []
    for seed in range(30):
        for method in (stock, corrected):
            method.observe(frames(16, seed=seed))
        used.append((stock.state()["used"], corrected.state()["used"]))
    first, last = used[4], used[-1]
    assert last[0] - first[0] <= 0.02 * 25 * 16
    assert last[1] - first[1] >= 0.4 * 25 * 16
