"""Sweep settings of an evaluation: a grid, or a study that looks for good ones.

A sweep file is an experiment file with a table [grid] or [study]. An interrupted sweep goes on where it was. With
--scheduler the cells are computed on a Dask cluster whose workers see the same folders. See docs/evaluation.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.cli.eval import guard_experiment, load_source

if TYPE_CHECKING:
    import argparse

RESULTS = ("sweep.md", "sweep.json", "sweep.html")
HELP = "sweep settings of an evaluation: grids and studies"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta sweep`."""
    parser.add_argument("sweep", help="sweep file, TOML or JSON")
    parser.add_argument("--output", metavar="FOLDER", help="results (default: runs/<name of the file>)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="local processes (%(default)s)")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="compute on a Dask cluster instead")
    parser.add_argument("--strict", action="store_true", help="end at a file of a corpus that cannot be read")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Run the sweep and say where its table is."""
    from ratta.evaluate import read_settings, run_sweep, strictly

    folder = Path(args.output or Path("runs") / Path(args.sweep).stem)
    settings = read_settings(args.sweep)
    models = [settings["model"]] if isinstance(settings.get("model"), str) else []
    guard_experiment(args.sweep, folder, RESULTS, models=models)
    run_sweep(
        strictly(settings) if args.strict else settings,
        load_source=load_source,
        folder=folder,
        where=args.sweep,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=not args.quiet and sys.stderr.isatty(),
    )
    print((folder / "sweep.md").read_text(encoding="utf-8"))
    print(f"table: {folder / 'sweep.html'}")
    return 0
