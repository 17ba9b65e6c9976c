"""Adaptation on a real camera: NUAA, with changes of camera laid on top.

    python bench/adaptation_nuaa.py --data nuaa-dev --detector yunet.onnx --write bench/results/adaptation

The shipped model, threshold as shipped. Its own reference comes of a simulated phone, so that a webcam is too far to
learn from: row "as shipped". An integrator calibrates before the own camera: subjects 0001 to 0004, in 128 sessions of
three frames that lie close together, and the same under the mild changes in turn. Measured: subjects 0005 to 0008, in
128 such sessions in random order, nobody twice. `--data` holds `live/<subject>/*.jpg` and `print/<subject>/*.jpg`.
Bias: one easy corpus, prints only; a "session" is a stretch of one recording; the changes are the simulator's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from adaptation import CLEAN, Shown, play
from adaptation_report import row
from adaptation_variants import make_adapter
from measure_real import crop_face, read_faces

from ratta.adaptable import adaptation_reference
from ratta.adaptation.reference import Reference
from ratta.assembly import make_source_model
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
from ratta.engine import open_graph
from ratta.simulate import CHANGES, change_crops

CALIBRATE, MEASURE = ("0001", "0002", "0003", "0004"), ("0005", "0006", "0007", "0008")
FRAMES, ORDER = 3, 3


def sessions(data: Path, detector: Path, subjects: tuple[str, ...]) -> list[tuple[np.ndarray, bool]]:
    faces = read_faces(data, detector, set(subjects))
    found = []
    for subject in subjects:
        for live in (True, False):
            crops = [
                crop_face(f.rgb, f.box, scale=2.7, size=128) for f in faces if (f.subject, f.live) == (subject, live)
            ]
            found += [(np.stack(crops[i : i + FRAMES]), live) for i in range(0, len(crops) - FRAMES + 1, FRAMES)]
    return found


def samples(some: list[tuple[np.ndarray, bool]]) -> Iterator[tuple[np.ndarray, bool, str, str]]:
    for number, (crops, live) in enumerate(some):
        for crop in crops:
            yield crop, live, "" if live else "print", f"session-{number:03d}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", type=Path, required=True, help="YuNet")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f"SKIPPED: {args.data}: expected NUAA, got no folder", file=sys.stderr)
        return 0
    bundle = read_bundle(find_bundle(args.model))
    opened = partial(open_graph, runtime="onnxruntime")
    model = make_source_model(bundle, opened(bundle.graph), open_graph=opened)
    own, measured = (sessions(args.data, args.detector, who) for who in (CALIBRATE, MEASURE))
    mild = cycle(change.name for change in CHANGES.values() if change.reach == "mild")
    changed = [(change_crops(crops, next(mild), seed=n), live) for n, (crops, live) in enumerate(own)]
    references = {
        "as shipped": Reference.from_arrays(bundle.statistics),
        "calibrated on this camera": adaptation_reference(bundle, samples(own), samples(changed)),
    }
    order, rows = np.random.default_rng(ORDER).permutation(len(measured)), []
    for name, reference in references.items():
        source = SimpleNamespace(model=model, reference=reference)
        for change in (CLEAN, *CHANGES):
            rows.append(one_run(source, name, change, [measured[i] for i in order]))
            print(name, change, {k: rows[-1][k] for k in ("apcer", "bpcer", "acer", "adapted", "bands")}, flush=True)
    if args.write:
        (args.write / "nuaa.json").write_text(json.dumps(rows, indent=0) + "\n")
        (args.write / "nuaa.md").write_text(table(rows))
    return 0


def one_run(source: SimpleNamespace, name: str, change: str, some: list[tuple[np.ndarray, bool]]) -> dict:
    stream, events = [], []
    for place, (crops, live) in enumerate(some):
        seen = crops if change == CLEAN else change_crops(crops, change, seed=place)
        stream.append(Shown(seen, "live" if live else "print"))
    before = np.array([source.model.network.read(p).live_logit for s in stream for p in s.pixels])
    adapter = make_adapter(source.model, source.reference, "ratta", events.append)
    after, adapted = play(adapter, stream)
    record = {
        "job": (name, "shipped", change, "sessions", ORDER), "threshold": source.model.threshold_logit,
        "source": before.tolist(), "answered": after.tolist(), "species": [s.species for s in stream],
        "phases": ["away"] * len(stream), "frames": [len(s.pixels) for s in stream], "adapted": float(adapted.mean()),
        "counts": adapter.counts, "spent_ms": adapter.budget.spent_ms,
    }  # fmt: skip
    bands = [e.reason for e in events if e.kind == "drift"]
    return row(record) | {"bands": {band: bands.count(band) for band in sorted(set(bands))}}


def table(rows: list[dict]) -> str:
    head = (
        "reference",
        "change",
        "APCER %",
        "BPCER %",
        "ACER %",
        "ACER difference (95 %)",
        "oracle threshold",
        "adapted",
    )
    lines = ["# Adaptation on NUAA", "", *(__doc__ or "").strip().splitlines()[4:], ""]
    lines += [f"| {' | '.join((*head, 'drift, sessions'))} |", "|---" * (len(head) + 1) + "|"]
    for r in rows:
        shown = [f"{r[k][0]:.1f} -> {r[k][1]:.1f}" for k in ("apcer", "bpcer", "acer")]
        low, high = r["acer"][2:]
        cells = (r["variant"], r["change"], *shown, f"{r['acer'][1] - r['acer'][0]:+.1f} [{low:+.1f}, {high:+.1f}]")
        bands = ", ".join(f"{band} {count}" for band, count in r["bands"].items())
        lines.append(f"| {' | '.join(cells)} | {r['oracle']} | {r['adapted']:.0%} | {bands} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
