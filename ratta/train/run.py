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
from torch import Tensor

from ratta.bundle import read_bundle
from ratta.errors import InputError
from ratta.evaluate.source import torch_source
from ratta.simulate.portraits import PortraitBank, crop_face
from ratta.train.export import ExportReport, card_facts, export_graph, stored_name
from ratta.train.factory import DistillationFactory, PictureFactory, Split, split_portraits
from ratta.train.fresh import BLOCK
from ratta.train.judge import VIEWS, Judge
from ratta.train.loop import Trainer, TrainSettings, load_checkpoint, write_atomically
from ratta.train.network import MobileNetV3Small
from ratta.train.pool import CHUNK, JudgedBatch, Producer, ReplayPool, empty_pictures
from ratta.train.start import from_folded_features
from ratta.train.store import Store, StoreFiles

VALIDATION_SEED = 7
SCALES_SEED, SCALES_PICTURES = 13, 256
LABEL_SEED = 0
"""Of the inputs in a store, so that runs with other seeds can share it."""
FIRST = 2048
"""Inputs that lie ready before the student takes its first step."""


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
        Processes that make inputs; 0 only reads the store that ``labels`` names, or makes them in the loop, slowly, and
        then a resumed run is exact.
    slots, reuse : int, float
        On a CPU how many inputs are judged at most. On a GPU the size of the replay pool, and how often an input is
        drawn on average before its slot is filled again.
    bank, renew_every : int
        Simulated captures kept per worker, and inputs made per new one.
    validation : int
        Inputs of held-out identities that each checkpoint is measured on.
    picture : int
        Side of the pictures that the student's and the teachers' views are cut from, a multiple of 8.
    start : str
        A checkpoint, a model folder or an array file of folded features to take weights from; empty to start anew.
    keep : float
        Share of the start's weights in what is exported: a network trained further imitates its new teachers better and
        forgets some of what it knew; between the two (Wortsman et al. 2022) it does both. Needs a ``start``.
    labels : str
        Folder of the store of judged inputs; beside the checkpoints when empty.
    compiled : bool
        Whether the workers compile the teachers first.
    device : str
        Where to learn, as torch names it. A GPU damages and judges every drawn picture anew, a CPU once.
    """

    portraits: str
    teachers: tuple[str, ...]
    settings: TrainSettings
    workers: int = 1
    slots: int = 65536
    reuse: float = 3.0
    bank: int = 500
    renew_every: int = 24
    validation: int = 1024
    picture: int = 256
    start: str = ""
    keep: float = 0.0
    labels: str = ""
    compiled: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.workers < 0 or self.reuse < 1 or self.validation < 1:
            raise InputError(
                f"plan: expected workers >= 0, reuse >= 1, validation >= 1, got {self.workers}, {self.reuse}, "
                f"{self.validation}; correct the plan"
            )
        if (
            not 0 <= self.keep < 1
            or (self.keep and Path(self.start).suffix == ".npz")
            or (self.keep and not self.start)
        ):
            raise InputError(
                f"plan: expected keep in [0, 1) and a trained start for it, got {self.keep}, {self.start!r}"
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
            pictures=self.pictures(identities, bank=bank),
            teachers=self.teachers,
            scales=self.scales,
            size=self.size,
            compiled=self.compiled,
        )

    @property
    def scales(self) -> tuple[tuple[float, ...], ...]:
        """What each teacher's margins are multiplied by in each view, measured on validation identities."""
        return _measured_scales(self.portraits, self.teachers, self.picture)

    def files(self) -> StoreFiles:
        """Say where judged inputs lie, and what decides them."""
        decides = [Path(p).name for p in self.teachers], self.scales, self.picture, self.bank, self.renew_every, VIEWS
        return StoreFiles(
            folder=self.labels or str(Path(self.settings.folder) / "labels"),
            count=self.slots // CHUNK * CHUNK,
            size=self.size,
            views=len(VIEWS),
            extra=len(self.teachers) - 1,
            made_of=repr(decides),
        )


@cache
def _measured_scales(portraits: str, teachers: tuple[str, ...], picture: int) -> tuple[tuple[float, ...], ...]:
    people = split_portraits(portraits).validation
    make = PictureFactory(cache=portraits, identities=people, size=picture)()
    found = Judge(teachers).measure_scales(make(np.random.default_rng(SCALES_SEED), SCALES_PICTURES))
    return tuple(tuple(round(scale, 4) for scale in view) for view in found)


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
    split = split_portraits(plan.portraits)
    if not plan.workers and not plan.labels:
        draw = plan.factory(split.train, bank=plan.bank)()
        return _trainer(plan, split, draw=draw, report=report).run(start=_checkpoint(plan.start))
    if torch.device(plan.device).type == "cpu":
        store = open_store(plan)
        return _train_from(store, store.draw, plan, split, report)
    pictures = ReplayPool(
        factory=plan.pictures(split.train, bank=plan.bank),
        slots=empty_pictures(plan.slots, size=plan.picture),
        workers=plan.workers,
        reuse=plan.reuse,
        seed=plan.settings.seed,
        device=torch.device(plan.device),
    )
    return _train_from(pictures, _fresh(plan, pictures), plan, split, report)


