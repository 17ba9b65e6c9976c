"""The training loop: a time or step budget, checkpoints that survive anything, exact resume, curves."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ratta.errors import InputError, TrainingError
from ratta.train.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from ratta.train.distil import Distiller, LossWeights, flip, student_pixels
from ratta.train.network import MobileNetV3Small, Network
from ratta.train.optim import MuonAdam
from ratta.train.pool import JudgedBatch, Producer, bring

ASK_EVERY = 50
"""Steps between two questions to a GPU whether the loss is still a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What every training run is decided by.

    Attributes
    ----------
    folder : str
        Where checkpoints, the log and the curves go.
    seconds, steps : float, int
        Budget, one of them; the cosine schedule ends with it.
    rate, matrix_rate, decay : float
        Peak rates and weight decay; see :class:`MuonAdam`.
    ema_steps : int
        Steps over which weights are averaged.
    checkpoint_seconds : float
        Time between checkpoints.
    threads : int
        Of torch.
    """

    folder: str
    seconds: float = 0.0
    steps: int = 0
    batch: int = 96
    rate: float = 2e-3
    matrix_rate: float = 4e-3
    decay: float = 0.05
    warmup_steps: int = 200
    ema_steps: int = 400
    checkpoint_seconds: float = 120.0
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if (self.seconds > 0) == (self.steps > 0):
            raise InputError(f"settings: expected one of seconds, steps, got {self.seconds}, {self.steps}; set one")


class Loop:
    """One training: schedule, optimiser, averaged weights, checkpoints; what is learnt is up to the subclass.

    Parameters
    ----------
    settings : RunSettings
        The run.
    model : Module
        What is optimised; its ``student`` is the network that is averaged and kept.
    device : torch.device, optional
        The CPU by default.
    mixed : bool
        Forward passes in bfloat16 where torch deems it safe.
    report : callable, optional
        Takes a line of progress now and then.
    """

    def __init__(
        self,
        *,
        settings: RunSettings,
        model: nn.Module,
        device: torch.device | None = None,
        mixed: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.run_settings = settings
        self.device = device or torch.device("cpu")
        self.mixed = mixed
        self.report = report
        self.model: Any = model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.model.student)
        self.optimiser = MuonAdam(
            self.model, rate=settings.rate, matrix_rate=settings.matrix_rate, decay=settings.decay
        )
        self.step_index, self.samples, self.elapsed_s = 0, 0, 0.0
        self.curves: list[dict[str, Any]] = []

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Every weighted loss term of the next batch, by name; random choices come from the generator alone."""
        raise NotImplementedError

    def begin(self) -> None:
        """Do what a fresh run needs before its first step."""

    def after_step(self) -> None:
        """Look at the network after a step, where the subclass wants to."""

    def before_checkpoint(self) -> None:
        """Look at the network before it is written down, where the subclass wants to."""

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        s = self.run_settings
        return min(1.0, self.step_index / s.steps if s.steps else self.elapsed_s / s.seconds)

    def run(self) -> Network:
        """Train to the end of the budget, from the folder's checkpoint on, and give the averaged network."""
        torch.set_num_threads(self.run_settings.threads)
        torch.backends.cuda.matmul.allow_tf32 = True
        folder = Path(self.run_settings.folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not self.resume():
            self.begin()
        self._loop(folder)
        self.before_checkpoint()
        self.checkpoint()
        averaged: Network = self.ema.eval()
        return averaged

    def _loop(self, folder: Path) -> None:
        tick = last_check = last_log = time.monotonic()
        samples_then = self.samples
        terms: dict[str, Tensor] = {}
        while self.progress < 1.0:
            losses_now = self.step()
            self.after_step()
            now = time.monotonic()
            self.elapsed_s += now - tick
            tick = now
            terms = {k: terms.get(k, v).lerp(v, 0.02) for k, v in losses_now.items()}
            if now - last_log > 20:
                self._log(folder, terms, (self.samples - samples_then) / (now - last_log))
                last_log, samples_then = now, self.samples
            if now - last_check > self.run_settings.checkpoint_seconds:
                self.before_checkpoint()
                self.checkpoint()
                last_check = time.monotonic()

    def step(self) -> dict[str, Tensor]:
        """Take one optimiser step; its randomness depends on the seed and the step's number alone.

        Gives every loss term. A GPU is not waited for: whether the loss is finite is asked there now and then.
        """
        s = self.run_settings
        seed = s.seed * 1_000_003 + self.step_index
        torch.manual_seed(seed)  # dropout draws from the global generator
        warm = min(1.0, (self.step_index + 1) / max(1, s.warmup_steps))
        self.optimiser.set_progress(warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress))))
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed):
            terms = self.losses(torch.Generator().manual_seed(seed))
        total = torch.stack(list(terms.values())).sum()
        asked = self.device.type == "cpu" or self.step_index % ASK_EVERY == 0
        if asked and not bool(torch.isfinite(total)):
            raise TrainingError(f"step {self.step_index}: expected a finite loss, got {total.item()}; lower the rate")
        total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step_index += 1
        self.samples += s.batch
        self._average()
        return {name: value.detach() for name, value in terms.items()}

    @torch.no_grad()
    def _average(self) -> None:
        keep = 1 - 1 / min(self.run_settings.ema_steps, 1 + self.step_index / 8)
        for averaged, value in zip(
            self.ema.state_dict().values(), self.model.student.state_dict().values(), strict=True
        ):
            if averaged.is_floating_point():
                averaged.lerp_(value, 1 - keep)
            else:
                averaged.copy_(value)

    def record(self, figures: Mapping[str, float]) -> None:
        """Append figures to the curves."""
        self.curves.append({"step": self.step_index, "samples": self.samples, "elapsed_s": self.elapsed_s, **figures})

    def told(self) -> str:
        """Say what the progress line tells of the data and of the last figures."""
        last = self.curves[-1] if self.curves else {}
        return " ".join(f"{k}={v:.3f}" for k, v in last.items() if k not in ("step", "samples", "elapsed_s"))

    def _log(self, folder: Path, terms: dict[str, Tensor], rate: float) -> None:
        parts = " ".join(f"{name}={value.item():.3f}" for name, value in terms.items())
        self.report(
            f"{self.progress:6.1%} step {self.step_index} samples {self.samples} {rate:.0f}/s {self.told()} {parts}"
        )
        write_atomically(folder / "curves.json", json.dumps(self.curves, indent=1).encode())

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step_index,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "curves": self.curves,
            "settings": json.dumps(asdict(self.run_settings)),
        }

    def checkpoint(self) -> Path:
        """Write ``last.pt`` atomically: an older checkpoint is replaced only by a complete newer one of numbers.

        Raises
        ------
        TrainingError
            If a weight is no longer finite; the older checkpoint stays.
        """
        if not all(bool(torch.isfinite(value).all()) for value in self.ema.state_dict().values()):
            raise TrainingError(f"step {self.step_index}: expected finite weights, got others; lower the rate")
        return save_checkpoint(Path(self.run_settings.folder) / "last.pt", self.state())

    def resume(self) -> bool:
        """Take up ``last.pt`` of the run's folder, if there is one."""
        path = Path(self.run_settings.folder) / "last.pt"
        if not path.exists():
            return False
        self.restore(load_checkpoint(path))
        return True

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_index, self.samples, self.elapsed_s = state["step"], state["samples"], state["elapsed_s"]
        self.curves = list(state["curves"])


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(RunSettings):
    """Everything that decides a distillation, besides its data.

    Attributes
    ----------
    size_schedule : tuple
        Pairs ``(progress, size)``: from that share of the budget on, inputs of that side.
    batch : int
        Pictures a step; the student sees every view of each.
    camera_share : float
        Share of each batch shown to the student through another camera while the teachers saw it as it was.
    weights : LossWeights
        How much each term of the loss counts.
    """

    size_schedule: tuple[tuple[float, int], ...] = ((0.0, 128),)
    batch: int = 48
    camera_share: float = 0.4
    weights: LossWeights = field(default_factory=LossWeights)


