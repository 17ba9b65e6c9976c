"""From an experiment file to a report, on pools made here; sweeps over it."""

import json
import os
import signal
import threading
import time

import pytest

from ratta.errors import DataError
from ratta.evaluate import evaluation as evaluation_module
from ratta.evaluate import parse_experiment, run_evaluation, run_sweep, write_pool
from ratta.evaluate.sweep import objective, with_values

from .conftest import tiny_source


def load_tiny(_: str):
    """The tiny network instead of a bundle."""
    return tiny_source()


@pytest.fixture
def experiment(corpus, tmp_path, monkeypatch):
    """Two methods on one stream of pools, with a bundle that is only a name and a hash."""

    class Stub:
        name, version, sha256, contract = "tiny", "1", "0" * 64, None

    monkeypatch.setattr(evaluation_module, "find_bundle", lambda path: path)
    monkeypatch.setattr(evaluation_module, "read_bundle", lambda _: Stub)
    for name in ("dev", "home", "away"):
        write_pool(tmp_path / name, corpus(4, camera=name), key=name)
    return {
        "name": "tiny",
        "model": str(tmp_path),
        "development": {"kind": "pool", "path": str(tmp_path / "dev")},
        "home": {"kind": "pool", "path": str(tmp_path / "home")},
        "targets": {"b": {"kind": "pool", "path": str(tmp_path / "away")}},
        "streams": ["sudden"],
        "methods": ["no-tta", "tent"],
        "seeds": [0, 1],
        "window": 8,
    }


def test_evaluation(experiment, tmp_path) -> None:
    """Four cells, two rows, three files; a second run computes nothing and gives the same."""
    settings = parse_experiment(experiment, where="x")
    report = run_evaluation(settings, load_source=load_tiny, folder=tmp_path / "out")
    again = run_evaluation(settings, load_source=lambda _: pytest.fail("computed again"), folder=tmp_path / "out")
    assert ["no-tta", "tent"] == [row.label for row in report.rows]
    assert [row.acer for row in report.rows] == [row.acer for row in again.rows]
    assert 4 == len(list((tmp_path / "out" / "cells").iterdir()))
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (2, "tiny") == (len(record["rows"]), record["model"]["name"])
    assert str(tmp_path) not in (tmp_path / "out" / "results.json").read_text()
    assert "| tent |" in (tmp_path / "out" / "results.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(text in page for text in ("DET curve", "BPCER along the stream", "APCER along the stream"))


def test_the_same_stream_at_several_rates_of_confirmation(experiment, tmp_path) -> None:
    """Each rate is a stream of its own, named after it."""
    streams = ["sudden", *({"kind": "sudden", "confirm": share, "methods": ["no-tta"]} for share in (0.3, 1.0))]
    settings = parse_experiment(experiment | {"streams": streams}, where="x")
    report = run_evaluation(settings, load_source=load_tiny, folder=tmp_path / "out")
    found = [(row.stream, row.label) for row in report.rows]
    assert [("sudden", "no-tta"), ("sudden", "tent")] == found[:2]
    assert [("sudden+confirm-0.3", "no-tta"), ("sudden+confirm-1", "no-tta")] == found[2:]
    assert 1 == len({row.acer for row in report.rows if row.label == "no-tta"})


def test_grid(experiment, tmp_path) -> None:
    """Every combination is a point; cells that do not depend on the grid are computed once."""
    sweep = {**experiment, "seeds": [0], "grid": {"methods.1.options.learning_rate": [1e-4, 1e-1], "window": [8, 16]}}
    points = run_sweep(sweep, load_source=load_tiny, folder=tmp_path / "out")
    assert [(1e-4, 8), (1e-4, 16), (1e-1, 8), (1e-1, 16)] == [tuple(p.values.values()) for p in points]
    assert 3 == len(list((tmp_path / "out" / "cells").iterdir()))
    assert points[0].report.rows[0].acer == points[3].report.rows[0].acer
    text = (tmp_path / "out" / "sweep.md").read_text()
    assert 2 + 4 * 2 == len(text.splitlines())
    assert "<svg" in (tmp_path / "out" / "sweep.html").read_text()


def test_study(experiment, tmp_path) -> None:
    """A study asks for its trials, is seeded, and finds its own answers when run again."""
    pytest.importorskip("optuna")
    study = {
        "trials": 3,
        "method": "tent",
        "space": {
            "methods.1.options.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "methods.1.options.statistics": {"choices": ["batch", "source"]},
        },
    }
    sweep = {**experiment, "seeds": [0], "study": study}
    points = run_sweep(sweep, load_source=load_tiny, folder=tmp_path / "out")
    again = run_sweep(sweep, load_source=lambda _: pytest.fail("computed again"), folder=tmp_path / "out")
    assert 3 == len({str(p.values) for p in points})
    assert [p.values for p in points] == [p.values for p in again]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "sweep: expected a table .grid. or a table .study., one of them"),
        (
            {"grid": {"window": [8]}, "study": {"trials": 1, "method": "a", "space": {"b": {"low": 0, "high": 1}}}},
            "one of",
        ),
        ({"grid": {"window": []}}, r"sweep: grid\.window: .*at least 1 item"),
        ({"grid": {"windows": [8]}}, "sweep: windows: extra inputs are not permitted, got 8"),
        (
            {"grid": {"methods.7.options.batch": [8]}},
            r"methods\.7\.options\.batch: expected a position from 0 to 1, got '7'",
        ),
        ({"grid": {"name.x": [8]}}, "expected a path through the experiment"),
        ({"study": {"trials": 1, "method": "tent", "space": {"window": {"low": 2}}}}, "expected low < high"),
        (
            {"study": {"trials": 1, "method": "ours", "space": {"window": {"choices": [8]}}}},
            "expected a label whose acer",
        ),
    ],
)
def test_wrong_sweeps(experiment, tmp_path, change, message) -> None:
    """What does not fit is named by its key."""
    with pytest.raises(DataError, match=message):
        run_sweep({**experiment, "seeds": [0], **change}, load_source=load_tiny, folder=tmp_path / "out")


