"""Thresholds for one door from your own recordings, and the error rates of whole attempts on other people.

    python examples/calibrate_my_door.py recordings --output models/my-door

`recordings` holds `dev` and `test`, each `<live | species>/<person>/<session>/` with pictures or one video; nobody is
in both. Thresholds come from `dev`, error rates from `test`: docs/howto-calibrate.md.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import ratta
from ratta.cli import main as ratta_command
from ratta.data import read_folder, read_frames
from ratta.metrics import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ratta.data import Presentation


def verdict_of(model: str, presentation: Presentation, *, interval_s: float) -> ratta.Verdict:
    """Let a fresh engine decide one recorded attempt, from its first frame to its verdict."""
    frames = read_frames(presentation)
    with ratta.load(model).session() as session:
        for index, frame in enumerate(frames):
            if session.step(frame.pixels, t=index * interval_s, box=frame.box).final:
                break
    return session.verdict


def table(verdicts: Iterable[tuple[str, ratta.Verdict]]) -> list[str]:
    """Count attempts that ended LIVE for each kind, with exact 95 % intervals."""
    counted: dict[str, list[bool]] = {}
    for kind, verdict in verdicts:
        counted.setdefault(kind, []).append(verdict is ratta.Verdict.LIVE)
    lines = []
    for kind, live in sorted(counted.items()):
        wrong = live.count(False) if kind == "live" else live.count(True)
        low, high = clopper_pearson(wrong, len(live))
        what = "not accepted" if kind == "live" else "accepted"
        lines.append(f"{kind:<10} {what}: {wrong} of {len(live)} = {wrong / len(live):.3f} [{low:.3f}, {high:.3f}]")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate on `dev`, measure on `test`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings")
    parser.add_argument("--output", required=True, help="folder of the new model")
    parser.add_argument("--live", default="apcer=0.05", help="policy of the live threshold (%(default)s)")
    parser.add_argument("--spoof", default="bpcer=0.02", help="policy of the spoof threshold (%(default)s)")
    parser.add_argument("--interval", type=float, default=0.1, help="seconds between recorded pictures (%(default)s)")
    arguments = parser.parse_args(argv)
    data = ["--data", "folder", arguments.recordings, "--split", "dev"]
    policies = ["--live-policy", arguments.live, "--spoof-policy", arguments.spoof]
    status = ratta_command(["calibrate", "ratta-mnv3s-128", *data, *policies, "--output", arguments.output])
    if status:
        return status
    tests = [one for one in read_folder(arguments.recordings) if one.split == "test"]
    if not tests:
        print(f"{arguments.recordings}: expected a folder test with other people, found none", file=sys.stderr)
        return 2
    for model in ("ratta-mnv3s-128", arguments.output):
        print(f"\n{model}: live from {ratta.load(model).policy.live_threshold:.4f} on")
        kinds = [one.species or "live" for one in tests]
        verdicts = [verdict_of(model, one, interval_s=arguments.interval) for one in tests]
        print("\n".join(table(zip(kinds, verdicts, strict=True))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
