"""Make a features file of a folder of face captures by a model's own crops: `<class>/<person>/*.jpg`.

    python bench/crop_features.py CAPTURES OUTPUT.npz [--people 0001 ...] [--frames 6] [--pool FOLDER]

`CAPTURES/live/<person>` holds living faces, every other folder is an attack species. Consecutive captures of one
person make a session. Faces are found by the shipped detector; a capture that holds none is left out. What the file
holds stands in `bench/feature_streams.py`. `--pool` also keeps the wide crops as sessions for `ratta eval`. Both are
made from faces: keep them where the captures may be kept.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import ratta
from ratta.contract import CropRule
from ratta.evaluate import CropSession, write_pool
from ratta.perception import Perception, QualityLimits
from ratta.records import Refusal

SCALES = {"wide": 2.7, "tight": 1.15}


def crop_session(folder: Path, number: int, crops: list[np.ndarray]) -> CropSession:
    """One session, half a second between frames."""
    live = folder.parent.name == "live"
    return CropSession(
        name=f"{folder.parent.name}/{folder.name}/{number}",
        subject=folder.name,
        camera="webcam",
        is_live=live,
        species="" if live else folder.parent.name,
        pixels=np.stack(crops),
        refusals=np.array([""] * len(crops), np.str_),
        t=0.5 * np.arange(len(crops)),
    )


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--people", nargs="+")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--model", default="ratta-mnv3s-128")
    args = parser.parse_args()
    engine = ratta.load(args.model)
    size = engine.bundle.contract.size
    eyes = Perception(
        detector=engine.new_perception().detector,
        crops=tuple(CropRule(scale=scale, size=size) for scale in SCALES.values()),
        limits=QualityLimits(),
    )
    columns: dict[str, list] = {}
    sessions: list[CropSession] = []
    session = 0
    for folder in sorted(p for p in args.captures.glob("*/*") if p.is_dir()):
        if args.people and folder.name not in args.people:
            continue
        looks = (eyes.look(cv2.imread(str(path)), box=None, color="bgr") for path in sorted(folder.iterdir()))
        seen = iter([look for look in looks if not isinstance(look, Refusal)])
        while len(some := list(islice(seen, args.frames))) == args.frames:
            for frame, look in enumerate(some):
                row = {"is_live": folder.parent.name == "live", "species": folder.parent.name}
                row |= {"person": int(folder.name), "session": session, "frame": frame}
                for name, pixels in zip(SCALES, look.pixels, strict=True):
                    reading = engine.network.read((pixels,))
                    row |= {f"embedding_{name}": reading.embedding, f"live_logit_{name}": reading.live_logit}
                for name, value in row.items():
                    columns.setdefault(name, []).append(value)
            sessions.append(crop_session(folder, session, [look.pixels[0] for look in some]))
            session += 1
        print(folder.parent.name, folder.name, f"{session} sessions", flush=True)
    np.savez(args.output, **{name: np.array(values) for name, values in columns.items()})
    if args.pool:
        write_pool(args.pool, sessions, key=f"{args.captures.name} {args.people} {args.frames}")


if __name__ == "__main__":
    main()
