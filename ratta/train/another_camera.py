"""The same picture through another camera: what must not change a verdict.

The teachers judged the picture as it was. The student is shown it with a cast of warm or cold light, another tone
curve, another sensor's colours and grain, another lens, and taught the same verdict. All on batches
``(N, 3, H, W) float32`` in 0-1, one strength a row; the views of one picture share one light.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ratta.train.fresh import blurred, colour, grain, normal, uniform


def cast(x: Tensor, generator: torch.Generator) -> Tensor:
    """Warm or cold light up to strong orange and blue, gamma and contrast."""
    warmth, green = normal(x, generator, 0.25).clamp(-0.65, 0.65), normal(x, generator, 0.06)
    gains = torch.cat((warmth, green, -warmth), 1) + normal(x, generator, 0.04, 3)
    gamma, contrast = normal(x, generator, 0.3).exp(), normal(x, generator, 0.22).exp()
    lift = normal(x, generator, 0.03)
    return ((x.clamp_min(1e-4) ** gamma - 0.45) * contrast + 0.45 + lift) * gains.exp()


def bend(x: Tensor, generator: torch.Generator) -> Tensor:
    """Give an S-shaped tone curve, or its opposite."""
    inside = x.clamp(0, 1)
    return x + uniform(x, generator, -0.5, 0.8) * (inside * inside * (3 - 2 * inside) - inside)


def lens(x: Tensor, generator: torch.Generator) -> Tensor:
    """Colour fringes, a softer point spread, darker corners."""
    count, _, height, width = x.shape
    fringe = normal(x, generator, 0.006).view(-1, 1)
    spread = torch.cat((1 - fringe, torch.ones_like(fringe), 1 + fringe), 1).view(-1)
    theta = torch.zeros((3 * count, 2, 3), device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = spread
    grid = functional.affine_grid(theta, [3 * count, 1, height, width], align_corners=False)
    planes = functional.grid_sample(
        x.reshape(3 * count, 1, height, width), grid, padding_mode="border", align_corners=False
    )
    soft = blurred(planes.view_as(x), uniform(x, generator, 0.05, 1.0))
    across = torch.linspace(-1, 1, width, device=x.device) ** 2
    down = torch.linspace(-1, 1, height, device=x.device)[:, None] ** 2
    return soft * (1 - uniform(x, generator, 0.0, 0.4) * (across + down) / 2)


def another_camera(pixels: Tensor, generator: torch.Generator, *, views: int) -> Tensor:
    """Take pictures again with another camera each.

    Parameters
    ----------
    pixels : Tensor
        ``(N * V, 3, S, S) float32`` in 0-1, the views of one picture one after another.
    generator : torch.Generator
        Of the pixels' device.
    views : int
        V.

    Returns
    -------
    Tensor
        The same shape, clipped to 0-1.
    """
    side = pixels.shape[-1]
    x = _some(pixels.clone(), generator, 0.3, lens)
    x = _some(x, generator, 0.3, grain)
    tall = x.view(-1, views, 3, side, side).transpose(1, 2).reshape(-1, 3, views * side, side)
    tall = _some(_some(_some(tall, generator, 0.25, colour), generator, 0.25, bend), generator, 0.75, cast)
    return tall.view(-1, 3, views, side, side).transpose(1, 2).reshape(pixels.shape).clamp(0, 1)


def _some(x: Tensor, generator: torch.Generator, share: float, change: object) -> Tensor:
    chosen = torch.rand(len(x), generator=generator, device=x.device) < share
    if bool(chosen.any()):
        x[chosen] = change(x[chosen], generator).clamp(0, 1)  # type: ignore[operator]
    return x
