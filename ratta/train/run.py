"""One call from prepared portraits and teachers to an exported student."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
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
from ratta.train.factory import DistillationFactory, PictureFactory, Split, split_identities
from ratta.train.fresh import BLOCK
from ratta.train.judge import Judge
from ratta.train.loop import Trainer, TrainSettings, load_checkpoint, write_atomically
from ratta.train.network import MobileNetV3Small
from ratta.train.pool import Batch, JudgedBatch, Pictures, Producer, ReplayPool, empty_batch, empty_pictures

VALIDATION_SEED = 7
SCALES_SEED, SCALES_PICTURES = 13, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationPlan:
    """A whole distillation run.

    Attributes
    ----------
    portraits : str
        Folder that :func:`ratta.simulate.prepare_portraits` wrote.
    teachers : tuple of str
        A Silent-Face state dictionary, whose features are learnt too, and others whose verdicts count as much: more of
        them, or ONNX classifiers.
    settings : TrainSettings
        The training itself; its folder receives everything.
    workers : int
        Processes that make inputs; 0 makes them in the loop, slowly, and then a resumed run is exact.
    slots, reuse : int, float
        Size of the replay pool, and how often an input is drawn on average before its slot is filled again.
    bank, renew_every : int
        Simulated captures kept per worker, and inputs made per new one.
    validation : int
        Inputs of held-out identities that each checkpoint is measured on.
    picture : int
        Side of the pictures that the student's and the teachers' views are cut from, a multiple of 8.
    start : str
        A checkpoint or a model folder to take weights from; empty to start anew.
    device : str
        Where to learn, as torch names it. A GPU damages and judges every drawn picture anew, a CPU once.
    """

    portraits: str
    teachers: tuple[str, ...]
    settings: TrainSettings
    workers: int = 1
    slots: int = 12288
    reuse: float = 3.0
    bank: int = 500
    renew_every: int = 24
    validation: int = 1024
    picture: int = 192
    start: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.workers < 0 or self.reuse < 1 or self.validation < 1:
            raise InputError(
                f"plan: expected workers >= 0, reuse >= 1, validation >= 1, got {self.workers}, {self.reuse}, "
                f"{self.validation}; correct the plan"
            )
        if not self.teachers:
            raise InputError("plan: expected at least one teacher's file, got none; name one")
        if self.picture % BLOCK:
            raise InputError(f"plan: expected picture to be a multiple of {BLOCK}, got {self.picture}")
        if self.device != "cpu" and not self.workers:
            raise InputError(f"plan: expected workers to make pictures for {self.device}, got none; set workers")

    @property
    def size(self) -> int:
        """Side of the inputs: the largest of the size schedule."""
        return max(size for _, size in self.settings.size_schedule)

    def pictures(self, identities: tuple[str, ...], *, bank: int) -> PictureFactory:
        """Build the factory of the pictures of some identities."""
        return PictureFactory(
            cache=self.portraits,
            identities=identities,
            bank=bank,
            renew_every=self.renew_every,
            size=self.picture,
            remember=self.workers > 0,
        )

    def factory(self, identities: tuple[str, ...], *, bank: int) -> DistillationFactory:
        """Build the factory of judged inputs of some identities."""
        return DistillationFactory(
            pictures=self.pictures(identities, bank=bank), teachers=self.teachers, scales=self.scales, size=self.size
        )

    @property
    def scales(self) -> tuple[float, ...]:
        """What the margins of all teachers but the first are multiplied by, measured on validation identities."""
        return _measured_scales(self.portraits, self.teachers, self.picture)


@cache
def _measured_scales(portraits: str, teachers: tuple[str, ...], picture: int) -> tuple[float, ...]:
    if len(teachers) < 2:
        return ()
    people = split_identities(PortraitBank(portraits).names).validation
    make = PictureFactory(cache=portraits, identities=people, size=picture)()
    return tuple(Judge(teachers).measure_scales(make(np.random.default_rng(SCALES_SEED), SCALES_PICTURES)))


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
    if not plan.workers:
        draw = plan.factory(split.train, bank=plan.bank)()
        return _trainer(plan, split, draw=draw, report=report).run(start=_checkpoint(plan.start))
    if torch.device(plan.device).type == "cpu":
        slots = empty_batch(plan.slots, size=plan.size, extra=len(plan.teachers) - 1)
        judged = _pool(plan, plan.factory(split.train, bank=plan.bank), slots)
        return _train_from(judged, judged.draw, plan, split, report)
    pictures = _pool(plan, plan.pictures(split.train, bank=plan.bank), empty_pictures(plan.slots, size=plan.picture))
    return _train_from(pictures, _fresh(plan, pictures), plan, split, report)


def _pool(
    plan: DistillationPlan, factory: Callable[[], Callable[[np.random.Generator, int], Batch]], slots: Batch
) -> ReplayPool[Batch]:
    return ReplayPool(
        factory=factory,
        slots=slots,
        workers=plan.workers,
        reuse=plan.reuse,
        seed=plan.settings.seed,
        device=torch.device(plan.device),
    )


def _train_from(
    pool: ReplayPool[Any], draw: Producer, plan: DistillationPlan, split: Split, report: Callable[[str], None]
) -> MobileNetV3Small:
    try:
        trainer = _trainer(plan, split, draw=draw, report=report, made=lambda: pool.made)
        pool.wait_for(len(pool) // 4)
        return trainer.run(start=_checkpoint(plan.start))
    finally:
        pool.close()


def _fresh(plan: DistillationPlan, pool: ReplayPool[Pictures]) -> Producer:
    """Judge what is drawn when it is drawn, damaged anew."""
    device = torch.device(plan.device)
    judge = Judge(plan.teachers, size=plan.size, scales=plan.scales, device=device)

    def draw(rng: np.random.Generator, count: int) -> JudgedBatch:
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        return judge(pool.draw(rng, count), generator, fresh=True)

    return draw


def _trainer(
    plan: DistillationPlan,
    split: Split,
    *,
    draw: Producer,
    report: Callable[[str], None],
    made: Callable[[], int] | None = None,
) -> Trainer:
    rng = np.random.default_rng(VALIDATION_SEED)
    validation = plan.factory(split.validation, bank=min(plan.bank, 100))()(rng, plan.validation)
    student = student_of(plan.start) if plan.start and Path(plan.start).is_dir() else None
    return Trainer(
        settings=plan.settings,
        draw=draw,
        validation=validation,
        student=student,
        made=made,
        device=torch.device(plan.device),
        report=report,
    )


def _checkpoint(start: str) -> str | None:
    """Give a checkpoint, which the trainer takes up itself; a model folder is not one."""
    return start if start and not Path(start).is_dir() else None


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
        "settings": {name: value for name, value in asdict(plan.settings).items() if name != "folder"},
        "teacher_scales": [1.0, *plan.scales],
        "teachers": [Path(p).name for p in plan.teachers],
        "curves": state["curves"],
    }
    facts = card_facts(network, report, size=plan.size, run=run)
    write_atomically(target / "facts.json", (json.dumps(facts, indent=1) + "\n").encode())
    return report
