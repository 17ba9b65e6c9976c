"""Figures for the model card: a bundle and the peers on real captures, at thresholds fixed beforehand.

Reads the same pictures as `measure_real.py` and measures only. The bundle's threshold is its own live threshold; a
peer's is the one it is used with, 0.5. Faces are found by YuNet for all alike.

    python bench/real_figures.py --data nuaa-dev --peers peers --bundle models/ratta-mnv3s-128 --subjects 1-8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measure_real import Face, Model, onnx_student, peer_models, read_faces, score_all, subjects_of

from ratta.bundle import read_bundle
from ratta.metrics import Estimate, Rate, ScoreSet, Threshold, summary


def row(model: Model, faces: Sequence[Face], *, scales: Sequence[float], threshold: Threshold) -> str:
    """Return one line of the table: AUC, EER, and the errors at the threshold, by the mean over the crops."""
    scores = ScoreSet(
        live_scores=np.mean([score_all(model, faces, scale) for scale in scales], axis=0),
        is_live=[face.live for face in faces],
        species=[face.species for face in faces],
        subjects=[face.subject for face in faces],
    )
    s = summary(scores, threshold)
    figures = (s.auc, s.eer, s.apcer, s.bpcer, s.acer)
    crops = " and ".join(f"{scale:g}" for scale in scales)
    return f"| {model.name} | {crops} | {threshold.policy} | " + " | ".join(map(_cell, figures)) + " |"


def _cell(figure: Estimate | Rate) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--subjects", default="1-8", help="first-last (%(default)s)")
    parser.add_argument("--scales", type=float, nargs="+", default=(2.7, 1.15))
    args = parser.parse_args(argv)
    if not args.data.is_dir():
        print(f"SKIPPED: {args.data} is not here; nothing was measured", file=sys.stderr)
        return 0
    detector = args.peers / "face-antispoof-onnx" / "yunet.onnx"
    faces = read_faces(args.data, detector, subjects_of(args.subjects))
    bundle = read_bundle(args.bundle)
    calibration = bundle.calibration
    logit = np.log(calibration.live_threshold / (1 - calibration.live_threshold))
    margin = float((logit - calibration.bias) * calibration.temperature)
    own = Threshold(margin, "its live threshold", calibration.origin)
    live = sum(face.live for face in faces)
    counts = f"{live} live and {len(faces) - live} printed captures of subjects {args.subjects}"
    print(f"{counts}; 95 % intervals, over subjects for AUC, EER and ACER, exact for rates.\n")
    print("| model | crop | threshold | AUC | EER | APCER print | BPCER | ACER |\n|---|---|---|---|---|---|---|---|")
    ours = onnx_student(args.bundle / "model.onnx")
    for scales in dict.fromkeys((bundle.contract.scales, *((scale,) for scale in args.scales))):
        print(row(ours, faces, scales=scales, threshold=own))
        for peer in peer_models(args.peers) if len(scales) == 1 else ():
            print(row(peer, faces, scales=scales, threshold=Threshold(0.0, "0.5", "as it is used")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
