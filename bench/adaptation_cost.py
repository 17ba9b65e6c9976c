"""What adaptation costs: on the answer path, off it, in memory, in the state file, and against its budget.

    python bench/adaptation_cost.py [--model ratta-mnv3s-128] [--output bench/results/adaptation]

Times are CPU time, one thread: medians, and for the small ones the least mean of 50 calls in a row, which a busy
machine disturbs least. What an answer costs more is all that `read` does but for the network. The anchors have learnt
64 sessions then, and an attempt holds its 16 frames. Crops are noise around the benchmark's public-domain portrait, and
every session is confirmed: costs do not depend on what a crop shows. Goals: 60 microseconds, a refit of 10 ms, 1 MB.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

import ratta
from ratta.adaptation import Adaptation
from ratta.adaptation.budget import Allowance
from ratta.bench.frames import portrait_frames
from ratta.engine import Engine

LEARNT, FRAMES, GAP_S, PAUSE_S = 64, 16, 0.2, 90.0
PLENTY = Allowance(refill_per_s=1e3, capacity=1e6, per_session=1e6, per_hour=1e9, per_day=1e9)


def crops_of(engine: Engine, count: int) -> list[tuple[np.ndarray, ...]]:
    """Crops of the portrait as the engine cuts them, each with noise of its own."""
    rng = np.random.default_rng(0)
    frame = np.asarray(portrait_frames(1).frames[0])
    cut = engine.new_perception().look(frame, box=None, color="bgr").pixels
    return [tuple(np.clip(p + rng.normal(0, 6, p.shape), 0, 255).astype(np.uint8) for p in cut) for _ in range(count)]


def learn(engine: Engine, crops: list[tuple[np.ndarray, ...]], sessions: int, *, t: float = 0.0) -> float:
    """Play confirmed sessions until all is learnt; when the last ended."""
    adapter = engine.adapter
    for number in range(sessions):
        attempt = adapter.begin()
        for index in range(FRAMES):
            adapter.read(attempt, crops[(number + index) % len(crops)], t=t)
            t += GAP_S
        adapter.end(attempt, t=t)
        adapter.confirm(attempt, is_live=True)
        t += PAUSE_S
        adapter.idle(t)
    return t


def cpu_us(work: Callable[[], object]) -> float:
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1e3


def least_us(work: Callable[[], object], *, calls: int = 50, repeats: int = 20) -> float:
    """Least mean over so many calls in a row."""
    return min(cpu_us(lambda: [work() for _ in range(calls)]) / calls for _ in range(repeats))


def pieces(model: str, *, rounds: int) -> dict[str, float]:
    """Microseconds of an answer with and without the adapter, and of the work between answers."""
    engine = ratta.load(model, adapt=Adaptation(time=PLENTY, inference_ms=2.0))
    crops = crops_of(engine, 32)
    t = learn(engine, crops, LEARNT)
    adapter, attempt = engine.adapter, engine.adapter.begin()
    for index in range(FRAMES):
        adapter.read(attempt, crops[index], t=t + index * GAP_S)
    t += FRAMES * GAP_S
    plain, adapting, extra = [], [], []
    for number in range(rounds):
        pixels = crops[number % len(crops)]
        reading = engine.network.read(pixels)
        plain.append(cpu_us(lambda pixels=pixels: engine.network.read(pixels)))
        t += 1 / 30
        adapting.append(cpu_us(lambda pixels=pixels, t=t: adapter.read(attempt, pixels, t=t)))
        extra.append(cpu_us(lambda reading=reading, t=t: added(adapter, attempt, reading, t)))
    anchor = adapter.anchor
    return {
        "network.read, us": median(plain),
        "adapter.read, us": median(adapting),
        "added, median, us": median(extra),
        "added, least, us": least_us(lambda: added(adapter, attempt, reading, t)),
        "refit, median, us": median(cpu_us(anchor.refit) for _ in range(max(20, rounds // 10))),
        "refit, least, us": least_us(anchor.refit),
    }


def added(adapter: object, attempt: object, reading: object, t: float) -> object:
    """All that `read` does but for the network."""
    network, adapter.network = adapter.network, _Said(reading)
    try:
        return adapter.read(attempt, (), t=t)
    finally:
        adapter.network = network


class _Said:
    def __init__(self, reading: object) -> None:
        self.reading = reading

    def read(self, pixels: object) -> object:  # noqa: ARG002
        return self.reading


def memory(model: str) -> dict[str, float]:
    """Bytes that Python and numpy hold for an adapter over none: new, and after 64 sessions."""
    ratta.load(model, adapt=Adaptation(inference_ms=2.0))  # what is imported and cached counts for neither
    tracemalloc.start()
    plain = ratta.load(model)
    gc.collect()
    alone = tracemalloc.get_traced_memory()[0]
    engine = ratta.load(model, adapt=Adaptation(time=PLENTY, inference_ms=2.0))
    gc.collect()
    new = tracemalloc.get_traced_memory()[0] - 2 * alone
    crops = crops_of(plain, 32)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    learn(engine, crops, LEARNT)
    gc.collect()
    held, peak = (value - before for value in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    return {"new, bytes": new, "held after 64 sessions, bytes": new + held, "peak above that, bytes": peak - held}


def state_bytes(model: str) -> int:
    """Size of the sealed state after 64 sessions."""
    engine = ratta.load(model, adapt=Adaptation(time=PLENTY, inference_ms=2.0))
    learn(engine, crops_of(engine, 32), LEARNT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        engine.save_state(path, key=bytes(32), counter=1)
        return path.stat().st_size


def adherence(model: str, *, frames: int, share: float) -> dict[str, object]:
    """Sessions back to back at 30 frames a second, all of it evidence; what was billed against the cap."""
    allowance = Allowance(
        refill_per_s=1000 * share, capacity=10_000 * share, per_session=1e9, per_hour=1e12, per_day=1e12
    )
    engine = ratta.load(model, adapt=Adaptation(time=allowance, inference_ms=1.0))
    adapter, crops = engine.adapter, crops_of(engine, 32)
    spent, attempt = [], adapter.begin()
    for index in range(frames):
        t = index / 30
        adapter.read(attempt, crops[index % 32], t=t)
        adapter.idle(t)
        spent.append(adapter.budget.spent_ms)
        if index % 60 == 59:
            adapter.end(attempt, t=t)
            adapter.confirm(attempt, is_live=True)
            attempt = adapter.begin()
    seconds, books = frames / 30, np.array(spent)
    return {
        "frames": frames,
        "cap, share of t": share,
        "used, share of t": float(books[-1] / (1000 * seconds)),
        "most that the run may use, ms": 1000 * share * seconds + 10_000 * share,
        "used, ms": float(books[-1]),
        "worst second, ms": float(max(books[i] - books[max(0, i - 30)] for i in range(len(books)))),
        "most that a second may take, ms": 11_000 * share,
        "refused": {why.value: count for why, count in adapter.budget.refused.items() if count},
        "attempts studied": adapter.counts["studied"],
    }


def loading(model: str) -> dict[str, float]:
    """CPU milliseconds of `ratta.load`."""
    how = {"plain": {}, "adapt": {"adapt": Adaptation(inference_ms=2.0)}, "adapt, timing the network": {"adapt": True}}
    return {
        name: median(cpu_us(lambda options=options: ratta.load(model, **options)) / 1e3 for _ in range(5))
        for name, options in how.items()
    }


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ratta-mnv3s-128")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    bundle = ratta.load(args.model).bundle
    found: dict[str, object] = {"model": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}}
    found["cpu"] = pieces(args.model, rounds=args.rounds)
    found["memory"] = memory(args.model)
    found["state file, bytes"] = state_bytes(args.model)
    found["ratta.load, cpu ms"] = loading(args.model)
    found["budget"] = adherence(args.model, frames=args.frames, share=0.003)
    text = json.dumps(found, indent=1)
    print(text)
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / "cost.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
