"""The result of a run: one record, its file, its targets and its SWAP figures."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratta.bench.device import Device
from ratta.bench.energy import Energy
from ratta.bench.memory import ColdStart
from ratta.bench.schema import from_json, to_json
from ratta.bench.timing import Ratio, Spread
from ratta.errors import DataError
from ratta.files import read_json
from ratta.outputs import replace_text

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "ratta-bench/1"
BARE = "bare run"
STEP = "step, box given"
PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What ran.

    Attributes
    ----------
    name, version : str
    sha256 : str
        Of the bundle's manifest, which names the hash of every other file.
    input_px : int
    graph_bytes, bundle_bytes, detector_bytes : int
        On disk: the network alone, its whole folder, and the face detector.
    acer : float
        Of the bundle's statistics, in [0, 1]; `nan` where they do not say.
    """

    name: str
    version: str
    sha256: str
    input_px: int
    graph_bytes: int
    bundle_bytes: int
    detector_bytes: int
    acer: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How it ran; `face_px` is the longer side of the face in the 640x480 frames."""

    runtime: str
    threads: int
    seconds: float
    stream_fps: float
    frame: str
    face_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One contestant of the race: its times, and its ratio to the bare run (none for the bare run itself)."""

    wall_ms: Spread
    cpu_ms: Spread
    wall_ratio: Ratio | None
    cpu_ratio: Ratio | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Frames offered at a rate, in real time.

    Attributes
    ----------
    target_fps, reached_fps : float
    late : float
        Share of frames whose answer came after the next frame was due.
    answer_ms : Spread
    cpu_share : float
        CPU time over wall time: 1 is one core busy all the time.
    seconds : float
    """

    target_fps: float
    reached_fps: float
    late: float
    answer_ms: Spread
    cpu_share: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """Frames without a pause, in windows of a second.

    Attributes
    ----------
    seconds : float
    frames : int
    first_ms, last_ms : float
        Median frame of the first and the last third of the windows.
    drift : float
        `last_ms / first_ms`: above 1 the device has slowed down; near 1 within noise.
    worst_window_ms : float
        The slowest window's median.
    start_c, end_c : float or None
        Hottest thermal zone.
    """

    seconds: float
    frames: int
    first_ms: float
    last_ms: float
    drift: float
    worst_window_ms: float
    start_c: float | None
    end_c: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A limit of the design beside what was measured; `unsure` when the interval holds the limit.

    `clock` says which time is judged: "cpu" on one thread, where CPU time is the time an idle device would take and a
    busy one does not disturb it; "wall" otherwise; "" for what is no time.
    """

    quantity: str
    clock: str
    unit: str
    limit: float
    measured: float
    low: float
    high: float
    met: bool
    unsure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Speed, weight, accuracy, power: what a model costs and gives, in four numbers; `nan` is not known."""

    ms: float
    mb: float
    acer: float
    mj: float
    mj_measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything one run of `ratta-bench` found."""

    schema: str
    created: str
    device: Device
    model: Model
    settings: Settings
    timings: dict[str, Timing]
    cold_start: ColdStart | None
    throughput: Throughput | None
    sustained: Sustained | None
    energy: Energy | None
    targets: tuple[Target, ...]
    swap: Swap


def write_result(path: Path, result: object) -> None:
    """Write a result, or another record, as JSON.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    replace_text(path, json.dumps(to_json(result), indent=1) + "\n")


def read_result(path: Path) -> Result:
    """Read a result back.

    Raises
    ------
    DataError
        If it cannot be read, or is no result of this schema version.
    """
    try:
        document = read_json(path, holds="a result file")
    except DataError as error:
        raise DataError(f"{error}; write one with ratta-bench --json") from error
    found = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if found != SCHEMA:
        raise DataError(f"{path}: expected schema {SCHEMA!r}, got {found!r}; write one with ratta-bench --json")
    return from_json(Result, document, where=path.name)


def targets_of(
    timings: dict[str, Timing], cold: ColdStart | None, model: Model, *, clock: str = "cpu"
) -> tuple[Target, ...]:
    """Set what was measured beside the limits of the design; for `clock` see `Target`."""
    found = [
        _ratio_target("engine.step with a given box, over the bare run", 1.05, timings.get(STEP), clock),
        _ratio_target(
            "whole pipeline on 640x480, detector included, over the bare run", 4.0, timings.get(PIPELINE), clock
        ),
        _plain_target("model on disk", "MB", 3.84, model.graph_bytes / 1e6),
    ]
    if cold is not None:
        start = cold.cpu_ms if clock == "cpu" else cold.wall_ms
        ready = start.load + start.first_answer
        found.append(_plain_target("import ratta, beyond numpy and the runtime", "ms", 30.0, start.ratta_import, clock))
        found.append(_plain_target("engine ready: load, verify hashes, first answer", "ms", 150.0, ready, clock))
    return tuple(target for target in found if target is not None)


def swap_of(timings: dict[str, Timing], model: Model, energy: Energy | None, *, clock: str = "cpu") -> Swap:
    """Take the four numbers of the whole pipeline; the time is a frame's mean by `clock`, as for `Target`."""
    whole = timings[PIPELINE]
    return Swap(
        ms=whole.cpu_ms.mean if clock == "cpu" else whole.wall_ms.mean,
        mb=(model.bundle_bytes + model.detector_bytes) / 1e6,
        acer=model.acer,
        mj=math.nan if energy is None else energy.mj_per_frame,
        mj_measured=energy is not None and energy.measured,
    )


def _ratio_target(quantity: str, limit: float, timing: Timing | None, clock: str) -> Target | None:
    found = None if timing is None else timing.cpu_ratio if clock == "cpu" else timing.wall_ratio
    if found is None:
        return None
    return Target(
        quantity=quantity,
        clock=clock,
        unit="x",
        limit=limit,
        measured=found.value,
        low=found.low,
        high=found.high,
        met=found.value <= limit,
        unsure=found.low <= limit <= found.high,
    )


def _plain_target(quantity: str, unit: str, limit: float, measured: float, clock: str = "") -> Target:
    return Target(
        quantity=quantity,
        clock=clock,
        unit=unit,
        limit=limit,
        measured=measured,
        low=math.nan,
        high=math.nan,
        met=measured <= limit,
        unsure=False,
    )
