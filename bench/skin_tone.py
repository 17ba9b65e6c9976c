"""Is the model as good to darker skin as to lighter skin? Error rates by skin-tone cluster, on simulated captures.

Test people only: nobody chose anything on them. The tone is that of the picture, not of the person: the individual
typology angle ``ITA = atan((L* - 50) / b*)`` (Chardon et al. 1991) of the median skin pixel of the portrait's face, so
light and make-up count too. People are parted into thirds by it.

    python bench/skin_tone.py --bundle models/ratta-mnv3s-128 --portraits cache

Bias: 64 people, studio light, older office holders; the captures are simulated, and no attack is one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ratta.bundle import read_bundle
from ratta.calibration import read_sources
from ratta.contract import Contract
from ratta.inference import Network, OrtSession
from ratta.metrics import clopper_pearson
from ratta.simulate import PortraitBank, crop_face, simulate_capture
from ratta.simulate.portraits import Cutout, Rgb
from ratta.train.factory import split_portraits

CLUSTERS = ("darker third", "middle third", "lighter third")
CAPTURES = {"live": 6, "print": 3, "replay": 3}


def typology_angle(cutout: Cutout) -> float:
    """Individual typology angle of the cheeks and the nose, degrees; higher is lighter."""
    x_min, y_min, x_max, y_max = cutout.box
    width, height = x_max - x_min, y_max - y_min
    rows = slice(int(y_min + 0.45 * height), int(y_min + 0.75 * height))
    patch = cutout.rgba[rows, int(x_min + 0.25 * width) : int(x_max - 0.25 * width), :3]
    lab = cv2.cvtColor(patch.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.rad2deg(np.arctan2(lightness - 50, yellow)))


def captures(
    people: PortraitBank, contract: Contract, *, seed: int
) -> Iterator[tuple[tuple[Rgb, ...], bool, str, str, str]]:
    """Simulate every person, live and attacked."""
    rng = np.random.default_rng(seed)
    for index, name in enumerate(people.names):
        for species, count in CAPTURES.items():
            for number in range(count):
                shot = simulate_capture(people[index], rng, species=species)
                crops = tuple(crop_face(shot.rgb, shot.box, scale=c.scale, size=c.size) for c in contract.crops)
                yield crops, species == "live", "" if species == "live" else species, name, f"{name}-{species}-{number}"


def measure(bundle_folder: Path, portraits: Path, *, seed: int = 21) -> list[dict[str, object]]:
    """Give one row a cluster: angles, people, and every species' error rate at the live threshold."""
    bundle = read_bundle(bundle_folder)
    calibration = bundle.calibration
    people = PortraitBank(portraits, keep=split_portraits(portraits).test)
    angles = np.array([typology_angle(people[index]) for index in range(len(people))])
    cluster = np.searchsorted(np.quantile(angles, (1 / 3, 2 / 3)), angles)
    readings = read_sources(
        Network(OrtSession(bundle.graph), bundle.contract), captures(people, bundle.contract, seed=seed)
    )
    scores = 1 / (1 + np.exp(-(readings.margins / calibration.temperature + calibration.bias)))
    wrong = (scores >= calibration.live_threshold) != readings.is_live
    species = np.where(readings.is_live, "live", readings.species)
    place = cluster[[people.names.index(name) for name in readings.subjects]]
    return [
        {
            "cluster": name,
            "people": int((cluster == number).sum()),
            "angles": [float(angles[cluster == number].min()), float(angles[cluster == number].max())],
            "errors": {
                kind: [int(wrong[chosen].sum()), int(chosen.sum())]
                for kind in CAPTURES
                for chosen in [(place == number) & (species == kind)]
            },
        }
        for number, name in enumerate(CLUSTERS)
    ]


def cell(errors: int, count: int) -> str:
    """Give a rate and its exact 95 % interval, per cent."""
    low, high = clopper_pearson(errors, count)
    return f"{100 * errors / count:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table as Markdown, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--portraits", type=Path, required=True, help="prepared portraits")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    rows = measure(args.bundle, args.portraits)
    print(
        "| skin in the picture | angle | people | BPCER % | APCER print % | APCER replay % |\n|---|---|---|---|---|---|"
    )
    for row in rows:
        low, high = row["angles"]  # type: ignore[misc]
        cells = " | ".join(cell(*row["errors"][species]) for species in CAPTURES)  # type: ignore[index]
        print(f"| {row['cluster']} | {low:.0f} to {high:.0f} | {row['people']} | {cells} |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
