"""Give a bundle what it must know of its source to adapt, from two pools of development sessions.

    python bench/adaptation_reference.py BUNDLE --development POOL --envelope POOL [--output FOLDER]

`bench/adaptation_sources.py corpus` makes such pools: sessions of people the model was not trained on, and the same
under mild changes of camera. Without --output the bundle itself is written again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ratta.adaptable import adaptation_reference, write_adaptable
from ratta.bundle import find_bundle, read_bundle
from ratta.evaluate import read_pool


def samples(pool: Path):
    return ((crop, one.is_live, one.species, one.name) for one in read_pool(pool) for crop in one.pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="a shipped model's name or a model folder")
    parser.add_argument("--development", type=Path, required=True, help="pool of the source camera")
    parser.add_argument("--envelope", type=Path, required=True, help="pool of the changes declared adaptable")
    parser.add_argument("--output", type=Path, help="another folder to write to")
    args = parser.parse_args()
    folder = find_bundle(args.bundle)
    bundle = read_bundle(folder)
    reference = adaptation_reference(bundle, samples(args.development), samples(args.envelope))
    written = write_adaptable(args.output or folder, bundle, reference)
    print(f"{args.output or folder}: {written.name} {written.version}, SHA-256 of its manifest {written.sha256}")


if __name__ == "__main__":
    main()