def test_with_values_changes_a_copy(experiment) -> None:
    """The experiment itself stays as it was, and tables are made on the way."""
    found = with_values(experiment, {"methods.1.options.batch": 4, "seeds.0": 9}, where="x")
    assert ({"name": "tent", "options": {"batch": 4}}, [9, 1]) == (found["methods"][1], found["seeds"])
    assert (["no-tta", "tent"], [0, 1]) == (experiment["methods"], experiment["seeds"])


def test_objective_is_the_mean_over_streams(experiment, tmp_path) -> None:
    """One number for a point: the mean of the figure over targets and streams."""
    settings = parse_experiment({**experiment, "streams": ["sudden", "sessions"]}, where="x")
    report = run_evaluation(settings, load_source=load_tiny, folder=tmp_path / "out")
    values = [row.acer.value for row in report.rows if row.label == "tent"]
    assert pytest.approx(sum(values) / 2) == objective(report, "tent", "acer")


@pytest.mark.slow
def test_dask_cluster_with_a_killed_worker(experiment, tmp_path) -> None:
    """Two worker processes, one of them killed half-way: complete, and equal to the undisturbed run."""
    distributed = pytest.importorskip("distributed")
    settings = parse_experiment({**experiment, "seeds": list(range(6))}, where="x")
    quiet = run_evaluation(settings, load_source=load_tiny, folder=tmp_path / "quiet")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        kill_after(cluster, tmp_path / "out" / "cells", cells=3)
        found = run_evaluation(
            settings, load_source=load_tiny, folder=tmp_path / "out", scheduler=cluster.scheduler_address
        )
    assert [row.acer for row in quiet.rows] == [row.acer for row in found.rows]


def kill_after(cluster, folder, *, cells: int) -> None:
    """Kill a worker process of a cluster as soon as so many cells are finished."""

    def watch() -> None:
        while len(list(folder.glob("*.json"))) < cells:
            time.sleep(0.02)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
