"""Fine-tuning a network on labelled crops, as the ablation of the simulator does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from ratta.train.network import normalise

SIZE, BATCH = 128, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Tone:
    """How far training changes tone: half-ranges in log gamma, log contrast and log channel gains."""

    gamma: tuple[float, float]
    contrast: tuple[float, float]
    gains: tuple[float, float]

    def table(self, rng: np.random.Generator) -> np.ndarray:
        gamma, contrast = (np.exp(rng.uniform(*np.log(r))) for r in (self.gamma, self.contrast))
        gains = np.exp(rng.uniform(*np.log(self.gains), 3))
        level = np.arange(256)[:, None] / 255
        return np.clip(255 * (((level**gamma - 0.5) * contrast + 0.5) * gains) + 0.5, 0, 255).astype(np.uint8)[None]


TONES = {
    "weak": Tone(gamma=(0.9, 1.1), contrast=(0.9, 1.1), gains=(0.97, 1.03)),
    "strong": Tone(gamma=(0.45, 2.2), contrast=(0.5, 1.6), gains=(0.74, 1.35)),
}


def batches(
    crops: np.ndarray, is_live: np.ndarray, tone: Tone, rng: np.random.Generator, *, side: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in random order: flipped, moved a little, re-toned."""
    order = rng.permutation(len(crops))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        made = np.stack([varied(crops[i], tone, rng, side=side) for i in chosen])
        yield normalise(torch.from_numpy(made)), torch.from_numpy(is_live[chosen].astype(np.int64))


def varied(crop: np.ndarray, tone: Tone, rng: np.random.Generator, *, side: int) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), rng.normal(0, 3), rng.uniform(0.97, 1.08))
    matrix[:, 2] += rng.normal(0, 2, 2)
    moved = cv2.warpAffine(crop, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
    small = moved if side == SIZE else cv2.resize(moved, (side, side), interpolation=cv2.INTER_AREA)
    toned = cv2.LUT(small, tone.table(rng))
    return toned[:, ::-1] if rng.random() < 0.5 else toned


def tune(
    network: nn.Module,
    epochs: Sequence[Iterator[tuple[torch.Tensor, torch.Tensor]]],
    is_live: np.ndarray,
    *,
    rate: float,
    decay: float,
) -> None:
    """Tune every weight on epochs of batches with labels, in one cycle of AdamW, both classes weighing alike."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rate, total_steps=len(epochs) * (len(is_live) // BATCH), pct_start=0.15, cycle_momentum=False
    )
    weights = torch.tensor([is_live.mean(), 1 - is_live.mean()], dtype=torch.float32)
    for epoch, inputs in enumerate(epochs):
        losses = []
        for pixels, labels in inputs:
            loss = nn.functional.cross_entropy(network(pixels).logits, labels, weight=weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"  epoch {epoch}: loss {np.mean(losses):.3f}", flush=True)
