"""Finished cells read back, and the table that is made of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import DataError
from ratta.files import read_json
from ratta.metrics import (
    Difference,
    Estimate,
    ScoreSet,
    Threshold,
    acer,
    choose_threshold,
    count,
    paired_difference,
    running_error,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ratta.evaluate.cells import Cell

REFERENCE = "no-tta"
CEILING = ("ACER % at the oracle threshold", "recovered %")
LEAST_HEADROOM = 0.01
"""Below one point, a share of it is noise."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CellResult:
    """One finished cell.

    Attributes
    ----------
    target, stream, label, seed
        Its name.
    method : str
    threshold : Threshold
    scores : ScoreSet
        Every frame of the stream in order.
    sessions : (N,) str
        Which session each frame is of.
    record : dict
        The file as it is.
    """

    target: str
    stream: str
    label: str
    seed: int
    method: str
    threshold: Threshold
    scores: ScoreSet
    sessions: npt.NDArray[np.str_]
    record: dict[str, Any]

    @property
    def ms_per_frame(self) -> float:
        """Processor time inside the method per scored frame, which other load disturbs least; `nan` for no frame."""
        timing = self.record["timing"]
        return float(1000 * timing["cpu_s"] / timing["frames"]) if timing["frames"] else math.nan

    def relative(self, *, by_session: bool = False) -> ScoreSet:
        """Return the scores minus the threshold, so that cells with different thresholds can be pooled at 0.

        With `by_session`, sessions stand in the place of subjects: a bootstrap then draws sessions.
        """
        return ScoreSet(
            live_scores=self.scores.live_scores - self.threshold.value,
            is_live=self.scores.is_live,
            species=self.scores.species,
            subjects=self.sessions if by_session else self.scores.subjects,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a method on a stream, over all seeds. Rates are shares, intervals 95 %.

    Attributes
    ----------
    acer : Estimate
        Over the frames of all seeds; the interval is a bootstrap over subjects.
    acer_sd : float
        Standard deviation between seeds; `nan` for one.
    apcer, bpcer, auc, acer_at_half, fta : float
    worst_species : str
    worst_acer : float
        Highest ACER in the moving window along any seed's stream.
    difference : Estimate
        ACER minus that of No-TTA on the same frames, drawn over subjects; `nan` without No-TTA.
    by_session : Difference or None
        The differences to No-TTA in ACER, APCER of the worst and of each species, and BPCER, drawn over sessions.
    oracle_acer : float
        ACER at the best threshold for this very stream: a ceiling that nobody can know beforehand, never a result.
    recovered : float
        Share of what the best threshold would have saved of No-TTA's ACER that this method saved; `nan` where that is
        less than one point.
    updates, ms_per_frame, peak_memory_mb : float
        Means over seeds, memory the highest.
    refusals : dict
        Of the method, by reason, summed over seeds.
    """

    target: str
    stream: str
    label: str
    seeds: int
    frames: int
    subjects: int
    threshold: float
    acer: Estimate
    acer_sd: float
    apcer: float
    worst_species: str
    bpcer: float
    auc: float
    acer_at_half: float
    fta: float
    worst_acer: float
    difference: Estimate
    by_session: Difference | None
    oracle_acer: float
    recovered: float
    updates: float
    ms_per_frame: float
    peak_memory_mb: float
    refusals: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def read_result(cell: Cell, folder: Path) -> CellResult:
    """Read the result of a cell.

    Raises
    ------
    DataError
        If it is not there or is another cell's.
    """
    path = cell.path(folder)
    try:
        record = read_json(path, holds="the result of a cell")
    except DataError as error:
        raise DataError(f"{error}; run the evaluation again") from error
    if record.get("key") != cell.key:
        raise DataError(f"{path}: expected the result of {cell.name}, got one of other settings; run it again")
    sessions = record["sessions"]
    counts = [entry["frames"] for entry in sessions]

    def column(name: str) -> Any:
        return np.repeat(np.array([entry[name] for entry in sessions]), counts)

    scores = ScoreSet(
        live_scores=[math.nan if score is None else score for score in record["live_scores"]],
        is_live=column("is_live"),
        species=column("species"),
        subjects=column("subject"),
    )
    threshold = dict(record["summary"]["threshold"])
    threshold["value"] = math.nan if threshold["value"] is None else threshold["value"]
    return CellResult(
        target=cell.target,
        stream=cell.stream_name,
        label=cell.label,
        seed=cell.seed,
        method=cell.method,
        threshold=Threshold(**threshold),
        scores=scores,
        sessions=column("name"),
        record=record,
    )


def table(results: Sequence[CellResult], *, window: int) -> tuple[Row, ...]:
    """Pool the seeds of every method on every stream into one row each, in the order of the cells."""
    groups: dict[tuple[str, str, str], list[CellResult]] = {}
    for one in results:
        groups.setdefault((one.target, one.stream, one.label), []).append(one)
    references = {key[:2]: group for key, group in groups.items() if group[0].method == REFERENCE}
    return tuple(_row(group, references.get(key[:2]), window) for key, group in groups.items())


def pooled(results: Iterable[CellResult], *, by_session: bool = False) -> ScoreSet:
    """Put the relative scores of several seeds together; a subject, or a session, stays one."""
    parts = [one.relative(by_session=by_session) for one in results]
    return ScoreSet(
        live_scores=np.concatenate([part.live_scores for part in parts]),
        is_live=np.concatenate([part.is_live for part in parts]),
        species=np.concatenate([part.species for part in parts]),
        subjects=np.concatenate([part.subjects for part in parts if part.subjects is not None]),
    )


def oracle_acer(scores: ScoreSet) -> float:
    """ACER at the threshold that is best for these very scores: a ceiling, since it looks at their labels."""
    return acer(scores, choose_threshold(scores, policy="cost=0.5", origin="the stream itself").value)


def markdown(rows: Sequence[Row]) -> str:
    """Write the table in percent, one block a stream."""
    lines = []
    for block in dict.fromkeys((row.target, row.stream) for row in rows):
        mine = [row for row in rows if (row.target, row.stream) == block]
        lines += [f"### {block[0]}, {block[1]}", ""]
        lines += [f"{mine[0].frames} frames, {mine[0].subjects} subjects, {mine[0].seeds} seeds", ""]
        lines += [
            "| method | ACER % (95 %) | sd | APCER % (worst) | BPCER % | AUC | difference to No-TTA | at 0.5 | "
            "worst point | ms/frame |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|---|---|"]
        lines += [_line(row) for row in mine]
        lines += ["", *_session_lines(mine)]
    return "\n".join(lines)


def _session_lines(rows: Sequence[Row]) -> list[str]:
    compared = [row for row in rows if row.by_session is not None]
    if not compared:
        return []
    first = compared[0].by_session
    species = list(first.apcer_by_species) if first is not None else []
    head = ["method", "ACER", "APCER (worst)", "BPCER", *(f"APCER {name}" for name in species), *CEILING]
    lines = ["Difference to No-TTA in points, paired bootstrap over sessions, 95 %, and the ceiling:", ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*lines, *(f"| {' | '.join((row.label, *session_cells(row)))} |" for row in compared), ""]


def session_cells(row: Row) -> list[str]:
    """Differences drawn over sessions, then ACER at the oracle threshold and the share recovered, as text."""
    found = row.by_session
    if found is None:
        return []
    differences = (found.acer, found.apcer, found.bpcer, *found.apcer_by_species.values())
    ceiling = percent(row.oracle_acer), percent(row.recovered, 0)
    return [*(interval(one, signed=True) for one in differences), *ceiling]


def percent(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """Write a share in percent, or a dash where it is undefined."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:+.{digits}f}" if signed else f"{100 * value:.{digits}f}"


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """Write an estimate with its interval in percent."""
    ends = ", ".join(percent(end, signed=signed) for end in (estimate.low, estimate.high))
    return f"{percent(estimate.value, signed=signed)} [{ends}]"


def _line(row: Row) -> str:
    cells = (
        row.label,
        interval(row.acer),
        percent(row.acer_sd),
        f"{percent(row.apcer)} ({row.worst_species})" if row.worst_species else "–",
        percent(row.bpcer),
        "–" if math.isnan(row.auc) else f"{row.auc:.3f}",
        interval(row.difference, signed=True),
        percent(row.acer_at_half),
        percent(row.worst_acer),
        f"{row.ms_per_frame:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def _row(group: list[CellResult], reference: list[CellResult] | None, window: int) -> Row:
    scores = pooled(group)
    at_zero = Threshold(0.0, group[0].threshold.policy, group[0].threshold.origin)
    found = summary(scores, at_zero)
    each = [float(count(one.scores, one.threshold.value).total().acer) for one in group]
    halves = [float(count(one.scores, 0.5).total().acer) for one in group]
    difference, by_session, recovered = Estimate(math.nan, math.nan, math.nan), None, math.nan
    if reference is not None and [one.seed for one in reference] == [one.seed for one in group]:
        source = pooled(reference)
        difference = paired_difference(scores, source, threshold=0.0, seed=0).acer
        pair = [pooled(one, by_session=True) for one in (group, reference)]
        by_session = paired_difference(pair[0], pair[1], threshold=0.0, seed=0)
        before = acer(source, 0.0)
        headroom = before - oracle_acer(source)
        recovered = (before - found.acer.value) / headroom if headroom >= LEAST_HEADROOM else math.nan
    last = [one.record["trace"][-1][1] for one in group]
    worst = [running_error(one.scores, one.threshold.value, window=window).worst_acer for one in group]
    return Row(
        target=group[0].target,
        stream=group[0].stream,
        label=group[0].label,
        seeds=len(group),
        frames=found.samples,
        subjects=found.subjects,
        threshold=group[0].threshold.value,
        acer=found.acer,
        acer_sd=stdev(each) if len(each) > 1 else math.nan,
        apcer=found.apcer.value,
        worst_species=found.worst_species,
        bpcer=found.bpcer.value,
        auc=found.auc.value,
        acer_at_half=fmean(halves),
        fta=found.fta.value,
        worst_acer=max(worst, key=lambda value: -1.0 if math.isnan(value) else value),
        difference=difference,
        by_session=by_session,
        oracle_acer=oracle_acer(scores),
        recovered=recovered,
        updates=fmean(state["updates"] for state in last),
        ms_per_frame=fmean(one.ms_per_frame for one in group),
        peak_memory_mb=max(one.record["timing"]["peak_memory_mb"] or math.nan for one in group),
        refusals=_summed(last),
    )


def _summed(states: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for state in states for name in state if name.startswith("refused: "))
    return {name.removeprefix("refused: "): sum(state.get(name, 0.0) for state in states) for name in names}
