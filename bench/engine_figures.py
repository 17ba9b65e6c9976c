"""The whole engine on real captures: its own detector, crop and refusals, one attempt a picture.

`real_figures.py` measures the network on crops of faces that YuNet found; here every picture is given to
`ratta.load()` as it lies, and what the engine refuses is counted beside what it gets wrong.

    python bench/engine_figures.py --data nuaa-dev --subjects 1-8

Bias: pictures, not sessions: no verdict is looked back over; the corpus is cut around faces already.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from measure_real import subjects_of

import ratta
from ratta.metrics import ScoreSet, Threshold, summary


def main(argv: Sequence[str] | None = None) -> int:
    """Print refusals by reason, and the error rates of what was answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", default="1-8", help="first-last (%(default)s)")
    parser.add_argument("--model", help="a shipped model's name or a model folder")
    args = parser.parse_args(argv)
    if not args.data.is_dir():
        print(f"SKIPPED: {args.data} is not here; nothing was measured", file=sys.stderr)
        return 0
    engine = ratta.load(args.model) if args.model else ratta.load()
    shown: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    scores: list[float] = []
    species: list[str] = []
    subjects: list[str] = []
    for path in sorted(args.data.glob("*/*/*.jpg")):
        kind, subject = path.parent.parent.name, path.parent.name
        if subject not in subjects_of(args.subjects):
            continue
        shown[kind] += 1
        decision = engine.score(cv2.imread(str(path)))
        if np.isnan(decision.live_score):
            refused[f"{kind}: {decision.reason.value}"] += 1
            continue
        scores.append(decision.live_score)
        species.append("" if kind == "live" else kind)
        subjects.append(subject)
    figures = summary(
        ScoreSet(live_scores=scores, is_live=[not name for name in species], species=species, subjects=subjects),
        Threshold(engine.bundle.calibration.live_threshold, "its live threshold", engine.bundle.calibration.origin),
    )
    print(f"subjects {args.subjects}: shown {dict(shown)}; refused {dict(refused)}")
    for name in ("auc", "eer", "apcer", "bpcer", "acer"):
        figure = getattr(figures, name)
        print(f"{name.upper()} {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
