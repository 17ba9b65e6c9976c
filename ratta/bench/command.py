"""The `ratta-bench` command."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.bench.device import read_device
from ratta.bench.energy import find_meter
from ratta.bench.frames import HEIGHT, WIDTH, Stream, portrait_frames
from ratta.bench.memory import cold_start, disk_bytes
from ratta.bench.report import compare, render
from ratta.bench.result import SCHEMA, Model, Result, Settings, read_result, swap_of, targets_of, write_result
from ratta.bench.scenarios import STREAM_FPS, Answering, race_contestants, sustain, throughput, timings_of
from ratta.bench.schema import json_schema
from ratta.bench.swap import swap_rows, swap_table
from ratta.bench.timing import race
from ratta.bundle import DEFAULT_MODEL, DETECTOR_FOLDER, find_bundle, model_files, models_folder
from ratta.console import Status, guarded
from ratta.engine import load
from ratta.errors import InputError
from ratta.networks import RUNTIMES
from ratta.outputs import check_outputs
from ratta.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ratta.engine import Engine

QUICK_SECONDS = 4.0


def run(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; see `ratta.bench.main`."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(given)
    return guarded("ratta-bench", given, lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    _guard(arguments)
    if arguments.what == "budget":
        _advise(arguments)
    elif arguments.schema:
        print(json.dumps(json_schema(Result), indent=1))
    elif arguments.swap:
        print(swap_table(swap_rows(arguments.swap, scores=_scores(arguments.scores), seconds=arguments.seconds / 3)))
    elif arguments.compare:
        print(compare(*(read_result(Path(path)) for path in arguments.compare)))
    else:
        result = measure(
            model=arguments.model,
            runtime=arguments.runtime,
            threads=arguments.threads,
            seconds=QUICK_SECONDS if arguments.quick else arguments.seconds,
            quick=arguments.quick,
            fps=arguments.fps,
            calibration=arguments.watts,
            say=_say,
        )
        print(render(result))
        if arguments.json:
            write_result(arguments.json, result)
    return Status.YES


def _guard(arguments: argparse.Namespace) -> None:
    """Refuse a result that would overwrite what is read, before anything is measured."""
    if arguments.json is None:
        return
    graphs = [path for path in arguments.swap or () if path.endswith(".onnx")]
    read = [path for path in (arguments.watts, *(arguments.compare or ()), *graphs) if path is not None]
    check_outputs([("--json", arguments.json)], inputs=(*read, *model_files(arguments.model)))


def _advise(arguments: argparse.Namespace) -> None:
    from ratta.bench.budget import advise, render_advice  # whoever does not adapt does not pay for its import

    advice = advise(
        model=arguments.model,
        runtime=arguments.runtime,
        threads=arguments.threads,
        seconds=QUICK_SECONDS if arguments.quick else arguments.seconds,
        share=arguments.share,
        calibration=arguments.watts,
        say=_say,
    )
    _say("")
    print(render_advice(advice))
    if arguments.json:
        write_result(arguments.json, advice)


def measure(
    *,
    model: str,
    runtime: str = "onnxruntime",
    threads: int = 1,
    seconds: float = 30.0,
    quick: bool = False,
    fps: float = STREAM_FPS,
    calibration: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Measure one model on this device.

    Parameters
    ----------
    model, runtime, threads
        As in `ratta.load`.
    seconds : float
        About how long to measure: 60 % the race, 15 % at the camera's rate, 25 % without a pause.
    quick : bool
        Only the race; no fresh processes, no camera's rate, no sustained run, no energy.
    fps : float
        The camera's rate.
    calibration : path, optional
        See `ratta.bench.energy.find_meter`.
    say : callable
        Told what is going on, a line at a time.

    Raises
    ------
    RattaError
        If the model cannot be loaded, or does not answer on the test frames.
    """
    if not 0 < seconds <= 3600 or not 1 <= fps <= 1000:
        raise InputError(f"bench: expected seconds in (0, 3600] and fps in [1, 1000], got {seconds} and {fps}")
    say = say or (lambda _: None)
    clock = judged_clock(threads)
    device, scene = read_device(), portrait_frames()
    engine = load(model, runtime=runtime, threads=threads)
    weights = describe_model(model, engine)
    say("race of the stages")
    samples = race(
        race_contestants(engine, scene),
        seconds=0.6 * seconds,
        progress=lambda share: say(f"race of the stages {share:4.0%}"),
    )
    timings = timings_of(samples)
    cold = rate = steady = energy = None
    if not quick:
        say("cold start in fresh processes")
        cold = cold_start(model=model, runtime=runtime, threads=threads)
        frame = Answering(Session(engine, open_ended=True).step, Stream(scene, fps=fps), with_box=False)
        say(f"frames at {fps:g} a second")
        rate = throughput(frame, fps=fps, seconds=0.15 * seconds)
        say("frames without a pause")
        steady, energy = sustain(frame, seconds=0.25 * seconds, meter=find_meter(calibration=calibration))
    say("")
    return Result(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        device=device,
        model=weights,
        settings=Settings(
            runtime=runtime,
            threads=threads,
            seconds=seconds,
            stream_fps=STREAM_FPS,
            frame=f"{WIDTH}x{HEIGHT}",
            face_px=scene.face_px,
        ),
        timings=timings,
        cold_start=cold,
        throughput=rate,
        sustained=steady,
        energy=energy,
        targets=targets_of(timings, cold, weights, clock=clock),
        swap=swap_of(timings, weights, energy, clock=clock),
    )


