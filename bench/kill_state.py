"""Kill -9 at random points of a stream that saves its state after every attempt, and look at what is left.

    python bench/kill_state.py MODEL [--kills 200] [--seed 0]

One engine adapts to a stream of attempts of random crops, saves after each,
and tells its counter; it is killed at a random moment, what it left is loaded by another engine, and the next life
goes on from there. Every file must be one whole, verifying state whose counter is the one told last, or one more.

Bias: the process is killed, the machine is not; that the disk keeps what was synced is taken on trust.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

import ratta
from ratta.errors import StateError

RESULTS = Path(__file__).parent / "results" / "adaptation" / "kill_state.json"
KEY = bytes(range(32))
FRAMES = 4


def live(engine: ratta.Engine, path: Path, counter: int, told: int, seed: int) -> None:
    """Restore, then attempt after attempt, each followed by a save, until killed."""
    adapter, rng, t = engine.adapter, np.random.default_rng(seed), 0.0
    if counter:
        counter = engine.load_state(path, key=KEY, at_least=counter)
    size, crops = engine.bundle.contract.size, len(engine.bundle.contract.crops)
    while True:
        attempt = adapter.begin()
        for _ in range(FRAMES):
            adapter.read(attempt, tuple(rng.integers(0, 256, (crops, size, size, 3), dtype=np.uint8)), t=t)
            t += 0.2
            adapter.idle(t)
        adapter.end(attempt, t=t)
        adapter.confirm(attempt, is_live=True)
        t += 10
        adapter.idle(t)
        counter += 1
        engine.save_state(path, key=KEY, counter=counter)
        os.write(told, b"%d\n" % counter)


class Lives:
    """Forks lives and kills them, at a pace that it learns from them."""

    def __init__(self, engine: ratta.Engine, path: Path, seed: int) -> None:
        self.engine = engine
        self.path = path
        self.rng = np.random.default_rng(seed)
        self.pace_s = 0.1

    def one(self, counter: int) -> int:
        """Let a process live for up to two saves and a random part of what comes next; give what it told last."""
        read_end, told = os.pipe()
        seed, saves = int(self.rng.integers(2**31)), int(self.rng.integers(3))
        pid = os.fork()
        if pid == 0:
            try:
                live(self.engine, self.path, counter, told, seed)
            finally:
                os._exit(1)  # only after an error, which the parent takes for no kill
        os.close(told)
        with os.fdopen(read_end) as lines:
            began = time.monotonic()
            heard = [lines.readline() for _ in range(saves)]
            if saves:
                self.pace_s += 0.2 * ((time.monotonic() - began) / saves - self.pace_s)
            time.sleep(self.rng.uniform(0, 1.5 * self.pace_s))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            assert os.WIFSIGNALED(status), "the child ended before it was killed"
            return max([counter, *(int(line) for line in [*heard, *lines] if line.endswith("\n"))])


def measure(model: str, kills: int, seed: int) -> dict:
    found = {"whole": 0, "one_newer_than_told": 0, "part_left": 0, "refused": 0, "before_the_first_save": 0}
    engine = ratta.load(model, adapt=True)
    counter, largest = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratta.state"
        lives = Lives(engine, path, seed)
        for _ in range(kills):
            told = lives.one(counter)
            found["part_left"] += path.with_name(path.name + ".part").exists()
            if not path.exists() and not told:
                found["before_the_first_save"] += 1
                continue
            try:
                loaded = engine.load_state(path, key=KEY, at_least=told)
            except StateError as error:
                found["refused"] += 1
                print(f"refused after counter {told}: {error}")
                continue
            found["whole"] += told <= loaded <= told + 1
            found["one_newer_than_told"] += loaded == told + 1
            counter, largest = loaded, max(largest, path.stat().st_size)
    return {"kills": kills, **found, "saves": counter, "largest_state_bytes": largest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a shipped model's name or a model folder")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()
    result = measure(args.model, args.kills, args.seed)
    machine = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    bundle = ratta.load(args.model).bundle
    model = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    record = {"model": model, **result, "seed": args.seed, "seconds": round(time.perf_counter() - began), **machine}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
