"""Export a checkpoint as an ONNX graph, checked against torch, with its size and speed.

Writes model.onnx, facts.json and, for MobileNetV3-Small, affine.npz; `ratta calibrate` makes a model folder of them.
Needs ratta[train].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError
from ratta.outputs import check_outputs, replace_text

if TYPE_CHECKING:
    import argparse

    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

HELP = "export a checkpoint as an ONNX graph, checked and timed"
FILES = ("model.onnx", "facts.json", "affine.npz")
TIMING_SECONDS = 5.0
NUMPY_CROPS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta export`."""
    parser.add_argument("checkpoint", type=Path, help="best.pt of labelled training, or last.pt of a distillation")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--size", type=int, help="side of the input, if the checkpoint does not say")
    parser.add_argument("--crops", type=Path, metavar="FOLDER", help="pictures to check on (default: a portrait)")
    parser.add_argument("--count", type=int, default=1000, help="crops to check on (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Export, check, time, report."""
    check_outputs(
        [("--output", args.output / name) for name in FILES],
        folders=[("--output", args.output)],
        inputs=[args.checkpoint, *([args.crops] if args.crops else [])],
    )
    from ratta.bench.swap import swap_rows
    from ratta.train.export import card_facts, export_graph, numpy_deviation
    from ratta.train.teachers import load_network

    network, known = load_network(args.checkpoint)
    size = args.size or trained_size(known)
    if not 32 <= size <= 512 or args.count < 1:
        raise InputError(f"expected --size from 32 to 512 and --count of at least 1, got {size} and {args.count}")
    path = args.output / "model.onnx"
    crops = make_crops(args.crops, size=size, count=args.count)
    report = export_graph(network, size=size, path=path, crops=crops)
    in_numpy = numpy_deviation(network, path.read_bytes(), crops[:NUMPY_CROPS])
    run_facts = {k: v for k, v in known.items() if isinstance(v, str | int | float) and k not in ("settings", "size")}
    facts = card_facts(network, report, size=size, run=run_facts)
    replace_text(args.output / "facts.json", json.dumps(facts, indent=1) + "\n")
    row = swap_rows([str(path)], seconds=TIMING_SECONDS)[0]
    print(f"{path}: {facts['architecture']}, {report.parameters:,} parameters, {report.size_bytes:,} bytes")
    print(
        f"largest difference of a logit to torch: {report.max_deviation:.1e} in ONNX Runtime on {report.crops} crops,"
    )
    print(
        f"  {'n/a' if in_numpy is None else format(in_numpy, '.1e')} in NumPy on {min(NUMPY_CROPS, args.count)} crops"
    )
    print(f"{row.ms:.2f} ms a crop, one thread, on this machine as busy as it is now")
    return 0


def trained_size(known: dict[str, Any]) -> int:
    """Side of the inputs that a checkpoint was trained on at the end."""
    if "size" in known:
        return int(known["size"])
    schedule = json.loads(known.get("settings") or "{}").get("size_schedule")
    if not schedule:
        raise InputError("checkpoint: expected one that says its input's side, got none; pass --size")
    return int(max(side for _, side in schedule))


def make_crops(folder: Path | None, *, size: int, count: int) -> Pixels:
    """Cut crops of real pictures at random places and scales, some darkened, `(count, size, size, 3) uint8` RGB."""
    from ratta.camera import list_pictures, read_picture
    from ratta.camera.scenes import PORTRAIT
    from ratta.media.opencv import opencv

    paths = [Path(PORTRAIT)] if folder is None else list_pictures(folder)
    rng = np.random.default_rng(0)
    pictures: dict[Path, Pixels] = {}
    crops = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        path = paths[index % len(paths)]
        if path not in pictures:
            pictures = {path: read_picture(str(path))}
        picture = pictures[path]
        side = int(rng.uniform(0.25, 1.0) * min(picture.shape[:2]))
        y, x = (int(rng.integers(0, extent - side + 1)) for extent in picture.shape[:2])
        cut = opencv().resize(picture[y : y + side, x : x + side], (size, size), interpolation=opencv().INTER_AREA)
        crops[index] = (cut[..., ::-1] * rng.uniform(0.5, 1.0)).astype(np.uint8)
    return crops
