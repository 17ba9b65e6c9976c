"""How far the NumPy engine is from ONNX Runtime on a model, and how much slower.

    python bench/numpy_parity.py [--model ratta-mnv3s-128] [--json bench/results/DEVICE/numpy.json]

300 crops of the public-domain portrait (zoom, shift, mirror, brightness, grain) and 200 of noise, through the graph in
both. One thread each, in turns; the ratio is of CPU times. Bias: one face.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ratta.bench.device import read_device
from ratta.bench.frames import PORTRAIT
from ratta.bench.schema import to_json
from ratta.bench.timing import Contestant, race, ratios_over
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
from ratta.inference import NumpySession, OrtSession
from ratta.perception.resize import resize

PORTRAITS, NOISE = 300, 200


def crops(size: int) -> list[np.ndarray]:
    """500 crops, (S, S, 3) uint8."""
    rng = np.random.default_rng(0)
    with np.load(PORTRAIT, allow_pickle=False) as archive:
        portrait = archive["rgb"]
    found = []
    for _ in range(PORTRAITS):
        side = int(rng.integers(size, min(portrait.shape[:2])))
        top, left = (int(rng.integers(0, edge - side + 1)) for edge in portrait.shape[:2])
        crop = portrait[top : top + side, left : left + side]
        crop = resize(np.ascontiguousarray(crop), height=size, width=size, flip=False).astype(float)
        crop = crop[:, :: rng.choice((-1, 1))] * rng.uniform(0.5, 1.5) + rng.normal(0, rng.uniform(0, 12), crop.shape)
        found.append(np.clip(crop, 0, 255).astype(np.uint8))
    return found + [rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(NOISE)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    bundle = read_bundle(find_bundle(args.model))
    ours, theirs = NumpySession(bundle.graph), OrtSession(bundle.graph)
    name, pictures = ours.inputs[0], crops(bundle.contract.size)
    worst = dict.fromkeys(ours.outputs, 0.0)
    for crop in pictures:
        for output, a, b in zip(
            ours.outputs, ours.run({name: crop[None]}), theirs.run({name: crop[None]}), strict=True
        ):
            worst[output] = max(worst[output], float(np.abs(a - b).max()))
    feeds = {name: pictures[0][None]}
    racers = [
        Contestant(label, lambda s=s: s.run(feeds), calls=4) for label, s in (("onnxruntime", theirs), ("numpy", ours))
    ]
    ratio = ratios_over(race(racers, seconds=args.seconds), "onnxruntime", cpu=True)["numpy"]
    found = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": to_json(read_device()),
        "model": bundle.name,
        "sha256": bundle.sha256,
        "crops": len(pictures),
        "largest deviation": worst,
        "numpy over onnxruntime, cpu": to_json(ratio),
    }
    text = json.dumps(found, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
