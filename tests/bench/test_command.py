import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ratta.bench import command, main
from ratta.bench.memory import ColdStart, Phases, cold_start
from ratta.bench.result import BARE, PIPELINE, STEP, read_result
from ratta.bench.timing import Contestant
from ratta.errors import BundleError
from ratta.records import Verdict


class TinyEngine:
    """Answers at once, and has what the bench asks an engine for."""

    bundle = SimpleNamespace(
        name="tiny", version="0", sha256="00" * 32, contract=SimpleNamespace(size=32), graph=b"1234", statistics={}
    )

    def step(self, frame: np.ndarray, *, t: float, box: object = None) -> SimpleNamespace:
        return SimpleNamespace(verdict=Verdict.LIVE, reason="stable", detail="")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put a tiny engine in the place of the real one."""
    engine = TinyEngine()
    monkeypatch.setattr(command, "load", lambda model, **_: engine)
    monkeypatch.setattr(command, "Session", lambda engine, open_ended: engine)
    monkeypatch.setattr(command, "find_bundle", lambda model: tmp_path)
    monkeypatch.setattr(command, "models_folder", lambda: tmp_path)
    monkeypatch.setattr(command, "QUICK_SECONDS", 0.05)
    (tmp_path / command.DETECTOR_FOLDER).mkdir()
    racers = [Contestant(name, lambda: sum(range(100)), calls=2) for name in (BARE, STEP, PIPELINE)]
    monkeypatch.setattr(command, "race_contestants", lambda engine, scene: racers)


@pytest.mark.usefixtures("tiny")
def test_a_quick_run_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text ends in the SWAP line, and the file holds the same result."""
    path = tmp_path / "result.json"
    assert main(["--quick", "--json", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1].startswith("SWAP")
    found = read_result(path)
    assert (found.model.name, found.cold_start, found.throughput) == ("tiny", None, None)
    assert set(found.timings) == {BARE, STEP, PIPELINE}


@pytest.mark.usefixtures("tiny")
def test_a_full_run_measures_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cold start, rate, sustained run and modelled energy are in the result of a full run."""
    watts = tmp_path / "watts.json"
    watts.write_text('{"watts_per_core": 3.0, "origin": "data sheet"}')
    phases = Phases(base_import=1.0, ratta_import=1.0, load=1.0, first_answer=1.0)
    cold: dict[str, Any] = {**dict.fromkeys(ColdStart.__slots__, 1), "wall_ms": phases, "cpu_ms": phases}
    monkeypatch.setattr(command, "cold_start", lambda **_: ColdStart(**cold))
    path = tmp_path / "result.json"
    assert main(["--seconds", "2.4", "--fps", "100", "--watts", str(watts), "--json", str(path)]) == 0
    found = read_result(path)
    assert found.cold_start is not None
    assert found.throughput is not None
    assert found.sustained is not None
    assert found.energy is not None
    assert len(found.targets) == 5


@pytest.mark.usefixtures("tiny")
def test_two_files_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--compare prints both, without measuring anything."""
    path = str(tmp_path / "result.json")
    main(["--quick", "--json", path])
    capsys.readouterr()
    assert main(["--compare", path, path]) == 0
    assert "B / A" in capsys.readouterr().out


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """--schema prints a JSON schema that names the parts of a result."""
    assert main(["--schema"]) == 0
    assert "timings" in json.loads(capsys.readouterr().out)["properties"]


def test_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the user can mend is said in one line, with status 2."""

    def refuse(model: str, **_: object) -> None:
        raise BundleError("model: expected a folder, got 'x'")

    monkeypatch.setattr(command, "load", refuse)
    assert main(["--model", "x", "--quick"]) == 2
    assert capsys.readouterr().err == "ratta-bench: model: expected a folder, got 'x'\n"


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--seconds", "1e9"], ["--fps", "0"]])
def test_unbounded_runs_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A phone must not be kept busy for ever."""
    assert main(arguments) == 2
    assert "expected seconds in" in capsys.readouterr().err


def test_a_cold_start_that_cannot_be_made_is_none() -> None:
    """Where no process can be started, or the model does not load there, nothing is known."""
    assert cold_start(model="no such model", runtime="onnxruntime", threads=1, repeats=1) is None


def test_a_browser_is_judged_by_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process clock is the wall clock under another name, however fine it says it is."""
    monkeypatch.setattr(command.time, "get_clock_info", lambda _: SimpleNamespace(resolution=1e-9))
    monkeypatch.setattr(command.sys, "platform", "linux")
    assert ["cpu", "wall"] == [command.judged_clock(threads) for threads in (1, 2)]
    monkeypatch.setattr(command.sys, "platform", "emscripten")
    assert command.judged_clock(1) == "wall"
