"""Make a model folder of somebody's ONNX network: its contract is found or checked, and written down.

ratta wrap NET.onnx --output FOLDER --crop-scale 1.5 --licence Apache-2.0

What is not said is found: on a portrait that comes with ratta, live and recaptured by a simulated camera, or with
--check on your own labelled data, which tells far more. What is said is checked the same way; where something looks
swapped, nothing is written (status 1) unless --trust says that you know better. Two model folders in place of a file
are put together to an ensemble. Needs ratta[onnx].
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.bundle import MANIFEST, REQUIRED_FILES
from ratta.contract import BORDERS, COLORS, KINDS, LAYOUTS, Contract, InputRule, OutputRule
from ratta.errors import InputError
from ratta.outputs import check_outputs

if TYPE_CHECKING:
    import argparse

    from ratta.contract import CropRule
    from ratta.wrap import Examples, Wrapped

HELP = "make a model folder of somebody's ONNX network"
RANGES = ("0-1", "0-255", "-1-1", "imagenet")
OPTIONS = (
    *("layout", "color", "range", "size", "border", "scores", "kind", "embedding"),
    *("name", "version", "licence", "source", "classes", "mean", "std"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta wrap`."""
    parser.add_argument("model", nargs="+", help="an ONNX file (or Silent-Face .pth); or two or more model folders")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the model folder to write")
    parser.add_argument("--contract", metavar="FILE", help="TOML with any of the following options as keys")
    parser.add_argument(
        "--crop-scale",
        type=float,
        action="append",
        help="side of the crop over the face box's; again for a second crop",
    )
    parser.add_argument("--border", choices=BORDERS, help="where a crop leaves the frame (default: shift)")
    parser.add_argument("--size", type=int, help="side of the input, where the graph leaves it open")
    parser.add_argument("--layout", choices=LAYOUTS)
    parser.add_argument("--color", choices=COLORS)
    parser.add_argument("--range", choices=RANGES, help="what 0-255 pixels are brought to")
    parser.add_argument("--mean", type=float, nargs=3, metavar="M", help="in place of --range, with --std")
    parser.add_argument("--std", type=float, nargs=3, metavar="S")
    parser.add_argument("--scores", metavar="OUTPUT", help="the graph's output with the scores")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--classes", type=_names, metavar="A,B", help="of the scores in order; one is live")
    parser.add_argument("--embedding", metavar="VALUE", help="the feature (default: before the last layer)")
    parser.add_argument("--licence", help="of the weights; must be said")
    parser.add_argument("--source", help="where the weights come from, for the card")
    parser.add_argument("--name")
    parser.add_argument("--version")
    parser.add_argument("--check", nargs=2, metavar=("KIND", "PATH"), help="labelled data as for ratta calibrate")
    parser.add_argument("--split", choices=("train", "dev", "test"), default="dev", help="of it (%(default)s)")
    parser.add_argument("--trust", action="store_true", help="write it even where something looks swapped")


def run(args: argparse.Namespace) -> int:
    """Read, try, tell, write."""
    check_outputs(
        [("--output", args.output / name) for name in (MANIFEST, *REQUIRED_FILES, "affine.npz", "statistics.npz")],
        folders=[("--output", args.output)],
        inputs=[path for path in (*args.model, args.contract, *(args.check or ())[1:]) if path is not None],
    )
    names = (MANIFEST, *REQUIRED_FILES)
    check_outputs(
        [("--output", args.output / name) for name in names], folders=[("--output", args.output)], inputs=args.model
    )
    if len(args.model) > 1:
        return _ensemble(args)
    from ratta.wrap import read_foreign, read_wishes, wrap

    given = {name: getattr(args, name) for name in OPTIONS}
    wishes = read_wishes(args.contract, {**given, "scales": tuple(args.crop_scale or ())})
    network = read_foreign(args.model[0])
    rule = wishes.crops(network)[0]
    wrapped = wrap(network, wishes, _examples(args, rule), folder=args.output, trust=args.trust)
    return _tell(args, wrapped)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _examples(args: argparse.Namespace, rule: CropRule) -> Examples:
    from ratta.wrap import Examples, simulated_examples

    if args.check is None:
        from ratta.cli.progress import Progress

        with Progress(None) as bar:
            return simulated_examples(rule, progress=lambda _: bar.advance())
    import numpy as np

    from ratta.cli.calibrate import domain_of, samples_of
    from ratta.evaluate.domains import prepare_pool
    from ratta.evaluate.sessions import read_pool

    args.data, args.frames, args.sessions, args.strict = args.check, 4, 2, False
    with tempfile.TemporaryDirectory(prefix="ratta-wrap-") as scratch:
        contract = Contract(input=InputRule(), crops=(rule,), outputs=OutputRule())
        pool = read_pool(prepare_pool(domain_of(args, Path(scratch)), contract, Path(scratch) / "pools"))
        kept = [(np.array(pixels[0]), is_live) for pixels, is_live, *_ in samples_of(pool)]
    is_live = np.array([live for _, live in kept], bool)
    if not is_live.any() or is_live.all():
        raise InputError(f"--check: expected live faces and attacks, got {is_live.sum()} live of {len(is_live)}")
    return Examples(
        [pixels for pixels, _ in kept], is_live, f"{len(kept)} crops of {args.check[0]}, split {args.split}"
    )


def _tell(args: argparse.Namespace, wrapped: Wrapped) -> int:
    swapped = [finding for finding in wrapped.findings if finding.swapped]
    for finding in wrapped.findings:
        print(finding, file=sys.stderr if finding.swapped else sys.stdout)
    outputs = wrapped.contract.outputs
    print(f"scores: {outputs.scores} ({outputs.kind}), embedding: {outputs.embedding or 'none found; name one'}")
    print(f"largest difference to the file as it came: {wrapped.deviation:.1e}")
    if wrapped.bundle is None:
        print(f"nothing written: {len(swapped)} of the claims look swapped; mend, or --trust", file=sys.stderr)
        return 1
    print(
        f"{args.output}: written, not calibrated; fill in its CARD.md, then: ratta calibrate {args.output} --data ..."
    )
    return 0


def _ensemble(args: argparse.Namespace) -> int:
    from ratta.bundle import find_bundle, read_bundle
    from ratta.ensemble import write_ensemble

    members = [read_bundle(find_bundle(model)) for model in args.model]
    bundle = write_ensemble(args.output, members, name=args.name or args.output.name, version=args.version or "1")
    print(f"{args.output}: {' and '.join(one.name for one in members)}, mean of their log-odds; not calibrated")
    print(f"licence: {bundle.licence}")
    return 0
