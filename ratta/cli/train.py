"""Train a model: distil one from portraits and teachers, or run an experiment on labelled data.

With --portraits and --teachers: one command from a folder of portraits (one picture per person) to a bundle that
`ratta.load` takes. With an experiment file: scenarios on labelled crops of the simulator, of corpora or of your own,
divided 80:10:10 by person, and their table. An interrupted run goes on where it was: give the same --output again.
Needs ratta[train]; see docs/training.md.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.cli.progress import Progress
from ratta.errors import InputError
from ratta.networks import open_detector
from ratta.outputs import check_outputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ratta.train import DistillationPlan

LATENCY_SECONDS = 5.0
HELP = "train a model: from portraits and teachers, or on labelled data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta train`."""
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="checkpoints, curves, the model or the table")
    labelled = parser.add_argument_group("on labelled data")
    labelled.add_argument("experiment", nargs="?", type=Path, help="experiment file, TOML or JSON")
    labelled.add_argument("--data", nargs="+", metavar="NAME", help="data domains of the file to use, mixed")
    labelled.add_argument("--strict", action="store_true", help="end at a file of a corpus that cannot be read")
    labelled.add_argument("--storage", metavar="URL", help="the study's database, if several machines share it")
    distilled = parser.add_argument_group("from portraits and teachers")
    distilled.add_argument("--portraits", type=Path, nargs="+", metavar="FOLDER", help="pictures, one per person")
    distilled.add_argument(
        "--persons", type=Path, metavar="FILE", help="CSV: which portraits are of a person who has two"
    )
    distilled.add_argument(
        "--teachers",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a Silent-Face state dictionary, and more or ONNX files",
    )
    distilled.add_argument("--minutes", type=float, default=120.0, help="training time (%(default)s)")
    distilled.add_argument(
        "--start", type=Path, metavar="PATH", help="checkpoint, model folder or ImageNet features (.npz) to begin from"
    )
    distilled.add_argument("--keep", type=float, default=0.0, help="share of the start that the result keeps (0)")
    distilled.add_argument("--rate", type=float, default=2e-3, help="peak learning rate (%(default)s)")
    distilled.add_argument("--labels", type=Path, metavar="FOLDER", help="store of judged inputs (OUTPUT/labels)")
    distilled.add_argument("--slots", type=int, default=65536, help="inputs it holds at most (%(default)s)")
    distilled.add_argument("--label-only", action="store_true", help="fill the store and end")
    distilled.add_argument("--compile", action="store_true", help="compile the teachers first; needs a C++ compiler")
    distilled.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="(%(default)s)")
    distilled.add_argument("--device", default="cpu", help="where to learn: cpu or cuda (%(default)s)")
    distilled.add_argument("--batch", type=int, default=48, help="pictures a step, each in two crops (%(default)s)")
    distilled.add_argument("--card", type=Path, metavar="FILE", help="a template that says what the model learnt from")
    distilled.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    distilled.add_argument("--name", default="my-model", help="of the model folder inside --output (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run an experiment, or distil."""
    if args.experiment is not None:
        return run_experiment(args)
    missing = [name for name in ("portraits", "teachers", "output") if getattr(args, name) is None]
    if missing:
        raise InputError(f"expected an experiment file, or --portraits, --teachers and --output, got no {missing[0]}")
    return distil(args)


def run_experiment(args: argparse.Namespace) -> int:
    """Cut the crops once, train every scenario, print the table."""
    from ratta.evaluate import read_settings, strictly
    from ratta.train.experiment import parse_training, read_parts
    from ratta.train.scenarios import ExperimentRunner

    values = read_settings(args.experiment)
    if args.strict:
        values = strictly(values)
    if args.data:
        values["use"] = args.data
    settings = parse_training(values, where=str(args.experiment))
    folder = args.output or Path("runs") / settings.name
    check_outputs(
        [("--output", folder / name) for name in ("results.md", "results.json")],
        folders=[("--output", folder)],
        inputs=[args.experiment],
    )
    report = partial(print, flush=True)
    parts = read_parts(settings, folder / "pools", progress=sys.stderr.isatty(), report=report)
    runner = ExperimentRunner(
        settings=settings, parts=parts, folder=folder, storage=args.storage, latency=latency_ms, report=report
    )
    runner.run()
    print((folder / "results.md").read_text(encoding="utf-8"))
    return 0


def latency_ms(graphs: dict[str, Path]) -> dict[str, float]:
    """Time graphs against one another, one crop and one thread."""
    from ratta.bench.swap import swap_rows

    rows = swap_rows([str(path) for path in graphs.values()], seconds=LATENCY_SECONDS)
    return {name: row.ms for name, row in zip(graphs, rows, strict=True)}


def distil(args: argparse.Namespace) -> int:
    """Prepare the portraits once, train, export, ship."""
    if not args.minutes > 0:
        raise InputError(f"--minutes: expected more than 0, got {args.minutes}")
    given = (*args.portraits, *args.teachers, args.card, args.start, args.persons)
    inputs = [path for path in given if path is not None]
    check_outputs([], folders=[("--output", args.output), ("--name", args.output / args.name)], inputs=inputs)
    from ratta.train import export_run, label, split_portraits, train
    from ratta.train.ship import Development, ship

    cache = prepare(args.portraits, args.output / "portraits", persons=args.persons)
    plan, report_line = _plan(args, cache), partial(print, flush=True)
    if args.label_only:
        label(plan, report=report_line)
        return 0
    train(plan, report=report_line)
    report = export_run(plan, args.output / "exported")
    print(f"exported {report.size_bytes} bytes; torch and ONNX Runtime differ by at most {report.max_deviation:.1e}")
    people = split_portraits(cache).validation
    development = Development(portraits=str(cache), producer=plan.factory(people, bank=min(plan.bank, 100))())
    folder = args.output / args.name
    bundle, figures = ship(
        args.output / "exported", folder, name=args.name, version="1", development=development, card=args.card
    )
    made = bundle.calibration
    print(f"{folder}: live from {made.live_threshold:.2f} on, spoof up to {made.spoof_threshold:.2f}")
    print(f"simulated development captures: AUC {figures.auc.value:.3f}, ACER {figures.acer.value:.3f}; see CARD.md")
    return 0


def prepare(portraits: Sequence[Path], cache: Path, *, persons: Path | None = None) -> Path:
    """Cut the people out of their portraits, unless that was done before."""
    from ratta.simulate import prepare_portraits

    if (cache / "names.txt").is_file():
        return cache
    detector = open_detector()

    def detect(picture: object) -> tuple[float, float, float, float] | None:
        faces = detector.detect(picture, color="rgb")  # type: ignore[arg-type]
        box = faces[0].box if faces else None
        return (box.x_min, box.y_min, box.x_max, box.y_max) if box else None

    with Progress(sum(len(list(folder.glob("*"))) for folder in portraits) or None) as bar:
        return prepare_portraits(portraits, cache, detect=detect, further=persons, on_progress=lambda *_: bar.advance())


def _plan(args: argparse.Namespace, cache: Path) -> DistillationPlan:
    from ratta.train import DistillationPlan, TrainSettings

    return DistillationPlan(
        portraits=str(cache),
        teachers=tuple(map(str, args.teachers)),
        workers=args.workers,
        device=args.device,
        start=str(args.start or ""),
        labels=str(args.labels or args.output / "labels"),
        slots=args.slots,
        keep=args.keep,
        compiled=args.compile,
        settings=TrainSettings(
            folder=str(args.output / "run"),
            seconds=60 * args.minutes,
            seed=args.seed,
            batch=args.batch,
            rate=args.rate,
            matrix_rate=2 * args.rate,
        ),
    )
