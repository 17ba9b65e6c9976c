"""Fresh damage for whole batches: every time a picture is drawn it is another one.

The makers of `ratta.train.inputs` work picture by picture on the CPU. A GPU learns faster than they make; each picture
is therefore drawn several times, and damaged anew each time before the teachers judge it. Every operation here takes
``(N, 3, S, S) float32`` in 0-1, draws one strength per picture, and keeps shape and range loosely: `refresh` clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Damage = Callable[[Tensor, torch.Generator], Tensor]
BLOCK = 8
LUMA = (0.299, 0.587, 0.114)
BLUR_RADIUS = 6


def uniform(like: Tensor, generator: torch.Generator, low: float, high: float, channels: int = 1) -> Tensor:
    """One number per picture and channel, ``(N, channels, 1, 1)``."""
    u = torch.rand((len(like), channels, 1, 1), generator=generator, device=like.device)
    return low + (high - low) * u


def normal(like: Tensor, generator: torch.Generator, spread: float, channels: int = 1) -> Tensor:
    """One normal number per picture and channel, ``(N, channels, 1, 1)``."""
    return spread * torch.randn((len(like), channels, 1, 1), generator=generator, device=like.device)


def tone(x: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma, contrast about a pivot, lift and channel gains."""
    gamma, contrast = normal(x, generator, 0.35).exp(), normal(x, generator, 0.3).exp()
    pivot, lift = uniform(x, generator, 0.2, 0.7), normal(x, generator, 0.06)
    gains = (normal(x, generator, 1.0, 3) * uniform(x, generator, 0.01, 0.2)).exp()
    return ((x.clamp_min(1e-4) ** gamma - pivot) * contrast + pivot + lift) * gains


def colour(x: Tensor, generator: torch.Generator) -> Tensor:
    """Another gamut: saturation, and a colour matrix near the identity whose rows keep grey grey."""
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(x, generator, 0.3, 1.8)
    noise = 0.1 * torch.randn((len(x), 3, 3), generator=generator, device=x.device)
    matrix = torch.eye(3, device=x.device) + noise
    return torch.einsum("nij,njhw->nihw", matrix / matrix.sum(2, keepdim=True), x)


def blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur every picture by a Gaussian of its own deviation ``sigma (N, 1, 1, 1)`` in pixels."""
    count, channels, height, width = x.shape
    steps = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma.view(-1, 1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, None]
    planes = functional.pad(x.reshape(1, count * channels, height, width), (BLUR_RADIUS,) * 4, mode="reflect")
    planes = functional.conv2d(planes, kernel, groups=count * channels)
    return functional.conv2d(planes, kernel.transpose(2, 3), groups=count * channels).view_as(x)


def focus(x: Tensor, generator: torch.Generator) -> Tensor:
    """Defocus, or unsharp masking of any strength: ``x + a (x - blurred)``."""
    soft = blurred(x, uniform(x, generator, 0.4, 2.2))
    sharper = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device) < 0.4
    amount = torch.where(sharper, uniform(x, generator, 0.3, 2.0), torch.tensor(-1.0, device=x.device))
    return x + amount * (x - soft)


def grain(x: Tensor, generator: torch.Generator) -> Tensor:
    """Noise: fine or coarse, grey or coloured."""
    side = x.shape[-1] if float(torch.rand((), generator=generator, device=x.device)) < 0.6 else x.shape[-1] // 2
    noise = torch.randn((len(x), 3, side, side), generator=generator, device=x.device)
    if side != x.shape[-1]:
        noise = functional.interpolate(noise, size=x.shape[-2:], mode="bilinear")
    grey = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device) < 0.4
    noise = torch.where(grey, noise[:, :1], noise)
    return x + noise * uniform(x, generator, math.log(0.006), math.log(0.07)).exp()


def grating(x: Tensor, generator: torch.Generator) -> Tensor:
    """Lay on a periodic pattern in any direction, its colours in step or not: pixel rows, fringes, halftone."""
    along = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)
    period = uniform(x, generator, math.log(2.0), math.log(40.0)).exp()
    angle = uniform(x, generator, 0.0, math.pi)
    square = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device) < 0.5
    angle = torch.where(square, (angle / (math.pi / 2)).round() * (math.pi / 2), angle)
    phase = 2 * math.pi / period * (along * angle.cos() + along[:, None] * angle.sin())
    bend = uniform(x, generator, 0.0, 1.5) * torch.sin(0.1 * along[:, None] / period + uniform(x, generator, 0, 6))
    coloured = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device) < 0.5
    shifts = torch.where(coloured, uniform(x, generator, 0.0, 2 * math.pi, 3), torch.zeros(1, device=x.device))
    return x * (1 + uniform(x, generator, 0.02, 0.25) * torch.sin(phase + bend + shifts))


def light(x: Tensor, generator: torch.Generator) -> Tensor:
    """Uneven light: a smooth field that multiplies, or adds as a coloured veil."""
    small = torch.randn((len(x), 1, 3, 3), generator=generator, device=x.device)
    field = functional.interpolate(small, size=x.shape[-2:], mode="bicubic") * uniform(x, generator, 0.1, 0.5)
    veil = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device) < 0.4
    glare = field.clamp_min(0) * uniform(x, generator, 0.2, 0.9) * uniform(x, generator, 0.7, 1.0, 3)
    return torch.where(veil, x + glare, x * field.exp())


def codec(x: Tensor, generator: torch.Generator) -> Tensor:
    """One generation of block-transform compression: the 8x8 cosine transform of JPEG, quantised in luma and chroma.

    Quantiser steps grow linearly with frequency, from one shared base step per picture; chroma is coarser.
    """
    luma = torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
    y = (x * luma).sum(1, keepdim=True)
    planes = torch.cat((y, x - y), 1)
    count, channels, height, width = planes.shape
    basis = _cosines(x.device)
    blocks = planes.view(count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    spectrum = torch.einsum("ua,ncyaxb,vb->ncyuxv", basis, blocks, basis)
    order = torch.arange(BLOCK, device=x.device, dtype=x.dtype)
    growth = 1 + 0.7 * (order[:, None, None] + order)
    base = uniform(x, generator, math.log(0.004), math.log(0.09)).exp().view(-1, 1, 1, 1, 1, 1)
    step = base * growth * torch.tensor((1.0, 2.0, 2.0, 2.0), device=x.device).view(1, 4, 1, 1, 1, 1)
    spectrum = (spectrum / step).round() * step
    decoded = torch.einsum("ua,ncyuxv,vb->ncyaxb", basis, spectrum, basis).reshape(planes.shape)
    return decoded[:, 1:] + decoded[:, :1]


def _cosines(device: torch.device) -> Tensor:
    """Give the orthonormal type-II cosine transform of 8 points, ``(8, 8)``: frequency, then place."""
    place = torch.arange(BLOCK, device=device, dtype=torch.float32)
    table = torch.cos(math.pi / BLOCK * (place + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    table[0] /= math.sqrt(2)
    return table


DAMAGES: tuple[tuple[float, Damage], ...] = (
    (0.3, tone), (0.2, colour), (0.3, focus), (0.25, grain), (0.12, grating), (0.2, light), (0.25, codec),
)  # fmt: skip
"""Every damage with the share of pictures that it is done to."""


def refresh(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Damage a batch anew, each operation on its own share of the pictures, in an order drawn once for the batch.

    Parameters
    ----------
    pixels : Tensor
        ``(N, 3, S, S) float32`` in 0-1, S a multiple of 8.
    generator : torch.Generator
        Of the pixels' device.

    Returns
    -------
    Tensor
        The same shape, clipped to 0-1. About one picture in six is left as it was.
    """
    pixels = pixels.clone()
    order = torch.randperm(len(DAMAGES), generator=generator, device=pixels.device).tolist()
    for index in order:
        share, damage = DAMAGES[index]
        count = round(share * len(pixels))
        if count:
            chosen = torch.randperm(len(pixels), generator=generator, device=pixels.device)[:count]
            pixels[chosen] = damage(pixels[chosen], generator).clamp(0, 1)
    return pixels
