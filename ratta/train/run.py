"""One call from prepared portraits and teachers to an exported student."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ratta.bundle import read_bundle
from ratta.errors import InputError
from ratta.evaluate.source import torch_source
from ratta.simulate.portraits import PortraitBank, crop_face
from ratta.train.export import ExportReport, card_facts, export_graph, stored_name
from ratta.train.factory import DistillationFactory, split_identities
from ratta.train.loop import Trainer, TrainSettings, load_checkpoint, write_atomically
from ratta.train.network import MobileNetV3Small
from ratta.train.pool import ReplayPool

VALIDATION_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationPlan:
    """A whole distillation run.

    Attributes
    ----------
    portraits : str
        Folder that :func:`ratta.simulate.prepare_portraits` wrote.
    teacher, second_teacher : str
        Silent-Face state dictionaries; the second may be empty.
    settings : TrainSettings
        The training itself; its folder receives everything.
    workers : int
        Processes that make inputs; 0 makes them in the loop, slowly, and then a resumed run is exact.
    slots, reuse : int, float
        Size of the replay pool, and how often an input is drawn on average.
    bank, renew_every : int
        Simulated captures kept per worker, and inputs made per new one.
    validation : int
        Inputs of held-out identities that each checkpoint is measured on.
    start : str
        A checkpoint or a model folder to take weights from; empty to start anew.
    """

    portraits: str
    teacher: str
    settings: TrainSettings
    second_teacher: str = ""
    workers: int = 1
    slots: int = 12288
    reuse: float = 3.0
    bank: int = 500
    renew_every: int = 24
    validation: int = 1024
    start: str = ""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.reuse < 1 or self.validation < 1:
            raise InputError(
                f"plan: expected workers >= 0, reuse >= 1, validation >= 1, got {self.workers}, {self.reuse}, "
                f"{self.validation}; correct the plan"
            )

    @property
    def size(self) -> int:
        """Side of the inputs: the largest of the size schedule."""
        return max(size for _, size in self.settings.size_schedule)

    def factory(self, identities: tuple[str, ...], *, bank: int) -> DistillationFactory:
        """Build the producer's factory for some identities."""
        return DistillationFactory(
            cache=self.portraits,
            identities=identities,
            teacher=self.teacher,
            second_teacher=self.second_teacher,
            bank=bank,
            renew_every=self.renew_every,
            size=self.size,
        )


def train(plan: DistillationPlan, *, report: Callable[[str], None] = print) -> MobileNetV3Small:
    """Train a student by a plan, taking up the run's own checkpoint if there is one.

    Identities are split 80:10:10 by person; inputs of the first part teach, inputs of the second are measured, the
    third is left alone.

    Returns
    -------
    MobileNetV3Small
        The averaged student, in evaluation mode.
    """
    cv2.setNumThreads(1)
    torch.set_num_threads(plan.settings.threads)
    split = split_identities(PortraitBank(plan.portraits).names)
    rng = np.random.default_rng(VALIDATION_SEED)
    validation = plan.factory(split.validation, bank=min(plan.bank, 100))()(rng, plan.validation)
    factory = plan.factory(split.train, bank=plan.bank)
    student, start = _start(plan.start)
    if not plan.workers:
        trainer = Trainer(settings=plan.settings, draw=factory(), validation=validation, student=student, report=report)
        return trainer.run(start=start)
    pool = ReplayPool(
        factory=factory,
        slots=plan.slots,
        size=plan.size,
        workers=plan.workers,
        reuse=plan.reuse,
        seed=plan.settings.seed,
        extra=int(bool(plan.second_teacher)),
    )
    try:
        pool.wait_for(plan.slots // 4)
        trainer = Trainer(
            settings=plan.settings,
            draw=pool.draw,
            validation=validation,
            student=student,
            made=lambda: pool.made,
            report=report,
        )
        return trainer.run(start=start)
    finally:
        pool.close()


def _start(start: str) -> tuple[MobileNetV3Small | None, str | None]:
    """Tell a model folder, whose network is taken, from a checkpoint, which the trainer takes up itself."""
    if not Path(start).is_dir() or not start:
        return None, start or None
    return student_of(start), None


def student_of(folder: str | Path) -> MobileNetV3Small:
    """Give the network of a model folder, batch normalisation unfolded, to train on."""
    network = MobileNetV3Small()
    torch_source(read_bundle(Path(folder)), network, stored_name=stored_name)
    return network


def parity_crops(portraits: str, *, size: int, count: int) -> NDArray[np.uint8]:
    """Real crops of people the student was not trained on, at scales from 1.0 to 3.5, ``(count, size, size, 3)``."""
    split = split_identities(PortraitBank(portraits).names)
    bank = PortraitBank(portraits, keep=split.validation + split.test)
    crops = []
    for index in range(count):
        cutout = bank[index % len(bank)]
        rgb = np.ascontiguousarray(cutout.rgba[..., :3])
        crops.append(crop_face(rgb, cutout.box, scale=1.0 + 2.5 * (index * 7 % count) / count, size=size))
    return np.stack(crops)


def export_run(plan: DistillationPlan, folder: str | Path, *, crops: int = 1000) -> ExportReport:
    """Export the averaged student of a run's last checkpoint: ``model.onnx``, ``affine.npz`` and ``facts.json``."""
    state = load_checkpoint(Path(plan.settings.folder) / "last.pt")
    network = MobileNetV3Small()
    network.load_state_dict(state["ema"])
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    pixels = parity_crops(plan.portraits, size=plan.size, count=crops)
    report = export_graph(network, size=plan.size, path=target / "model.onnx", crops=pixels)
    run: dict[str, Any] = {
        "samples_seen": state["samples"],
        "steps": state["step"],
        "settings": asdict(plan.settings),
        "teachers": [Path(p).name for p in (plan.teacher, plan.second_teacher) if p],
        "curves": state["curves"],
    }
    facts = card_facts(network, report, size=plan.size, run=run)
    write_atomically(target / "facts.json", (json.dumps(facts, indent=1) + "\n").encode())
    return report