def judged_clock(threads: int) -> str:
    """Return "cpu" where one thread does the work and the process has a fine clock of its own, else "wall".

    A browser has none: there the process clock is the wall clock under another name.
    """
    fine = time.get_clock_info("process_time").resolution <= 1e-6
    return "cpu" if threads == 1 and fine and sys.platform != "emscripten" else "wall"


def describe_model(model: str, engine: Engine) -> Model:
    """Say what runs and what it weighs on disk."""
    bundle = engine.bundle
    detector = models_folder() / DETECTOR_FOLDER
    return Model(
        name=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        input_px=bundle.contract.size,
        graph_bytes=len(bundle.graph),
        bundle_bytes=sum(disk_bytes(find_bundle(model)).values()),
        detector_bytes=sum(disk_bytes(detector).values()),
        acer=float(np.asarray(bundle.statistics.get("acer", np.nan))),
    )


def _say(line: str) -> None:
    """Keep one line up to date on a terminal; stay silent in a log."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _scores(pairs: Sequence[str]) -> dict[str, Path]:
    """Part `MODEL=FOLDER`; a model folder's own name may hold no equals sign."""
    odd = [pair for pair in pairs if "=" not in pair]
    if odd:
        raise InputError(f"--scores: expected MODEL=FOLDER, got {odd[0]!r}")
    return {model: Path(folder) for model, _, folder in (pair.partition("=") for pair in pairs)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ratta-bench", description="What ratta costs on this device: time, memory, energy, size."
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("budget",),
        help="suggest settings for learning on this device, in place of the rest",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model's name, or a model folder")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=float, default=30.0, help="about how long to measure (battery meters need 240)"
    )
    length.add_argument("--quick", action="store_true", help=f"only the stages, in about {QUICK_SECONDS:g} seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="set two result files side by side")
    parser.add_argument(
        "--swap", nargs="+", metavar="MODEL", help="speed, weight, accuracy, power of model folders and ONNX files"
    )
    parser.add_argument(
        "--scores", nargs="+", default=(), metavar="MODEL=FOLDER", help="with --swap: score files of a model"
    )
    parser.add_argument("--runtime", choices=sorted(RUNTIMES), default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1, help="threads inside one operator")
    parser.add_argument("--fps", type=float, default=STREAM_FPS, help="the camera's rate")
    parser.add_argument(
        "--watts", type=Path, metavar="FILE", help="calibration file for a device without an energy meter"
    )
    parser.add_argument(
        "--share", type=float, default=0.05, help="with budget: of the time, for learning (%(default)s)"
    )
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of a result file")
    return parser
