"""From pictures to what several teachers say of them: each picture in several views, each teacher with its own crop.

The student looks at one face twice, wide and tight, and so do the teachers: in the wide view each sees the crop it was
made for (a Silent-Face network 2.7 times the face, also the one that was made for 4.0: no portrait is as wide), in the
tight view all see 1.2 times the face, filling their input. Each view is taught what all say of both on the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ratta.errors import InputError
from ratta.train.fresh import refresh
from ratta.train.inputs import NO_FACE, UNLABELLED
from ratta.train.pool import LAST_SIDE, MIDDLE_SIDE, JudgedBatch, Pictures, bring, joined
from ratta.train.teachers import OnnxTeacher, SilentFaceTeacher, live_margin

VIEWS = (2.7, 1.15)
"""Sides of the student's crops over the longer side of the face box, the widest first."""
JITTER = (0.85, 1.2)
"""Range of what each side is multiplied by, so that another detector's box is no surprise."""
TEACHERS_TIGHT = 1.2
"""Side of the crop that all teachers see in every view but the first."""
SUREST, NOTHING = 12.0, -6.0
"""Largest margin that one teacher may claim, and the most that a picture without a face is worth."""


def cut(pixels: Tensor, share: Tensor, *, size: int) -> Tensor:
    """Cut the middle of every picture, ``share (N,)`` of its side, to ``size``, by a two-by-two area filter."""
    along = torch.linspace(-1 + 0.5 / size, 1 - 0.5 / size, 2 * size, device=pixels.device, dtype=pixels.dtype)
    place = share.to(pixels.dtype)[:, None] * along
    grid = torch.stack((place[:, None, :].expand(-1, 2 * size, -1), place[:, :, None].expand(-1, -1, 2 * size)), dim=3)
    fine = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return functional.avg_pool2d(fine, 2)


