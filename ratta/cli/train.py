"""Train a model from portraits and a teacher, export it, calibrate it, and write it as a model folder.

One command from a folder of portraits (one picture per person) to a bundle that `ratta.load` takes. An interrupted run
goes on where it was: give the same --output again. Needs ratta[train]; see docs/training.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.bundle import read_detector
from ratta.cli.progress import Progress
from ratta.engine import open_graph
from ratta.errors import InputError
from ratta.perception import BlazeFace

if TYPE_CHECKING:
    import argparse

    from ratta.train import DistillationPlan

HELP = "train, export and calibrate a model from portraits and a teacher"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta train`."""
    parser.add_argument("--portraits", type=Path, required=True, metavar="FOLDER", help="pictures, one per person")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="a Silent-Face state dictionary")
    parser.add_argument("--second-teacher", type=Path, metavar="FILE", help="another one, for a second opinion")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="checkpoints, curves, the model")
    parser.add_argument("--minutes", type=float, default=120.0, help="training time (%(default)s)")
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT", help="weights of an earlier run to begin from")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="(%(default)s)")
    parser.add_argument("--card", type=Path, metavar="FILE", help="a template that says what the model learnt from")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--name", default="my-model", help="of the model folder inside --output (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Prepare the portraits once, train, export, ship."""
    if not args.minutes > 0:
        raise InputError(f"--minutes: expected more than 0, got {args.minutes}")
    from ratta.simulate import PortraitBank
    from ratta.train import export_run, split_identities, train
    from ratta.train.ship import Development, ship

    cache = prepare(args.portraits, args.output / "portraits")
    plan = _plan(args, cache)
    train(plan, report=print)
    report = export_run(plan, args.output / "exported")
    print(f"exported {report.size_bytes} bytes; torch and ONNX Runtime differ by at most {report.max_deviation:.1e}")
    people = split_identities(PortraitBank(cache).names).validation
    development = Development(
        portraits=PortraitBank(cache, keep=people), producer=plan.factory(people, bank=min(plan.bank, 100))()
    )
    folder = args.output / args.name
    bundle, figures = ship(
        args.output / "exported", folder, name=args.name, version="1", development=development, card=args.card
    )
    made = bundle.calibration
    print(f"{folder}: live from {made.live_threshold:.2f} on, spoof up to {made.spoof_threshold:.2f}")
    print(f"simulated development captures: AUC {figures.auc.value:.3f}, ACER {figures.acer.value:.3f}; see CARD.md")
    return 0


def prepare(portraits: Path, cache: Path) -> Path:
    """Cut the people out of their portraits, unless that was done before."""
    from ratta.simulate import prepare_portraits

    if (cache / "names.txt").is_file():
        return cache
    detector = BlazeFace(open_graph(read_detector(), runtime="onnxruntime"))

    def detect(picture: object) -> tuple[float, float, float, float] | None:
        faces = detector.detect(picture, color="rgb")  # type: ignore[arg-type]
        box = faces[0].box if faces else None
        return (box.x_min, box.y_min, box.x_max, box.y_max) if box else None

    with Progress(len(list(portraits.glob("*"))) or None) as bar:
        return prepare_portraits(portraits, cache, detect=detect, on_progress=lambda *_: bar.advance())


def _plan(args: argparse.Namespace, cache: Path) -> DistillationPlan:
    from ratta.train import DistillationPlan, TrainSettings
    from ratta.train.distil import LossWeights

    return DistillationPlan(
        portraits=str(cache),
        teacher=str(args.teacher),
        second_teacher=str(args.second_teacher or ""),
        workers=args.workers,
        start=str(args.start or ""),
        settings=TrainSettings(
            folder=str(args.output / "run"),
            seconds=60 * args.minutes,
            seed=args.seed,
            weights=LossWeights(label=0.1),
        ),
    )
