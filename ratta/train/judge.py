"""From pictures to what several teachers say of them, each teacher shown its own crop.

A Silent-Face network is shown 2.7 times the face, also the one that was made for 4.0: no portrait is as wide.

The student may be shown a tighter crop than its teachers: what they saw in the wide view is then what it learns to say
of the tight one. A phone's crop is not always as wide as a teacher wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ratta.errors import InputError
from ratta.train.fresh import refresh
from ratta.train.inputs import UNLABELLED
from ratta.train.pool import LAST_SIDE, MIDDLE_SIDE, JudgedBatch, Pictures, bring
from ratta.train.teachers import OnnxTeacher, SilentFaceTeacher, live_margin

ZOOMED = 0.4
"""Share of the pictures of which the student is shown a tighter crop than its teachers."""
TIGHTEST = 1.0
"""Tightest crop that the student is shown, over the longer side of the face box."""


def cut(pixels: Tensor, share: Tensor, *, size: int) -> Tensor:
    """Cut the middle of every picture, ``share (N,)`` of its side, to ``size``, by a two-by-two area filter."""
    theta = torch.zeros((len(pixels), 2, 3), device=pixels.device, dtype=pixels.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = share.to(pixels.dtype)
    grid = functional.affine_grid(theta, [len(pixels), pixels.shape[1], 2 * size, 2 * size], align_corners=False)
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
        Side of the student's view.
    scales : sequence of float
        What the others' margins are multiplied by; see :meth:`measure_scales`.
    device : torch.device, optional
        The CPU by default.
    """

    def __init__(
        self,
        teachers: Sequence[str],
        *,
        size: int = 128,
        scales: Sequence[float] = (),
        device: torch.device | None = None,
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
        if scales and len(scales) != len(self.others):
            raise InputError(f"scales: expected {len(self.others)}, one a further teacher, got {list(scales)}")
        self.scales = torch.tensor(list(scales) or [1.0] * len(self.others), device=self.device)
        for teacher in (self.first, *self.others):
            teacher.network.to(self.device)

    def measure_scales(self, pictures: Pictures) -> list[float]:
        """Find what brings the others' margins to the first's spread, so that every opinion counts alike."""
        batch = self(pictures, torch.Generator(self.device).manual_seed(0), zoomed=0.0)
        ours, theirs = live_margin(batch.logits, live=1), batch.extra / self.scales
        found: list[float] = (ours.std() / theirs.std(0).clamp_min(1e-3)).tolist()
        return found

    @torch.no_grad()
    def __call__(
        self, pictures: Pictures, generator: torch.Generator, *, fresh: bool = False, zoomed: float = ZOOMED
    ) -> JudgedBatch:
        """Judge pictures, ``fresh``: damaged anew first; ``zoomed``: share shown to the student as a tighter crop.

        What is damaged anew has no honest label any more.
        """
        with torch.autocast(self.device.type, enabled=False):
            return self._judge(pictures, generator, fresh=fresh, zoomed=zoomed)

    def _judge(self, pictures: Pictures, generator: torch.Generator, *, fresh: bool, zoomed: float) -> JudgedBatch:
        pictures = bring(pictures, self.device)
        whole, scale = pictures.pixels.permute(0, 3, 1, 2).float() / 255, pictures.scale
        if fresh:
            whole = refresh(whole, generator)
        whole = (whole * 255).round()
        tight = torch.rand(len(scale), generator=generator, device=self.device) < zoomed
        depth = torch.rand(len(scale), generator=generator, device=self.device)
        share = torch.where(tight, (TIGHTEST / scale).clamp(max=1) ** depth, torch.ones_like(scale))
        out = self.first.output(self._view(whole, scale, self.first))
        seen = share / (self.first.crop_scale / scale).clamp(max=1)
        extra = [teacher.opinion(self._view(whole, scale, teacher)).margin for teacher in self.others]
        return JudgedBatch(
            pixels=cut(whole, share, size=self.size).round().to(torch.uint8).permute(0, 2, 3, 1),
            labels=torch.full_like(pictures.labels, UNLABELLED) if fresh else pictures.labels,
            logits=out.logits,
            embedding=out.embedding,
            pooled=out.pooled,
            middle=cut(out.middle, seen, size=MIDDLE_SIDE),
            last=cut(out.last, seen, size=LAST_SIDE),
            extra=torch.stack(extra, 1) * self.scales if extra else torch.zeros((len(scale), 0), device=self.device),
        )

    @staticmethod
    def _view(whole: Tensor, scale: Tensor, teacher: SilentFaceTeacher | OnnxTeacher) -> Tensor:
        return cut(whole, (teacher.crop_scale / scale).clamp(max=1), size=teacher.size)
