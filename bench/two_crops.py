"""One face, two crops: what weights are worth wide, tight and both together, and how well they imitate each teacher.

AUC and EER on real captures that are only measured (95 % intervals over subjects), and R2 of the teachers' common
margin on inputs of held-out people, with the squared correlation with each teacher alone. "Both" is the mean of the
logits.

    python bench/two_crops.py --data nuaa-dev --peers peers --portraits cache --weights run/last.pt

Bias: one easy corpus, prints only; the inputs are those the student learns from, of other people.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from measure_real import Face, Model, equal_error_threshold, interval_by_subject, read_faces, score_all, subjects_of

from ratta.simulate.statistics import auc
from ratta.train.factory import DistillationFactory, PictureFactory, split_portraits
from ratta.train.judge import VIEWS, Judge
from ratta.train.loop import fit
from ratta.train.network import Network
from ratta.train.pool import JudgedBatch
from ratta.train.run import student_of
from ratta.train.supervised import margins
from ratta.train.teachers import live_margin, load_network

TEACHERS = (
    "silent-face/2.7_80x80_MiniFASNetV2.pth",
    "silent-face/4_0_0_80x80_MiniFASNetV1SE.pth",
    "face-antispoof-onnx/MiniFASNetV2-SE-128.onnx",
)
HELD_OUT_SEED = 77


def network_of(path: Path) -> Network:
    """Weights of a model folder or a checkpoint."""
    return student_of(path).eval() if path.is_dir() else load_network(path)[0]


def scores(network: Network, faces: Sequence[Face], size: int) -> dict[str, np.ndarray]:
    """Live margin of every face: wide, tight, both."""
    model = Model(name="", size=size, score=lambda crops: margins(network, crops))
    wide, tight = (score_all(model, faces, scale) for scale in VIEWS)
    return {"wide": wide, "tight": tight, "both": (wide + tight) / 2}


def on_real(found: Mapping[str, np.ndarray], faces: Sequence[Face]) -> dict[str, dict[str, float]]:
    """AUC with its interval, and EER."""
    live, rows = np.array([face.live for face in faces]), {}
    for name, values in found.items():
        low, high = interval_by_subject(faces, values, seed=0)
        threshold, error = equal_error_threshold(values[live], values[~live])
        area = auc(values[live], values[~live])
        rows[name] = {"auc": area, "low": low, "high": high, "eer": error, "eer_margin": threshold}
    return rows


def held_out(portraits: Path, teachers: Sequence[str], *, pictures: int, side: int) -> JudgedBatch:
    """Judged inputs of validation people."""
    people = split_portraits(portraits).validation
    shown = PictureFactory(cache=str(portraits), identities=people, bank=60, size=side)
    scales = Judge(teachers).measure_scales(shown()(np.random.default_rng(HELD_OUT_SEED), 256))
    factory = DistillationFactory(pictures=shown, teachers=tuple(teachers), scales=tuple(map(tuple, scales)))
    return factory()(np.random.default_rng(HELD_OUT_SEED + 1), pictures)


def on_inputs(network: Network, batch: JudgedBatch) -> dict[str, float]:
    """R2 of the target, wide, tight and both; squared correlation of both with each teacher's mean over the views."""
    pixels = batch.pixels.flatten(0, 1).numpy()
    guess = torch.from_numpy(margins(network, pixels)).unflatten(0, (-1, batch.views))
    first = live_margin(batch.logits.flatten(0, 1), live=1).view(len(guess), batch.views, 1)
    each = torch.cat((first, batch.extra), 2).mean(1)
    found = {name: fit(guess[:, view], batch.target) for view, name in enumerate(("wide", "tight"))}
    found["both"] = fit(guess.mean(1), batch.target)
    for index in range(each.shape[1]):
        found[f"teacher {index + 1}"] = float(torch.corrcoef(torch.stack((guess.mean(1), each[:, index])))[0, 1] ** 2)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line a crop, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="live/<subject>/*.jpg and print/<subject>/*.jpg")
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True, help="prepared portraits")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="model folders or checkpoints")
    parser.add_argument("--subjects", default="1-8", help="first-last (%(default)s)")
    parser.add_argument("--pictures", type=int, default=768, help="inputs of held-out people; 0 leaves them out")
    parser.add_argument("--side", type=int, default=256, help="of those pictures (%(default)s)")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="keep the judged inputs there")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if not args.data.is_dir() or not args.peers.is_dir():
        print("SKIPPED: no real captures or no teachers here; nothing was measured", file=sys.stderr)
        return 0
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    detector = args.peers / "face-antispoof-onnx" / "yunet.onnx"
    faces = read_faces(args.data, detector, subjects_of(args.subjects))
    batch, kept = None, args.held_out
    if kept and kept.is_file():
        batch = JudgedBatch(**torch.load(kept, weights_only=True))
    elif args.pictures:
        teachers = [str(args.peers / name) for name in TEACHERS]
        batch = held_out(args.portraits, teachers, pictures=args.pictures, side=args.side)
        if kept:
            torch.save({name: getattr(batch, name) for name in batch.__dataclass_fields__}, kept)
    rows = []
    for path in args.weights:
        network = network_of(path)
        row = {"weights": path.name, "subjects": args.subjects, "faces": len(faces)}
        row["real"] = on_real(scores(network, faces, 128), faces)
        row["inputs"] = on_inputs(network, batch) if batch else {}
        rows.append(row)
        for name, one in row["real"].items():
            print(path.name, name, " ".join(f"{key} {value:.3f}" for key, value in one.items()))
        print(path.name, "R2", " ".join(f"{key} {value:.3f}" for key, value in row["inputs"].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
