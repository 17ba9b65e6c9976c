"""The report of an evaluation: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ratta.evaluate.plots import Axis, Series, dot_chart, line_chart, linear_axis, steps
from ratta.evaluate.results import CEILING, interval, percent, pooled, session_cells
from ratta.metrics import curve, probit, running_error
from ratta.page import figure, page, table, today

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.evaluate.results import CellResult, Row

_DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95)


def html_report(name: str, rows: Sequence[Row], results: Sequence[CellResult], *, window: int, model: str) -> str:
    """Write the report.

    Parameters
    ----------
    name : str
        Of the experiment.
    rows : sequence of Row
    results : sequence of CellResult
    window : int
        Of the running error.
    model : str
        Name, version and hash of the model.
    """
    parts = [_reading(results)]
    for block in dict.fromkeys((row.target, row.stream) for row in rows):
        mine = [row for row in rows if (row.target, row.stream) == block]
        found = [one for one in results if (one.target, one.stream) == block]
        parts += [f"<h2>{escape(block[0])}, {escape(block[1])}</h2>", _table(mine), _phases(found)]
        parts += ['<div class="plots">', *_plots(mine, found, window), "</div>", _refusals(mine, found)]
    facts = {"date": today(), "model": model, "experiment": "results.json", "table": "results.md"}
    return page(name, "\n".join(parts), summary="Evaluation of adaptation methods on streams", facts=facts)


def _reading(results: Sequence[CellResult]) -> str:
    policy = escape(results[0].threshold.policy) if results else ""
    return (
        f'<p class="soft small">Every frame is answered before anything is learnt from it. Thresholds ({policy}) were '
        "chosen on the source development set before the stream and never moved; the column at 0.5 is for comparison "
        "with work that used 0.5. ACER is the mean of the worst species’ APCER and BPCER, over all seeds; "
        "intervals are 95 % by bootstrap over subjects, paired for differences, and are too narrow for fewer than some "
        "ten subjects. The worst point is the highest ACER in a moving window.</p>"
    )


def _table(rows: Sequence[Row]) -> str:
    head = (
        "method", "ACER %", "sd of seeds", "APCER % (worst)", "BPCER %", "AUC", "ACER to No-TTA", "ACER % at 0.5",
        "worst point %", "refused %", "updates", "ms/frame", "peak MB",
    )  # fmt: skip
    lines = [
        (
            row.label,
            interval(row.acer),
            percent(row.acer_sd),
            f"{percent(row.apcer)} ({row.worst_species})",
            percent(row.bpcer),
            _number(row.auc, 3),
            interval(row.difference, signed=True),
            percent(row.acer_at_half),
            percent(row.worst_acer),
            percent(row.fta),
            _number(row.updates, 0),
            _number(row.ms_per_frame, 2),
            _number(row.peak_memory_mb, 0),
        )
        for row in rows
    ]
    first = rows[0]
    caption = f"<p>{first.frames} frames in {first.seeds} seeds, {first.subjects} subjects.</p>"
    return caption + table(head, lines) + _session_table(rows)


def _session_table(rows: Sequence[Row]) -> str:
    compared = [row for row in rows if row.by_session is not None]
    if not compared or compared[0].by_session is None:
        return ""
    species = (f"APCER {name}" for name in compared[0].by_session.apcer_by_species)
    head = ("method", "ACER", "APCER (worst)", "BPCER", *species, *CEILING)
    text = (
        "<p>Difference to No-TTA in points, paired bootstrap over sessions; and a ceiling: the ACER at the threshold "
        "that is best for this very stream, and how much of what it would have saved was saved.</p>"
    )
    return text + table(head, [(row.label, *session_cells(row)) for row in compared])


def _phases(results: Sequence[CellResult]) -> str:
    first = [one for one in results if one.seed == results[0].seed]
    phases = list(first[0].record["phases"])
    if len(phases) < 2:
        return ""
    lines = []
    for one in first:
        cells = [one.label]
        for phase in phases:
            rates = one.record["phases"][phase]
            cells.append(" / ".join(percent(_nan(rates[rate])) for rate in ("apcer", "bpcer")))
        lines.append(tuple(cells))
    return "<p>APCER / BPCER in % by part of the stream, first seed:</p>" + table(("method", *phases), lines)


def _plots(rows: Sequence[Row], results: Sequence[CellResult], window: int) -> list[str]:
    first = [one for one in results if one.seed == results[0].seed]
    plots = [
        *(
            figure(_along(first, window, rate), f"{rate} along the stream, moving window of {window}, first seed")
            for rate in ("BPCER", "APCER")
        ),
        figure(_differences(rows), "Difference to No-TTA in ACER points, 95 %"),
        figure(_det(results), "DET curve, all seeds, attacks pooled (normal deviates)"),
        *(figure(_histogram(one), f"Scores of {one.label}, first seed; threshold dashed") for one in first),
    ]
    for key, limit, caption in (
        ("level", "alpha", "Level of the conformal threshold, and alpha dashed"),
        ("threshold", "", "Threshold of conformity, below which a session is denied"),
        ("drift", "drift_limit", "Drift statistic and its threshold"),
        ("budget_ms", "", "Budget left, ms"),
    ):
        drawn = _traced(first, key, limit)
        if drawn:
            plots.append(figure(drawn, caption + ", first seed"))
    return plots


def _along(results: Sequence[CellResult], window: int, rate: str) -> str:
    series = {}
    for one in results:
        errors = running_error(one.scores, one.threshold.value, window=window)
        error = 100 * (errors.bpcer if rate == "BPCER" else errors.apcer)
        places = np.unique(np.linspace(0, len(error) - 1, 300).astype(int))
        series[one.label] = Series(places.tolist(), error[places].tolist())
    highest = [v for s in series.values() for v in s.y]
    length = max(len(one.scores) for one in results)
    return line_chart(series, x=linear_axis("frame", [0, length]), y=linear_axis(f"{rate} %", highest, low=0))


def _differences(rows: Sequence[Row]) -> str:
    dots = {
        row.label: tuple(100 * v for v in (row.difference.value, row.difference.low, row.difference.high))
        for row in rows
    }
    values = [v for dot in dots.values() for v in dot] + [-1.0, 1.0]
    return dot_chart(dots, x=linear_axis("points of ACER; left is better", values))  # type: ignore[arg-type]


def _det(results: Sequence[CellResult]) -> str:
    ends = probit(np.array([5e-4, 0.98]))
    ticks = tuple(
        (float(at), f"{100 * rate:g}") for at, rate in zip(probit(np.array(_DET_TICKS)), _DET_TICKS, strict=True)
    )
    series = {}
    for label in dict.fromkeys(one.label for one in results):
        points = curve(pooled(one for one in results if one.label == label))
        chosen = np.unique(np.linspace(0, max(len(points.thresholds) - 1, 0), 400).astype(int))
        if len(points.thresholds):
            series[label] = Series(probit(points.apcer[chosen]).tolist(), probit(points.bpcer[chosen]).tolist())
    axes = [Axis(label, float(ends[0]), float(ends[1]), ticks) for label in ("APCER %", "BPCER %")]
    return line_chart(series, x=axes[0], y=axes[1])


def _histogram(result: CellResult) -> str:
    live, attacks = result.scores.answered()
    everything = np.concatenate([live, attacks])
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-6), 41)
    shares = [np.histogram(scores, edges)[0] / max(len(scores), 1) for scores in (live, attacks)]
    top = max(float(share.max()) for share in shares)
    at = result.threshold.value
    series = {"live": steps(edges.tolist(), shares[0].tolist()), "attack": steps(edges.tolist(), shares[1].tolist())}
    if math.isfinite(at):
        series["threshold"] = Series([at, at], [0.0, top], dashed=True)
    axis = linear_axis("live score", [low, high])
    return line_chart(series, x=axis, y=linear_axis("share of the class", [0, top], low=0))


def _traced(results: Sequence[CellResult], key: str, limit: str) -> str:
    series = {}
    for one in results:
        trace = [(at, state) for at, state in one.record["trace"] if key in state]
        if trace:
            series[one.label] = Series([at for at, _ in trace], [_nan(state[key]) for _, state in trace])
        if trace and limit in trace[0][1]:
            limits = [_nan(state[limit]) for _, state in trace]
            series[f"{one.label}: {limit.replace('_', ' ')}"] = Series([at for at, _ in trace], limits, dashed=True)
    if not series:
        return ""
    frames = [at for one in series.values() for at in one.x]
    values = [value for one in series.values() for value in one.y]
    return line_chart(series, x=linear_axis("frame", frames), y=linear_axis(key.replace("_", " "), values))


def _refusals(rows: Sequence[Row], results: Sequence[CellResult]) -> str:
    frames = results[0].record["refusals"]
    seen = ", ".join(f"{escape(reason)} {n}" for reason, n in frames.items()) or "none"
    lines = [
        (row.label, ", ".join(f"{reason} {n:.0f}" for reason, n in row.refusals.items()))
        for row in rows
        if row.refusals
    ]
    text = f'<p class="soft small">Frames refused before any method, first seed: {seen}.</p>'
    return text + (table(("method", "frames not learnt from, by reason"), lines) if lines else "")


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
