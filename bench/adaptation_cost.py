"""What adaptation costs: on the answer path, off it, in memory, and against its budget.

    python bench/adaptation_cost.py [--model ratta-mnv3s-128] [--json bench/results/adaptation/cost.json]

Ratios are between CPU-time medians of one run, one thread; 1x is one run of the source network on one crop. Crops are
noise around the benchmark's public-domain portrait, live or not as the source happens to find it: costs do not depend
on what a crop shows, but whether a correction of tone or a late step is ever tried does, so both are also timed by
themselves. Bias: the stress stream lets everything be studied, which a phone in a pocket never does.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
import tracemalloc
from pathlib import Path
from statistics import median

import numpy as np
from ratta.adaptation.task import Step
from ratta.adaptation.update import tone_of

import ratta
from ratta.adaptation.budget import Allowance
from ratta.adaptation.guard import Snapshot
from ratta.adaptation.settings import Adaptation
from ratta.bench.frames import portrait_frames
from ratta.bench.rehearsal import DARK, NAMES, rehearse


def cpu_ms(work, *, rounds: int = 60) -> float:
    times = []
    for _ in range(rounds):
        began = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - began) / 1e6)
    return median(times)


def crops_of(engine, count: int) -> list[np.ndarray]:
    rng, perception = np.random.default_rng(0), engine.new_perception()
    frame = np.asarray(portrait_frames(1).frames[0])
    pixels = perception.look(frame, box=None, color="bgr").pixels
    return [np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def pieces(model_name: str) -> dict[str, float]:
    """CPU milliseconds of each piece of work, and of what a correction of tone adds to an answer."""
    rehearsal, _ = rehearse(model_name, portrait_frames(1))
    adapter, crop = rehearsal.adapter, rehearsal.frames[0].pixels
    toned = adapter.model.open(Snapshot(early=DARK), crop)
    step, source = adapter.learner.late_step, adapter.model.tail.source

    def look() -> None:
        tone = tone_of(crop)
        if adapter.reference.tones is not None:
            adapter.reference.tones.likelier(tone, DARK)

    return {
        **{piece.name: cpu_ms(piece.call, rounds=12 if piece.calls == 1 else 60) for piece in rehearsal.contestants()},
        "an answer under a correction of tone": cpu_ms(lambda: toned.read(crop)),
        "arbiter's look at a frame": cpu_ms(look),
        "late step, the update": cpu_ms(lambda: step.step(source, {n: np.zeros_like(source[n]) for n in step.names})),
    }


def stress(model_name: str, *, frames: int, share: float) -> dict[str, object]:
    """Sessions back to back at 30 frames a second, everything studied; the books against the cap."""
    allowance = Allowance(
        refill_per_s=1000 * share, capacity=10_000 * share, per_session=1e9, per_hour=1e12, per_day=1e12
    )
    engine = ratta.load(
        model_name, adapt=Adaptation(time=allowance, inference_ms=1.0, clock=lambda: 1e3 * time.process_time())
    )
    adapter, crops = engine.adapter, crops_of(engine, 64)
    spent, attempt, started = [], adapter.begin(), time.process_time()
    for index in range(frames):
        t = index / 30
        adapter.read(attempt, crops[index % 64], t=t)
        adapter.idle(t)
        spent.append(adapter.budget.spent_ms)
        if index % 60 == 59:
            adapter.end(attempt, t=t)
            attempt = adapter.begin()
    books = np.array(spent)
    worst = max(books[i] - books[max(0, i - 30)] for i in range(len(books)))
    return {
        "frames": frames,
        "cap": share,
        "share of time": float(books[-1] / (1000 * frames / 30)),
        "share of energy's cap, modelled": adapter.budget.spent_mj / (adapter.budget.energy.refill_per_s * frames / 30),
        "worst second, ms": float(worst),
        "most that a second may take, ms": 1000 * share + 10_000 * share,
        "pieces admitted": adapter.budget.admitted,
        "questions refused": {why.value: count for why, count in adapter.budget.refused.items() if count},
        "attempts studied": adapter.counts["studied"],
        "attempts dropped": adapter.counts["dropped"],
        "cpu s of the whole run": time.process_time() - started,
    }


def pace(model_name: str, *, frames: int, learn: bool) -> list[float]:
    """CPU milliseconds of `engine.step` in sessions, with learning between frames or without."""
    engine = ratta.load(
        model_name,
        adapt=Adaptation(
            inference_ms=1.0,
            time=Allowance(refill_per_s=500, capacity=2000, per_session=1e9, per_hour=1e12, per_day=1e12),
        )
        if learn
        else False,
    )
    stream = portrait_frames().frames
    times, session = [], engine.session()
    for index in range(frames):
        frame, t = np.asarray(stream[index % len(stream)]), index / 30
        if session.final or index % 60 == 59:
            session.close()
            engine.lockout.clear()  # the benchmark's portrait need not be let in
            session = engine.session()
        began = time.process_time_ns()
        session.step(frame, t=t)
        times.append((time.process_time_ns() - began) / 1e6)
        engine.idle(t, within_ms=20.0)
    return times


def memory(model_name: str) -> dict[str, float]:
    """Python's own allocations of an adapting engine over a plain one, at rest and at the peak of a busy stream."""
    ratta.load(model_name, adapt=True)  # what is imported and cached on the way counts for neither
    tracemalloc.start()
    plain = ratta.load(model_name)
    alone = tracemalloc.get_traced_memory()[0]
    engine = ratta.load(model_name, adapt=True)
    rest = tracemalloc.get_traced_memory()[0] - 2 * alone
    adapter, crops = engine.adapter, crops_of(plain, 32)
    base = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for number in range(40):
        attempt = adapter.begin()
        for index in range(16):
            adapter.read(attempt, crops[index % 32], t=60.0 * number + 0.2 * index)
        adapter.end(attempt, t=60.0 * number + 5)
        adapter.idle(60.0 * number + 30)
    held, peak = (value - base for value in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    return {
        "at rest, MB": rest / 1e6,
        "held after 40 sessions, MB": held / 1e6,
        "peak above that, MB": (peak - held) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ratta-mnv3s-128")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, object] = {}
    cost = pieces(args.model)
    found["cpu ms"], found["x inference"] = cost, {k: v / cost[NAMES[Step.READ]] for k, v in cost.items()}
    plain, learning = [], []
    for _ in range(3):
        plain += pace(args.model, frames=1500, learn=False)
        learning += pace(args.model, frames=1500, learn=True)
    p95 = [float(np.quantile(times, 0.95)) for times in (plain, learning)]
    found["step p95, ms"] = {"plain": p95[0], "learning between frames": p95[1], "ratio": p95[1] / p95[0]}
    found["memory"] = memory(args.model)
    found["stress"] = stress(args.model, frames=args.frames, share=0.003)
    found["process peak, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    text = json.dumps(found, indent=1)
    print(text)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
