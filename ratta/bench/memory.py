"""Memory and cold start, each in a fresh interpreter: what ran before in a process hides what a thing costs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratta.bench.device import ROOT, guarded
from ratta.bench.frames import portrait_frames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The phases of a start, in milliseconds.

    Attributes
    ----------
    base_import : float
        Importing numpy and, unless the runtime is "numpy", onnxruntime.
    ratta_import : float
        Importing `ratta` after that.
    load : float
        `ratta.load`: files read, hashes verified, session made.
    first_answer : float
        The first `step`, face detection included.
    """

    base_import: float
    ratta_import: float
    load: float
    first_answer: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """What a fresh process pays; medians over `repeats` processes.

    Attributes
    ----------
    wall_ms, cpu_ms : Phases
    rss_import_mb, rss_load_mb, rss_run_mb : float or None
        Resident memory after the imports, after the load, and after 30 frames with the detector at work; two frames
        of 0.9 MB are in the last two.
    peak_mb : float or None
        The process's peak.
    repeats : int
    """

    wall_ms: Phases
    cpu_ms: Phases
    rss_import_mb: float | None
    rss_load_mb: float | None
    rss_run_mb: float | None
    peak_mb: float | None
    repeats: int


def rss_mb(root: Path = ROOT) -> float | None:
    """Resident memory of this process in MiB, from /proc or psutil; `None` where both are denied."""
    from_proc = guarded(lambda: _status_mb(root, "VmRSS"))
    return from_proc if from_proc is not None else guarded(lambda: _psutil_mb("rss"))


def peak_mb(root: Path = ROOT) -> float | None:
    """Peak resident memory of this process in MiB; `None` where it cannot be read.

    `ru_maxrss` is not used on Linux: a child inherits its parent's peak through it.
    """
    from_proc = guarded(lambda: _status_mb(root, "VmHWM"))
    if from_proc is not None:
        return from_proc
    if sys.platform == "darwin":
        return guarded(_darwin_peak_mb)
    return guarded(lambda: _psutil_mb("peak_wset"))


def disk_bytes(folder: Path) -> dict[str, int]:
    """Size of every file directly in a folder, under its name."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


def cold_start(*, model: str, runtime: str, threads: int, repeats: int = 3) -> ColdStart | None:
    """Start fresh interpreters and take medians; `None` where none can be started (browsers, some phones).

    Parameters
    ----------
    model, runtime, threads
        As in `ratta.load`.
    repeats : int
        One more process runs first, unrecorded, to fill the file cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder, "frames.npy")
        np.save(frames, np.stack(portrait_frames(2).frames))
        command = [sys.executable, "-c", COLD_START_PROGRAM, model, runtime, str(threads), str(frames)]
        runs = [guarded(partial(_run_program, command)) for _ in range(repeats + 1)][1:]
    kept = [run for run in runs if run is not None]
    if not kept:
        return None
    rss = {f"rss_{key}_mb": _median_if_known(kept, f"rss_{key}") for key in ("import", "load", "run")}
    return ColdStart(
        wall_ms=_phases(kept, "wall"),
        cpu_ms=_phases(kept, "cpu"),
        **rss,
        peak_mb=_median_if_known(kept, "peak"),
        repeats=len(kept),
    )


COLD_START_PROGRAM = """
import json, os, sys, time
model, runtime, threads, frames = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
found = {}
def phase(name, before):
    now = time.perf_counter(), time.process_time()
    found["wall_" + name], found["cpu_" + name] = (1e3 * (b - a) for a, b in zip(before, now))
def now():
    return time.perf_counter(), time.process_time()
begin = now()
import numpy
if runtime != "numpy":
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime
phase("base_import", begin)
begin = now()
import ratta
phase("ratta_import", begin)
from ratta.bench.memory import peak_mb, rss_mb
found["rss_import"] = rss_mb()
played = numpy.load(frames)
begin = now()
engine = ratta.load(model, runtime=runtime, threads=threads)
phase("load", begin)
begin = now()
engine.step(played[0], t=0.0)
phase("first_answer", begin)
found["rss_load"] = rss_mb()
for i in range(1, 31):
    played[i % 2, 200:280, 280:360] += 1  # to an engine a picture that comes again is a source that hangs
    engine.step(played[i % 2], t=i / 30)
found["rss_run"], found["peak"] = rss_mb(), peak_mb()
print(json.dumps(found))
"""


def _run_program(command: list[str]) -> dict[str, float | None]:
    # The first process leaves bytecode behind for the others, as an installed package has it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _phases(runs: Sequence[Mapping[str, float | None]], clock: str) -> Phases:
    return Phases(**{name: _median(runs, f"{clock}_{name}") for name in Phases.__slots__})


def _median(runs: Sequence[Mapping[str, float | None]], key: str) -> float:
    return float(np.median([value for run in runs if (value := run[key]) is not None] or [math.nan]))


def _median_if_known(runs: Sequence[Mapping[str, float | None]], key: str) -> float | None:
    found = _median(runs, key)
    return None if math.isnan(found) else found


def _status_mb(root: Path, key: str) -> float:
    for line in (root / "proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)


def _psutil_mb(field: str) -> float:
    import psutil

    return float(getattr(psutil.Process().memory_info(), field)) / 2**20


def _darwin_peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
