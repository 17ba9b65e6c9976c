import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ratta.bench.device import read_device
from ratta.bench.result import SCHEMA, Model, Result, Settings, Timing, swap_of, targets_of, write_result
from ratta.bench.schema import to_json
from ratta.bench.timing import Ratio, Spread

BENCH = Path(__file__).parents[2] / "bench"
SPREAD = Spread(p50=2.0, p95=2.0, p99=2.0, min=2.0, mean=2.0, count=5)


def ratio_of(value: float) -> Ratio:
    return Ratio(value=value, low=value - 0.1, high=value + 0.1)


def timing(value: float) -> Timing:
    return Timing(wall_ms=SPREAD, cpu_ms=SPREAD, wall_ratio=ratio_of(value), cpu_ratio=ratio_of(value))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported from its folder."""
    if not (BENCH / "table.py").is_file():
        pytest.skip(f"{BENCH} is not here: the scripts are no part of the installed package")
    monkeypatch.syspath_prepend(str(BENCH))
    for name in ("table", "peers", "peers_builders"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("table")


@pytest.fixture
def results(tmp_path: Path, table: ModuleType) -> Path:
    """A folder of results with one device."""
    model = Model(
        name="m",
        version="1",
        sha256="ab",
        input_px=128,
        graph_bytes=3_000_000,
        bundle_bytes=3_500_000,
        detector_bytes=500_000,
        acer=0.1,
    )
    timings = {"pipeline": timing(3.0), "step, box given": timing(1.2)}
    settings = Settings(runtime="onnxruntime", threads=1, seconds=1.0, stream_fps=30.0, frame="640x480", face_px=171.0)
    result = Result(
        schema=SCHEMA,
        created="2026-11-23T00:00:00+00:00",
        device=read_device(tmp_path),
        model=model,
        settings=settings,
        timings=timings,
        cold_start=None,
        throughput=None,
        sustained=None,
        energy=None,
        targets=targets_of(timings, None, model),
        swap=swap_of(timings, model, None),
    )
    peers = sys.modules["peers"]
    rows = [
        peers.Row(
            name=name,
            group=group,
            wall_ms=SPREAD,
            cpu_ms=SPREAD,
            wall_ratio=ratio_of(value),
            cpu_ratio=ratio_of(value),
            rss_mb=100.0,
            answer="1",
            versions={},
        )
        for name, group, value in (
            ("ratta: bare run", "the same network in other runtimes", 1.0),
            ("YuNet 320x240", "face detectors", 7.5),
            ("ratta: pipeline", "whole pipelines, frame to verdict", 3.0),
            ("Silent-Face, weights kept", "whole pipelines, frame to verdict", 30.0),
            ("face-antispoof-onnx fp32", "whole pipelines, frame to verdict", 20.0),
        )
    ]
    skipped = peers.Skipped(name="ncnn", reason="ModuleNotFoundError")
    compared = peers.PeersResult(
        schema=peers.SCHEMA,
        created=result.created,
        device=result.device,
        model="m",
        model_sha256="ab",
        threads=1,
        face_px=171.0,
        rounds=9,
        rows=tuple(rows),
        skipped=(skipped,),
    )
    folder = tmp_path / "results" / "some-device"
    folder.mkdir(parents=True)
    write_result(folder / "ratta.json", result)
    (folder / "peers.json").write_text(json.dumps(to_json(compared)))
    return folder.parent


def test_the_table_holds_targets_and_peers(table: ModuleType, results: Path) -> None:
    """Every target with its verdict, every peer with its ratio, and what did not run."""
    text = table.tables(results)
    for part in (
        "| whole pipeline on 640x480, detector included, over the bare run | 3x | <= 4x | met |",
        "| engine.step with a given box, over the bare run | 1.2x | <= 1.05x | missed |",
        "| YuNet 320x240 | 2.00 | 7.50 [7.40, 7.60] | 100 MB |",
        "whole pipeline, over face-antispoof-onnx fp32: 0.150x; the target is at most a third: met.",
        "Not run: ncnn.",
        "`SWAP      2.00 ms | 4.00 MB | ACER 10.0 % | n/a mJ`",
    ):
        assert part in text


def test_check_finds_an_old_table(table: ModuleType, results: Path, tmp_path: Path) -> None:
    """An empty place is out of date, a written one is not, an edited one is again."""
    readme = tmp_path / "README.md"
    readme.write_text(f"# ratta\n\n{table.BEGIN}\n{table.END}\n\nThe end.\n")
    arguments = ["--results", str(results), "--readme", str(readme)]
    assert table.main([*arguments, "--check"]) == 1
    assert table.main([*arguments, "--write"]) == 0
    assert table.main([*arguments, "--check"]) == 0
    text = readme.read_text()
    assert text.startswith("# ratta\n")
    assert text.endswith("The end.\n")
    readme.write_text(text.replace("7.50", "1.50"))
    assert table.main([*arguments, "--check"]) == 1


def test_a_readme_without_markers_is_refused(table: ModuleType, results: Path, tmp_path: Path) -> None:
    """The script does not guess where its table belongs."""
    readme = tmp_path / "README.md"
    readme.write_text("# ratta\n")
    with pytest.raises(SystemExit, match="markers"):
        table.main(["--results", str(results), "--readme", str(readme), "--write"])
