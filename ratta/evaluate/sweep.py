"""`ratta sweep`: one evaluation after another over a grid of settings, or a study that looks for good ones.

A sweep file is an experiment file with a table `[grid]` of keys and values,

    [grid]
    "methods.1.options.learning_rate" = [1e-4, 1e-3, 1e-2]

or a table `[study]` with `trials`, `minimize` (`acer`, `apcer`, `bpcer` or `worst_acer`), `method` (a label), `seed`
and `[study.space]` of keys with `low`, `high` and optionally `log`, or `choices`. A key is a path through the
experiment.
"""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ratta.errors import DataError, MissingExtraError
from ratta.evaluate.cells import clean
from ratta.evaluate.evaluation import make_cells, write_report
from ratta.evaluate.experiment import explain, parse_experiment
from ratta.evaluate.plots import Series, line_chart, linear_axis
from ratta.evaluate.results import interval, percent
from ratta.evaluate.schedule import run_cells
from ratta.outputs import replace_text
from ratta.page import figure, page, table, today

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ratta.evaluate.cells import Cell, LoadSource
    from ratta.evaluate.evaluation import Report
    from ratta.evaluate.experiment import ExperimentSettings


class Range(BaseModel):
    """Where a study may look for one key: an interval, or a list of choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[float | str | bool, ...] | None = None

    def model_post_init(self, _: Any) -> None:
        """Check that it is one or the other."""
        bounded = self.low is not None and self.high is not None and self.low < self.high
        if bounded == bool(self.choices) or (self.log and (self.low or 0) <= 0):
            raise ValueError("expected low < high (above 0 with log) or choices")


class StudySettings(BaseModel):
    """What a study minimises, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    trials: int = Field(ge=1)
    method: str
    minimize: Literal["acer", "apcer", "bpcer", "worst_acer"] = "acer"
    seed: int = 0
    space: dict[str, Range] = Field(min_length=1)


class SweepSettings(BaseModel):
    """The part of a sweep file that is not the experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] | None = None
    study: StudySettings | None = None

    def model_post_init(self, _: Any) -> None:
        """Check that it is one or the other."""
        if (self.grid is None) == (self.study is None):
            raise ValueError("expected a table [grid] or a table [study], one of them")


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a sweep and what came of it."""

    values: dict[str, Any]
    report: Report


