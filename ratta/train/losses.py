"""Losses: the three published forms of distillation, logit-margin regression and feature regression.

All take logits in the student's order ``[spoof, live]`` unless they say otherwise, and average over the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def softened_kl(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """``KL(p_T || q_T)`` of temperature-softened softmaxes, without the ``T^2`` factor."""
    log_q = functional.log_softmax(student / temperature, 1)
    log_p = functional.log_softmax(teacher / temperature, 1)
    return functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def hinton_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, alpha: float, temperature: float, weight: Tensor | None = None
) -> Tensor:
    """``alpha H(y, q) + (1 - alpha) T^2 KL(p_T || q_T)`` (Hinton et al. 2015).

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([[0.0, 1.0]])
    >>> float(hinton_loss(z, z, torch.tensor([1]), alpha=0.0, temperature=4.0))
    0.0
    """
    hard = functional.cross_entropy(student, labels, weight=weight)
    return alpha * hard + (1 - alpha) * temperature**2 * softened_kl(student, teacher, temperature=temperature)


def additive_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, beta: float, temperature: float, weight: Tensor | None = None
) -> Tensor:
    """``H(y, q) + beta T^2 KL(p_T || q_T)``: the label is never weakened."""
    hard = functional.cross_entropy(student, labels, weight=weight)
    return hard + beta * temperature**2 * softened_kl(student, teacher, temperature=temperature)


def convex_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, alpha: float, temperature: float, weight: Tensor | None = None
) -> Tensor:
    """``(1 - alpha) H(y, q) + alpha KL(p_T || q_T)``: a convex mixture without the ``T^2`` factor."""
    hard = functional.cross_entropy(student, labels, weight=weight)
    return (1 - alpha) * hard + alpha * softened_kl(student, teacher, temperature=temperature)


DISTILLATION = ("hinton", "additive", "convex")
"""Names of the three published forms."""


def distillation_loss(
    form: str,
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    weight: Tensor | None = None,
) -> Tensor:
    """One of the three published forms by name; ``beta`` belongs to the additive one, ``alpha`` to the others."""
    if form == "additive":
        return additive_loss(student, teacher, labels, beta=beta, temperature=temperature, weight=weight)
    loss = {"hinton": hinton_loss, "convex": convex_loss}[form]
    return loss(student, teacher, labels, alpha=alpha, temperature=temperature, weight=weight)


def binary_logits(margin: Tensor) -> Tensor:
    """Logits ``[spoof, live]`` with the given live margin and zero mean, ``(N, 2)``."""
    return torch.stack((-margin / 2, margin / 2), 1)


def margin_huber(student: Tensor, margin: Tensor, *, delta: float = 2.0) -> Tensor:
    """Huber loss between the student's live margin and a target margin ``(N,)``."""
    return functional.huber_loss(student[:, 1] - student[:, 0], margin, delta=delta) / delta


def centred_huber(student: Tensor, teacher: Tensor, *, delta: float = 2.0) -> Tensor:
    """Huber loss between logits of the same classes after each row's mean is taken away."""
    centred = student - student.mean(1, keepdim=True)
    return functional.huber_loss(centred, teacher - teacher.mean(1, keepdim=True), delta=delta) / delta


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between standardised features of any equal shape."""
    return functional.smooth_l1_loss(student, teacher)


def balanced_weights(labels: Tensor, *, classes: int = 2) -> Tensor:
    """Class weights inversely proportional to frequency, mean one over the samples, ``(classes,)``."""
    counts = torch.bincount(labels, minlength=classes).clamp_min(1).float()
    return labels.numel() / (classes * counts)
