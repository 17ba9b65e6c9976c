"""List the models that come with ratta, verified."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle, shipped_models

if TYPE_CHECKING:
    import argparse

HELP = "list the models that come with ratta"


@dataclass(frozen=True, slots=True)
class Row:
    """One shipped model.

    Attributes
    ----------
    name, version, licence : str
    default : bool
        Whether `ratta.load()` takes it.
    graph_mb : float
        Size of the network.
    input_px : int
        Side of a crop.
    live_threshold, spoof_threshold : float
    sha256 : str
        Of the manifest: the model's identity.
    """

    name: str
    version: str
    licence: str
    default: bool
    graph_mb: float
    input_px: int
    live_threshold: float
    spoof_threshold: float
    sha256: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta models`."""
    parser.add_argument("--json", action="store_true", help="as a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print a line for each model; one that does not verify is an error."""
    rows = [row_of(name) for name in shipped_models()]
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    for row in rows:
        print(f"{row.name}  {row.version}{'  (default)' if row.default else ''}")
        print(f"  {row.graph_mb:.2f} MB, {row.input_px} px, {row.licence}, sha256 {row.sha256[:16]}")
        print(f"  live from {row.live_threshold:.4f}, spoof up to {row.spoof_threshold:.4f}")
    print("more about one: ratta info --model NAME; its card: ratta info --model NAME --card")
    return 0


def row_of(name: str) -> Row:
    """Read and verify one shipped model.

    Raises
    ------
    BundleError
        If it does not verify.
    """
    bundle = read_bundle(find_bundle(name))
    return Row(
        name=bundle.name,
        version=bundle.version,
        licence=bundle.licence,
        default=name == DEFAULT_MODEL,
        graph_mb=len(bundle.graph) / 1e6,
        input_px=bundle.contract.size,
        live_threshold=bundle.calibration.live_threshold,
        spoof_threshold=bundle.calibration.spoof_threshold,
        sha256=bundle.sha256,
    )
