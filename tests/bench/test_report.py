import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ratta.bench.device import Device
from ratta.bench.energy import Energy
from ratta.bench.memory import ColdStart, Phases
from ratta.bench.report import compare, render
from ratta.bench.result import (
    BARE,
    PIPELINE,
    SCHEMA,
    STEP,
    Model,
    Result,
    Settings,
    Sustained,
    Throughput,
    Timing,
    read_result,
    swap_of,
    targets_of,
    write_result,
)
from ratta.bench.schema import json_schema, to_json
from ratta.bench.timing import Ratio, Spread
from ratta.errors import DataError

DEVICE = Device(
    cpu="Quick CPU",
    architecture="x86_64",
    system="Linux",
    release="6.1",
    python="CPython 3.11.7",
    cores=2,
    usable_cores=None,
    max_mhz=None,
    governor=None,
    memory_mb=2048.0,
    hypervisor=True,
    load_1min=0.5,
    versions={"numpy": "2.4.6"},
)
MODEL = Model(
    name="m",
    version="1",
    sha256="ab" * 32,
    input_px=128,
    graph_bytes=3_830_000,
    bundle_bytes=4_000_000,
    detector_bytes=500_000,
    acer=0.031,
)
COLD = ColdStart(
    wall_ms=Phases(base_import=200.0, ratta_import=24.0, load=80.0, first_answer=400.0),
    cpu_ms=Phases(base_import=100.0, ratta_import=12.0, load=40.0, first_answer=200.0),
    rss_import_mb=None,
    rss_load_mb=60.0,
    rss_run_mb=70.0,
    peak_mb=71.0,
    repeats=3,
)
ENERGY = Energy(
    source="RAPL",
    scope="CPU packages",
    measured=True,
    seconds=10.0,
    frames=1000,
    joules=20.0,
    idle_watts=1.0,
    mj_per_frame=10.0,
)


def spread_of(ms: float) -> Spread:
    return Spread(p50=ms, p95=ms, p99=ms, min=ms, mean=ms, count=10)


def timing(ms: float, *, low: float, high: float) -> Timing:
    ratio = Ratio(value=ms, low=low, high=high)
    return Timing(wall_ms=spread_of(ms), cpu_ms=spread_of(ms), wall_ratio=ratio, cpu_ratio=ratio)


TIMINGS = {
    BARE: Timing(wall_ms=spread_of(1.0), cpu_ms=spread_of(1.0), wall_ratio=None, cpu_ratio=None),
    STEP: timing(1.04, low=1.02, high=1.06),
    PIPELINE: timing(5.0, low=4.5, high=5.5),
}


def result(**changes: object) -> Result:
    complete = Result(
        schema=SCHEMA,
        created="2026-11-23T00:00:00+00:00",
        device=DEVICE,
        model=MODEL,
        settings=Settings(
            runtime="onnxruntime", threads=1, seconds=30.0, stream_fps=30.0, frame="640x480", face_px=171.0
        ),
        timings=TIMINGS,
        cold_start=COLD,
        throughput=Throughput(
            target_fps=30.0, reached_fps=30.0, late=0.0, answer_ms=spread_of(5.0), cpu_share=0.2, seconds=5.0
        ),
        sustained=Sustained(
            seconds=10.0,
            frames=1000,
            first_ms=5.0,
            last_ms=5.5,
            drift=1.1,
            worst_window_ms=6.0,
            start_c=None,
            end_c=60.0,
        ),
        energy=ENERGY,
        targets=targets_of(TIMINGS, COLD, MODEL),
        swap=swap_of(TIMINGS, MODEL, ENERGY),
    )
    return replace(complete, **changes)  # type: ignore[arg-type]


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    """What is written is what is read back."""
    path = tmp_path / "result.json"
    write_result(path, result())
    assert repr(result()) == repr(read_result(path))  # a nan is not equal to itself


def test_a_quick_result_survives_its_file(tmp_path: Path) -> None:
    """Parts that were not measured stay None."""
    path = tmp_path / "result.json"
    quick = result(cold_start=None, throughput=None, sustained=None, energy=None, targets=())
    write_result(path, quick)
    assert quick == read_result(path)


