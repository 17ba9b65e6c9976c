"""Measure how real the simulator looks to models that never saw it.

One question: do independent anti-spoofing models call simulated live faces live and simulated attacks attacks, and
does any single global statistic give the class away? People of the development part only. Everything is seeded and
paired: the same person, camera and seed for every species and every variant, so that small differences show.

    python bench/realism.py --portraits cache --peers peers --per-camera 50 --output bench/results/simulate/realism
    python bench/realism.py --portraits cache --peers peers --per-camera 20 --variants all --output ...

A *variant* changes one physical step of a drawn session and leaves the rest as drawn. Bias: the peers' authors trained
on captures of their own, so their opinion of a simulated one is a witness, not a judge; one portrait source.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.simulate import CAMERAS, SPECIES, PortraitBank, Session, crop_face
from ratta.simulate.statistics import STATISTICS, auc

Rgb = NDArray[np.uint8]
Scores = NDArray[np.float64]
SIDE = 288
RESAMPLES = 1000
CROPS = {"wide": (2.7, 80), "face": (1.5, 128)}
"""Crop scale and side that each witness wants; the statistics are taken on both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One simulated capture, cropped, and what is true of it."""

    crops: dict[str, Rgb]
    species: str
    camera: str
    medium: str
    edges: bool
    person: str


def _camera(**changes: Any) -> Callable[[Session], None]:
    def change(session: Session) -> None:
        session.camera = replace(session.camera, **changes)

    return change


def _attribute(name: str, value: Any) -> Callable[[Session], None]:
    def change(session: Session) -> None:
        if hasattr(session, name):
            setattr(session, name, value)

    return change


VARIANTS: dict[str, Callable[[Session], None]] = {
    "as it is": lambda _: None,
    "no noise": _camera(electrons=1e9, read_electrons=0.0),
    "no lens blur": _camera(lens_sigma_px=0.2),
    "no denoise": _camera(denoise=0.0),
    "no vignette": _camera(vignette=0.0),
    "no balance error": _camera(balance=(1.0, 1.0, 1.0)),
    "no compression": _camera(jpeg_quality=0),
    "no uneven light": lambda s: _attribute("shading", np.ones_like(s.shading))(s),
    "lamp of 6500 K": lambda s: (_attribute("kelvin", 6500.0)(s), _attribute("tint", 0.0)(s))[0],
    "no glare": _attribute("gloss", 0.0),
    "no hands": _attribute("hand_seed", 0),
    "edges in view": lambda _: None,
    "edges hidden": lambda _: None,
    "own background": lambda _: None,
    "made background": lambda _: None,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "edges in view": {"edges": True},
    "edges hidden": {"edges": False},
    "own background": {"own_background": True},
    "made background": {"own_background": False},
}


def shoot(bank: PortraitBank, *, per_camera: int, seed: int, species: Sequence[str], variant: str) -> Iterator[Shot]:
    """Simulate as many captures of each species by each camera."""
    for number, camera in enumerate(sorted(CAMERAS)):
        for index in range(per_camera):
            person = (index * len(CAMERAS) + number) % len(bank)
            for kind in species:
                rng = np.random.default_rng((seed, number, index))
                session = Session(
                    cutout=bank[person],
                    species=kind,
                    camera=camera,
                    rng=rng,
                    height=SIDE,
                    width=SIDE,
                    face_px=SIDE / rng.uniform(2.7, 3.6),
                    **ARGUMENTS.get(variant, {}),
                )
                VARIANTS[variant](session)
                shot = session.frame(0.0)
                yield Shot(
                    crops={k: crop_face(shot.rgb, shot.box, scale=c, size=s) for k, (c, s) in CROPS.items()},
                    species=kind,
                    camera=camera,
                    medium=shot.medium,
                    edges=kind != "live" and session.edges,
                    person=bank.names[person],
                )


Witness = tuple[str, Callable[[Rgb], NDArray[np.float32]]]


def open_witnesses(folder: Path) -> dict[str, Witness]:
    """Open the independent models by name, each with its crop."""
    from ratta.train.teachers import OnnxTeacher, SilentFaceTeacher

    wide = SilentFaceTeacher(folder / "silent-face" / "2.7_80x80_MiniFASNetV2.pth")
    face = OnnxTeacher(folder / "face-antispoof-onnx" / "MiniFASNetV2-SE-128.onnx")
    return {"Silent-Face 2.7": ("wide", wide.live_margin), "face-antispoof-onnx": ("face", face.live_margin)}


def judge(shots: Sequence[Shot], witness: Witness) -> Scores:
    """Log-odds of live of every shot."""
    crop, score = witness
    chunks = [score(np.stack([s.crops[crop] for s in shots[i : i + 64]])) for i in range(0, len(shots), 64)]
    return np.concatenate(chunks).astype(np.float64)


def interval(measure: Callable[[NDArray[np.intp]], float], people: NDArray[np.str_]) -> tuple[float, float]:
    """95 % interval by resampling people: ``measure`` takes the chosen rows."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(people == name) for name in np.unique(people)]
    values = [
        measure(np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])) for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)


def _figure(measure: Callable[[NDArray[np.intp]], float], people: NDArray[np.str_], n: int) -> dict[str, float]:
    low, high = interval(measure, people)
    return {"value": measure(np.arange(len(people))), "low": low, "high": high, "n": n}


def live_share(scores: Scores, live: NDArray[np.bool_], people: NDArray[np.str_]) -> dict[str, float]:
    """Share of live captures whose log-odds of live are positive."""

    def measure(rows: NDArray[np.intp]) -> float:
        chosen = scores[rows][live[rows]]
        return float((chosen > 0).mean()) if len(chosen) else float("nan")

    return _figure(measure, people, int(live.sum()))


