"""Measure liveness models on real captures.

Does what was trained on simulation hold on a real camera? One question, one run: AUC, and APCER / BPCER at the
threshold carried over from simulated development identities, for an exported ratta graph and for the peers, with the
face cropped wide (2.7) and tight (1.15). Measuring only: nothing that is shipped may be tuned on these pictures.

    python bench/measure_real.py --data nuaa-dev --peers peers --model model.onnx --portraits cache

``--data`` holds ``live/<subject>/*.jpg`` and ``print/<subject>/*.jpg``; without it the script says so and ends.
Bias: one easy corpus; prints only; the peers' authors may have trained on it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.simulate import SPECIES, PortraitBank, crop_face, simulate_capture
from ratta.simulate.statistics import auc

Rgb = NDArray[np.uint8]
Scores = NDArray[np.float32]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model under test: how it crops and how it scores crops, live high."""

    name: str
    size: int
    score: Callable[[Rgb], Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One picture with its face box, class and subject."""

    rgb: Rgb
    box: tuple[float, float, float, float]
    live: bool
    subject: str
    species: str


def onnx_student(path: Path) -> Model:
    """Give an exported ratta graph."""
    from ratta.inference.session import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    size = int(session.get_inputs()[0].shape[1])

    def score(crops: Rgb) -> Scores:
        logits = session.run(["logits"], {"pixels": crops})[0]
        return np.asarray(logits[:, 1] - logits[:, 0], dtype=np.float32)

    return Model(name=f"ratta {path.parent.name}/{path.name}", size=size, score=score)


def peer_models(folder: Path) -> list[Model]:
    """Give the teacher and the other peer, where their files lie."""
    from ratta.train.teachers import OnnxTeacher, SilentFaceTeacher

    found: list[Model] = []
    for name in ("2.7_80x80_MiniFASNetV2.pth", "4_0_0_80x80_MiniFASNetV1SE.pth"):
        path = folder / "silent-face" / name
        if path.is_file():
            found.append(Model(name=f"Silent-Face {name[:3]}", size=80, score=SilentFaceTeacher(path).live_margin))
    path = folder / "face-antispoof-onnx" / "MiniFASNetV2-SE-128.onnx"
    if path.is_file():
        found.append(Model(name="face-antispoof-onnx", size=128, score=OnnxTeacher(path).live_margin))
    return found


def subjects_of(range_text: str) -> set[str]:
    """Names of the subjects ``first-last``, both included."""
    first, last = (int(part) for part in range_text.split("-"))
    return {f"{number:04d}" for number in range(first, last + 1)}


def read_faces(folder: Path, detector: Path, subjects: set[str]) -> list[Face]:
    """Every picture of the given subjects in which a face is found."""
    net = cv2.FaceDetectorYN.create(str(detector), "", (320, 320), 0.6)
    faces: list[Face] = []
    for path in sorted(folder.glob("*/*/*.jpg")):
        if path.parent.name not in subjects:
            continue
        picture = cv2.imread(str(path))
        scale = 320 / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = net.detect(small)
        if rows is None:
            continue
        x, y, w, h = (max(rows, key=lambda row: row[2] * row[3])[:4] / scale).tolist()
        kind = path.parent.parent.name
        faces.append(
            Face(
                rgb=np.ascontiguousarray(picture[..., ::-1]),
                box=(x, y, x + w, y + h),
                live=kind == "live",
                subject=path.parent.name,
                species=kind,
            )
        )
    return faces


def simulated_faces(cache: Path, identities: Sequence[str], *, per_species: int, seed: int) -> list[Face]:
    """Give simulated development captures of the given identities, as many of each species."""
    bank, rng = PortraitBank(cache, keep=identities), np.random.default_rng(seed)
    faces = []
    for index in range(per_species * len(SPECIES)):
        species, position = SPECIES[index % len(SPECIES)], int(rng.integers(len(bank)))
        shot = simulate_capture(bank[position], rng, species=species)
        live = species == "live"
        faces.append(Face(rgb=shot.rgb, box=shot.box, live=live, subject=bank.names[position], species=species))
    return faces


def score_all(model: Model, faces: Sequence[Face], scale: float) -> Scores:
    """Score every face at a crop scale."""
    crops = [crop_face(face.rgb, face.box, scale=scale, size=model.size) for face in faces]
    chunks = [model.score(np.stack(crops[i : i + 64])) for i in range(0, len(crops), 64)]
    return np.concatenate(chunks)


def equal_error_threshold(live: Scores, attack: Scores) -> tuple[float, float]:
    """Give the threshold where APCER and BPCER are nearest, and their mean there."""
    candidates = np.unique(np.concatenate((live, attack)))
    below = np.searchsorted(np.sort(live), candidates, "left") / len(live)
    above = 1 - np.searchsorted(np.sort(attack), candidates, "left") / len(attack)
    best = int(np.argmin(np.abs(below - above)))
    return float(candidates[best]), float((below[best] + above[best]) / 2)


def interval_by_subject(faces: Sequence[Face], scores: Scores, *, seed: int) -> tuple[float, float]:
    """95 % interval of the AUC by resampling subjects."""
    rng = np.random.default_rng(seed)
    live = np.array([face.live for face in faces])
    names = np.array([face.subject for face in faces])
    subjects = np.unique(names)
    where = {s: np.flatnonzero(names == s) for s in subjects}
    values = []
    for _ in range(RESAMPLES):
        index = np.concatenate([where[s] for s in rng.choice(subjects, len(subjects))])
        if 0 < live[index].sum() < len(index):
            values.append(auc(scores[index][live[index]], scores[index][~live[index]]))
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def measure(model: Model, faces: Sequence[Face], development: Sequence[Face], scale: float) -> dict[str, Any]:
    """One line of the report."""
    scores = score_all(model, faces, scale)
    live = np.array([face.live for face in faces])
    low, high = interval_by_subject(faces, scores, seed=0)
    line: dict[str, Any] = {
        "model": model.name, "crop": scale, "n_live": int(live.sum()), "n_attack": int((~live).sum()),
        "auc": auc(scores[live], scores[~live]), "auc_low": low, "auc_high": high,
        "eer": equal_error_threshold(scores[live], scores[~live])[1],
    }  # fmt: skip
    if development:
        there = score_all(model, development, scale)
        is_live = np.array([face.live for face in development])
        threshold, error = equal_error_threshold(there[is_live], there[~is_live])
        line |= {"simulated_auc": auc(there[is_live], there[~is_live]), "simulated_eer": error, "threshold": threshold}
        line |= {"apcer": float((scores[~live] >= threshold).mean()), "bpcer": float((scores[live] < threshold).mean())}
        line["acer"] = (line["apcer"] + line["bpcer"]) / 2
    return line


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and print a table, and JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--portraits", type=Path, help="prepared portraits, for the carried-over threshold")
    parser.add_argument("--subjects", default="1-8", help="first-last")
    parser.add_argument("--scales", type=float, nargs="+", default=[2.7, 1.15])
    parser.add_argument("--per-species", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if not args.data.is_dir():
        print(f"SKIPPED: {args.data.name}: no such folder, nothing was measured", file=sys.stderr)
        return 0
    cv2.setNumThreads(1)
    detector = args.peers / "face-antispoof-onnx" / "yunet.onnx"
    faces = read_faces(args.data, detector, subjects_of(args.subjects))
    development: list[Face] = []
    if args.portraits:
        from ratta.train.factory import split_portraits

        names = split_portraits(args.portraits).validation
        development = simulated_faces(args.portraits, names, per_species=args.per_species, seed=11)
    models = [onnx_student(path) for path in args.model] + peer_models(args.peers)
    lines = [measure(model, faces, development, scale) for scale in args.scales for model in models]
    for line in lines:
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items()))
    if args.json:
        args.json.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
