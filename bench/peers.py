"""How long other people's liveness pipelines, detectors and runtimes take, beside ratta, in one run.

Every peer runs in a process of its own, in the interpreter that has its libraries; all of them get the same 640x480
frames and the same number of threads. They take turns in short bursts, and every figure is a ratio to ratta's bare run
(one ONNX Runtime call of its network) over the same rounds, so that what else the machine does falls on all alike.

Bias: ratta's authors chose the frames and the list. The peers' detectors look at every frame, as their examples do;
ratta tracks between detections. Only time is compared here; error rates are in the evaluation.

Example::

    python bench/peers.py --peers PEERS --interpreter mediapipe=VENV/bin/python --json peers.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import peers_builders

from ratta.bench.device import Device, read_device
from ratta.bench.frames import portrait_frames
from ratta.bench.report import target_line
from ratta.bench.result import Target
from ratta.bench.schema import from_json, to_json
from ratta.bench.timing import Ratio, Spread, ratio, spread
from ratta.bundle import DEFAULT_MODEL, find_bundle

SCHEMA = "ratta-peers/1"
BASE = "ratta: bare run"
BURST_MS = 30.0
STREAM_CALLS = 30
STREAM_FPS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One peer: times in milliseconds, and ratios to ratta's bare run in the same rounds."""

    name: str
    group: str
    wall_ms: Spread
    cpu_ms: Spread
    wall_ratio: Ratio
    cpu_ratio: Ratio
    rss_mb: float | None
    answer: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A peer that did not run, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersResult:
    """One run of `peers.py`."""

    schema: str
    created: str
    device: Device
    model: str
    model_sha256: str
    threads: int
    face_px: float
    rounds: int
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]


class Worker:
    """A peer's process."""

    def __init__(self, name: str, interpreter: str, context: peers_builders.Context) -> None:
        self.name = name
        self.calls = STREAM_CALLS
        self.bursts: list[np.ndarray] = []
        script = Path(__file__).with_name("peers_worker.py")
        command = [interpreter, str(script), name, json.dumps(asdict(context))]
        environment = single_threaded(context.threads)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        first = self._read()
        self.skip: str | None = first.get("skip")
        self.ready: dict[str, Any] = first.get("ready", {})

    def fit_burst(self) -> None:
        """Choose calls for a burst of about `BURST_MS`; a tracked stream needs whole seconds of video."""
        if self.name != "ratta: pipeline":
            self.calls = int(np.clip(BURST_MS / np.median(self._burst(5)[0]), 1, STREAM_CALLS))

    def take_turn(self) -> None:
        """Time one burst."""
        self.bursts.append(self._burst(self.calls))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin and self._process.poll() is None:
            self._process.stdin.write("\n")
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def _burst(self, calls: int) -> np.ndarray:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        times = self._read()
        if "skip" in times:
            raise RuntimeError(f"{self.name}: {times['skip']}")
        return np.array([times["wall_ms"], times["cpu_ms"]])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"skip": f"the process ended with status {self._process.wait()}"}


def single_threaded(threads: int) -> dict[str, str]:
    """Return the environment in which numerical libraries use `threads` threads and print little."""
    import os

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    root = str(Path(__file__).resolve().parent.parent)
    return {**os.environ, **dict.fromkeys(names, str(threads)), "PYTHONPATH": root, "PYTHONWARNINGS": "ignore"}


def run_peers(workers: list[Worker], *, seconds: float) -> int:
    """Let the workers take turns for about `seconds`; return the number of rounds."""
    import time

    for worker in workers:
        worker.fit_burst()
    begin, rounds = time.monotonic(), 0
    while rounds < 5 or time.monotonic() - begin < seconds:
        turn = rounds % len(workers)
        for worker in (*workers[turn:], *workers[:turn]):
            worker.take_turn()
        rounds += 1
        if sys.stderr.isatty():
            print(f"\r{rounds} rounds, {time.monotonic() - begin:.0f} of {seconds:.0f} s ", end="", file=sys.stderr)
    return rounds


def rows_of(workers: list[Worker]) -> tuple[Row, ...]:
    """Describe every worker, with ratios to the bare run."""
    times = {worker.name: np.stack(worker.bursts, axis=1) for worker in workers}
    base_wall, base_cpu = times[BASE]
    rows = []
    for worker in workers:
        wall, cpu = times[worker.name]
        rows.append(
            Row(
                name=worker.name,
                group=next(group for group, names in peers_builders.GROUPS.items() if worker.name in names),
                wall_ms=spread(wall),
                cpu_ms=spread(cpu),
                wall_ratio=ratio(wall, base_wall),
                cpu_ratio=ratio(cpu, base_cpu),
                rss_mb=worker.ready["rss_mb"],
                answer=worker.ready["answer"],
                versions=worker.ready["versions"],
            )
        )
    return tuple(rows)