def separation(
    values: Scores, live: NDArray[np.bool_], attack: NDArray[np.bool_], people: NDArray[np.str_]
) -> dict[str, float]:
    """AUC of live over attack."""

    def measure(rows: NDArray[np.intp]) -> float:
        positive, negative = values[rows][live[rows]], values[rows][attack[rows]]
        return auc(positive, negative) if len(positive) and len(negative) else float("nan")

    return _figure(measure, people, int(attack.sum()))


def opinions(shots: Sequence[Shot], witness: Witness) -> dict[str, Any]:
    """Say what one witness makes of the shots: per species, camera, medium, with and without edges."""
    scores = judge(shots, witness)
    species, camera, medium, people = (
        np.array([getattr(s, name) for s in shots]) for name in ("species", "camera", "medium", "person")
    )
    edges, live = np.array([s.edges for s in shots]), species == "live"
    found: dict[str, Any] = {"live called live": live_share(scores, live, people)}
    found["live called live by camera"] = {
        c: live_share(scores, live & (camera == c), people) for c in np.unique(camera)
    }
    kinds = [k for k in np.unique(species) if k != "live"]
    found["AUC by species"] = {k: separation(scores, live, species == k, people) for k in kinds}
    found["attacks called live by species"] = {k: float((scores[species == k] > 0).mean()) for k in kinds}
    found["AUC by medium"] = {m: separation(scores, live, medium == m, people) for m in np.unique(medium[~live])}
    found["AUC by camera"] = {
        c: separation(scores, live & (camera == c), ~live & (camera == c), people) for c in np.unique(camera)
    }
    found["AUC by edges"] = {
        f"{k}, {word}": separation(scores, live, (species == k) & (edges == seen), people)
        for k in kinds
        for word, seen in (("edges in view", True), ("edges hidden", False))
    }
    return found


def statistics_table(shots: Sequence[Shot]) -> dict[str, dict[str, float]]:
    """AUC of every single statistic, per crop and species."""
    species = np.array([s.species for s in shots])
    people, live = np.array([s.person for s in shots]), species == "live"
    table = {}
    for crop in CROPS:
        for name, measure in STATISTICS.items():
            values = np.array([measure(s.crops[crop]) for s in shots], np.float64)
            for kind in np.unique(species[~live]):
                table[f"{name}, {crop}, {kind}"] = separation(values, live, species == kind, people)
    return table


def glance(shots: Sequence[Shot], witness: Witness) -> dict[str, float]:
    """Say in short what a witness makes of the shots, without intervals."""
    scores, species = judge(shots, witness), np.array([s.species for s in shots])
    live = scores[species == "live"]
    found = {"live called live": float((live > 0).mean()), "mean log-odds of live": float(live.mean())}
    for kind in np.unique(species[species != "live"]):
        found[f"AUC {kind}"] = auc(live, scores[species == kind])
        found[f"mean log-odds of {kind}"] = float(scores[species == kind].mean())
    return found


def _cell(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f}-{figure['high']:.3f}) | {int(figure['n'])}"


def as_markdown(report: dict[str, Any]) -> str:
    """Write the report's tables."""
    lines = [f"# Realism of the simulator\n\n{report['what']}\n"]
    for name, found in report["witnesses"].items():
        lines += [f"\n## {name}\n", "| | value (95 % interval over people) | n |", "|---|---|---|"]
        lines += [f"| live called live | {_cell(found['live called live'])} |"]
        for key in ("live called live by camera", "AUC by species", "AUC by edges", "AUC by medium", "AUC by camera"):
            lines += [f"| {key}: {k} | {_cell(v)} |" for k, v in found[key].items()]
    outside = sum(not 0.45 <= v["value"] <= 0.55 for v in report["statistics"].values())
    lines += [f"\n## Single statistics: {outside} of {len(report['statistics'])} outside .45-.55\n"]
    lines += ["| statistic, crop, attack | AUC (95 % interval over people) | n |", "|---|---|---|"]
    lines += [f"| {k} | {_cell(v)} |" for k, v in report["statistics"].items()]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement, or one variant after the other; print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--per-camera", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="+", help="names, or all: only the summary of each")
    parser.add_argument("--species", nargs="+", default=list(SPECIES))
    parser.add_argument("--output", type=Path, help="name without suffix of the JSON and Markdown to write")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    from ratta.train.factory import split_portraits

    people = split_portraits(args.portraits).validation
    bank, witnesses = PortraitBank(args.portraits, keep=people), open_witnesses(args.peers)
    variants = list(VARIANTS) if args.variants == ["all"] else args.variants or ["as it is"]
    table: dict[str, Any] = {}
    for variant in variants:
        start = time.process_time()
        shots = list(shoot(bank, per_camera=args.per_camera, seed=args.seed, species=args.species, variant=variant))
        speed = len(shots) / (time.process_time() - start)
        table[variant] = {name: glance(shots, witness) for name, witness in witnesses.items()}
        print(f"{variant:18} {len(shots)} captures, {speed:.1f} per core-second")
        for name, found in table[variant].items():
            print(f"    {name:20} " + "  ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
    report: dict[str, Any] = {"per camera and species": args.per_camera, "seed": args.seed, "variants": table}
    if not args.variants:
        report = {
            "what": f"{args.per_camera} captures per species and camera, {len(people)} development people, seed "
            f"{args.seed}; {speed:.1f} captures per core-second.",
            "witnesses": {name: opinions(shots, witness) for name, witness in witnesses.items()},
            "statistics": statistics_table(shots),
        }
        print(as_markdown(report))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if not args.variants:
            args.output.with_suffix(".md").write_text(as_markdown(report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
