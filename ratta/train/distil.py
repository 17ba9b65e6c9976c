"""Distillation: the student with its temporary heads, the whole loss, and the augmentation that teaches invariance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ratta.train import losses
from ratta.train.another_camera import another_camera
from ratta.train.network import Network, StudentOutput, normalise
from ratta.train.pool import EMBEDDING_WIDTH, LAST_SIDE, MIDDLE_SIDE, POOLED_WIDTH, TEACHER_WIDTH, JudgedBatch, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How much each term of the loss counts.

    ``margin`` Huber on the live margin of each view, ``pair`` on the mean of a picture's views, ``centred`` Huber on
    centred three-class logits, ``soft`` KL at T = 3, the four feature regressions, ``extra`` Huber on further teachers'
    margins, ``label`` cross-entropy where a label exists.
    """

    margin: float = 1.0
    pair: float = 0.5
    centred: float = 0.3
    soft: float = 1.0
    embedding: float = 1.0
    pooled: float = 0.5
    middle: float = 0.5
    last: float = 0.5
    extra: float = 0.5
    label: float = 0.0


class Distiller(nn.Module):
    """A student and the heads that exist only while it learns.

    Parameters
    ----------
    student : Network
        The network that will be shipped.
    extra : int
        Number of further teachers whose margins are regressed.
    weights : LossWeights
        Weights of the loss terms.
    """

    def __init__(self, *, student: Network, extra: int = 0, weights: LossWeights | None = None) -> None:
        super().__init__()
        self.student = student
        self.weights = weights or LossWeights()
        hidden, width = student.hidden_width, student.last_width
        self.three = nn.Linear(hidden, 3)
        self.to_embedding = nn.Linear(width, EMBEDDING_WIDTH)
        self.to_pooled = nn.Linear(width, POOLED_WIDTH)
        self.to_middle = nn.Conv2d(student.middle_width, TEACHER_WIDTH, 1)
        self.to_last = nn.Conv2d(width, TEACHER_WIDTH, 1)
        self.to_extra = nn.Linear(width, extra) if extra else None
        self.to_label = nn.Linear(width, 2)
        for name, width_of in _FEATURES.items():
            self.register_buffer(f"mean_{name}", torch.zeros(width_of))
            self.register_buffer(f"std_{name}", torch.ones(width_of))

    @torch.no_grad()
    def fit_standardisation(self, batch: JudgedBatch) -> None:
        """Take means and spreads of the first teacher's features from a batch, so that every feature counts alike."""
        for name in _FEATURES:
            values = getattr(batch, name).flatten(0, 1).float()
            axes = (0, 2, 3) if values.ndim == 4 else (0,)
            getattr(self, f"mean_{name}").copy_(values.mean(axes))
            getattr(self, f"std_{name}").copy_(values.std(axes) + 1e-3)

    def _standard(self, name: str, values: Tensor) -> Tensor:
        shape = (1, -1, 1, 1) if values.ndim == 4 else (1, -1)
        mean: Tensor = getattr(self, f"mean_{name}")
        std: Tensor = getattr(self, f"std_{name}")
        return (values.float() - mean.view(shape)) / std.view(shape)

    def forward(self, pixels: Tensor, batch: JudgedBatch) -> dict[str, Tensor]:
        """Every weighted loss term by name, for pixels ``(N * V, 3, S, S)`` and the teachers' opinions on them."""
        out: StudentOutput = self.student(pixels)
        w, views = self.weights, batch.views
        margin, theirs = batch.target.repeat_interleave(views), batch.logits.flatten(0, 1)
        three, logits = self.three(out.hidden).float(), out.logits.float()
        pairs = logits.view(-1, views, 2).mean(1)
        terms = {
            "margin": w.margin * losses.margin_huber(logits, margin),
            "pair": w.pair * losses.margin_huber(pairs, batch.target),
            "centred": w.centred * losses.centred_huber(three, theirs),
            "soft": w.soft
            * (
                losses.softened_kl(logits, losses.binary_logits(margin), temperature=3.0)
                + losses.softened_kl(three, theirs, temperature=3.0)
            ),
            "zero_mean": 0.01 * logits.mean(1).square().mean(),
        }
        terms.update(self._feature_terms(out, batch))
        if self.to_extra is not None:
            guess = self.to_extra(out.embedding)
            terms["extra"] = w.extra * functional.huber_loss(guess, batch.extra.flatten(0, 1), delta=2.0) / 2
        if w.label:
            terms["label"] = w.label * self._label_term(out, batch.labels.repeat_interleave(views))
        return terms

    def _feature_terms(self, out: StudentOutput, batch: JudgedBatch) -> dict[str, Tensor]:
        w = self.weights
        middle = functional.interpolate(self.to_middle(out.middle), size=MIDDLE_SIDE, mode="bilinear")
        last = functional.interpolate(self.to_last(out.last), size=LAST_SIDE, mode="bilinear")
        guesses = {
            "embedding": (w.embedding, self.to_embedding(out.embedding)),
            "pooled": (w.pooled, self.to_pooled(out.embedding)),
            "middle": (w.middle, middle),
            "last": (w.last, last),
        }
        return {
            name: weight * losses.feature_loss(guess, self._standard(name, getattr(batch, name).flatten(0, 1)))
            for name, (weight, guess) in guesses.items()
        }

    def _label_term(self, out: StudentOutput, labels: Tensor) -> Tensor:
        known = labels >= 0
        if not bool(known.any()):
            return out.embedding.sum() * 0.0
        return functional.cross_entropy(self.to_label(out.embedding[known]), labels[known])


_FEATURES = {"embedding": EMBEDDING_WIDTH, "pooled": POOLED_WIDTH, "middle": TEACHER_WIDTH, "last": TEACHER_WIDTH}


def retone(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Random gamma .6-1.7, contrast .6-1.5 and channel gains .8-1.25 on ``(N, 3, S, S)`` in 0-1."""
    count = pixels.shape[0]

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        u = torch.rand((count, channels, 1, 1), generator=generator).to(pixels.device)
        return low * (high / low) ** u

    gains = draw(0.8, 1.25, 3)
    out = (pixels.clamp_min(1e-4) ** draw(0.6, 1.7) - 0.45) * draw(0.6, 1.5) + 0.45
    return (out * gains).clamp(0, 1)


def student_pixels(batch: JudgedBatch, *, size: int, camera_share: float, generator: torch.Generator) -> Tensor:
    """Give the student's views ``(N * V, 3, size, size)``: in part through another camera, the opinions unchanged."""
    pixels = normalise(batch.pixels.flatten(0, 1))
    changed = int(camera_share * len(batch.pixels)) * batch.views
    if changed:
        pixels[:changed] = another_camera(pixels[:changed], generator, views=batch.views)
    if size != pixels.shape[-1]:
        pixels = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.contiguous(memory_format=torch.channels_last)


def flip(batch: JudgedBatch, generator: torch.Generator) -> JudgedBatch:
    """Mirror half of a batch together with the first teacher's feature maps."""
    chosen = torch.rand(len(batch.pixels), generator=generator).to(batch.pixels.device) < 0.5
    flipped = fields(batch)
    for name, axis in (("pixels", 3), ("middle", 4), ("last", 4)):
        values = flipped[name].clone()
        values[chosen] = values[chosen].flip(axis)
        flipped[name] = values
    return JudgedBatch(**flipped)
