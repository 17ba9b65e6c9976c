"""How time and memory of an evaluation grow with the stream: a fresh process for every method and length.

    python bench/evaluation_scale.py --model MODEL --development POOL --pool POOL --output runs/scale \
        --write bench/results/evaluation/scale.md

Processor seconds, and the peak of the process's resident memory (`ru_maxrss`). One thread, a stream of sessions in
random order, begun anew where it is longer than the pool, one seed. A cell that is there is not computed again.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

METHODS = (
    "no-tta", "bn-ema", "tent", "tent-source-statistics", "t3a", "eata-two-class", "sar-two-class", "rotta", "ratta",
)  # fmt: skip
LENGTHS = (2_000, 20_000)
COLUMNS = ("in the method, s", "ms/frame", "in all, s", "peak MB")


def measure(method: str, frames: int, model: str, development: Path, pool: Path, output: Path) -> dict:
    """Run one cell in this process and say what it took."""
    from ratta.bundle import find_bundle, read_bundle
    from ratta.cli.eval import load_source
    from ratta.evaluate.cells import Cell, run_cell

    folder = find_bundle(model)
    pools = {"development": development, "home": "", "away": pool}
    keys = {name: json.loads((place / "pool.json").read_text())["key"] for name, place in pools.items() if place}
    cell = Cell(
        target="scale", stream="sessions", label=method, seed=0, method=method, frames=frames,
        model=str(folder), model_sha256=read_bundle(folder).sha256,
        pools={name: str(place) for name, place in pools.items()}, pool_keys=keys,
    )  # fmt: skip
    path = run_cell(cell, output / "cells", load_source)
    in_method = json.loads(path.read_text())["timing"]["cpu_s"]
    return {
        "method": method, "frames": frames, "in the method, s": round(in_method, 1),
        "ms/frame": round(1e3 * in_method / frames, 2), "in all, s": round(time.process_time(), 1),
        "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip


def table(rows: list[dict]) -> str:
    """Lay out the rows, both lengths side by side, and by what factor each figure grew."""
    short, long = LENGTHS
    head = ["method", *(f"{name}, {n:,}" for name in COLUMNS for n in LENGTHS), "time x", "memory x"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    by = {(row["method"], row["frames"]): row for row in rows}
    for method in dict.fromkeys(row["method"] for row in rows):
        if (method, short) not in by or (method, long) not in by:
            continue
        pair = by[method, short], by[method, long]
        cells = [f"{row[name]:,}" for name in COLUMNS for row in pair]
        growth = [pair[1][name] / pair[0][name] for name in (COLUMNS[0], COLUMNS[3])]
        lines.append(f"| {method} | {' | '.join(cells)} | {growth[0]:.1f} | {growth[1]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model folder that was calibrated for adaptation")
    parser.add_argument("--development", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--write", type=Path, help="Markdown file of the table")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD", help="these only")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FRAMES"), help="measure one cell here and print it")
    args = parser.parse_args()
    if args.one:
        method, frames = args.one
        print(json.dumps(measure(method, int(frames), args.model, args.development, args.pool, args.output)))
        return
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {(row["method"], row["frames"]) for row in rows}
    for method in args.methods:
        for frames in LENGTHS:
            if (method, frames) in done:
                continue
            command = [sys.executable, __file__, *sys.argv[1:], "--one", method, str(frames)]
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
            rows.append(json.loads(line))
            with path.open("a") as stream:
                stream.write(line + "\n")
            print(line, flush=True)
    if args.write:
        heading, *rest = (__doc__ or "").split("\n\n")
        conditions = (
            f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}. {rest[-1].strip()}"
        )
        args.write.write_text(f"# {heading}\n\n{table(rows)}\n\n{conditions}\n")


if __name__ == "__main__":
    main()
