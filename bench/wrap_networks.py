"""Whether `ratta wrap` does what it says for networks that others have trained.

For each network: is its contract found from nothing but the crop rule; are its scores through ratta those of its own
runtime, preprocessed as its authors do; its AUC on real captures; is each swapped claim found and named, on pictures
that come with ratta and on labelled captures of one's own; and what does the engine cost over the network's bare run.

    python bench/wrap_networks.py --peers peers --data nuaa-dev --output bench/results/wrap

Nothing of the pictures is kept. Times are medians of process CPU on a shared machine: ratios hold, milliseconds do not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure_real import Face, read_faces, subjects_of
from numpy.typing import NDArray

import ratta
from ratta.bench.frames import Stream, portrait_frames
from ratta.bundle import read_bundle
from ratta.contract import Contract
from ratta.inference import Network, OrtSession
from ratta.metrics import ScoreSet, auc, bootstrap_statistic
from ratta.records import Box
from ratta.wrap import Examiner, Examples, Foreign, Wishes, examine, read_foreign, simulated_examples, wrap
from ratta.wrap.examples import crop_of

Pixels = NDArray[np.uint8]
OVERHEAD_ROUNDS = 120
PARITY_CROPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A network, the rule of its crops, and what its authors say of its input and classes."""

    name: str
    file: str
    scale: float
    border: str
    color: str
    range: str
    live: int
    published: str

    @property
    def wishes(self) -> Wishes:
        return Wishes(scales=(self.scale,), border=self.border, licence="Apache-2.0", name=self.name)


PEERS = (
    Peer(
        name="MiniFASNetV2-SE-128",
        file="face-antispoof-onnx/MiniFASNetV2-SE-128.onnx",
        scale=1.5,
        border="reflect",
        color="rgb",
        range="0-1",
        live=0,
        published="NUAA .985-.997",
    ),
    Peer(
        name="MiniFASNetV2-SE-128-int8",
        file="face-antispoof-onnx/MiniFASNetV2-SE-128-int8.onnx",
        scale=1.5,
        border="reflect",
        color="rgb",
        range="0-1",
        live=0,
        published="",
    ),
    Peer(
        name="Silent-Face 2.7",
        file="silent-face/2.7_80x80_MiniFASNetV2.pth",
        scale=2.7,
        border="shift",
        color="bgr",
        range="0-255",
        live=1,
        published="NUAA 1.000",
    ),
    Peer(
        name="Silent-Face 4.0",
        file="silent-face/4_0_0_80x80_MiniFASNetV1SE.pth",
        scale=4.0,
        border="shift",
        color="bgr",
        range="0-255",
        live=1,
        published="",
    ),
)


def own_runtime(path: Path) -> Callable[[Pixels], NDArray[np.float32]]:
    """Return the network as its authors run it: ONNX Runtime or torch, their preprocessing written out."""
    if path.suffix == ".pth":
        import torch

        from ratta.train.teachers import load_silent_face

        network = load_silent_face(path)

        def torch_scores(crop: Pixels) -> NDArray[np.float32]:
            planes = torch.from_numpy(crop[..., ::-1].transpose(2, 0, 1).astype(np.float32))[None]
            with torch.inference_mode():
                return np.asarray(network(planes).logits.numpy()[0])

        return torch_scores
    from ratta.inference.session import import_onnxruntime

    onnxruntime = import_onnxruntime()

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def scores(crop: Pixels) -> NDArray[np.float32]:
        planes = (crop.astype(np.float32) / 255.0).transpose(2, 0, 1)[None]
        return np.asarray(session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(planes)})[0][0])

    return scores


