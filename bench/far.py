"""Ask whether, too far off to learn from, an adapting engine is the source model, decision by decision, bit for bit.

    python bench/far.py --corpus adapt-corpus [--json bench/results/adaptation/far.json]

The shipped model, two engines beside one another, `step` with a given box on frames twice the crop's size, `idle` after
every frame; 360 sessions of 64 people, six frames each, under each extreme change of camera. Decisions are compared as
they print, every digit of every float; only `band`, which a plain engine does not tell, is left out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

import ratta
from ratta.evaluate import read_pool
from ratta.records import Box
from ratta.simulate import CHANGES, change_crops

SIDE, STEP_S, PAUSE_S = 256, 0.2, 30.0
FACE = Box(*(SIDE * np.array([0.315, 0.315, 0.685, 0.685])).round().tolist())


def compare(corpus: Path, change: str) -> dict:
    plain, adapting = ratta.load(), ratta.load(adapt=True)
    bands, equal, frames, now_s = Counter(), 0, 0, 0.0
    for place, one in enumerate(read_pool(corpus / "test")):
        with plain.session() as source, adapting.session() as other:
            for crop in change_crops(np.asarray(one.pixels), change, seed=place):
                frame = np.ascontiguousarray(crop.repeat(2, axis=0).repeat(2, axis=1)[..., ::-1])
                expected, got = (session.step(frame, t=now_s, box=FACE) for session in (source, other))
                equal += repr(replace(got, band="")) == repr(expected)
                bands[got.band or "not scored"] += 1
                frames, now_s = frames + 1, now_s + STEP_S
                adapting.idle(now_s)
        adapting.idle(now_s + 1)
        now_s += PAUSE_S
    return {
        "change": change, "frames": frames, "equal": equal, "bands": dict(bands), "counts": adapting.adapter.counts,
        "in force at the end": adapting.adapter.in_force is not None,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    for change in (c.name for c in CHANGES.values() if c.reach == "extreme"):
        rows.append(compare(args.corpus, change))
        print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
