"""Give a model drift statistics of simulated people: the source camera, and the mild changes of it.

    python bench/with_drift.py PORTRAITS OUTPUT [--model ratta-mnv3s-128] [--camera flagship] [--people 0.03]

PORTRAITS is a prepared folder (`ratta train` makes it). The people are those whom training keeps for validation.
Thresholds, space and prototypes stay the model's own. Pools are kept beside OUTPUT.
"""

from __future__ import annotations

import argparse
from itertools import cycle
from pathlib import Path

import ratta
from ratta.adaptation.drift import DriftReference
from ratta.adaptation.source import SourceReference
from ratta.assembly import source_of
from ratta.calibration import read_sources
from ratta.calibration.bundles import with_statistics
from ratta.calibration.source import session_samples
from ratta.evaluate import read_pool
from ratta.evaluate.domains import prepare_pool
from ratta.evaluate.experiment import SimulatedDomain
from ratta.evaluate.sessions import change_session
from ratta.inference import Network
from ratta.simulate import CHANGES


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="ratta-mnv3s-128")
    parser.add_argument("--camera", default="flagship")
    parser.add_argument("--people", type=float, default=0.03, help="share of the portraits, 0.1 at most")
    args = parser.parse_args()
    engine = ratta.load(args.model)
    domain = SimulatedDomain(
        kind="simulated",
        portraits=args.portraits,
        people=(0.0, args.people),
        cameras=(args.camera,),
        frames=3,
        every=3,
        frame_size=(256, 256),
        seed=7,
    )
    folder = args.output.parent / "pools"
    sessions = read_pool(prepare_pool(domain, engine.bundle.contract, folder, progress=True))
    mild = cycle(change.name for change in CHANGES.values() if change.reach == "mild")
    changed = [change_session(one, next(mild)) for one in sessions]
    uncalibrated = Network(engine.network.session, engine.bundle.contract, temperature=1.0, bias=0.0)
    known = source_of(engine.bundle, engine.network)
    source, envelope = (
        session_samples(
            read_sources(uncalibrated, samples(some)), known.space, known.prototypes, engine.bundle.calibration
        )
        for some in (sessions, changed)
    )
    reference = SourceReference(known.space, known.prototypes, DriftReference.from_samples(source, envelope))
    bundle = with_statistics(args.output, engine.bundle, reference)
    print(f"{args.output}: {len(source)} sessions, {len(envelope)} changed")
    print(f"SHA-256 of the manifest {bundle.sha256}")


def samples(sessions):
    """Crops with what is known of them; refused frames are left out."""
    for one in sessions:
        for crops, refusal in zip(one.pixels, one.refusals, strict=True):
            if not refusal:
                crop = tuple(crops) if crops.ndim == 4 else crops
                yield crop, one.is_live, one.species, one.subject, one.name


if __name__ == "__main__":
    main()