def test_a_result_fits_its_json_schema() -> None:
    """The reference validator accepts a result and rejects one without its device."""
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema is not installed; test_schema checks the structure"
    )
    validator = jsonschema.Draft202012Validator(json_schema(Result))
    document = to_json(result())
    validator.validate(document)
    del document["device"]
    assert not validator.is_valid(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a result file"),
        ("[]", "got 'list'"),
        ('{"schema": "other/3"}', "got 'other/3'"),
        (f'{{"schema": "{SCHEMA}"}}', "missing"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    """A file that is no result of this schema says what it is instead."""
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_result(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is an error of the data."""
    with pytest.raises(DataError, match=r"none\.json"):
        read_result(tmp_path / "none.json")


def test_targets_say_met_missed_and_unsure() -> None:
    """Below the limit is met, above is missed, and an interval that holds the limit is within noise."""
    found = {
        target.quantity.split(" over ")[0].split(",")[0]: (target.met, target.unsure) for target in result().targets
    }
    assert found == {
        "engine.step with a given box": (True, True),
        "whole pipeline on 640x480": (False, False),
        "model on disk": (True, False),
        "import ratta": (True, False),
        "engine ready: load": (False, False),
    }


def test_targets_without_a_cold_start_are_left_out() -> None:
    """What was not measured is not judged."""
    assert len(targets_of(TIMINGS, None, MODEL)) == 3


def test_the_text_says_what_was_found() -> None:
    """Device, model, targets and the SWAP line are in the text; what is not known is n/a."""
    text = render(result())
    for part in (
        "Quick CPU, ? of 2 cores, governor not readable",
        "abababababab",
        "1.04 [1.02, 1.06]",
        "<= 1.05 x (cpu): met (within noise)",
        "<= 4 x (cpu): missed",
        "n/a MB after imports",
        "10.00 mJ/frame, measured: RAPL",
        "SWAP      5.00 ms | 4.50 MB | ACER 3.1 % | 10 mJ",
    ):
        assert part in text


@pytest.mark.parametrize(("load", "busy"), [(0.5, False), (1.0, False), (1.5, True), (None, False)])
def test_a_busy_machine_is_said(load: float | None, busy: bool) -> None:
    """Two cores with one thread of ours have room for a load of one."""
    text = render(result(device=replace(DEVICE, load_1min=load)))
    assert ("trust the ratios by cpu" in text) == busy


def test_no_meter_is_said() -> None:
    """Without a meter there is no figure, and a modelled one is marked."""
    silent = swap_of(TIMINGS, replace(MODEL, acer=math.nan), None)
    modelled = replace(ENERGY, measured=False)
    assert "ACER n/a | n/a mJ" in render(result(energy=None, swap=silent))
    assert "10 (modelled) mJ" in render(result(energy=modelled, swap=swap_of(TIMINGS, MODEL, modelled)))


def test_two_results_are_compared() -> None:
    """B twice as slow in milliseconds; its ratio to its own bare run moves from 5 to 2.5."""
    slower = {
        BARE: replace(TIMINGS[BARE], wall_ms=spread_of(2.0)),
        PIPELINE: replace(timing(2.5, low=2.4, high=2.6), wall_ms=spread_of(5.0)),
    }
    other = replace(DEVICE, cpu="Slow CPU")
    text = compare(result(), result(timings=slower, device=other, model=replace(MODEL, sha256="cd" * 32)))
    rows = {line.split("  ")[0]: line.split()[-6:] for line in text.splitlines()}
    assert rows[BARE] == ["1.000", "2.000", "2.000", "1.000", "1.000", "1.000"]
    assert rows[PIPELINE] == ["5.000", "5.000", "1.000", "5.000", "2.500", "0.500"]
    for part in ("not the same device", "not the same model", f"only in one of them: {STEP}"):
        assert part in text


def test_like_results_are_compared_without_warnings() -> None:
    """The same device, model and settings need no warning."""
    assert "!" not in compare(result(), result())


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    """No NaN literals, which are no JSON."""
    path = tmp_path / "result.json"
    write_result(path, result(swap=swap_of(TIMINGS, MODEL, None)))
    assert json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))["swap"]["mj"] is None
