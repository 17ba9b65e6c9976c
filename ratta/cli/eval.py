"""Evaluate methods on streams: an experiment file -> a table, JSON and an HTML report.

An interrupted evaluation goes on where it was; give the same file and folder again. See docs/evaluation.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.bundle import model_files
from ratta.errors import MissingExtraError
from ratta.outputs import check_outputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from ratta.evaluate.methods.torch_source import TorchSource

RESULTS = ("report.html", "results.md", "results.json")
HELP = "evaluate methods on streams: table, JSON and HTML report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta eval`."""
    parser.add_argument("experiment", help="experiment file, TOML or JSON")
    parser.add_argument("--output", metavar="FOLDER", help="results (default: runs/<name of the experiment>)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="local processes (%(default)s)")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="compute on a Dask cluster instead")
    parser.add_argument("--strict", action="store_true", help="end at a file of a corpus that cannot be read")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Run the experiment and say where the report is."""
    from ratta.evaluate import parse_experiment, read_settings, run_evaluation, strictly

    values = read_settings(args.experiment)
    settings = parse_experiment(strictly(values) if args.strict else values, where=args.experiment)
    folder = Path(args.output or Path("runs") / settings.name)
    guard_experiment(args.experiment, folder, RESULTS, models=[str(settings.model)])
    report = run_evaluation(
        settings,
        load_source=load_source,
        folder=folder,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=not args.quiet and sys.stderr.isatty(),
    )
    print((report.folder / "results.md").read_text(encoding="utf-8"))
    print(f"report: {report.folder / 'report.html'}")
    return 0


def guard_experiment(experiment: str | Path, folder: Path, names: Iterable[str], *, models: Iterable[str]) -> None:
    """Refuse results that would overwrite the file that asks for them, or lie in a model's folder."""
    check_outputs(
        [("--output", folder / name) for name in names],
        folders=[("--output", folder)],
        inputs=[experiment, *(path for model in models for path in model_files(model))],
    )


def load_source(model: str) -> TorchSource:
    """Make the torch module of a bundle, for the baselines.

    Raises
    ------
    MissingExtraError
        Without torch.
    """
    from ratta.bundle import read_bundle
    from ratta.evaluate import torch_source

    try:
        from ratta.train.export import stored_name
        from ratta.train.network import MobileNetV3Small
    except ModuleNotFoundError as error:
        raise MissingExtraError("ratta eval needs torch: pip install 'ratta[train]'") from error
    return torch_source(read_bundle(model), MobileNetV3Small(), stored_name=stored_name)
