"""Describe a model: contract, thresholds and their origin, files and hashes; and the installed versions."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ratta import __version__
from ratta.bundle import (
    DEFAULT_MODEL,
    DETECTOR_FILE,
    DETECTOR_FOLDER,
    MANIFEST,
    find_bundle,
    read_bundle,
    read_detector,
)

if TYPE_CHECKING:
    import argparse

HELP = "describe a model and the installation"
PACKAGES = (
    "numpy",
    "onnxruntime",
    "opencv-python",
    "opencv-python-headless",
    "mediapipe",
    "psutil",
    "pydantic",
    "torch",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta info`."""
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model's name or a model folder (%(default)s)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="as one JSON object")
    shape.add_argument("--card", action="store_true", help="the model card, Markdown")


def run(args: argparse.Namespace) -> int:
    """Print the facts; a model that does not verify is an error."""
    if args.card:
        print(read_bundle(find_bundle(args.model)).card)
    elif args.json:
        print(json.dumps(facts(args.model), indent=2))
    else:
        known = facts(args.model)
        known["contract"] = _flat(known["contract"])
        for title, entries in known.items():
            print(title + (", verified" if title in ("files", "detector") else ""))
            for key, value in entries.items():
                print(f"  {key:<24}{_shown(value)}")
    return 0


def facts(model: str) -> dict[str, dict[str, Any]]:
    """Collect what there is to know of a model folder and of this installation.

    Raises
    ------
    BundleError
        If the model or the detector does not verify.
    """
    folder = find_bundle(model)
    bundle = read_bundle(folder)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    detector = read_detector()
    files = {name: {"bytes": entry["bytes"], "sha256": entry["sha256"]} for name, entry in manifest["files"].items()}
    return {
        "model": {
            "name": bundle.name,
            "version": bundle.version,
            "licence": bundle.licence,
            "folder": str(folder),
            "sha256": bundle.sha256,
        },
        "contract": bundle.contract.to_json(),
        "calibration": asdict(bundle.calibration),
        "files": files,
        "detector": {f"{DETECTOR_FOLDER}/{DETECTOR_FILE}": {"bytes": len(detector)}},
        "installed": {"ratta": __version__, "python": sys.version.split()[0], **_versions()},
        "runtimes": {
            "onnxruntime": "available" if find_spec("onnxruntime") else "not installed: pip install onnxruntime",
            "numpy": "available",
        },
    }


def _flat(contract: dict[str, Any]) -> dict[str, Any]:
    """Lay a contract out in lines: one for each rule of input and outputs, one for each crop."""
    lines = {f"{part}.{key}": value for part in ("input", "outputs") for key, value in contract[part].items()}
    for number, rule in enumerate(contract["crops"], 1):
        lines[f"crops.{number}"] = ", ".join(f"{key} {value}" for key, value in rule.items())
    return lines


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _shown(value: object) -> str:
    if isinstance(value, dict):
        digest = value.get("sha256", "")
        return f"{value['bytes']:>10,} bytes  {digest[:16]}".rstrip()
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
