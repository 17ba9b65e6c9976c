"""Losses against their formulas on numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ratta.train import losses
from ratta.train.optim import orthogonalise

S = torch.tensor([[0.0, 2.0]])
T = torch.tensor([[0.0, 4.0]])
LIVE = torch.tensor([1])
HARD = math.log(1 + math.exp(-2))


def kl(a: float, b: float) -> float:
    """KL between two Bernoulli distributions of log-odds a and b."""
    p, q = 1 / (1 + math.exp(-a)), 1 / (1 + math.exp(-b))
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_hinton_form() -> None:
    """Alpha H + (1 - alpha) T^2 KL."""
    found = float(losses.hinton_loss(S, T, LIVE, alpha=0.2, temperature=4.0))
    assert found == pytest.approx(0.2 * HARD + 0.8 * 16 * kl(1.0, 0.5), rel=1e-5)


def test_additive_form() -> None:
    """H + beta T^2 KL."""
    found = float(losses.additive_loss(S, T, LIVE, beta=0.5, temperature=2.0))
    assert found == pytest.approx(HARD + 0.5 * 4 * kl(2.0, 1.0), rel=1e-5)


def test_convex_form() -> None:
    """(1 - alpha) H + alpha KL."""
    found = float(losses.convex_loss(S, T, LIVE, alpha=0.3, temperature=2.0))
    assert found == pytest.approx(0.7 * HARD + 0.3 * kl(2.0, 1.0), rel=1e-5)


def test_margin_huber_is_quadratic_then_linear() -> None:
    """Half the square up to delta, then the tangent, all over delta."""
    assert float(losses.margin_huber(S, torch.tensor([3.0]), delta=2.0)) == pytest.approx(0.5 * 1 / 2)
    assert float(losses.margin_huber(S, torch.tensor([8.0]), delta=2.0)) == pytest.approx(6 - 1.0)


def test_centred_huber_ignores_a_common_offset() -> None:
    """Logits are compared up to a constant per row."""
    assert float(losses.centred_huber(S + 7, S)) == pytest.approx(0.0, abs=1e-6)


def test_binary_logits_have_the_margin_they_were_given() -> None:
    """Zero mean, margin m."""
    assert losses.binary_logits(torch.tensor([3.0])).tolist() == [[-1.5, 1.5]]


def test_balanced_weights_favour_the_rare_class() -> None:
    """Three spoof, one live: 2/3 and 2."""
    assert losses.balanced_weights(torch.tensor([0, 0, 0, 1])).tolist() == pytest.approx([2 / 3, 2.0])


def test_orthogonalise_evens_out_singular_values() -> None:
    """Newton-Schulz brings singular values near one and keeps the singular vectors."""
    matrix = torch.randn((12, 30), generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