class Judge:
    """Several teachers and the student's camera.

    Parameters
    ----------
    teachers : sequence of str
        Files. The first is a Silent-Face state dictionary, whose features are kept too; the others are such or ONNX
        classifiers that take RGB divided by 255 and whose first class is live.
    size : int
        Side of the student's views.
    scales : sequence of sequence of float
        What each teacher's margins are multiplied by in each view; see :meth:`measure_scales`.
    device : torch.device, optional
        The CPU by default.
    compiled : bool
        Whether torch compiles the teachers first: it takes a C++ compiler and a minute, and makes them twice as fast.
    """

    def __init__(
        self,
        teachers: Sequence[str],
        *,
        size: int = 128,
        scales: Sequence[Sequence[float]] = (),
        device: torch.device | None = None,
        compiled: bool = False,
    ) -> None:
        if not teachers or Path(teachers[0]).suffix == ".onnx":
            raise InputError(
                f"teachers: expected a Silent-Face state dictionary first, got {list(teachers)}; its features are kept"
            )
        self.device = device or torch.device("cpu")
        self.size = size
        self.first = SilentFaceTeacher(teachers[0])
        self.others = [
            OnnxTeacher(path) if Path(path).suffix == ".onnx" else SilentFaceTeacher(path) for path in teachers[1:]
        ]
        shape = (len(VIEWS), len(teachers))
        self.scales = torch.tensor(scales, device=self.device) if scales else torch.ones(shape, device=self.device)
        if self.scales.shape != shape:
            raise InputError(f"scales: expected {shape[0]} views of {shape[1]} teachers, got {list(scales)}")
        for teacher in (self.first, *self.others):
            teacher.network.to(self.device)
            if compiled:
                teacher.network.compile(options={"freezing": True})

    def measure_scales(self, pictures: Pictures) -> list[list[float]]:
        """Find what brings every margin to the first teacher's spread in the first view, so that all count alike."""
        batch = self.in_pieces(pictures, torch.Generator(self.device).manual_seed(0))
        first = live_margin(batch.logits.flatten(0, 1), live=1).view(len(batch.target), -1, 1)
        spread = torch.cat((first, batch.extra / self.scales[:, 1:]), 2).std(0)
        found: list[list[float]] = (spread[0, 0] / spread.clamp_min(1e-3)).tolist()
        return found

    @torch.no_grad()
    def __call__(self, pictures: Pictures, generator: torch.Generator, *, fresh: bool = False) -> JudgedBatch:
        """Judge pictures, ``fresh``: damaged anew first. What is damaged anew has no honest label any more."""
        with torch.autocast(self.device.type, enabled=False):
            return self._judge(pictures, generator, fresh=fresh)

    def in_pieces(self, pictures: Pictures, generator: torch.Generator, *, piece: int = 32) -> JudgedBatch:
        """Judge any number of pictures without the memory of all at once."""
        whole = {name: getattr(pictures, name).split(piece) for name in pictures.__dataclass_fields__}
        parts = [Pictures(**dict(zip(whole, values, strict=True))) for values in zip(*whole.values(), strict=True)]
        return joined([self(part, generator) for part in parts])

    def _judge(self, pictures: Pictures, generator: torch.Generator, *, fresh: bool) -> JudgedBatch:
        pictures = bring(pictures, self.device)
        whole, scale = pictures.pixels.permute(0, 3, 1, 2).float() / 255, pictures.scale
        if fresh:
            whole = refresh(whole, generator)
        whole = (whole * 255).round()
        low, high = JITTER
        depth = torch.rand((len(scale), len(VIEWS)), generator=generator, device=self.device)
        wanted = torch.tensor(VIEWS, device=self.device) * low * (high / low) ** depth
        shares = (wanted / scale[:, None]).clamp(max=1)
        labels = pictures.labels
        if fresh:
            labels = torch.where(labels == NO_FACE, labels, torch.full_like(labels, UNLABELLED))
        return self._asked(whole, scale, shares, labels)

    def _asked(self, whole: Tensor, scale: Tensor, shares: Tensor, labels: Tensor) -> JudgedBatch:
        """Ask every teacher about all views at once: rows are views of the first picture, then of the next."""
        views, count = len(VIEWS), len(scale)
        crops = [cut(whole, share, size=self.size) for share in shares.T]
        out = self.first.output(self._seen(whole, scale, self.first))
        margins = [out.margin, *(t.opinion(self._seen(whole, scale, t)).margin for t in self.others)]
        scaled = torch.stack(margins, 1).view(count, views, -1).mul(self.scales).clamp(-SUREST, SUREST)
        seen = (shares / self._rules(scale, self.first)).flatten()
        target = scaled.mean((1, 2))
        target = torch.where(labels == NO_FACE, target.clamp(max=NOTHING), target)

        def paired(values: Tensor) -> Tensor:
            return values.view(count, views, *values.shape[1:])

        return JudgedBatch(
            pixels=torch.stack(crops, 1).round().to(torch.uint8).permute(0, 1, 3, 4, 2).contiguous(),
            labels=labels,
            logits=paired(out.logits),
            embedding=paired(out.embedding),
            pooled=paired(out.pooled),
            middle=paired(cut(out.middle, seen, size=MIDDLE_SIDE)),
            last=paired(cut(out.last, seen, size=LAST_SIDE)),
            extra=scaled[..., 1:].contiguous(),
            target=target,
        )

    @staticmethod
    def _rules(scale: Tensor, teacher: SilentFaceTeacher | OnnxTeacher) -> Tensor:
        """Share of each picture's side that a teacher sees in each view, ``(N, V)``."""
        rules = torch.tensor([teacher.crop_scale, *[TEACHERS_TIGHT] * (len(VIEWS) - 1)], device=scale.device)
        return (rules / scale[:, None]).clamp(max=1)

    def _seen(self, whole: Tensor, scale: Tensor, teacher: SilentFaceTeacher | OnnxTeacher) -> Tensor:
        cuts = [cut(whole, share, size=teacher.size) for share in self._rules(scale, teacher).T]
        return torch.stack(cuts, 1).flatten(0, 1).contiguous()