def run_sweep(
    values: Mapping[str, Any],
    *,
    load_source: LoadSource,
    folder: str | Path,
    where: str = "sweep",
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> tuple[Point, ...]:
    """Run a sweep, or what is left of it, and write `sweep.json`, `sweep.md` and `sweep.html`.

    Parameters
    ----------
    values : mapping
        A sweep file as `read_settings` gives it.
    load_source, folder, workers, scheduler, progress
        As in `run_evaluation`.
    where : str
        Name of the file, for errors.

    Raises
    ------
    DataError
        If the file does not fit; each key is named.
    """
    experiment = {key: value for key, value in values.items() if key not in ("grid", "study")}
    try:
        settings = SweepSettings.model_validate({k: v for k, v in values.items() if k in ("grid", "study")})
    except ValidationError as error:
        raise DataError(explain(error, where)) from error
    runner = _Runner(experiment, load_source, Path(folder), where, workers, scheduler, progress)
    points = runner.grid(settings.grid) if settings.grid is not None else runner.study(settings.study)
    _write(points, Path(folder), name=str(values.get("name", "sweep")))
    return points


def with_values(experiment: Mapping[str, Any], values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Put values into a copy of an experiment, each at its path.

    Raises
    ------
    DataError
        If a path leads nowhere.

    Examples
    --------
    >>> with_values({"methods": ["tent"], "seeds": [0]}, {"methods.0.options.batch": 4}, where="x")["methods"]
    [{'name': 'tent', 'options': {'batch': 4}}]
    """
    changed = copy.deepcopy(dict(experiment))
    for path, value in values.items():
        *steps, last = path.split(".")
        place: Any = changed
        for step in steps:
            place = _entered(place, step, path, where)
        if isinstance(place, list):
            place[_position(place, last, path, where)] = value
        elif isinstance(place, dict):
            place[last] = value
        else:
            raise DataError(f"{where}: {path}: expected a path through the experiment, got {last!r} below a value")
    return changed


def _entered(place: Any, step: str, path: str, where: str) -> Any:
    if isinstance(place, list):
        index = _position(place, step, path, where)
        if isinstance(place[index], str):
            place[index] = {"name": place[index]}
        return place[index]
    if isinstance(place, dict):
        return place.setdefault(step, {})
    raise DataError(f"{where}: {path}: expected a path through the experiment, got {step!r} below a value")


def _position(place: list[Any], step: str, path: str, where: str) -> int:
    if not step.isdigit() or int(step) >= len(place):
        raise DataError(f"{where}: {path}: expected a position from 0 to {len(place) - 1}, got {step!r}")
    return int(step)


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs points of a sweep; all share one folder of pools and one of cells."""

    experiment: Mapping[str, Any]
    load_source: LoadSource
    folder: Path
    where: str
    workers: int
    scheduler: str | None
    progress: bool

    def grid(self, grid: Mapping[str, list[Any]]) -> tuple[Point, ...]:
        """Every combination; the cells of all points are one batch of work, and equal ones are computed once."""
        combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
        laid = [self._laid(values) for values in combinations]
        self._run({cell.key: cell for _, cells in laid for cell in cells}.values())
        return tuple(
            self._point(i, values, settings, cells)
            for i, (values, (settings, cells)) in enumerate(zip(combinations, laid, strict=True))
        )

    def study(self, study: StudySettings | None) -> tuple[Point, ...]:
        """Ask Optuna for one point after the other; a study that was interrupted goes on."""
        assert study is not None
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise MissingExtraError("a study needs Optuna: pip install 'ratta[train]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        points: list[Point] = []
        # The sampler is seeded and cells are kept, so a second run asks the same questions and finds the answers.
        found = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=study.seed))
        for number in range(study.trials):
            trial = found.ask()
            values = {key: suggested(trial, key, one) for key, one in study.space.items()}
            settings, cells = self._laid(values)
            self._run(cells)
            points.append(self._point(number, values, settings, cells))
            found.tell(trial, objective(points[-1].report, study.method, study.minimize))
        return tuple(points)

    def _laid(self, values: Mapping[str, Any]) -> tuple[ExperimentSettings, tuple[Cell, ...]]:
        settings = parse_experiment(with_values(self.experiment, values, where=self.where), where=self.where)
        return settings, make_cells(settings, self.folder, progress=self.progress)

    def _run(self, cells: Iterable[Cell]) -> None:
        run_cells(
            tuple(cells),
            self.folder / "cells",
            self.load_source,
            workers=self.workers,
            scheduler=self.scheduler,
            progress=self.progress,
        )

    def _point(
        self, number: int, values: dict[str, Any], settings: ExperimentSettings, cells: tuple[Cell, ...]
    ) -> Point:
        folder = self.folder / f"point-{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        return Point(values, write_report(settings, cells, folder, cells_folder=self.folder / "cells"))


def objective(report: Report, method: str, figure: str) -> float:
    """Mean of a figure of a method over targets and streams.

    Raises
    ------
    DataError
        If the method is not in the report, or the figure is undefined there.
    """
    rows = [row for row in report.rows if row.label == method]
    values = [row.acer.value if figure == "acer" else float(getattr(row, figure)) for row in rows]
    if not values or any(value != value for value in values):
        raise DataError(f"study: method: expected a label whose {figure} is defined on every stream, got {method!r}")
    return fmean(values)


def suggested(trial: Any, key: str, one: Range) -> Any:
    """Ask an Optuna trial for a value of a range."""
    if one.choices is not None:
        return trial.suggest_categorical(key, list(one.choices))
    return trial.suggest_float(key, one.low, one.high, log=one.log)


def _write(points: tuple[Point, ...], folder: Path, *, name: str) -> None:
    keys = list(points[0].values)
    record = [{"values": p.values, "rows": [row.to_dict() for row in p.report.rows]} for p in points]
    replace_text(folder / "sweep.json", json.dumps(clean(record), indent=1, allow_nan=False))
    head = [*keys, "target", "stream", "method", "ACER % (95 %)", "APCER %", "BPCER %", "to No-TTA", "ms/frame"]
    rows = []
    for point in points:
        for row in point.report.rows:
            cells = [str(point.values[key]) for key in keys] + [row.target, row.stream, row.label, interval(row.acer)]
            cells += [percent(row.apcer), percent(row.bpcer), interval(row.difference, signed=True)]
            rows.append([*cells, f"{row.ms_per_frame:.1f}"])
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    replace_text(folder / "sweep.md", "\n".join(lines) + "\n")
    replace_text(folder / "sweep.html", _page(points, keys, head, rows, name=name))


def _page(points: tuple[Point, ...], keys: list[str], head: list[str], rows: list[list[str]], *, name: str) -> str:
    parts = ['<div class="plots">']
    for key in keys:
        numbers = [point.values[key] for point in points]
        if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
            continue
        lines: dict[str, list[tuple[float, float]]] = {}
        for point in points:
            for row in point.report.rows:
                name = f"{row.label}, {row.stream}"
                lines.setdefault(name, []).append((float(point.values[key]), 100 * row.acer.value))
        series = {
            name: Series([x for x, _ in sorted(line)], [y for _, y in sorted(line)]) for name, line in lines.items()
        }
        values = [value for one in series.values() for value in one.y]
        chart = line_chart(
            series, x=linear_axis(key, [float(n) for n in numbers]), y=linear_axis("ACER %", values, low=0)
        )
        parts.append(figure(chart, f"ACER over {key}"))
    facts = {"date": today(), "points": str(len(points)), "results": "sweep.json", "table as text": "sweep.md"}
    summary = "Whatever a sweep finds was chosen on the data it was run on: report it on other subjects."
    return page(name, "\n".join([*parts, "</div>", table(head, rows)]), summary=summary, facts=facts)
