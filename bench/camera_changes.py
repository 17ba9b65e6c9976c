"""The same real faces through another light, sensor or lens: errors at the threshold that is shipped.

    python bench/camera_changes.py --data nuaa-dev --detector yunet.onnx --models models/ratta-mnv3s-128 old-model

Every change is applied to all crops of a face alike, the grain drawn anew. Beside the simulator's changes there are
some of other strength, which nothing was trained or chosen on. Exact 95 % intervals. Measured only.
Bias: four people of one easy corpus, prints only; captures of one person are not independent.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measure_real import Face, read_faces, subjects_of

from ratta.bundle import read_bundle
from ratta.inference import Network, OrtSession
from ratta.metrics import Rate, clopper_pearson
from ratta.records import logit
from ratta.simulate import CHANGES, crop_face
from ratta.simulate.changes import CameraChange
from ratta.simulate.statistics import auc

CLEAN = CameraChange(name="clean", reach="mild")
OTHERS = (
    CameraChange(name="orange lamp", reach="strong", gains=(1.45, 0.95, 0.5)),
    CameraChange(name="blue light", reach="strong", gains=(0.62, 0.95, 1.4)),
    CameraChange(name="green tube", reach="mild", gains=(0.9, 1.12, 0.85)),
    CameraChange(name="coarse noise", reach="strong", light=0.3, grain=0.015),
    CameraChange(name="soft lens", reach="mild", blur=1.1, aberration=0.009, vignette=0.4),
    CameraChange(name="vivid sensor", reach="mild", curve=0.6, gamma=0.85, grain=0.004),
)


def rates(network: Network, faces: Sequence[Face], change: CameraChange, threshold: float) -> dict[str, object]:
    """APCER, BPCER and AUC under one change."""
    rng, rules, logits = np.random.default_rng(0), network.contract.crops, []
    for face in faces:
        crops = [crop_face(face.rgb, face.box, scale=rule.scale, size=rule.size) for rule in rules]
        logits.append(network.read(tuple(change.apply(crop, rng) for crop in crops)).live_logit)
    found, live = np.array(logits), np.array([face.live for face in faces])
    passed = found >= threshold
    counts = {"apcer": passed[~live], "bpcer": ~passed[live]}
    found_rates = {name: _rate(int(wrong.sum()), len(wrong)) for name, wrong in counts.items()}
    return {**found_rates, "auc": auc(found[live], found[~live])}


def _rate(errors: int, n: int) -> Rate:
    return Rate(errors, n, errors / n, *clopper_pearson(errors, n))


def main() -> int:
    """Print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", type=Path, required=True, help="yunet.onnx")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="model folders")
    parser.add_argument("--subjects", default="5-8")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f"SKIPPED: {args.data} is not here; nothing was measured", file=sys.stderr)
        return 0
    faces, rows = read_faces(args.data, args.detector, subjects_of(args.subjects)), []
    lines = [f"NUAA, subjects {args.subjects}, {len(faces)} captures.\n"]
    lines += ["| change | model | APCER print % | BPCER % | ACER % | AUC |", "|---" * 6 + "|"]
    for change in (CLEAN, *(c for c in CHANGES.values() if c.reach != "extreme"), *OTHERS):
        for path in args.models:
            bundle = read_bundle(path)
            made = bundle.calibration
            network = Network(OrtSession(bundle.graph), bundle.contract, temperature=made.temperature, bias=made.bias)
            one = rates(network, faces, change, logit(made.live_threshold))
            apcer, bpcer = one["apcer"], one["bpcer"]
            acer, label = 50 * (apcer.value + bpcer.value), f"{bundle.name} {bundle.version}"
            cells = (change.name, label, _cell(apcer), _cell(bpcer), f"{acer:.1f}", f"{one['auc']:.4f}")
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
            rows.append(
                {"change": change.name, "model": label, "apcer": apcer.value, "bpcer": bpcer.value, "auc": one["auc"]}
            )
    if args.write:
        args.write.mkdir(parents=True, exist_ok=True)
        (args.write / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
        (args.write / "results.md").write_text("# Another light, sensor or lens\n\n" + "\n".join(lines) + "\n")
    return 0


def _cell(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