def fit(guess: Tensor, truth: Tensor) -> float:
    """Share of the variance of ``truth (N,)`` that a guess explains, R2."""
    return 1 - float((guess - truth).square().mean() / truth.var())


class Trainer(Loop):
    """Distils a student from judged inputs.

    Parameters
    ----------
    settings : TrainSettings
        The run.
    draw : callable
        ``(rng, count) -> JudgedBatch``; a pool's ``draw`` or a producer itself (then resuming is exact).
    validation : JudgedBatch
        Fixed inputs of held-out identities.
    student : MobileNetV3Small, optional
        The network to train; a fresh one seeded by the settings when absent.
    made : callable, optional
        How many distinct inputs have been made so far, for the log.
    device : torch.device, optional
        The CPU by default; a GPU learns in mixed precision, from batches that are drawn there.
    report : callable, optional
        Takes a line of progress now and then.
    """

    def __init__(
        self,
        *,
        settings: TrainSettings,
        draw: Producer,
        validation: JudgedBatch,
        student: MobileNetV3Small | None = None,
        made: Callable[[], int] | None = None,
        device: torch.device | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.draw = draw
        self.validation = bring(validation, device or torch.device("cpu"))
        self.made = made
        network = student if student is not None else MobileNetV3Small()
        model = Distiller(student=network, extra=validation.extra.shape[-1], weights=settings.weights)
        on_gpu = device is not None and device.type == "cuda"
        super().__init__(settings=settings, model=model, device=device, mixed=on_gpu, report=report)

    @property
    def size(self) -> int:
        """Side of the inputs at this point of the schedule."""
        return [size for start, size in self.settings.size_schedule if start <= self.progress][-1]

    def run(self, *, start: str | Path | None = None) -> MobileNetV3Small:
        """Train to the end of the budget and give the averaged network, in evaluation mode.

        A checkpoint in the run's folder is taken up; else ``start`` (a checkpoint of another run) gives the weights.
        """
        self._start = start
        network = super().run()
        assert isinstance(network, MobileNetV3Small)
        return network

    def begin(self) -> None:
        """Take another run's weights, or learn how the first teacher's features are spread."""
        if self._start is not None:
            self.warm_start(self._start)
        else:
            self.model.fit_standardisation(self.draw(self._rng(-1), 256))

    def _rng(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, step + 1))

    def losses(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Distil one drawn batch."""
        batch = flip(self.draw(self._rng(self.step_index), self.settings.batch), generator)
        pixels = student_pixels(batch, size=self.size, camera_share=self.settings.camera_share, generator=generator)
        terms: dict[str, Tensor] = self.model(pixels, batch)
        return terms

    def before_checkpoint(self) -> None:
        """Validate."""
        self.validate()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the averaged student against the teacher on held-out identities; append to the curves."""
        self.ema.eval()
        generator = torch.Generator().manual_seed(0)
        pixels = student_pixels(self.validation, size=self.size, camera_share=0.0, generator=generator)
        logits = torch.cat([self.ema(chunk).logits.float() for chunk in torch.split(pixels, 64)])
        guess = (logits[:, 1] - logits[:, 0]).view(-1, self.validation.views)
        truth = self.validation.target
        found = {"r2": fit(guess.mean(1), truth)}
        found |= {f"r2_view{view}": fit(guess[:, view], truth) for view in range(guess.shape[1])}
        found["agreement"] = float(((guess.mean(1) > 0) == (truth > 0)).float().mean())
        self.record(found)
        return found

    def told(self) -> str:
        """Say how many inputs were made, and of what size, before the figures."""
        made = self.made() if self.made is not None else self.samples
        return f"made {made} size {self.size} {super().told()}"

    def warm_start(self, path: str | Path) -> None:
        """Start from another run's weights and sample count, with a fresh schedule and optimiser.

        A head that does not fit, since there are more teachers now, begins anew.
        """
        state = load_checkpoint(Path(path))
        ours = self.model.state_dict()
        fitting = {k: v for k, v in state["model"].items() if k in ours and ours[k].shape == v.shape}
        self.model.load_state_dict(fitting, strict=False)
        self.ema.load_state_dict(state["ema"])
        self.samples = state["samples"]


__all__ = ["Loop", "RunSettings", "TrainSettings", "Trainer", "load_checkpoint", "save_checkpoint", "write_atomically"]
