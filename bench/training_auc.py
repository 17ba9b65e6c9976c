"""AUC of an experiment's checkpoints, species by species: simulated test people, and real captures.

What do labels, a teacher, or both teach on the same crops, and does it hold before a real camera?

    python bench/training_auc.py bench/experiments/labels-and-teacher.toml --output run/labels --data nuaa-dev \
        --detector yunet.onnx --teacher 2.7_80x80_MiniFASNetV2.pth --write bench/results/training/labels-and-teacher

after `ratta train`, whose `--output` it reads; without `--data` only the simulated people. Two intervals for each AUC:
over seeds (Student's t) and over people (bootstrap of the seeds' mean). Measuring only; no threshold is involved.
Bias: one easy real corpus of eight subjects and prints only, of which the teacher's authors may have trained on parts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from measure_real import read_faces, subjects_of

from ratta.evaluate import read_settings
from ratta.simulate import crop_face
from ratta.simulate.statistics import auc
from ratta.train.experiment import parse_training, read_parts, run_folder
from ratta.train.labelled import Part
from ratta.train.scenarios import over_seeds
from ratta.train.supervised import margins
from ratta.train.teachers import SilentFaceTeacher, load_network

CROP_SCALE, RESAMPLES = 2.7, 500


def real_part(data: Path, detector: Path, *, size: int) -> Part:
    """Crops of the real subjects that may be looked at, as many as a face is found in."""
    faces = read_faces(data, detector, subjects_of("1-8"))
    return Part(
        name="real",
        pixels=np.stack([crop_face(face.rgb, face.box, scale=CROP_SCALE, size=size) for face in faces]),
        is_live=np.array([face.live for face in faces]),
        species=np.array(["" if face.live else face.species for face in faces]),
        subjects=np.array([face.subject for face in faces]),
    )


def species_of(part: Part) -> list[str]:
    return sorted(set(part.species.tolist()) - {""})


def aucs(scores: np.ndarray, part: Part, rows: np.ndarray) -> list[float]:
    """AUC of all live crops among the rows against each species."""
    live = scores[rows[part.is_live[rows]]]
    return [auc(live, scores[rows[part.species[rows] == species]]) for species in species_of(part)]


def drawn_people(part: Part) -> list[np.ndarray]:
    """Everybody, then resamples of people, as row numbers."""
    rng = np.random.default_rng(0)
    where = [np.flatnonzero(part.subjects == name) for name in np.unique(part.subjects)]
    drawn = [rng.integers(len(where), size=len(where)) for _ in range(RESAMPLES)]
    return [np.arange(len(part)), *(np.concatenate([where[i] for i in chosen]) for chosen in drawn)]


def figure(values: np.ndarray) -> dict[str, object]:
    """Put `(1 + resamples, seeds)` values together: each seed, their mean, its interval over seeds and over people."""
    low, high = np.percentile(values[1:].mean(1), (2.5, 97.5))
    return {**asdict(over_seeds(values[0].tolist())), "people": [low, high], "seeds": values[0].tolist()}


def compare(part: Part, scores: Mapping[str, Sequence[np.ndarray]], *, reference: str = "") -> dict[str, dict]:
    """AUC of every row's seeds, and how far each is from the reference row, the same seeds and people on both sides."""
    draws = drawn_people(part)
    values = {
        name: np.array([[aucs(s, part, rows) for s in seeds] for rows in draws]) for name, seeds in scores.items()
    }
    found: dict[str, dict] = {}
    for name, one in values.items():
        found[name] = {s: {"auc": figure(one[..., k])} for k, s in enumerate(species_of(part))}
        if reference in values and one.shape == values[reference].shape and name != reference:
            for k, s in enumerate(species_of(part)):
                found[name][s]["difference"] = figure((one - values[reference])[..., k])
    return found


def cell(one: Mapping, key: str = "auc") -> str:
    """Per cent with the interval over seeds, and in brackets the one over people."""
    if key not in one:
        return ""
    mean, low, high, people = (one[key][name] for name in ("mean", "low", "high", "people"))
    sign = "+" if key == "difference" else ""
    seeds = "" if np.isnan(low) else f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * mean:{sign}.1f}{seeds} [{100 * people[0]:.1f} to {100 * people[1]:.1f}]"


def table(found: Mapping[str, Mapping[str, dict]], columns: Sequence[tuple[str, str]], *, reference: str) -> list[str]:
    """AUC of every row, then differences to the reference; rows that have none are left out."""
    lines: list[str] = []
    for key, title in (("auc", "AUC"), ("difference", f"difference to {reference}")):
        lines += [f"| {title} | " + " | ".join(map(" ".join, columns)) + " |", "|---" * (1 + len(columns)) + "|"]
        for row in next(iter(found.values())):
            cells = [cell(found[part][row][species], key) for part, species in columns]
            lines += [f"| {row} | {' | '.join(cells)} |"] if any(cells) else []
        lines.append("")
    return lines


FOOT = """Per cent: mean of the seeds (95 % interval over seeds, Student's t) [95 % interval over people, bootstrap].
Differences are in points and paired: the same seed, the same people on both sides.
"""


def counts(part: Part) -> str:
    each = ", ".join(f"{(part.species == s).sum()} {s}" for s in species_of(part))
    return f"{part.is_live.sum()} live, {each} of {len(set(part.subjects.tolist()))} people"


def write(folder: Path, name: str, record: Mapping, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(clean(record), indent=1) + "\n")
    (folder / f"{name}.md").write_text(text)


def clean(value: object) -> object:
    """Round, and put `null` where an interval is undefined."""
    if isinstance(value, Mapping):
        return {key: clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [clean(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 5)
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="of `ratta train`")
    parser.add_argument("--data", type=Path, help="live/<subject>/*.jpg and print/<subject>/*.jpg")
    parser.add_argument("--detector", type=Path, help="yunet.onnx")
    parser.add_argument("--teacher", type=Path, help="Silent-Face state dictionary, as a row of its own")
    parser.add_argument("--write", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    settings = parse_training(read_settings(args.experiment), where=args.experiment.name)
    parts = {"simulated": read_parts(settings, args.output / "pools").test}
    if args.data:
        parts["real"] = real_part(args.data, args.detector, size=settings.size)
    rows: dict[str, list[Callable[[np.ndarray], np.ndarray]]] = {}
    for one in settings.scenarios:
        folders = [run_folder(args.output / "runs", one.name, seed) for seed in one.seeds or settings.seeds]
        networks = [load_network(folder / "best.pt")[0] for folder in folders if (folder / "result.json").is_file()]
        rows[one.name] = [lambda pixels, network=network: margins(network, pixels) for network in networks]
    if args.teacher:
        rows["the teacher itself"] = [SilentFaceTeacher(args.teacher).live_margin]
    rows = {name: models for name, models in rows.items() if models}
    first = settings.scenarios[0].name
    found = {
        name: compare(part, {row: [m(part.pixels) for m in models] for row, models in rows.items()}, reference=first)
        for name, part in parts.items()
    }
    columns = [(name, species) for name, part in parts.items() for species in species_of(part)]
    lines = [f"# {settings.name}: AUC by species\n", *table(found, columns, reference=first)]
    lines += [f"{name.capitalize()}: {counts(part)}." for name, part in parts.items()]
    lines += ["Seeds: " + ", ".join(f"{row} {len(models)}" for row, models in rows.items()) + ".", FOOT]
    record = {"counts": {name: counts(part) for name, part in parts.items()}, "rows": found}
    write(args.write, "auc", record, "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
