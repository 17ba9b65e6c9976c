"""`ratta eval`: methods x streams x seeds, from an experiment file to a table and a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.bundle import find_bundle, read_bundle
from ratta.evaluate.cells import Cell, clean
from ratta.evaluate.domains import prepare_pool
from ratta.evaluate.experiment import all_targets
from ratta.evaluate.report import html_report
from ratta.evaluate.results import markdown, read_result, table
from ratta.evaluate.schedule import run_cells
from ratta.evaluate.sessions import pool_key, pool_skipped
from ratta.files import printable
from ratta.outputs import replace_text

if TYPE_CHECKING:
    from ratta.evaluate.cells import LoadSource
    from ratta.evaluate.experiment import ExperimentSettings
    from ratta.evaluate.results import Row


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation left behind.

    Attributes
    ----------
    rows : tuple of Row
    folder : Path
        Holds `report.html`, `results.json`, `results.md` and `cells/`.
    """

    rows: tuple[Row, ...]
    folder: Path


def run_evaluation(
    settings: ExperimentSettings,
    *,
    load_source: LoadSource,
    folder: str | Path,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> Report:
    """Run an experiment, or what is left of it, and write its report.

    Parameters
    ----------
    settings : ExperimentSettings
    load_source : callable
        From a bundle's path to a `TorchSource`; importable by name.
    folder : path
        Of pools, cells and report. Pools hold faces.
    workers, scheduler
        As in `run_cells`.
    progress : bool
        Show bars.

    Returns
    -------
    Report
    """
    folder = Path(folder)
    cells = make_cells(settings, folder, progress=progress)
    run_cells(cells, folder / "cells", load_source, workers=workers, scheduler=scheduler, progress=progress)
    return write_report(settings, cells, folder)


def make_cells(settings: ExperimentSettings, folder: Path, *, progress: bool = False) -> tuple[Cell, ...]:
    """Prepare the pools of an experiment and lay out its cells."""
    path = find_bundle(settings.model)
    bundle = read_bundle(path)
    pools = (folder / "pools").resolve()

    def prepared(domain: object) -> str:
        return "" if domain is None else str(prepare_pool(domain, bundle.contract, pools, progress=progress))  # type: ignore[arg-type]

    fixed = {"development": prepared(settings.development), "home": prepared(settings.home)}
    cells = []
    for target, domain in all_targets(settings).items():
        folders = {**fixed, "away": prepared(domain)}
        keys = {name: pool_key(pool) if pool else "" for name, pool in folders.items()}
        cells += [
            Cell(
                target=target,
                stream=stream.kind,
                label=method.label,
                seed=seed,
                method=method.name,
                options=method.options,
                model=str(path.resolve()),
                model_sha256=bundle.sha256,
                pools=folders,
                pool_keys=keys,
                frames=stream.frames,
                confirm=stream.confirm,
                threshold=settings.threshold,
                threads=settings.threads,
            )
            for stream in settings.streams
            for method in settings.methods
            if not stream.methods or method.label in stream.methods
            for seed in settings.seeds
        ]
    return tuple(cells)


def write_report(
    settings: ExperimentSettings, cells: tuple[Cell, ...], folder: Path, *, cells_folder: Path | None = None
) -> Report:
    """Write `report.html`, `results.json` and `results.md` from finished cells."""
    results = [read_result(cell, cells_folder or folder / "cells") for cell in cells]
    rows = table(results, window=settings.window)
    bundle = read_bundle(find_bundle(settings.model))
    origin = f"Model {bundle.name} {bundle.version}, SHA-256 of its manifest {bundle.sha256}."
    model = f"{bundle.name} {bundle.version}, {bundle.sha256[:16]}"
    page = html_report(settings.name, rows, results, window=settings.window, model=model)
    replace_text(folder / "report.html", page)
    pools = {pool for cell in cells for pool in cell.pools.values() if pool}
    skipped = sorted({reason for pool in pools for reason in pool_skipped(pool)})
    replace_text(folder / "results.md", f"# {settings.name}\n\n{origin}\n\n{markdown(rows)}{_unread(skipped)}")
    record = {
        "experiment": json.loads(settings.model_dump_json(exclude={"model", "development", "home", "targets"})),
        "model": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        "machine": results[0].record["machine"],
        "rows": [row.to_dict() for row in rows],
        "skipped": skipped,
    }
    replace_text(folder / "results.json", json.dumps(clean(record), indent=1, allow_nan=False))
    return Report(rows, folder)


def _unread(skipped: list[str], *, shown: int = 20) -> str:
    """Say which files could not be read."""
    if not skipped:
        return ""
    lines = "".join(f"- {printable(reason)}\n" for reason in skipped[:shown])
    more = f"- and {len(skipped) - shown} more, see results.json\n" if len(skipped) > shown else ""
    return f"\n{len(skipped)} files could not be read; their frames count as refused:\n\n{lines}{more}"