def open_store(plan: DistillationPlan) -> Store:
    """Open the store of judged inputs of the training persons and let the plan's workers add to it."""
    people = split_portraits(plan.portraits).train
    factory = plan.factory(people, bank=plan.bank)
    return Store(plan.files(), factory=factory, workers=plan.workers, seed=LABEL_SEED)


def label(plan: DistillationPlan, *, report: Callable[[str], None] = print) -> int:
    """Judge inputs until the store is full, without learning from them, and say how many lie ready."""
    store = open_store(plan)
    try:
        while store.made < len(store):
            report(f"judged {store.made} of {len(store)} inputs")
            store.wait_for(min(store.made + 50 * CHUNK, len(store)))
    finally:
        store.close()
    return store.made


def _train_from(
    pool: ReplayPool | Store, draw: Producer, plan: DistillationPlan, split: Split, report: Callable[[str], None]
) -> MobileNetV3Small:
    try:
        trainer = _trainer(plan, split, draw=draw, report=report, made=lambda: pool.made)
        pool.wait_for(min(len(pool) // 4, FIRST if plan.workers else 1))
        return trainer.run(start=_checkpoint(plan.start))
    finally:
        pool.close()


def _fresh(plan: DistillationPlan, pool: ReplayPool) -> Producer:
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
    student = _student(plan.start, validation.pixels)
    return Trainer(
        settings=plan.settings,
        draw=draw,
        validation=validation,
        student=student,
        made=made,
        device=torch.device(plan.device),
        report=report,
    )


def _student(start: str, pixels: Tensor) -> MobileNetV3Small | None:
    """Give the network of a model folder or of folded features; none for a checkpoint or no start."""
    if start and Path(start).is_dir():
        return student_of(start)
    return from_folded_features(start, pixels[:, 0]) if Path(start).suffix == ".npz" else None


def _checkpoint(start: str) -> str | None:
    """Give a checkpoint, which the trainer takes up itself; the other kinds of start are not one."""
    return start if Path(start).suffix == ".pt" else None


def student_of(folder: str | Path) -> MobileNetV3Small:
    """Give the network of a model folder, batch normalisation unfolded, to train on."""
    network = MobileNetV3Small()
    torch_source(read_bundle(Path(folder)), network, stored_name=stored_name)
    return network


def parity_crops(portraits: str, *, size: int, count: int) -> NDArray[np.uint8]:
    """Real crops of people the student was not trained on, at scales from 1.0 to 3.5, ``(count, size, size, 3)``."""
    split = split_portraits(portraits)
    bank = PortraitBank(portraits, keep=split.validation + split.test)
    crops = []
    for index in range(count):
        cutout = bank[index % len(bank)]
        rgb = np.ascontiguousarray(cutout.rgba[..., :3])
        crops.append(crop_face(rgb, cutout.box, scale=1.0 + 2.5 * (index * 7 % count) / count, size=size))
    return np.stack(crops)


def between(plan: DistillationPlan, learnt: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mix what was learnt with the plan's share of what it started from."""
    if not plan.keep:
        return learnt
    folder = Path(plan.start)
    start = student_of(folder).state_dict() if folder.is_dir() else load_checkpoint(folder)["ema"]
    return {
        name: value.lerp(start[name], plan.keep) if value.is_floating_point() else value
        for name, value in learnt.items()
    }


def export_run(plan: DistillationPlan, folder: str | Path, *, crops: int = 1000) -> ExportReport:
    """Export the averaged student of a run's last checkpoint: ``model.onnx``, ``affine.npz`` and ``facts.json``."""
    state = load_checkpoint(Path(plan.settings.folder) / "last.pt")
    network = MobileNetV3Small()
    network.load_state_dict(between(plan, state["ema"]))
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    pixels = parity_crops(plan.portraits, size=plan.size, count=crops)
    report = export_graph(network, size=plan.size, path=target / "model.onnx", crops=pixels)
    run: dict[str, Any] = {
        "samples_seen": state["samples"],
        "steps": state["step"],
        "settings": {name: value for name, value in asdict(plan.settings).items() if name != "folder"},
        "teacher_scales": plan.scales,
        "teachers": [Path(p).name for p in plan.teachers],
        "curves": state["curves"],
    }
    facts = card_facts(network, report, size=plan.size, run=run)
    write_atomically(target / "facts.json", (json.dumps(facts, indent=1) + "\n").encode())
    return report
