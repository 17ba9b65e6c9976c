"""How large should the input be? The same weights at several sizes: fit of the teachers, real captures, time.

A network without a fixed input judges crops of any size; how well, away from the size it learnt at, is the question.
Three answers side by side, because they disagree: R2 of the teachers' mean margin on distillation inputs of validation
people, AUC and EER on real captures (measured on only), and milliseconds of one inference.

    python bench/input_sizes.py --bundle models/ratta-mnv3s-128 --portraits cache --data nuaa-dev --peers peers

Bias: one corpus of prints that are softer than life, which likes fine detail; the teachers look at 80 pixels; the
pictures are 192 pixels wide, so that 224 is blown up.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from measure_real import Face, Model, equal_error_threshold, read_faces, score_all, subjects_of

from ratta.bench.swap import swap_rows
from ratta.simulate.statistics import auc
from ratta.train.export import export_graph
from ratta.train.factory import PictureFactory, split_portraits
from ratta.train.judge import Judge, cut
from ratta.train.network import MobileNetV3Small
from ratta.train.run import parity_crops, student_of
from ratta.train.supervised import margins

SIZES, SCALES, PICTURES = (96, 128, 160, 192, 224), (2.7, 1.8, 1.15), 400
TEACHERS = (
    "silent-face/2.7_80x80_MiniFASNetV2.pth",
    "silent-face/4_0_0_80x80_MiniFASNetV1SE.pth",
    "face-antispoof-onnx/MiniFASNetV2-SE-128.onnx",
)


def fits(network: MobileNetV3Small, portraits: Path, peers: Path) -> dict[int, float]:
    """R2 of the teachers' mean margin, by size."""
    people = split_portraits(portraits).validation
    shown = PictureFactory(cache=str(portraits), identities=people, bank=50)()(np.random.default_rng(77), PICTURES)
    teachers = [str(peers / name) for name in TEACHERS]
    judge = Judge(teachers, scales=Judge(teachers).measure_scales(shown))
    truth = judge.in_pieces(shown, torch.Generator().manual_seed(0)).target.numpy()
    pixels = shown.pixels.permute(0, 3, 1, 2).float()
    found = {}
    for size in SIZES:
        view = cut(pixels, torch.ones(len(pixels)), size=size).round().to(torch.uint8)
        guess = margins(network, view.permute(0, 2, 3, 1).numpy())
        found[size] = float(1 - np.square(guess - truth).mean() / truth.var())
    return found


def on_real(network: MobileNetV3Small, faces: Sequence[Face], size: int, scale: float) -> tuple[float, float]:
    """AUC and EER on real captures."""
    model = Model(name="", size=size, score=lambda crops: margins(network, crops))
    scores, live = score_all(model, faces, scale), np.array([face.live for face in faces])
    return auc(scores[live], scores[~live]), equal_error_threshold(scores[live], scores[~live])[1]


def latencies(network: MobileNetV3Small, portraits: Path) -> dict[int, float]:
    """Milliseconds of one inference in ONNX Runtime, one thread, all sizes in one run."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder) / f"{size}.onnx" for size in SIZES}
        for size, path in paths.items():
            export_graph(network, size=size, path=path, crops=parity_crops(str(portraits), size=size, count=8))
        rows = swap_rows([str(path) for path in paths.values()], seconds=5)
    return {size: row.ms for size, row in zip(SIZES, rows, strict=True)}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table as Markdown, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True, help="prepared portraits")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if not args.data.is_dir() or not args.peers.is_dir():
        print("SKIPPED: no real captures or no teachers here; nothing was measured", file=sys.stderr)
        return 0
    torch.set_num_threads(1)
    network = student_of(args.bundle).eval()
    faces = read_faces(args.data, args.peers / "face-antispoof-onnx" / "yunet.onnx", subjects_of("1-8"))
    fit, time = fits(network, args.portraits, args.peers), latencies(network, args.portraits)
    titles = [f"AUC, EER at {scale:g}" for scale in SCALES]
    print(" | ".join(["| input", "ms", "R2 of the teachers", *titles]), "|\n|" + "---|" * (3 + len(SCALES)))
    rows = []
    for size in SIZES:
        real = {scale: on_real(network, faces, size, scale) for scale in SCALES}
        rows.append({"size": size, "ms": time[size], "r2": fit[size], "real": {str(k): v for k, v in real.items()}})
        cells = [f"{value:.3f}, {100 * error:.1f} %" for value, error in real.values()]
        print(" | ".join([f"| {size}", f"{time[size]:.2f}", f"{fit[size]:.2f}", *cells]), "|")
    if args.json:
        args.json.write_text(json.dumps({"faces": len(faces), "pictures": PICTURES, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
