"""How often the demo's four sessions end as they should, over many seeds.

    python bench/demo_seeds.py --seeds 20 --write bench/results/demo

One real face, simulated camera, print and screen: the figures say how typical the demo's default seed is, and nothing
about real attacks. Every seed draws another camera unit, light, pose, paper and screen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import ratta
from ratta.camera.scenes import demo_scenes
from ratta.metrics import clopper_pearson
from ratta.records import Verdict


def ends_of(engine: ratta.Engine, seed: int) -> dict[str, str]:
    """Play a seed's sessions; say how each ended."""
    ends = {}
    for scene in demo_scenes(seed=seed):
        engine.reset()
        with engine.session() as session:
            for t, frame in scene.frames:
                if session.step(frame, t=t).final:
                    break
        ends[scene.shown] = session.verdict.value
    return ends


def markdown(ends: list[dict[str, str]], expected: dict[str, str], first: int) -> str:
    """Lay out how the sessions ended, one row a scene."""
    lines = ["| session | ended right | live | spoof | uncertain | refused |", "|---|---|---:|---:|---:|---:|"]
    for shown, right in expected.items():
        counted = Counter(one[shown] for one in ends)
        low, high = clopper_pearson(counted[right], len(ends))
        cells = [f"{counted[right]} of {len(ends)} [{low:.2f}, {high:.2f}]"]
        cells += [str(counted[verdict.value]) for verdict in Verdict]
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    whole = sum(one == expected for one in ends)
    seeds = f"seeds {first} to {first + len(ends) - 1}"
    return "\n".join([*lines, "", f"All four sessions ended right with {whole} of {len(ends)} seeds ({seeds})."])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ratta-mnv3s-128")
    parser.add_argument("--seeds", type=int, default=20, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write seeds.json and seeds.md there")
    arguments = parser.parse_args(argv)
    engine = ratta.load(arguments.model)
    expected = {scene.shown: scene.expected.value for scene in demo_scenes(seed=0, seconds=0.1)}
    ends = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        ends.append(ends_of(engine, seed))
        print(f"seed {seed}: {', '.join(ends[-1].values())}", file=sys.stderr, flush=True)
        if arguments.write is not None:  # after every seed: what an interrupted run has done stays
            write(arguments.write, engine, ends, expected, arguments.first)
    print(markdown(ends, expected, arguments.first))
    return 0


def write(folder: Path, engine: ratta.Engine, ends: list[dict[str, str]], expected: dict[str, str], first: int) -> None:
    """Write `seeds.json` and `seeds.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = engine.bundle
    model = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    record = {"model": model, "first_seed": first, "expected": expected, "ends": ends}
    (folder / "seeds.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (folder / "seeds.md").write_text(
        f"# The demo, seed by seed\n\n{markdown(ends, expected, first)}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
