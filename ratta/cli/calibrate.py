"""Calibrate a model on people it was not trained on: temperature, thresholds by named policies, source statistics.

MODEL is a folder that `ratta export` wrote, or a model folder (or the name of a shipped one), of which a newly
calibrated copy is made. The data are a corpus, a manifest or your own folder, or simulated; faces are cut into a
temporary folder and deleted again: what is kept are features and numbers. Policies: see docs/metrics.md.

With --adapt the model may adapt afterwards (ratta.load(adapt=True)): it takes at least 100 sessions for that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.adaptable import adaptation_reference, write_adaptable
from ratta.calibrate import calibrated, read_parts
from ratta.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt

    from ratta.calibrate import Sample
    from ratta.evaluate import CropSession
    from ratta.evaluate.experiment import Domain

HELP = "calibrate an exported network, or a model anew, into a model folder"
SIMULATED = "simulated"
CORPORA = ("folder", "manifest", "nuaa", "replay-attack", "casia-fasd", "msu-mfsd", "celeba-spoof")
DEVELOPMENT_PEOPLE = (0.0, 0.1)
"""The tenth of the people that training keeps for validation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta calibrate`."""
    parser.add_argument("model", help="an exported folder, a model folder, or a shipped model's name")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the model folder to write")
    parser.add_argument(
        "--data", nargs=2, required=True, metavar=("KIND", "PATH"), help=f"{', '.join((SIMULATED, *CORPORA))}"
    )
    parser.add_argument("--split", choices=("train", "dev", "test"), default="dev", help="of the data (%(default)s)")
    parser.add_argument("--frames", type=int, default=4, help="at most so many a session (%(default)s)")
    parser.add_argument("--sessions", type=int, default=2, help="simulated: a person and species (%(default)s)")
    parser.add_argument("--live", default="apcer=0.05", metavar="POLICY", help="of the live threshold (%(default)s)")
    parser.add_argument("--spoof", default="bpcer=0.02", metavar="POLICY", help="of the spoof one (%(default)s)")
    parser.add_argument("--crop-scale", type=float, help="of an exported network that does not say")
    parser.add_argument("--name", help="of the new model")
    parser.add_argument("--version", default="1", help="(%(default)s)")
    parser.add_argument("--adapt", action="store_true", help="also measure what adaptation must know of the source")
    parser.add_argument("--card", type=Path, metavar="FILE", help="Markdown that says what the model is")


def run(args: argparse.Namespace) -> int:
    """Read the model, cut the data, calibrate, write."""
    try:
        from ratta.evaluate.domains import prepare_pool
        from ratta.evaluate.sessions import read_pool
    except ModuleNotFoundError as error:
        raise MissingExtraError("ratta calibrate needs pydantic and OpenCV: pip install 'ratta[tools]'") from error
    parts = read_parts(args.model, crop_scale=args.crop_scale)
    parts = replace(parts, name=args.name or args.output.name, version=args.version)
    if args.card is not None:
        parts = replace(parts, card=read_card(args.card))
    with tempfile.TemporaryDirectory(prefix="ratta-calibrate-") as scratch:
        pool = read_pool(prepare_pool(domain_of(args, Path(scratch)), parts.contract, Path(scratch) / "pools"))
        bundle, figures = calibrated(
            parts,
            samples_of(pool),
            folder=args.output,
            origin=f"{args.data[0]}{'' if args.data[0] == SIMULATED else f', split {args.split}'}",
            live_policy=args.live,
            spoof_policy=args.spoof,
        )
        if args.adapt:
            reference = adaptation_reference(bundle, crops_of(pool), crops_of(changed(pool)))
            bundle = write_adaptable(args.output, bundle, reference)
    made = bundle.calibration
    print(f"{args.output}: live from {made.live_threshold:.3f} on, spoof up to {made.spoof_threshold:.3f}")
    print(f"temperature {made.temperature:.3f}, bias {made.bias:.3f}; {made.origin}")
    print(f"AUC of the network on these {figures.samples} crops of {figures.subjects} people: {figures.auc.value:.3f}")
    print("error rates at these thresholds belong on other people: ratta eval")
    return 0


def read_card(path: Path) -> str:
    """Read a card.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--card: expected a readable Markdown file, got {path}: {error}") from error


def domain_of(args: argparse.Namespace, scratch: Path) -> Domain:
    """Make the data domain that the arguments name."""
    from ratta.evaluate.experiment import CorpusDomain, SimulatedDomain

    kind, path = args.data[0], Path(args.data[1])
    if args.frames < 1 or args.sessions < 1:
        raise InputError(f"expected --frames and --sessions of at least 1, got {args.frames} and {args.sessions}")
    if kind == SIMULATED:
        from ratta.cli.train import prepare
        from ratta.simulate import CAMERAS

        prepared = path if (path / "names.txt").is_file() else prepare([path], scratch / "portraits")
        return SimulatedDomain(
            kind="simulated",
            portraits=prepared,
            people=DEVELOPMENT_PEOPLE,
            cameras=tuple(CAMERAS),
            sessions=args.sessions,
            frames=args.frames,
        )
    if kind not in CORPORA:
        raise InputError(f"--data: expected one of {', '.join((SIMULATED, *CORPORA))}, got {kind!r}")
    return CorpusDomain(kind=kind, root=path, split=args.split, frames=args.frames)


def changed(sessions: Iterable[CropSession]) -> Iterator[CropSession]:
    """Take the sessions again, each with another of the mild changes of camera: what is declared adaptable."""
    from ratta.evaluate.sessions import change_session
    from ratta.simulate import CHANGES

    mild = cycle(change.name for change in CHANGES.values() if change.reach == "mild")
    for one, name in zip(sessions, mild, strict=False):
        yield change_session(one, name)


def crops_of(sessions: Iterable[CropSession]) -> Iterator[tuple[npt.NDArray[np.uint8], bool, str, str]]:
    """Give the same crops as `samples_of`, as adaptation takes them."""
    return ((pixels, is_live, species, name) for pixels, is_live, species, _, name in samples_of(sessions))


def samples_of(sessions: Iterable[CropSession]) -> Iterator[Sample]:
    """Give the crops of sessions that were not refused."""
    for one in sessions:
        for pixels, refusal in zip(one.pixels, one.refusals, strict=True):
            if not refusal:
                yield pixels, one.is_live, one.species, one.subject, one.name