def lead(result: PeersResult) -> Target | None:
    """Set ratta's pipeline beside the fastest open one; the design wants it at least three times as fast."""
    pipelines = {row.name: row for row in result.rows if row.group == peers_builders.PIPELINES}
    own = pipelines.get("ratta: pipeline")
    peers = [row for row in pipelines.values() if not row.name.startswith("ratta")]
    if own is None or not peers:
        return None
    fastest = min(peers, key=lambda row: row.cpu_ratio.value)
    share = own.cpu_ratio.value / fastest.cpu_ratio.value
    return Target(
        quantity=f"whole pipeline, over {fastest.name}",
        clock="cpu",
        unit="x",
        limit=1 / 3,
        measured=share,
        low=own.cpu_ratio.low / fastest.cpu_ratio.high,
        high=own.cpu_ratio.high / fastest.cpu_ratio.low,
        met=share <= 1 / 3,
        unsure=False,
    )


def read_peers(path: Path) -> PeersResult:
    """Read a result back; a file of another form is a `DataError`."""
    return from_json(PeersResult, json.loads(path.read_text(encoding="utf-8")), where=path.name)


def main() -> int:
    arguments = _parser().parse_args()
    interpreters = dict(entry.split("=", 1) for entry in arguments.interpreter)
    bundle = find_bundle(arguments.model)
    scene = portrait_frames(8)
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder, "frames.npz")
        boxes = [(box.x_min, box.y_min, box.x_max, box.y_max) for box in scene.boxes]
        np.savez(frames, frames=np.stack(scene.frames), boxes=np.array(boxes))
        context = peers_builders.Context(
            frames=str(frames),
            graph=str((bundle / "model.onnx").resolve()),
            converted=str(arguments.converted.resolve()) if arguments.converted else "",
            model=arguments.model,
            peers=str(arguments.peers.resolve()),
            threads=arguments.threads,
            fps=STREAM_FPS,
        )
        workers = [_start(name, interpreters, context) for name in peers_builders.BUILDERS]
        running = [worker for worker in workers if worker.skip is None]
        rounds = run_peers(running, seconds=arguments.seconds)
        for worker in workers:
            worker.close()
    result = PeersResult(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        device=read_device(),
        model=arguments.model,
        model_sha256=_sha256_of_manifest(bundle),
        threads=arguments.threads,
        face_px=scene.face_px,
        rounds=rounds,
        rows=rows_of(running),
        skipped=tuple(Skipped(name=w.name, reason=w.skip) for w in workers if w.skip is not None),
    )
    print(render(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(to_json(result), indent=1) + "\n", encoding="utf-8")
    return 0


def render(result: PeersResult) -> str:
    """Return the result as text."""
    lines = [f"{result.device.cpu}, {result.threads} thread(s), {result.rounds} rounds, face {result.face_px:.0f} px"]
    for group in peers_builders.GROUPS:
        lines.append(f"\n{group}")
        lines += [_line(row) for row in result.rows if row.group == group]
    target = lead(result)
    lines += [target_line(target)] if target else []
    lines += [f"SKIPPED {skipped.name}: {skipped.reason}" for skipped in result.skipped]
    return "\n".join(lines)


def _line(row: Row) -> str:
    wall, cpu = row.wall_ratio, row.cpu_ratio
    memory = "   n/a" if row.rss_mb is None else f"{row.rss_mb:6.0f}"
    times = (
        f"p50 {row.wall_ms.p50:9.3f} ms  {wall.value:8.2f} x  by cpu {cpu.value:8.2f} x [{cpu.low:.2f}, {cpu.high:.2f}]"
    )
    return f"  {row.name:26s} {times}  {memory} MB"


def _start(name: str, interpreters: dict[str, str], context: peers_builders.Context) -> Worker:
    key = next((key for key in interpreters if key.lower() in name.lower()), "")
    worker = Worker(name, interpreters.get(key, sys.executable), context)
    print(f"{name}: {worker.skip or worker.ready['answer']}", file=sys.stderr)
    return worker


def _sha256_of_manifest(bundle: Path) -> str:
    import hashlib

    return hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--peers", type=Path, required=True, help="folder with face-antispoof-onnx/ and silent-face/")
    parser.add_argument(
        "--interpreter",
        action="append",
        default=[],
        metavar="PEER=PYTHON",
        help="the interpreter that has a peer's libraries",
    )
    parser.add_argument(
        "--converted",
        type=Path,
        metavar="FOLDER",
        help="what peers_convert.py made",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
