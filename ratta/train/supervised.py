"""Training on labels, alone or with teachers beside them.

The loss is class-weighted cross-entropy; with teachers it is one of the three published forms of distillation (the mean
over the teachers), plus, if asked for, regression of the teachers' feature maps. The averaged weights that do best on
the validation part are kept; the test part is not seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ratta.errors import InputError
from ratta.metrics import auc
from ratta.train import losses
from ratta.train.checkpoint import save_checkpoint
from ratta.train.distil import retone
from ratta.train.labelled import Part
from ratta.train.loop import Loop, RunSettings
from ratta.train.network import Network, StudentOutput, make_network
from ratta.train.teachers import Opinion, Teacher, ask, save_network

CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """How teachers count.

    Attributes
    ----------
    form : {"hinton", "additive", "convex"}
        ``alpha H + (1 - alpha) T^2 KL``, ``H + beta T^2 KL`` or ``(1 - alpha) H + alpha KL``.
    alpha, beta, temperature : float
        Of these formulas.
    layers : tuple of str
        Feature maps to align with those teachers that have them: some of ``middle``, ``last``, ``embedding``.
    align : float
        Weight of the alignment, for each teacher and layer.
    """

    form: str = "hinton"
    alpha: float = 0.3
    beta: float = 1.0
    temperature: float = 4.0
    layers: tuple[str, ...] = ()
    align: float = 0.5

    def __post_init__(self) -> None:
        known = {"middle", "last", "embedding"}
        if self.form not in losses.DISTILLATION or not set(self.layers) <= known or self.temperature <= 0:
            raise InputError(
                f"teaching: expected a form of {', '.join(losses.DISTILLATION)}, layers of {', '.join(sorted(known))} "
                f"and a temperature above 0, got {self.form!r}, {self.layers} and {self.temperature}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedSettings(RunSettings):
    """Everything that decides a labelled run, besides its data.

    Attributes
    ----------
    network : str
        A name of ``NETWORKS``.
    crop_scale : float
        At which the crops were cut; for teachers that want others, and for the bundle.
    tone_share : float
        Share of each batch that is shown re-toned.
    validate_steps : int
        Steps from one look at the validation part to the next.
    precision : {"auto", "full", "mixed"}
        Mixed is bfloat16 where torch deems it safe; auto is mixed on a GPU.
    teaching : Teaching
        For runs with teachers.
    """

    network: str = "mobilenet-v3-small"
    crop_scale: float = 2.7
    tone_share: float = 0.3
    validate_steps: int = 100
    precision: str = "auto"
    teaching: Teaching = Teaching()


class Pupil(nn.Module):
    """A student, and the heads that align its features with its teachers' while it learns."""

    def __init__(self, *, student: Network, teachers: Sequence[Teacher], layers: Sequence[str]) -> None:
        super().__init__()
        self.student = student
        widths = {"middle": student.middle_width, "last": student.last_width, "embedding": student.last_width}
        self.heads = nn.ModuleDict()
        for index, teacher in enumerate(teachers):
            for layer in layers:
                if layer in teacher.widths:
                    self.heads[f"{layer}{index}"] = _head(widths[layer], teacher.widths[layer], layer)

    def forward(self, pixels: Tensor) -> StudentOutput:
        """Run the student."""
        out: StudentOutput = self.student(pixels)
        return out

    def alignment(self, out: StudentOutput, opinions: Sequence[Opinion]) -> list[Tensor]:
        """Distance of standardised features for every teacher and layer."""
        found = []
        for name, head in self.heads.items():
            layer, index = name.rstrip("0123456789"), int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
            guess, truth = head(getattr(out, layer)), opinions[index].features[layer].float()
            if truth.ndim == 4:
                truth = nn.functional.interpolate(truth, size=guess.shape[2:], mode="bilinear", antialias=True)
            axes = (0, 2, 3) if truth.ndim == 4 else (0,)
            spread = truth.std(axes, keepdim=True) + 1e-3
            found.append(losses.feature_loss(guess, (truth - truth.mean(axes, keepdim=True)) / spread))
        return found


def _head(inputs: int, outputs: int, layer: str) -> nn.Module:
    return nn.Linear(inputs, outputs) if layer == "embedding" else nn.Conv2d(inputs, outputs, 1)


