import hashlib
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
    for name in ("table", "pages", "peers", "peers_builders"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("table")


MANIFEST = json.dumps({"version": "2.0"}).encode()
SHIPPED = hashlib.sha256(MANIFEST).hexdigest()


@pytest.fixture
def root(tmp_path: Path, table: ModuleType) -> Path:
    """A repository with one shipped model of version 2.0, one device that measured it, and an empty page."""
    (tmp_path / "models" / "m").mkdir(parents=True)
    (tmp_path / "models" / "m" / "bundle.json").write_bytes(MANIFEST)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# ratta\n")
    model = Model(
        name="m",
        version="2.0",
        sha256=SHIPPED,
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
        model_sha256=SHIPPED,
        threads=1,
        face_px=171.0,
        rounds=9,
        rows=tuple(rows),
        skipped=(skipped,),
    )
    folder = tmp_path / "bench" / "results" / "some-device"
    folder.mkdir(parents=True)
    write_result(folder / "ratta.json", result)
    (folder / "peers.json").write_text(json.dumps(to_json(compared)))
    return tmp_path


def run(table: ModuleType, root: Path, *arguments: str) -> int:
    return int(table.main(["--root", str(root), *arguments]))


def measured_with(root: Path, sha256: str, version: str) -> None:
    """Let the device's result be about another model."""
    path = root / "bench" / "results" / "some-device" / "ratta.json"
    result = json.loads(path.read_bytes())
    result["model"].update(sha256=sha256, version=version)
    path.write_text(json.dumps(result))


def test_blocks_are_filled_with_targets_and_peers(table: ModuleType, root: Path) -> None:
    """Every target with its verdict, every peer with its ratio, what did not run, and the model."""
    page = root / "docs" / "page.md"
    page.write_text("<!-- bench: devices -->\n<!-- /bench -->\n\n<!-- bench: peers -->\n<!-- /bench -->\nThe end.\n")
    assert run(table, root, "--write") == 0
    text = page.read_text()
    for part in (
        "| whole pipeline on 640x480, detector included, over the bare run | 3x | <= 4x | met |",
        "| engine.step with a given box, over the bare run | 1.2x | <= 1.05x | missed |",
        "| YuNet 320x240 | 2.00 | 7.50 [7.40, 7.60] | 100 MB |",
        "whole pipeline, over face-antispoof-onnx fp32: 0.150x; the target is at most a third: met.",
        "Not run: ncnn.",
        "`SWAP      2.00 ms | 4.00 MB | ACER 10.0 % | n/a mJ`",
        "m, model version 2.0, 2026-11-23",
    ):
        assert part in text
    assert text.endswith("<!-- /bench -->\nThe end.\n")
    assert "Measured with" not in text


def test_check_finds_what_was_edited(table: ModuleType, root: Path) -> None:
    """An empty block is out of date, a written one is not, an edited one is again."""
    page = root / "README.md"
    page.write_text("# ratta\n\n<!-- bench: cost -->\n<!-- /bench -->\n")
    assert run(table, root, "--check") == 1
    assert run(table, root, "--write") == 0
    assert run(table, root, "--check") == 0
    assert "| 2.00 | 2.00 | 4.0 |" in page.read_text()
    page.write_text(page.read_text().replace("2.00", "1.00"))
    assert run(table, root, "--check") == 1


def test_another_model_is_named_in_docs_and_refused_in_the_readme(table: ModuleType, root: Path, capsys) -> None:
    """A block in docs says what it was measured with; README and figures in sentences must be of the shipped model."""
    measured_with(root, "ab", "1.0")
    block = "<!-- bench: devices -->\n<!-- /bench -->\n"
    (root / "docs" / "page.md").write_text(block)
    assert run(table, root, "--write") == 0
    assert run(table, root, "--check") == 0
    said = "*Measured with model version 1.0; the shipped model is version 2.0.*"
    assert said in (root / "docs" / "page.md").read_text()
    (root / "README.md").write_text(block)
    assert run(table, root, "--write") == 1
    assert "README.md:1: devices: measured with model version 1.0; measure again" in capsys.readouterr().err


def test_a_figure_in_a_sentence_is_checked(table: ModuleType, root: Path) -> None:
    """By a JSON pointer and a format; keys may hold spaces and commas."""
    page = root / "README.md"
    pointer = "some-device/ratta.json#/timings/step, box given/cpu_ms/p50 .3f"
    page.write_text(f"a frame takes <!--= {pointer} -->7<!--/=--> ms\n\n<!-- bench: cost -->\n<!-- /bench -->\n")
    assert run(table, root, "--check") == 1
    assert run(table, root, "--write") == 0
    assert f"takes <!--= {pointer} -->2.000<!--/=--> ms\n" in page.read_text()
    assert run(table, root, "--check") == 0


def test_a_committed_file_is_included_with_its_model(table: ModuleType, root: Path) -> None:
    """The JSON beside it names the model; the title line is left out."""
    results = root / "bench" / "results"
    (results / "web.md").write_text("# Webcam\n\n| APCER |\n|---|\n| 0.4 |\n")
    (results / "web.json").write_text(json.dumps({"model": {"sha256": "cd", "version": "0.9"}}))
    page = root / "docs" / "page.md"
    page.write_text("<!-- bench: web.md -->\n<!-- /bench -->\n")
    assert run(table, root, "--write") == 0
    assert page.read_text() == (
        "<!-- bench: web.md -->\n\n*Measured with model version 0.9; the shipped model is version 2.0.*\n\n"
        "| APCER |\n|---|\n| 0.4 |\n\n<!-- /bench -->\n"
    )


def test_a_model_of_the_same_version_counts_as_shipped(table: ModuleType, root: Path) -> None:
    """A card that is corrected changes the hash and no figure; hashes of the past are remembered."""
    (root / "README.md").write_text("<!-- bench: cost -->\n<!-- /bench -->\n")
    assert run(table, root, "--write") == 0
    (root / "models" / "m" / "bundle.json").write_text(json.dumps({"version": "2.0", "card": "corrected"}))
    measured_with(root, SHIPPED, "")
    assert run(table, root, "--check") == 0
    (root / "models" / "m" / "bundle.json").write_text(json.dumps({"version": "2.1"}))
    assert run(table, root, "--check") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- bench: devices -->\n", "marker"),
        ("<!-- bench: no-such -->\n<!-- /bench -->\n", "expected one of cost, devices, peers"),
        ("a <!--= some-device/ratta.json#/none .2f -->1<!--/=-->", "expected a value there"),
        ("a <!--= other.json#/none .2f -->1<!--/=-->", "expected a JSON result"),
        ("a <!--= bare.json#/x .2f -->1<!--/=-->", "names its model"),
    ],
)
def test_a_marker_that_leads_nowhere_is_an_error(table: ModuleType, root: Path, text: str, said: str, capsys) -> None:
    """The script does not guess, and does the other pages all the same."""
    (root / "docs" / "page.md").write_text("<!-- bench: cost -->\n<!-- /bench -->\n")
    (root / "bench" / "results" / "bare.json").write_text('{"x": 1}')
    (root / "README.md").write_text(text)
    assert run(table, root, "--write") == 1
    assert said in capsys.readouterr().err
    assert "ms a frame" in (root / "docs" / "page.md").read_text()
