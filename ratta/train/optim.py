"""Optimiser: orthogonalised momentum for matrices, Adam for everything else.

Muon (Jordan et al. 2024): the momentum of a weight matrix is replaced by the nearest orthogonal matrix, found by a
quintic Newton-Schulz iteration, so that every direction of a pointwise convolution learns at the same pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """Approximate ``U V^T`` of ``matrix = U S V^T`` (singular values land in about 0.7-1.2)."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x if wide else x.T
    return orthogonal


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a dense mixing matrix: a 1x1 convolution or a hidden linear layer."""
    if parameter.ndim == 4:
        return parameter.shape[2:] == (1, 1) and min(parameter.shape[:2]) >= 8
    return parameter.ndim == 2 and name.endswith("classifier.0.weight")


class MuonAdam(torch.optim.Optimizer):
    """Muon on matrices, AdamW on the rest, in one optimiser with one state.

    Parameters
    ----------
    network : Module
        Whose named parameters are optimised.
    rate : float
        Peak learning rate of the Adam part; the Muon part uses ``matrix_rate``.
    matrix_rate : float
        Peak learning rate of the Muon part.
    decay : float
        Decoupled weight decay of matrices and convolutions.
    """

    def __init__(
        self, network: nn.Module, *, rate: float = 2e-3, matrix_rate: float = 4e-3, decay: float = 0.05
    ) -> None:
        named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if is_matrix(name, p)]
        others = [p for name, p in named if not is_matrix(name, p) and p.ndim > 1]
        vectors = [p for name, p in named if p.ndim <= 1]
        super().__init__(
            [
                {"params": matrices, "peak": matrix_rate, "lr": matrix_rate, "decay": decay, "muon": True},
                {"params": others, "peak": rate, "lr": rate, "decay": decay, "muon": False},
                {"params": vectors, "peak": rate, "lr": rate, "decay": 0.0, "muon": False},
            ],
            {},
        )

    def set_progress(self, factor: float) -> None:
        """Scale every group's rate to ``factor`` of its peak."""
        for group in self.param_groups:
            group["lr"] = group["peak"] * factor

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Apply one update from the gradients at hand."""
        for group, parameter in self._with_gradient():
            state = self.state[parameter]
            parameter.mul_(1 - group["lr"] * group["decay"])
            if group["muon"]:
                _muon_step(parameter, state, group["lr"])
            else:
                _adam_step(parameter, state, group["lr"])

    def _with_gradient(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    yield group, parameter


def _muon_step(parameter: Tensor, state: dict[str, Any], rate: float, momentum: float = 0.95) -> None:
    gradient = parameter.grad
    assert gradient is not None
    if not state:
        state["velocity"] = torch.zeros_like(gradient)
    velocity: Tensor = state["velocity"]
    velocity.lerp_(gradient, 1 - momentum)
    ahead = gradient.lerp(velocity, momentum)
    matrix = ahead.reshape(ahead.shape[0], -1)
    scale = 0.2 * max(matrix.shape) ** 0.5
    parameter.add_(orthogonalise(matrix).view_as(parameter), alpha=-rate * scale)


def _adam_step(parameter: Tensor, state: dict[str, Any], rate: float) -> None:
    gradient = parameter.grad
    assert gradient is not None
    if not state:
        state.update(count=0, first=torch.zeros_like(gradient), second=torch.zeros_like(gradient))
    state["count"] += 1
    state["first"].lerp_(gradient, 0.1)
    state["second"].lerp_(gradient.square(), 0.01)
    first = state["first"] / (1 - 0.9 ** state["count"])
    second = state["second"] / (1 - 0.99 ** state["count"])
    parameter.addcdiv_(first, second.sqrt().add_(1e-8), value=-rate)
