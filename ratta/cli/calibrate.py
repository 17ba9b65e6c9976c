"""Calibrate a model, or make a camera profile of live sessions.

ratta calibrate MODEL --data KIND PATH --output FOLDER: a newly calibrated copy of a model, on people it was not
trained on: temperature, thresholds by named policies (docs/metrics.md), source statistics. MODEL is a folder that
`ratta export` wrote, a model folder, or the name of a shipped one. From 100 sessions on, adaptation can also tell a
changed camera.

ratta calibrate MODEL --data SESSIONS --output PROFILE: a camera profile of a few labelled sessions of one camera, live
and attacks, two or more of each, of three or more people. SESSIONS is a CSV manifest, the folder that ratta record
wrote, or a tree of folders (docs/models.md). It corrects the model's scores, and is written only if people left out say
that it is better; otherwise the report says why not (status 1).

ratta calibrate MODEL --live SESSIONS --output PROFILE: what living faces look like on one camera, from at least ten
sessions of living people and no attack. SESSIONS is a CSV manifest, or a folder of videos or of folders with pictures.
Load it with ratta.load(MODEL, profile=PROFILE): it can only deny.

Faces are cut into a temporary folder and deleted again; features and numbers are kept.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.records import BUFFERED_FRAMES
from ratta.assembly import source_of
from ratta.bundle import MANIFEST, REQUIRED_FILES, find_bundle, model_files, read_bundle
from ratta.calibration import (
    LabelledSession,
    LiveSession,
    calibrated,
    labelled_profile,
    live_profile,
    read_parts,
)
from ratta.data import CORPORA, read_live, separate
from ratta.errors import DataError, InputError, MissingExtraError, did_you_mean
from ratta.files import read_text
from ratta.inference import Network
from ratta.networks import open_graph, open_single
from ratta.outputs import check_outputs
from ratta.profile import FILES as PROFILE_FILES
from ratta.profile import write_profile
from ratta.records import logit

if TYPE_CHECKING:
    import argparse

    import numpy.typing as npt

    from ratta.adaptation.source import Space
    from ratta.bundle import Bundle
    from ratta.calibration.readings import Sample
    from ratta.data import Presentation
    from ratta.evaluate import CropSession
    from ratta.evaluate.experiment import Domain

HELP = "calibrate an exported network, or a model anew, into a model folder"
SIMULATED = "simulated"
KINDS = ", ".join((SIMULATED, *CORPORA))
DEVELOPMENT_PEOPLE = (0.0, 0.1)
"""The tenth of the people that training keeps for validation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta calibrate`."""
    parser.add_argument("model", help="an exported folder, a model folder, or a shipped model's name")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    sessions = parser.add_mutually_exclusive_group(required=True)
    sessions.add_argument(
        "--data", nargs="+", metavar=("KIND", "PATH"), help=f"PATH of a camera's sessions; or KIND PATH: {KINDS}"
    )
    sessions.add_argument("--live", metavar="SESSIONS", help="live sessions of one camera, for a camera profile")
    parser.add_argument("--protocol", type=int, choices=(1, 2, 3, 4), help="of oulu-npu")
    parser.add_argument("--split", choices=("train", "dev", "test"), default="dev", help="of the data (%(default)s)")
    parser.add_argument("--frames", type=int, help="at most so many a session (4; with --live 16)")
    parser.add_argument("--sessions", type=int, default=2, help="simulated: a person and species (%(default)s)")
    parser.add_argument("--live-policy", default="apcer=0.05", metavar="POLICY", help="live threshold (%(default)s)")
    parser.add_argument("--spoof-policy", default="bpcer=0.02", metavar="POLICY", help="spoof threshold (%(default)s)")
    parser.add_argument("--policy", default="bpcer=0.05", help="of a labelled profile's threshold (%(default)s)")
    parser.add_argument("--alpha", type=float, default=0.05, help="share of live sessions to deny (%(default)s)")
    parser.add_argument("--crop-scale", type=float, help="of an exported network that does not say")
    parser.add_argument("--name", help="of the new model")
    parser.add_argument("--version", default="1", help="(%(default)s)")
    parser.add_argument("--strict", action="store_true", help="end at a file of the data that cannot be read")
    parser.add_argument("--card", type=Path, metavar="FILE", help="Markdown that says what the model is")


def run(args: argparse.Namespace) -> int:
    """Make a model, or a profile."""
    try:
        import ratta.evaluate.domains  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("ratta calibrate needs pydantic and OpenCV: pip install 'ratta[tools]'") from error
    if args.data and len(args.data) > 2:
        raise InputError(f"--data: expected SESSIONS, or KIND PATH, got {args.data}")
    labelled = bool(args.data) and len(args.data) == 1
    names = PROFILE_FILES if args.live or labelled else (*REQUIRED_FILES, "affine.npz", "statistics.npz", MANIFEST)
    check_outputs(
        [("--output", args.output / name) for name in names],
        folders=[("--output", args.output)],
        inputs=[args.live or args.data[-1], *([args.card] if args.card else []), *_read_of(args.model)],
    )
    if labelled:
        return make_labelled_profile(args)
    return make_profile(args) if args.live else make_model(args)


def make_labelled_profile(args: argparse.Namespace) -> int:
    """Read labelled sessions, train a head, and write it if people left out say that it is better."""
    bundle, network, space = _source(args)
    sessions, unusable = labelled_sessions(args, network)
    made = labelled_profile(
        sessions,
        space,
        model_sha256=bundle.sha256,
        live_logit=logit(bundle.calibration.live_threshold),
        policy=args.policy,
    )
    print(told_labelled(made.report))
    tell_unusable(unusable)
    if made.profile is None:
        print(f"nothing written: {made.report['why_not']}", file=sys.stderr)
        return 1
    write_profile(args.output, made.profile)
    print(f'{args.output}: written; load it with ratta.load("{args.model}", profile="{args.output}")')
    return 0


def labelled_sessions(args: argparse.Namespace, network: Network) -> tuple[list[LabelledSession], list[str]]:
    """Read labelled sessions, and name those without a usable frame."""
    from ratta.data import read_sessions

    found, unusable = [], []
    for one, embeddings, logits in _read(read_sessions(args.data[0]), args, network):
        if len(logits):
            found.append(LabelledSession(one.name, one.subject, one.species, embeddings, logits))
        else:
            unusable.append(one.name)
    return found, unusable


def told_labelled(report: Mapping[str, Any]) -> str:
    """Say what labelled sessions came to, on people left out."""
    counts = ", ".join(f"{number} {kind}" for kind, number in report["sessions"].items())
    lines = [f"sessions: {counts}; {report['people']} people, each judged by a head made of the others"]
    for name in ("source", "profile"):
        row = report[name]
        species = ", ".join(f"{kind} {rate:.3f}" for kind, rate in row["apcer"].items())
        lines.append(f"{name}: BPCER {row['bpcer']:.3f}, APCER {species}, ACER {row['acer']:.3f}")
    low, high = report["bpcer_interval_95"]
    value, least, most = report["acer_difference"]
    lines.append(f"policy {report['policy']}: the profile's BPCER lies in [{low:.3f}, {high:.3f}]")
    lines.append(f"ACER changes by {value:+.3f} [{least:+.3f}, {most:+.3f}]")
    if report["look_at"]:
        lines.append(f"look whether these are labelled right: {', '.join(report['look_at'])}")
    return "\n".join(lines)


def _source(args: argparse.Namespace) -> tuple[Bundle, Network, Space]:
    bundle = read_bundle(find_bundle(args.model))
    network = open_single(bundle, open_graph(bundle.graph, runtime="onnxruntime"))
    return bundle, network, source_of(bundle, network).space


def tell_unusable(names: list[str]) -> None:
    """Name sessions that were left out."""
    if names:
        print(f"left out for want of a usable frame: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")


def make_profile(args: argparse.Namespace) -> int:
    """Read live sessions and write a camera profile, with what it would do to people left out."""
    bundle, network, space = _source(args)
    sessions, unusable = live_sessions(args, network, space)
    made = live_profile(
        sessions,
        space,
        model_sha256=bundle.sha256,
        live_logit=logit(bundle.calibration.live_threshold),
        alpha=args.alpha,
    )
    write_profile(args.output, made)
    print(f"{args.output}: {told(made.made_from)}")
    tell_unusable(unusable)
    print(f'load it with ratta.load("{args.model}", profile="{args.output}")')
    return 0


def live_sessions(args: argparse.Namespace, network: Network, space: Space) -> tuple[list[LiveSession], list[str]]:
    """Read the live sessions, and name those without a usable frame."""
    found, unusable = [], []
    for one, embeddings, logits in _read(read_live(args.live), args, network):
        if len(logits):
            found.append(LiveSession(one.name, one.subject, space.project(embeddings), logits))
        else:
            unusable.append(one.name)
    return found, unusable


def _read(
    presentations: Sequence[Presentation], args: argparse.Namespace, network: Network
) -> Iterator[tuple[CropSession, npt.NDArray[np.float32], npt.NDArray[np.float64]]]:
    """Cut sessions and read them: embeddings and log-odds of the frames that are usable."""
    from ratta.evaluate.domains import cut_sessions

    frames = BUFFERED_FRAMES if args.frames is None else args.frames
    if not 1 <= frames <= BUFFERED_FRAMES:
        raise InputError(f"--frames: expected 1 to {BUFFERED_FRAMES}, got {frames}")
    for one in cut_sessions(presentations, network.contract, frames=frames, title="reading sessions"):
        usable = [separate(pixels) for pixels, refusal in zip(one.pixels, one.refusals, strict=True) if not refusal]
        readings = [network.read(crops) for crops in usable]
        embeddings = np.array([reading.embedding for reading in readings], np.float32)
        yield one, embeddings, np.array([reading.live_logit for reading in readings])


def told(made_from: Mapping[str, Any]) -> str:
    """Say what a live profile stands on and what it would have denied."""
    low, high = (100 * bound for bound in made_from["denied_interval_95"])
    return (
        f"{made_from['sessions']} live sessions of {made_from['people']} people, {made_from['frames']} frames\n"
        f"a threshold from the others denies {made_from['denied']} of {made_from['sessions']} sessions of the "
        f"{made_from['left_out']} left out: {100 * made_from['denied_share']:.1f} % [{low:.1f}, {high:.1f}], asked for "
        f"{100 * made_from['alpha']:g} %\n"
        f"the model itself rejects {made_from['rejected_by_source']} of them, which no profile can mend"
    )


def make_model(args: argparse.Namespace) -> int:
    """Read the model, cut the data, calibrate, write."""
    from ratta.evaluate.domains import prepare_pool
    from ratta.evaluate.sessions import read_pool

    parts = read_parts(args.model, crop_scale=args.crop_scale)
    parts = replace(parts, name=args.name or args.output.name, version=args.version)
    if args.card is not None:
        parts = replace(parts, card=read_card(args.card))
    with tempfile.TemporaryDirectory(prefix="ratta-calibrate-") as scratch:
        domain = domain_of(args, Path(scratch))
        place = prepare_pool(domain, parts.contract, Path(scratch) / "pools", progress=True)
        pool = read_pool(place)
        bundle, figures = calibrated(
            parts,
            samples_of(pool),
            changed=samples_of(changed(pool)),
            folder=args.output,
            origin=f"{args.data[0]}{'' if args.data[0] == SIMULATED else f', split {args.split}'}",
            live_policy=args.live_policy,
            spoof_policy=args.spoof_policy,
        )
    made = bundle.calibration
    print(f"{args.output}: live from {made.live_threshold:.4f} on, spoof up to {made.spoof_threshold:.4f}")
    print(f"temperature {made.temperature:.3f}, bias {made.bias:.3f}; {made.origin}")
    print(f"AUC of the network on these {figures.samples} crops of {figures.subjects} people: {figures.auc.value:.3f}")
    print("error rates at these thresholds belong on other people: ratta eval")
    if "drift.source" not in bundle.statistics:
        print("fewer than 100 sessions: adaptation will take every camera for changed")
    return 0


def _read_of(model: str) -> tuple[Path, ...]:
    folder = Path(model)
    return (folder, *folder.glob("*")) if (folder / "facts.json").is_file() else model_files(model)


def read_card(path: Path) -> str:
    """Read a card.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return read_text(path, holds="a readable Markdown file")
    except DataError as error:
        raise InputError(f"--card: {error}") from error


def domain_of(args: argparse.Namespace, scratch: Path) -> Domain:
    """Make the data domain that the arguments name."""
    from ratta.evaluate.experiment import CorpusDomain, SimulatedDomain

    kind, path = args.data[0], Path(args.data[1])
    frames = 4 if args.frames is None else args.frames
    if frames < 1 or args.sessions < 1:
        raise InputError(f"expected --frames and --sessions of at least 1, got {frames} and {args.sessions}")
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
            frames=frames,
        )
    if kind not in CORPORA:
        kinds = (SIMULATED, *CORPORA)
        raise InputError(f"--data: expected one of {', '.join(kinds)}, got {kind!r}{did_you_mean(kind, kinds)}")
    return CorpusDomain(
        kind=kind, root=path, split=args.split, frames=frames, protocol=args.protocol, strict=args.strict
    )


def changed(sessions: Iterable[CropSession]) -> Iterator[CropSession]:
    """Take the sessions again, each with another of the mild changes of camera: what is declared adaptable."""
    from ratta.evaluate.sessions import change_session
    from ratta.simulate import CHANGES

    mild = cycle(change.name for change in CHANGES.values() if change.reach == "mild")
    for one, name in zip(sessions, mild, strict=False):
        yield change_session(one, name)


def samples_of(sessions: Iterable[CropSession]) -> Iterator[Sample]:
    """Give the crops of sessions that were not refused."""
    for one in sessions:
        for pixels, refusal in zip(one.pixels, one.refusals, strict=True):
            if not refusal:
                yield separate(pixels), one.is_live, one.species, one.subject, one.name