class SupervisedTrainer(Loop):
    """Trains a network on labelled crops and keeps what does best on the validation part.

    Parameters
    ----------
    settings : SupervisedSettings
        The run.
    train, validation : Part
        Of different people.
    teachers : sequence of Teacher
        None for labels alone.
    student : Network, optional
        A fresh one by default.
    report : callable, optional
        Takes a line of progress now and then.

    Attributes
    ----------
    best : dict
        ``auc`` on the validation part, ``step`` and ``ema``, the weights.
    """

    def __init__(
        self,
        *,
        settings: SupervisedSettings,
        train: Part,
        validation: Part,
        teachers: Sequence[Teacher] = (),
        student: Network | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.train_part, self.validation = settings, train, validation
        self.teachers = tuple(teachers)
        network = make_network(settings.network) if student is None else student
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        mixed = settings.precision == "mixed" or (settings.precision == "auto" and device.type == "cuda")
        layers = settings.teaching.layers if settings.teaching.align else ()
        super().__init__(
            settings=settings,
            model=Pupil(student=network, teachers=self.teachers, layers=layers),
            device=device,
            mixed=mixed,
            report=report,
        )
        self.labels = torch.from_numpy(train.is_live.astype(np.int64))
        self.class_weights = losses.balanced_weights(self.labels).to(device)
        self.best: dict[str, Any] = {}

    def rows(self, step: int) -> NDArray[np.intp]:
        """Which crops a step shows: every one once before any comes again, in an order that the seed decides."""
        batch, count = self.settings.batch, len(self.train_part)
        places = step * batch + np.arange(batch)
        orders = {
            int(e): np.random.default_rng((self.settings.seed, int(e))).permutation(count) for e in set(places // count)
        }
        return np.array([orders[int(place // count)][place % count] for place in places])

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Learn from one batch."""
        rows = self.rows(self.step_index)
        labels = self.labels[torch.from_numpy(rows)].to(self.device)
        shown = augmented(self.train_part.pixels[rows], self.settings.tone_share, generator).to(self.device)
        out = self.model(shown / 255)
        if not self.teachers:
            return {"label": nn.functional.cross_entropy(out.logits.float(), labels, weight=self.class_weights)}
        crop_scale = self.settings.crop_scale
        with torch.autocast(self.device.type, enabled=False):
            opinions = [ask(teacher, shown, crop_scale=crop_scale) for teacher in self.teachers]
        return self._taught(out, labels, opinions)

    def _taught(self, out: StudentOutput, labels: Tensor, opinions: Sequence[Opinion]) -> dict[str, Tensor]:
        how = self.settings.teaching
        each = [
            losses.distillation_loss(
                how.form,
                out.logits.float(),
                losses.binary_logits(opinion.margin.float()),
                labels,
                alpha=how.alpha,
                beta=how.beta,
                temperature=how.temperature,
                weight=self.class_weights,
            )
            for opinion in opinions
        ]
        terms = {"taught": torch.stack(each).mean()}
        aligned = self.model.alignment(out, opinions)
        if aligned:
            terms["align"] = how.align * torch.stack(aligned).sum()
        return terms

    def after_step(self) -> None:
        """Look at the validation part now and then, and at the end."""
        if self.step_index % self.settings.validate_steps == 0 or self.progress >= 1.0:
            self.validate()

    def validate(self) -> float:
        """Measure the averaged network on the validation part; keep its weights if they are the best so far."""
        found = auc(self.validation.scored(margins(self.ema, self.validation.pixels, device=self.device)))
        self.record({"auc": found})
        if not self.best or found > self.best["auc"]:
            weights = {name: value.detach().clone().cpu() for name, value in self.ema.state_dict().items()}
            self.best = {"auc": found, "step": self.step_index, "ema": weights}
        return found

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, the best weights so far included."""
        return {**super().state(), "best": self.best, "network": self.settings.network}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self.best = state["best"]

    def run(self) -> Network:
        """Train, write ``best.pt``, and give the best network, in evaluation mode."""
        network = super().run()
        network.load_state_dict(self.best["ema"])
        facts: Mapping[str, Any] = {
            "size": self.train_part.pixels.shape[1],
            "crop_scale": self.settings.crop_scale,
            "auc": self.best["auc"],
            "step": self.best["step"],
            "samples": self.samples,
            "seed": self.settings.seed,
        }
        save_checkpoint(Path(self.settings.folder) / "best.pt", save_network(network, **facts))
        return network


def augmented(pixels: NDArray[np.uint8], tone_share: float, generator: torch.Generator) -> Tensor:
    """Mirror half of the crops and re-tone a share of them: ``(N, 3, S, S) float32``, 0-255, channels last."""
    shown = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    mirrored = torch.rand(len(shown), generator=generator) < 0.5
    shown[mirrored] = shown[mirrored].flip(3)
    toned = torch.rand(len(shown), generator=generator) < tone_share
    if bool(toned.any()):
        shown[toned] = 255 * retone(shown[toned] / 255, generator)
    return shown.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def margins(network: Network, pixels: NDArray[np.uint8], *, device: torch.device | None = None) -> NDArray[np.float64]:
    """Live margins ``(N,)`` of crops ``(N, S, S, 3)``, in evaluation mode."""
    network.eval()
    found = []
    for start in range(0, len(pixels), CHUNK):
        chunk = torch.from_numpy(np.ascontiguousarray(pixels[start : start + CHUNK])).to(device or "cpu")
        logits = network(chunk.permute(0, 3, 1, 2).float() / 255).logits.float()
        found.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
    return np.concatenate(found).astype(np.float64)
