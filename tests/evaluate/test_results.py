"""The table, the plots and the report, from results made by hand."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from ratta.evaluate.plots import Series, dot_chart, line_chart, linear_axis, steps
from ratta.evaluate.report import html_report
from ratta.evaluate.results import CellResult, interval, markdown, percent, table
from ratta.metrics import Estimate, ScoreSet, Threshold


def result(label: str, scores: list[float], *, seed: int = 0, threshold: float = 0.5, state=None) -> CellResult:
    """Four subjects with a live and an attack frame each, scored by hand."""
    state = state or {"updates": 3.0}
    return CellResult(
        target="webcam",
        stream="sessions",
        label=label,
        seed=seed,
        method=label,
        threshold=Threshold(threshold, "eer", "dev"),
        scores=ScoreSet(
            live_scores=scores,
            is_live=[1, 0] * 4,
            species=["", "print"] * 4,
            subjects=[name for name in "abcd" for _ in range(2)],
        ),
        sessions=np.array([f"{name}/{kind}" for name in "abcd" for kind in ("live", "print")]),
        record={
            "timing": {"cpu_s": 0.016, "wall_s": 0.02, "frames": 8, "peak_memory_mb": 100.0},
            "trace": [[0, {"updates": 0.0}], [8, state]],
            "phases": {"home": {"apcer": 0.0, "bpcer": 0.5}, "away": {"apcer": None, "bpcer": 0.0}},
            "refusals": {"too dark": 2},
        },
    )


GOOD = [0.9, 0.1] * 4
ONE_ATTACK = [0.9, 0.6, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1]
ONE_REJECTED = [0.4, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1]


def test_rows_pool_seeds() -> None:
    """ACER over all frames, the deviation between seeds, and the difference to No-TTA on the same frames."""
    rows = table(
        [
            result("no-tta", ONE_ATTACK),
            result("no-tta", GOOD, seed=1),
            result("tent", ONE_REJECTED),
            result("tent", ONE_REJECTED, seed=1),
        ],
        window=2,
    )
    no_tta, tent = rows
    assert (2, 16, 4, "print") == (no_tta.seeds, no_tta.frames, no_tta.subjects, no_tta.worst_species)
    assert (1 / 16, 0.125, 0.0) == (no_tta.acer.value, no_tta.apcer, no_tta.bpcer)
    assert pytest.approx(0.125 / math.sqrt(2)) == no_tta.acer_sd
    assert (2 / 16, 0.0, 2 / 8) == (tent.acer.value, tent.apcer, tent.bpcer)
    assert (1 / 16, -1 / 8, 2 / 8) == (
        tent.difference.value,
        tent.by_session.apcer.value,
        tent.by_session.bpcer.value,
    )
    assert (2.0, 3.0, 0.0) == (tent.ms_per_frame, tent.updates, no_tta.difference.value)


def test_differences_over_sessions() -> None:
    """APCER and BPCER move in different sessions, so the interval of each comes from its own sessions alone."""
    _, tent = table([result("no-tta", ONE_ATTACK), result("tent", ONE_REJECTED)], window=2)
    found = tent.by_session
    assert {"print": -0.25} == {name: one.value for name, one in found.apcer_by_species.items()}
    assert (0.25, 0.0) == (found.bpcer.value, found.bpcer.low)
    assert (0.0, True) == (found.acer.value, found.acer.low < 0 < found.acer.high)
    assert "| tent | +0.0 [" in markdown([tent])


def test_ceiling() -> None:
    """The best threshold of the stream itself, and the share of what it would have saved that was saved."""
    shifted = [score - 0.6 for score in GOOD]
    no_tta, half = table([result("no-tta", shifted), result("tent", ONE_REJECTED[:2] * 2 + GOOD[:4])], window=2)
    assert (0.5, 0.0) == (no_tta.acer.value, no_tta.oracle_acer)
    assert (0.25, 0.0, 0.5) == (half.acer.value, half.oracle_acer, half.recovered)
    (alone,) = table([result("no-tta", GOOD)], window=2)
    assert math.isnan(alone.recovered)


def test_each_seed_at_its_own_threshold() -> None:
    """Cells with different thresholds are pooled relative to them."""
    (row,) = table([result("no-tta", GOOD), result("no-tta", GOOD, seed=1, threshold=0.95)], window=2)
    assert (0.0, 0.5) == (row.apcer, row.bpcer)


def test_without_reference() -> None:
    """Without No-TTA the difference is undefined and shown as a dash."""
    (row,) = table([result("tent", GOOD)], window=2)
    assert math.isnan(row.difference.value)
    assert "– [–, –]" in markdown([row])


def test_refusals_are_summed_by_reason() -> None:
    """Reasons of all seeds together."""
    (row,) = table(
        [result("eata", GOOD, seed=i, state={"updates": 1.0, "refused: entropy": 4.0}) for i in (0, 1)], window=2
    )
    assert {"entropy": 8.0} == row.refusals


def test_percent() -> None:
    """Shares in percent, signed where asked, a dash where undefined."""
    assert ("12.5", "+12.5", "–", "5.0 [-1.0, 11.0]") == (
        percent(0.125),
        percent(0.125, signed=True),
        percent(math.nan),
        interval(Estimate(0.05, -0.01, 0.11)),
    )


@pytest.fixture
def page() -> str:
    """A report of two methods, one of them with drift and budget, and a hostile name."""
    drift = {"updates": 1.0, "drift": 0.4, "drift_limit": 1.0, "budget_ms": 80.0, "refused: views": 2.0}
    drift |= {"alpha": 0.05, "level": 0.1, "threshold": None}
    results = [result("no-tta", ONE_ATTACK), result("tent", ONE_REJECTED, state=drift)]
    for one in results:
        one.record["trace"][0][1].update(drift if one.label == "tent" else {})
    return html_report("<script>alert(1)</script>", table(results, window=2), results, window=2, model="A & B")


def test_report_is_self_contained(page) -> None:
    """Nothing is fetched, nothing runs, and names are escaped."""
    assert not any(
        word in page.replace("http://www.w3.org/2000/svg", "") for word in ("<script", "http", "src=", "@import")
    )
    assert "&lt;script&gt;" in page
    assert "A &amp; B" in page


def test_report_shows_everything(page) -> None:
    """Every plot and table that was promised is there, and each plot is well-formed."""
    for words in (
        "BPCER along the stream",
        "APCER along the stream",
        "Level of the conformal threshold, and alpha dashed",
        "tent: alpha",
        "Threshold of conformity",
        "Difference to No-TTA",
        "DET curve",
        "Scores of tent",
        "Drift statistic and its threshold",
        "Budget left",
        "too dark 2",
        "views 2",
        "by part of the stream",
        "at 0.5",
    ):
        assert words in page
    plots = [part.partition("</svg>")[0] + "</svg>" for part in page.split("<svg")[1:]]
    for plot in plots:
        ElementTree.fromstring("<svg" + plot)
    assert 10 == len(plots)


def test_line_chart_breaks_at_nan() -> None:
    """A gap in the data is a gap in the line; a lone point is no line."""
    axis = linear_axis("x", [0, 3])
    chart = line_chart({"a": Series([0, 1, 2, 3], [0, 1, math.nan, 1])}, x=axis, y=axis)
    assert 1 == chart.count("<polyline")
    assert 2 == chart.partition('points="')[2].partition('"')[0].count(",")


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([0, 1], ["0", "0.2", "0.4", "0.6", "0.8", "1"]), ([0, 720], ["0", "200", "400", "600"]), ([math.nan], ["0"])],
)
def test_axis_ticks_are_round(values, ticks) -> None:
    """At most seven round ticks inside the axis, and an axis for nothing too."""
    assert ticks == [text for _, text in linear_axis("x", values).ticks][: len(ticks)]


def test_steps() -> None:
    """A histogram's outline goes along every bar."""
    assert ([0.0, 1.0, 1.0, 2.0], [3.0, 3.0, 4.0, 4.0]) == (steps([0, 1, 2], [3, 4]).x, steps([0, 1, 2], [3, 4]).y)


def test_dot_chart_shows_undefined_intervals_as_dots() -> None:
    """Without an interval there is a dot and no line."""
    axis = linear_axis("points", [-1, 1])
    chart = dot_chart({"a": (0.5, math.nan, math.nan), "b": (math.nan,) * 3}, x=axis)
    assert (1, 0) == (chart.count("<circle"), chart.count('stroke-width="2"'))
