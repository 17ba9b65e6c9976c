import json
import math
import os
from pathlib import Path

import pytest

from ratta.adaptation.budget import Allowance, allowance_for
from ratta.bench import main
from ratta.bench.budget import PIPELINE, Advice, advise, goals, render_advice
from ratta.bench.rehearsal import PIECES, READ, REFIT, STUDY, VIEW
from ratta.bench.schema import from_json
from ratta.bench.timing import Spread
from ratta.errors import InputError


def times(ms: float) -> Spread:
    return Spread(p50=ms, p95=ms, p99=ms, min=ms, mean=ms, count=1)


@pytest.fixture(scope="module")
def advice(adaptable: Path) -> Advice:
    """Of a run that times everything once."""
    return advise(model=str(adaptable), seconds=0.02)


def test_every_piece_is_rehearsed(advice: Advice) -> None:
    """Each kind of work that the budget knows, and a camera's frame; all of them take time."""
    assert {READ, VIEW, REFIT, STUDY, PIPELINE} == set(advice.pieces)
    assert all(piece.min > 0 for piece in advice.pieces.values())


def test_no_piece_costs_more_than_it_is_taken_for(advice: Advice) -> None:
    """By the suggested run, 19 of 20 times; and no smaller run would do."""
    slack = [advice.inference_ms - advice.pieces[name].p95 for name in PIECES]
    assert min(slack) == pytest.approx(0, abs=1e-9)
    assert advice.time == allowance_for(advice.inference_ms)


def test_without_a_meter_nothing_is_said_of_energy(advice: Advice) -> None:
    """`n/a`, not a guess; with one, its watts are among the suggested settings."""
    unmetered = Advice(**{**vars_of(advice), "watts": None, "watts_source": "no meter can be read here"})
    assert "watts     n/a: no meter" in render_advice(unmetered)
    assert "watts=" not in render_advice(unmetered)
    metered = Advice(**{**vars_of(advice), "watts": 2.5, "watts_source": "RAPL, CPU packages"})
    assert "watts=2.50" in render_advice(metered)


def test_watts_are_those_of_the_busy_core(adaptable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration file's, where nothing can be read; too short a run for a meter says so."""
    path = tmp_path / "watts.json"
    path.write_text('{"watts_per_core": 3.0, "origin": "wall plug"}')
    short = advise(model=str(adaptable), seconds=0.02, calibration=path)
    assert (short.watts, "needs" in short.watts_source) == (None, True)
    monkeypatch.setattr("ratta.bench.energy.CpuTimeModel.seconds_needed", 0.0)
    found = advise(model=str(adaptable), seconds=0.02, calibration=path)
    assert found.watts is not None
    # Less than one core where the process waits for its turn, more where BLAS takes a second one.
    assert 0 < found.watts <= 3.0 * (os.cpu_count() or 1) * 1.05
    assert "wall plug" in found.watts_source


def test_goals_by_hand() -> None:
    """Ten sessions of 5 + 5 ms are 100 ms of work, with four views of 10 ms each 500; 5 % grant it in 2 and 10 s."""
    pieces = {name: times(ms) for name, ms in ((READ, 8.0), (VIEW, 10.0), (REFIT, 5.0), (STUDY, 5.0))}
    allowance = Allowance(refill_per_s=50, capacity=500, per_session=25, per_hour=1e6, per_day=1e6)
    confirmed, gated = goals(pieces, allowance).values()
    assert (100.0, 2.0, 10) == (confirmed.work_ms, confirmed.seconds, confirmed.attempts)
    assert (500.0, 10.0, 20) == (gated.work_ms, gated.seconds, gated.attempts)


def test_the_command(adaptable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the advice, and the file holds it."""
    path = tmp_path / "budget.json"
    command = ["budget", "--model", str(adaptable), "--seconds", "0.02", "--share", "0.02", "--json", str(path)]
    assert main(command) == 0
    assert "suggested Adaptation(inference_ms=" in capsys.readouterr().out
    found = from_json(Advice, json.loads(path.read_text()))
    assert (found.share, found.time.refill_per_s) == (0.02, pytest.approx(20.0))


def test_an_unknown_model_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and a line that says so."""
    assert main(["budget", "--model", "no-such-model"]) == 2
    assert capsys.readouterr().err.startswith("ratta-bench: ")


@pytest.mark.parametrize("share", [0.0, 1.1, math.nan])
def test_a_share_is_a_share(share: float) -> None:
    """Nothing is loaded for one that is not."""
    with pytest.raises(InputError, match="share"):
        advise(model="none", share=share)


def vars_of(advice: Advice) -> dict[str, object]:
    return {name: getattr(advice, name) for name in Advice.__slots__}
