"""Cells: computed once, kept by what decides them, lost with nobody."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from ratta.errors import DataError, RattaError
from ratta.evaluate import cells as cells_module
from ratta.evaluate.cells import Cell, clean, finished, run_cell
from ratta.evaluate.results import read_result
from ratta.evaluate.schedule import run_cells
from ratta.evaluate.sessions import write_pool
from ratta.metrics import choose_threshold, summary

from .conftest import tiny_source


@pytest.fixture
def cell(corpus, tmp_path) -> Cell:
    """No-TTA on a tiny pool."""
    for name, camera in (("dev", "a"), ("away", "b")):
        write_pool(tmp_path / name, corpus(4, camera=camera), key=name)
    return Cell(
        target="t",
        stream="sessions",
        label="no-tta",
        seed=0,
        method="no-tta",
        model="tiny",
        model_sha256="0",
        pools={"development": str(tmp_path / "dev"), "home": "", "away": str(tmp_path / "away")},
        pool_keys={"development": "dev", "home": "", "away": "away"},
    )


def load_tiny(_: str):
    """The tiny network instead of a bundle."""
    return tiny_source()


def test_result_tells_everything(cell, tmp_path) -> None:
    """Threshold, scores and sessions come back; the summary in the file is the summary of the scores."""
    run_cell(cell, tmp_path / "cells", load_tiny)
    found = read_result(cell, tmp_path / "cells")
    assert (64, 16, "source development set") == (
        len(found.scores),
        len(found.record["sessions"]),
        found.threshold.origin,
    )
    again = summary(found.scores, found.threshold)
    assert (again.acer.value, again.bpcer.errors) == (
        found.record["summary"]["acer"]["value"],
        found.record["summary"]["bpcer"]["errors"],
    )


def test_threshold_is_the_sources(cell, tmp_path) -> None:
    """The threshold is that of the untouched model on the development set, whatever the method learns later."""
    from ratta.evaluate.cells import compute_cell
    from ratta.evaluate.methods.no_tta import NoTTA
    from ratta.evaluate.runner import answer_all, score_set
    from ratta.evaluate.sessions import read_pool
    from ratta.evaluate.streams import build_stream

    source = tiny_source()
    stream = build_stream("iid", away=read_pool(cell.pools["development"]), seed=0)
    scores = score_set([one.session for one in stream.sessions], answer_all(NoTTA(source), stream))
    expected = choose_threshold(scores, policy="eer", origin="").value
    for method in ("no-tta", "tent-source-statistics"):
        result = compute_cell(replace(cell, method=method), source)
        assert pytest.approx(expected, rel=1e-6) == result["summary"]["threshold"]["value"]


def test_threshold_is_chosen_once(cell, tmp_path, monkeypatch) -> None:
    """The second target of a method costs no second run over the development set; its result is the same."""
    from ratta.evaluate.cells import compute_cell

    sar = replace(cell, method="sar-two-class", model=str(tmp_path))
    first = compute_cell(sar, tiny_source())
    monkeypatch.setattr(cells_module, "answer_all", lambda *_: pytest.fail("scored again"))
    again = compute_cell(sar, tiny_source())
    assert first["live_scores"] == again["live_scores"]
    with pytest.raises(pytest.fail.Exception, match="scored again"):
        compute_cell(replace(sar, threshold="apcer=0.05"), tiny_source())


def test_finished_cells_are_not_computed_again(cell, tmp_path, monkeypatch) -> None:
    """A second run touches nothing; other settings are another file; a cut file is made again."""
    path = run_cell(cell, tmp_path, load_tiny)
    other = replace(cell, options={"batch": 2})
    assert (True, False) == (finished(cell, tmp_path), finished(other, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(cells_module, "compute_cell", lambda *_: pytest.fail("computed again"))
        run_cell(cell, tmp_path, load_tiny)
    path.write_text(path.read_text()[:50])
    assert not finished(cell, tmp_path)
    run_cell(cell, tmp_path, load_tiny)
    assert finished(cell, tmp_path)
    assert [] == list(tmp_path.glob("*.part"))


def test_where_files_lie_decides_nothing(cell) -> None:
    """Moving pools keeps results; cutting them from something else does not."""
    assert cell.key == replace(cell, pools={"development": "x", "home": "", "away": "y"}).key
    assert cell.key != replace(cell, pool_keys={"development": "new", "home": "", "away": "away"}).key


def test_same_seed_same_result(cell, tmp_path) -> None:
    """Two computations of a method that draws agree in every score."""
    drawn = replace(cell, method="cotta", options={"augmentations": 2})
    one, two = (json.loads(run_cell(drawn, tmp_path / name, load_tiny).read_text()) for name in "ab")
    assert one["live_scores"] == two["live_scores"]


def test_result_of_another_cell_is_refused(cell, tmp_path) -> None:
    """A file under the right name that was decided by other things is not read."""
    path = run_cell(cell, tmp_path, load_tiny)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "key": "other"}))
    with pytest.raises(DataError, match="expected the result of t/sessions/no-tta/0, got one of other settings"):
        read_result(cell, tmp_path)


def test_clean() -> None:
    """Undefined numbers become null, so that the file is JSON everywhere."""
    assert {"a": [1, None, 0.5], "b": None} == clean({"a": (1, math.nan, np.float64(0.5)), "b": math.inf})


def die_once(model: str):
    """Load the tiny network; the first process that comes dies as if it had been killed."""
    try:
        os.close(os.open(os.path.join(model, "died"), os.O_CREAT | os.O_EXCL))  # noqa: PTH118
    except FileExistsError:
        return tiny_source()
    os._exit(9)


def die_always(_: str):
    """Never load anything."""
    os._exit(9)


@pytest.mark.slow
def test_killed_worker_loses_nothing(cell, tmp_path) -> None:
    """A worker that dies half-way is replaced, and the results equal those of an undisturbed run."""
    cells = [replace(cell, seed=seed, model=str(tmp_path)) for seed in range(4)]
    run_cells(cells, tmp_path / "disturbed", die_once, workers=2)
    run_cells(cells, tmp_path / "quiet", load_tiny)
    for one in cells:
        a, b = (json.loads(one.path(tmp_path / name).read_text()) for name in ("disturbed", "quiet"))
        assert a["live_scores"] == b["live_scores"]


@pytest.mark.slow
def test_workers_that_keep_dying_are_given_up(cell, tmp_path) -> None:
    """After three deaths the error says how many cells are left and what to look at."""
    cells = [replace(cell, seed=seed) for seed in range(2)]
    with pytest.raises(RattaError, match=r"got 3 deaths; 2 cells are left.*enough memory for 2 workers"):
        run_cells(cells, tmp_path, die_always, workers=2)
