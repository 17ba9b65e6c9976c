"""A teacher in the manner of CoTTA: continual test-time adaptation (Wang et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd import backward

from ratta.evaluate.methods.torch_source import adaptable, cross_entropy, trained

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource


class CoTTA:
    """A moving-average teacher labels, over augmentations where the source is unsure; weights are restored at random.

    The answer is the teacher's. Augmentations here are flips, shifts of up to 1/16, gains of 0.8 to 1.2 and noise; the
    paper also turns and blurs. All parameters learn, and layers normalise by the batch, as published.

    Parameters
    ----------
    source : TorchSource
    seed : int
        Of augmentation and restoration.
    batch : int
        Frames a step.
    learning_rate : float
        Of Adam; published 1e-3.
    smoothing : float
        Of the teacher; published 0.999.
    restored : float
        Share of weights put back to the source at each step; published 0.01.
    sure_above : float
        No augmentation if the source's mean confidence on the batch is at least this; published 0.92.
    augmentations : int
        Published 32.
    """

    def __init__(
        self,
        source: TorchSource,
        *,
        seed: int = 0,
        batch: int = 16,
        learning_rate: float = 1e-3,
        smoothing: float = 0.999,
        restored: float = 0.01,
        sure_above: float = 0.92,
        augmentations: int = 32,
    ) -> None:
        self.source = source
        self.seed = seed
        self.batch = batch
        self.learning_rate = learning_rate
        self.smoothing = smoothing
        self.restored = restored
        self.sure_above = sure_above
        self.augmentations = augmentations
        self.reset()

    def reset(self) -> None:
        """Go back to the source model."""
        self.student = adaptable(self.source, statistics="batch").requires_grad_(True)
        self.teacher = adaptable(self.source, statistics="batch").requires_grad_(False)
        self._anchor = adaptable(self.source, statistics="batch").requires_grad_(False)
        self._optimizer = torch.optim.Adam([p for _, p in trained(self.student)], lr=self.learning_rate)
        self._generator = torch.Generator().manual_seed(self.seed)
        self._counts = {"updates": 0, "averaged": 0}

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present teacher."""
        with torch.no_grad():
            return self.source.live_scores(self.teacher(self.source.inputs(batch)).logits)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of the present teacher; then the student steps and the teacher follows."""
        inputs = self.source.inputs(batch)
        with torch.no_grad():
            target = self._label(inputs)
        self._optimizer.zero_grad()
        backward(cross_entropy(self.student(inputs).logits, target).mean())
        self._optimizer.step()
        self._follow()
        self._counts["updates"] += 1
        return self.source.live_scores(target)

    def state(self) -> dict[str, float]:
        """Count steps, and batches whose label was averaged over augmentations."""
        return {name: float(n) for name, n in self._counts.items()}

    def _label(self, inputs: Tensor) -> Tensor:
        plain: Tensor = self.teacher(inputs).logits
        confidence = self._anchor(inputs).logits.softmax(1).max(1).values.mean()
        if confidence >= self.sure_above:
            return plain
        self._counts["averaged"] += 1
        views = [self.teacher(augmented(inputs, self._generator)).logits for _ in range(self.augmentations)]
        return torch.stack(views).mean(0)

    @torch.no_grad()
    def _follow(self) -> None:
        students, teachers, sources = (list(m.parameters()) for m in (self.student, self.teacher, self._anchor))
        for student, teacher, source in zip(students, teachers, sources, strict=True):
            teacher.mul_(self.smoothing).add_(student, alpha=1 - self.smoothing)
            back = torch.rand(student.shape, generator=self._generator) < self.restored
            student[back] = source[back]


def augmented(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Flip, shift, gain and noise, one draw for the batch except the noise; `(N, 3, S, S)`."""
    draw = torch.rand(4, generator=generator)
    reach = max(1, inputs.shape[-1] // 16)
    down, right = ((draw[:2] * (2 * reach + 1)).long() - reach).tolist()
    padded = nn.functional.pad(inputs, (reach,) * 4, mode="replicate")
    side = inputs.shape[-1]
    view = padded[..., reach + down : reach + down + side, reach + right : reach + right + side]
    if draw[2] < 0.5:
        view = view.flip(-1)
    gain = 0.8 + 0.4 * draw[3]
    noise = torch.randn(inputs.shape, generator=generator) * 0.005 * inputs.std()
    return view * gain + noise
