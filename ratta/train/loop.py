"""The training loop: a time or step budget, checkpoints that survive anything, exact resume, curves."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ratta.errors import InputError, TrainingError
from ratta.train.distil import Distiller, LossWeights, flip, student_pixels
from ratta.train.network import MobileNetV3Small
from ratta.train.optim import MuonAdam
from ratta.train.pool import JudgedBatch, Producer, ReplayPool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """Everything that decides a training run, besides its data.

    Attributes
    ----------
    folder : str
        Where checkpoints, the log and the curves go.
    seconds, steps : float, int
        Budget; the cosine schedule ends with whichever is set (steps win).
    size_schedule : tuple
        Pairs ``(progress, size)``: from that share of the budget on, inputs of that side.
    tone_share : float
        Share of each batch shown to the student re-toned while the teacher saw it as it was.
    """

    folder: str
    seconds: float = 0.0
    steps: int = 0
    batch: int = 96
    rate: float = 2e-3
    matrix_rate: float = 4e-3
    decay: float = 0.05
    warmup_steps: int = 200
    size_schedule: tuple[tuple[float, int], ...] = ((0.0, 96), (0.4, 128))
    tone_share: float = 0.3
    ema_steps: int = 400
    checkpoint_seconds: float = 120.0
    seed: int = 0
    threads: int = 1
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        if (self.seconds > 0) == (self.steps > 0):
            raise InputError(f"settings: expected one of seconds, steps, got {self.seconds}, {self.steps}; set one")


class Trainer:
    """Runs one training from settings, a source of batches and a validation batch.

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
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.draw = draw
        self.validation = validation
        self.made = made
        self.report = report
        network = student if student is not None else MobileNetV3Small()
        self.model = Distiller(student=network, extra=validation.extra.shape[1], weights=settings.weights)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.model.student)
        self.optimiser = MuonAdam(
            self.model, rate=settings.rate, matrix_rate=settings.matrix_rate, decay=settings.decay
        )
        self.step_index, self.samples, self.elapsed_s = 0, 0, 0.0
        self.curves: list[dict[str, Any]] = []

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        s = self.settings
        return min(1.0, self.step_index / s.steps if s.steps else self.elapsed_s / s.seconds)

    @property
    def size(self) -> int:
        """Side of the inputs at this point of the schedule."""
        return [size for start, size in self.settings.size_schedule if start <= self.progress][-1]

    def run(self, *, start: str | Path | None = None) -> MobileNetV3Small:
        """Train to the end of the budget and give the averaged network, in evaluation mode.

        A checkpoint in the run's folder is taken up; else ``start`` (a checkpoint of another run) gives the weights.
        """
        torch.set_num_threads(self.settings.threads)
        folder = Path(self.settings.folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not self.resume():
            if start is not None:
                self.warm_start(start)
            else:
                self.model.fit_standardisation(self.draw(self._rng(-1), 256))
        self._loop(folder)
        self.checkpoint()
        return self.ema.eval()

    def _loop(self, folder: Path) -> None:
        tick = last_check = last_log = time.monotonic()
        samples_then = self.samples
        terms: dict[str, float] = {}
        while self.progress < 1.0:
            losses_now = self.step()
            now = time.monotonic()
            self.elapsed_s += now - tick
            tick = now
            terms = {k: 0.98 * terms.get(k, v) + 0.02 * v for k, v in losses_now.items()}
            if now - last_log > 20:
                self._log(folder, terms, (self.samples - samples_then) / (now - last_log))
                last_log, samples_then = now, self.samples
            if now - last_check > self.settings.checkpoint_seconds:
                self.validate()
                self.checkpoint()
                last_check = time.monotonic()
        self.validate()

    def _rng(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, step + 1))

    def step(self) -> dict[str, float]:
        """Take one optimiser step; its randomness depends on the seed and the step's number alone."""
        s = self.settings
        generator = torch.Generator().manual_seed(s.seed * 1_000_003 + self.step_index)
        batch = flip(self.draw(self._rng(self.step_index), s.batch), generator)
        pixels = student_pixels(batch, size=self.size, tone_share=s.tone_share, generator=generator)
        warm = min(1.0, (self.step_index + 1) / max(1, s.warmup_steps))
        self.optimiser.set_progress(warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress))))
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = self.model(pixels, batch)
        total = torch.stack(list(terms.values())).sum()
        if not bool(torch.isfinite(total)):
            raise TrainingError(f"step {self.step_index}: expected a finite loss, got {total.item()}; lower the rate")
        total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step_index += 1
        self.samples += s.batch
        self._average()
        return {name: value.item() for name, value in terms.items()}

    @torch.no_grad()
    def _average(self) -> None:
        keep = 1 - 1 / min(self.settings.ema_steps, 1 + self.step_index / 8)
        for averaged, value in zip(
            self.ema.state_dict().values(), self.model.student.state_dict().values(), strict=True
        ):
            if averaged.is_floating_point():
                averaged.lerp_(value, 1 - keep)
            else:
                averaged.copy_(value)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the averaged student against the teacher on held-out identities; append to the curves."""
        self.ema.eval()
        generator = torch.Generator().manual_seed(0)
        pixels = student_pixels(self.validation, size=self.size, tone_share=0.0, generator=generator)
        logits = torch.cat([self.ema(chunk).logits for chunk in torch.split(pixels, 64)])
        guess = logits[:, 1] - logits[:, 0]
        truth = self.validation.target_margin
        found = {
            "r2": 1 - float((guess - truth).square().mean() / truth.var()),
            "agreement": float(((guess > 0) == (truth > 0)).float().mean()),
        }
        self.curves.append({"step": self.step_index, "samples": self.samples, "elapsed_s": self.elapsed_s, **found})
        return found

    def _log(self, folder: Path, terms: dict[str, float], rate: float) -> None:
        made = self.made() if self.made is not None else self.samples
        parts = " ".join(f"{name}={value:.3f}" for name, value in terms.items())
        last = self.curves[-1] if self.curves else {}
        self.report(
            f"{self.progress:6.1%} step {self.step_index} samples {self.samples} made {made} size {self.size} "
            f"{rate:.0f}/s r2={last.get('r2', math.nan):.3f} agree={last.get('agreement', math.nan):.3f} {parts}"
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
            "settings": json.dumps(asdict(self.settings)),
        }

    def checkpoint(self) -> Path:
        """Write ``last.pt`` atomically: an older checkpoint is replaced only by a complete newer one."""
        import io

        buffer = io.BytesIO()
        torch.save(self.state(), buffer)
        return write_atomically(Path(self.settings.folder) / "last.pt", buffer.getvalue())

    def resume(self) -> bool:
        """Take up ``last.pt`` of the run's folder, if there is one."""
        path = Path(self.settings.folder) / "last.pt"
        if not path.exists():
            return False
        state = load_checkpoint(path)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_index, self.samples, self.elapsed_s = state["step"], state["samples"], state["elapsed_s"]
        self.curves = list(state["curves"])
        return True

    def warm_start(self, path: str | Path) -> None:
        """Start from another run's weights, optimiser state and sample count, with a fresh schedule."""
        state = load_checkpoint(Path(path))
        self.model.load_state_dict(state["model"], strict=False)
        self.ema.load_state_dict(state["ema"])
        self.samples = state["samples"]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code from it."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path.name}: expected a checkpoint, got {error}; remove it to start anew") from error
    return state


def write_atomically(path: Path, data: bytes) -> Path:
    """Write a file completely or not at all.

    Raises
    ------
    TrainingError
        If the disk is full or the folder cannot be written; the older file is untouched.
    """
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path.name}: expected room to write {len(data)} bytes, got {error}; free space"
        ) from error
    return path


__all__ = ["ReplayPool", "TrainSettings", "Trainer", "load_checkpoint", "write_atomically"]