def measured(peer: Peer, path: Path, faces: Sequence[Face], folder: Path) -> dict[str, Any]:
    """Wrap one network by its crop rule alone and measure it."""
    foreign, began = read_foreign(path), time.perf_counter()
    rule = peer.wishes.crops(foreign)[0]
    shipped = simulated_examples(rule)
    made = wrap(foreign, peer.wishes, shipped, folder=folder, trust=True)
    took_s = time.perf_counter() - began
    crops = [crop_of(face.rgb, Box(*face.box), rule) for face in faces]
    own = Examples(crops[::4], np.array([face.live for face in faces[::4]]), "captures of one's own")
    bundle = read_bundle(folder)
    network = Network(OrtSession(bundle.graph), bundle.contract)
    theirs = own_runtime(path)
    live = bundle.contract.outputs.classes.index("live")
    readings = [network.read((crop,)) for crop in crops]
    every = max(1, len(crops) // PARITY_CROPS)
    compared = list(zip(crops, readings, strict=True))[::every][:PARITY_CROPS]
    deviation = max(float(np.abs(one.logits[0] - theirs(crop)).max()) for crop, one in compared)
    scores = ScoreSet(
        live_scores=[one.live_logit for one in readings],
        is_live=[face.live for face in faces],
        species=[face.species if not face.live else "" for face in faces],
        subjects=[face.subject for face in faces],
    )
    found = bootstrap_statistic(auc, scores, seed=0)
    right = (bundle.contract.input.color, _range(bundle.contract), live) == (peer.color, peer.range, peer.live)
    return {
        "found from the crop rule alone": right,
        "findings": [str(one) for one in made.findings],
        "seconds to wrap": round(took_s, 1),
        "embedding": bundle.contract.outputs.embedding,
        "embedding width": int(readings[0].embedding.size),
        "largest difference of a score": deviation,
        "crops compared": len(compared),
        "auc": [round(found.value, 4), round(found.low, 4), round(found.high, 4)],
        "published": peer.published,
        "swaps": swaps(peer, foreign, {"shipped pictures": shipped, "labelled captures": own}),
    }


def _range(contract: Contract) -> str:
    return {255.0: "0-1", 1.0: "0-255"}.get(contract.input.std[0], "other")


def told(peer: Peer, foreign: Foreign) -> Wishes:
    """Say everything that the authors say."""
    order = ["print", "replay"] if "Silent" in peer.name else ["attack"]
    order.insert(peer.live, "live")
    return replace(peer.wishes, color=peer.color, range=peer.range, classes=tuple(order), layout=foreign.layout)


def costs(peer: Peer, path: Path, folder: Path) -> dict[str, float]:
    """Wrap as told, without looking, and time it."""
    foreign = read_foreign(path)
    rule = peer.wishes.crops(foreign)[0]
    scene = portrait_frames(2)
    crops = [
        crop_of(np.ascontiguousarray(frame[..., ::-1]), box, rule)
        for frame, box in zip(scene.frames, scene.boxes, strict=True)
    ]
    wrap(foreign, told(peer, foreign), Examples(crops, np.array([True, False]), "none"), folder=folder, trust=True)
    bundle = read_bundle(folder)
    return overhead(folder, Network(OrtSession(bundle.graph), bundle.contract), crops[0])


def swaps(peer: Peer, foreign: Foreign, examples: dict[str, Examples]) -> dict[str, Any]:
    """Claim one thing wrong at a time, and everything right, and see what `wrap` says of each claim."""
    truth = told(peer, foreign)
    order = list(truth.classes)
    other = (peer.live + 1) % len(order)
    order[peer.live], order[other] = order[other], order[peer.live]
    claims = {
        "nothing": truth,
        "colour order": replace(truth, color="bgr" if peer.color == "rgb" else "rgb"),
        "range": replace(truth, range="0-255" if peer.range == "0-1" else "0-1"),
        "class order": replace(truth, classes=tuple(order)),
        "layout": replace(truth, layout="NHWC"),
    }
    table: dict[str, Any] = {}
    for origin, shown in examples.items():
        scores = foreign.scores()
        examiner = Examiner(foreign, scores=scores, kind=foreign.kind(scores), examples=shown)
        for what, wishes in claims.items():
            _, findings = examine(foreign, wishes, examiner)
            named = [one.what for one in findings if one.swapped]
            weights = {one.what: round(one.weight, 2) for one in findings}
            table.setdefault(what, {})[origin] = {"named": named, "weights": weights}
    return table


def overhead(folder: Path, network: Network, crop: Pixels) -> dict[str, float]:
    """Time the bare run, the network with its input made, the cut, and a step with the box, in turn."""
    engine, scene = ratta.load(folder), portrait_frames(8, zoom=1.5)
    feed, session = network.feed, network.session
    feeds = {feed.name: feed((crop,)).copy()}
    rule, stream = network.contract.crops[0], Stream(scene)

    def step() -> object:
        frame, box, t = stream.next()
        decision = engine.step(frame, t=t, box=box)
        assert decision.box is not None, decision.detail
        return decision

    def cut() -> object:
        return crop_of(scene.frames[0], scene.boxes[0], rule)

    calls = {"bare": lambda: session.run(feeds), "network": lambda: network.read((crop,)), "cut": cut, "step": step}
    times: dict[str, list[int]] = {name: [] for name in calls}
    for turn in range(OVERHEAD_ROUNDS):
        for name, call in calls.items():
            began = time.process_time_ns()
            call()
            if turn >= 5:
                times[name].append(time.process_time_ns() - began)
    median = {name: float(np.median(spent)) / 1e6 for name, spent in times.items()}
    return {
        "bare ms": round(median["bare"], 3),
        "network over bare": round(median["network"] / median["bare"], 3),
        "step over bare": round(median["step"] / median["bare"], 3),
        "step over bare and cut": round(median["step"] / (median["bare"] + median["cut"]), 3),
    }


def table(results: dict[str, Any]) -> str:
    """Lay the figures out as Markdown."""
    lines = ["| network | contract found | embedding | largest difference | AUC, NUAA 0001-0008 | published |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, one in results.items():
        low, high = one["auc"][1:]
        lines.append(
            f"| {name} | {'yes' if one['found from the crop rule alone'] else 'NO'} | {one['embedding width']} | "
            f"{one['largest difference of a score']:.1e} on {one['crops compared']} | {one['auc'][0]:.3f} "
            f"({low:.3f} to {high:.3f}) | {one['published'] or 'n/a'} |"
        )
    lines += [
        "",
        "| network | wrong claim | named on shipped pictures | on labelled captures |",
        "|---|---|---|---|",
    ]
    for name, one in results.items():
        for what, cells in one["swaps"].items():
            shown = [", ".join(cells[o]["named"]) or "nothing" for o in ("shipped pictures", "labelled captures")]
            lines.append(f"| {name} | {what} | {shown[0]} | {shown[1]} |")
    lines += ["", "| network | bare ms | network / bare | step / bare | step / (bare + cut) |", "|---|---|---|---|---|"]
    for name, one in results.items():
        cost = one["overhead"]
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in cost.values()) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every network that is there; write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--subjects", default="1-8")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th capture (%(default)s)")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--part", choices=("contracts", "costs", "all"), default="all", help="(%(default)s)")
    args = parser.parse_args(argv)
    if not args.data.is_dir() or not args.peers.is_dir():
        print(f"SKIPPED: {args.data} or {args.peers} is not here; nothing was measured", file=sys.stderr)
        return 0
    detector = args.peers / "face-antispoof-onnx" / "yunet.onnx"
    faces = read_faces(args.data, detector, subjects_of(args.subjects))[:: args.every] if args.part != "costs" else []
    known = args.output / "wrap.json"
    results: dict[str, Any] = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    for peer in PEERS:
        path, found = args.peers / peer.file, results.setdefault(peer.name, {})
        with tempfile.TemporaryDirectory(prefix="wrap-") as scratch:
            if args.part != "costs" and "auc" not in found:  # an interrupted run goes on where it was
                found |= measured(peer, path, faces, Path(scratch) / "bundle")
            if args.part != "contracts":
                found["overhead"] = costs(peer, path, Path(scratch) / "timed")
        print(peer.name, json.dumps(results[peer.name], indent=1), flush=True)
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / "wrap.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        whole = {name: one for name, one in results.items() if {"auc", "overhead"} <= set(one)}
        (args.output / "wrap.md").write_text(table(whole), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
