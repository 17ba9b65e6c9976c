"""Sources for the adaptation table: one simulated camera, networks that know no other, and their development sets.

    python bench/adaptation_sources.py corpus --portraits cache --corpus adapt-corpus
    python bench/adaptation_sources.py train --corpus adapt-corpus --model ratta-mnv3s-128 --output adapt-sources
    python bench/adaptation_sources.py measure --corpus adapt-corpus --output adapt-sources

`corpus` simulates people before one phone: single captures to train on, sessions of frames 200 ms apart to develop and
to test on, no person in two parts; and `fresh` and `newest`, sessions of people whom the sources of the later seeds
have not seen in training, and nobody while rules were chosen. `train` fine-tunes a shipped network on it with true
labels, each seed with weak and with strong changes of tone, and writes a bundle of each. `measure` tells what each
loses by each change of camera. What there is already is not made again.

Bias: sources and targets come from the same simulator, and every network starts from the same weights (the head is
drawn anew). The figures say what a change of camera costs and what adaptation gives back, not how good a product is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from ratta.bundle import Bundle, Contract, find_bundle, read_bundle, write_bundle
from ratta.calibrate import calibrate, read_sources, source_statistics
from ratta.evaluate import CropSession, read_pool, score_set, torch_source, write_pool
from ratta.evaluate.sessions import change_session, open_pool
from ratta.inference import OrtSession
from ratta.metrics import ScoreSet, acer, auc, choose_threshold, count
from ratta.simulate import CHANGES, SPECIES, PortraitBank, Session, crop_face
from ratta.simulate.session import handheld
from ratta.train.export import affine_parts, build_graph, stored_name
from ratta.train.factory import split_identities
from ratta.train.network import MobileNetV3Small, normalise

RESULTS = Path(__file__).parent / "results" / "evaluation" / "adaptation-sources.json"
HEADING = """# Single-source networks without adaptation

Made by `bench/adaptation_sources.py measure`: weak and strong tone augmentation, seeds 0 to 2 before the test people, 3
and 4 before the fresh ones, 5 and 6 before the newest; one simulated phone, 360 sessions of 64 people, 2 frames each;
threshold: EER on 240 development sessions, never moved. The rows of the oracle threshold are a ceiling: the best
threshold for these very crops. APCER by species, BPCER and AUC are in the JSON file.
"""
CAMERA = "phone-2015"
SIDE, SIZE, CROP_SCALE = 208, 128, 2.7
PEOPLE = {0: "test", 1: "test", 2: "test", 3: "fresh", 4: "fresh", 5: "newest", 6: "newest"}
"""On whom the sources of each seed are tested; those of the later ones are left out of their training."""
LATER = ("fresh", "newest")
LATER_PEOPLE = 64
SIDES, BATCH, RATE, DECAY = (96, 96, 96, 128), 40, 1e-3, 0.02
"""Side of the inputs in each epoch: the first ones are small, since most of the time would go into them."""
STEP_S, FRAMES_A_STEP = 0.2, 3
"""Development and test frames are 200 ms apart: every third of a camera that gives fifteen a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the corpus: whose faces, how many sessions, how many frames each."""

    people: str
    sessions: int
    frames: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tone:
    """How far training changes tone: half-ranges in log gamma, log contrast and log channel gains."""

    gamma: tuple[float, float]
    contrast: tuple[float, float]
    gains: tuple[float, float]

    def table(self, rng: np.random.Generator) -> np.ndarray:
        gamma, contrast = (np.exp(rng.uniform(*np.log(r))) for r in (self.gamma, self.contrast))
        gains = np.exp(rng.uniform(*np.log(self.gains), 3))
        level = np.arange(256)[:, None] / 255
        return np.clip(255 * (((level**gamma - 0.5) * contrast + 0.5) * gains) + 0.5, 0, 255).astype(np.uint8)[None]


TONES = {
    "weak": Tone(gamma=(0.9, 1.1), contrast=(0.9, 1.1), gains=(0.97, 1.03)),
    "strong": Tone(gamma=(0.45, 2.2), contrast=(0.5, 1.6), gains=(0.74, 1.35)),
}
PARTS = {
    "dev": Part(people="validation", sessions=240, frames=6, seed=101),
    "test": Part(people="test", sessions=360, frames=6, seed=202),
    "train": Part(people="train", sessions=4000, frames=1, seed=303),
    "fresh": Part(people="fresh", sessions=360, frames=6, seed=404),
    "newest": Part(people="newest", sessions=360, frames=6, seed=505),
}


def people_of(part: str, names: Sequence[str]) -> tuple[str, ...]:
    """Who is in a part; the fresh ones are the first of the training part, the newest the next."""
    split = split_identities(names)
    if part not in LATER:
        return tuple(getattr(split, part))
    first = LATER.index(part) * LATER_PEOPLE
    return tuple(split.train[first : first + LATER_PEOPLE])


def simulate(part: Part, portraits: Path) -> Iterator[CropSession]:
    """Simulate a part: people in turn, each live, printed and replayed before anybody comes again."""
    bank = PortraitBank(portraits, keep=people_of(part.people, PortraitBank(portraits).names))
    return (simulate_one(part, bank, index) for index in range(part.sessions))


def simulate_one(part: Part, bank: PortraitBank, index: int) -> CropSession:
    rng = np.random.default_rng((part.seed, index))
    species, person = SPECIES[index % len(SPECIES)], index // len(SPECIES) % len(bank)
    session = Session(
        cutout=bank[person],
        species=species,
        camera=CAMERA,
        rng=rng,
        height=SIDE,
        width=SIDE,
        face_px=SIDE / rng.uniform(2.6, 3.4),
    )
    motions = handheld(rng, part.frames * FRAMES_A_STEP, amplitude_px=0.003 * session.sensor[0])
    shots = [session.frame(0.0, motion=motion) for motion in islice(motions, 0, None, FRAMES_A_STEP)]
    return CropSession(
        name=f"{part.people}-{index:05d}",
        subject=bank.names[person],
        camera=CAMERA,
        is_live=species == "live",
        species="" if species == "live" else species,
        pixels=np.stack([crop_face(shot.rgb, shot.box, scale=CROP_SCALE, size=SIZE) for shot in shots]),
        refusals=np.array([""] * len(shots), np.str_),
        t=STEP_S * np.arange(len(shots)),
    )


def key_of(part: Part) -> str:
    rule = {**asdict(part), "camera": CAMERA, "side": SIDE, "size": SIZE, "scale": CROP_SCALE}
    return hashlib.sha256(json.dumps(rule, sort_keys=True).encode()).hexdigest()


def make_corpus(portraits: Path, corpus: Path) -> None:
    for name, part in PARTS.items():
        if open_pool(corpus / name, key=key_of(part)) is None:
            began = time.process_time()
            sessions = write_pool(corpus / name, simulate(part, portraits), key=key_of(part))
            spent = time.process_time() - began
            print(f"{name}: {len(sessions)} sessions, {sum(map(len, sessions))} frames, {spent:.0f} s", flush=True)


def changed(sessions: Iterable[CropSession], names: Sequence[str]) -> Iterator[CropSession]:
    """Show each session by another camera, the changes taking turns among sessions of each species."""
    for index, one in enumerate(sessions):
        yield change_session(one, names[index // len(SPECIES) % len(names)])


def development_samples(sessions: Iterable[CropSession]) -> Iterator[tuple[np.ndarray, bool, str, str]]:
    """Crop, whether it is live, species and session: what `ratta.adaptation.development.read_development` takes."""
    for one in sessions:
        for crop in one.pixels:
            yield crop, one.is_live, one.species, one.name


def batches(
    crops: np.ndarray, is_live: np.ndarray, tone: Tone, rng: np.random.Generator, *, side: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in random order: flipped, moved a little, re-toned."""
    order = rng.permutation(len(crops))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        made = np.stack([varied(crops[i], tone, rng, side=side) for i in chosen])
        yield normalise(torch.from_numpy(made)), torch.from_numpy(is_live[chosen].astype(np.int64))


def varied(crop: np.ndarray, tone: Tone, rng: np.random.Generator, *, side: int) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), rng.normal(0, 3), rng.uniform(0.97, 1.08))
    matrix[:, 2] += rng.normal(0, 2, 2)
    moved = cv2.warpAffine(crop, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
    small = moved if side == SIZE else cv2.resize(moved, (side, side), interpolation=cv2.INTER_AREA)
    toned = cv2.LUT(small, tone.table(rng))
    return toned[:, ::-1] if rng.random() < 0.5 else toned


def fine_tune(network: MobileNetV3Small, corpus: Path, tone: Tone, *, seed: int) -> MobileNetV3Small:
    """Train on the corpus with true labels; the head starts anew, so that seeds differ from the first step on."""
    torch.manual_seed(seed)
    for layer in network.classifier:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    network.train().requires_grad_(True)
    tested = {one.subject for one in read_pool(corpus / PEOPLE[seed])}
    sessions = [one for one in read_pool(corpus / "train") if one.subject not in tested]
    crops = np.concatenate([one.pixels for one in sessions])
    is_live = np.array([one.is_live for one in sessions])
    rng = np.random.default_rng(seed)
    tune(network, [batches(crops, is_live, tone, rng, side=side) for side in SIDES], is_live, rate=RATE, decay=DECAY)
    return settle(network, batches(crops, is_live, tone, rng, side=SIZE))


def tune(
    network: nn.Module,
    epochs: Sequence[Iterator[tuple[torch.Tensor, torch.Tensor]]],
    is_live: np.ndarray,
    *,
    rate: float,
    decay: float,
) -> None:
    """Tune every weight on epochs of batches with labels, in one cycle of AdamW, both classes weighing alike."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rate, total_steps=len(epochs) * (len(is_live) // BATCH), pct_start=0.15, cycle_momentum=False
    )
    weights = torch.tensor([is_live.mean(), 1 - is_live.mean()], dtype=torch.float32)
    for epoch, inputs in enumerate(epochs):
        losses = []
        for pixels, labels in inputs:
            loss = nn.functional.cross_entropy(network(pixels).logits, labels, weight=weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"  epoch {epoch}: loss {np.mean(losses):.3f}", flush=True)


@torch.no_grad()
def settle(network: MobileNetV3Small, inputs: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> MobileNetV3Small:
    """Take the normalisation statistics anew from one epoch at full size, each batch counting alike."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    for pixels, _ in inputs:
        network(pixels)
    return network.eval()


def ship(network: MobileNetV3Small, folder: Path, corpus: Path, *, contract: Contract) -> Bundle:
    """Write a bundle whose thresholds and statistics come from the development part."""
    graph = build_graph(network, size=SIZE, std=255.0).SerializeToString()
    samples = (
        (crop, one.is_live, one.species, one.subject, one.name)
        for one in read_pool(corpus / "dev")
        for crop in one.pixels
    )
    readings = read_sources(OrtSession(graph, threads=1), samples)
    return write_bundle(
        folder,
        name=f"adapt-{folder.name}",
        version="0",
        licence="Apache-2.0",
        contract=contract,
        calibration=calibrate(readings, origin=f"simulated development sessions of {CAMERA}"),
        graph=graph,
        affine=affine_parts(network),
        statistics=source_statistics(readings),
        card=f"# adapt-{folder.name}\n\nA single-source network for measuring adaptation; not for use.\n",
    )


def make_sources(corpus: Path, model: str, output: Path) -> None:
    source = read_bundle(find_bundle(model))
    write_envelope(corpus)
    for seed in PEOPLE:
        for name, tone in TONES.items():
            folder = output / f"{name}-{seed}"
            if (folder / "bundle.json").is_file():
                continue
            began = time.process_time()
            network = torch_source(source, MobileNetV3Small(), stored_name=stored_name).module
            bundle = ship(fine_tune(network, corpus, tone, seed=seed), folder, corpus, contract=source.contract)
            print(
                f"{folder.name}: {time.process_time() - began:.0f} s",
                figures(bundle, corpus, (), people=PEOPLE[seed])["clean"],
                flush=True,
            )


def write_envelope(corpus: Path) -> None:
    mild = {name: change for name, change in CHANGES.items() if change.reach == "mild"}
    rule = json.dumps([key_of(PARTS["dev"]), *(asdict(change) for change in mild.values())])
    key = hashlib.sha256(rule.encode()).hexdigest()
    if open_pool(corpus / "envelope", key=key) is None:
        write_pool(corpus / "envelope", changed(read_pool(corpus / "dev"), list(mild)), key=key)


def scores_of(bundle: Bundle, sessions: Sequence[CropSession]) -> ScoreSet:
    session, calibration = OrtSession(bundle.graph, threads=1), bundle.calibration
    crops = np.concatenate([one.pixels for one in sessions])
    logits = np.concatenate([session.run({"pixels": np.ascontiguousarray(crop[None])})[0] for crop in crops])
    margins = (logits[:, 1] - logits[:, 0]).astype(np.float64)
    return score_set(sessions, 1 / (1 + np.exp(-(margins / calibration.temperature + calibration.bias))))


def figures(
    bundle: Bundle, corpus: Path, changes: Sequence[str], *, people: str = "test"
) -> dict[str, dict[str, float]]:
    """Errors on a part as it is and under each change, at the EER threshold of the development part.

    Every third frame of a session is looked at: frames of one session say much the same.
    """
    threshold = choose_threshold(scores_of(bundle, read_pool(corpus / "dev")), policy="eer", origin="dev").value
    test = [one.take(slice(0, None, 3)) for one in read_pool(corpus / people)]
    found = {"clean": rates(scores_of(bundle, test), threshold)}
    for change in changes:
        found[change] = rates(scores_of(bundle, [change_session(one, change) for one in test]), threshold)
    return found


def rates(scores: ScoreSet, threshold: float) -> dict[str, float]:
    totals = count(scores, threshold).total()
    species = dict(zip((f"apcer {s}" for s in totals.species), totals.apcer_by_species.tolist(), strict=True))
    best = choose_threshold(scores, policy="cost=0.5", origin="the same crops").value
    return {
        "acer": float(totals.acer),
        "bpcer": float(totals.bpcer),
        **species,
        "auc": auc(scores),
        "acer at the oracle threshold": acer(scores, best),
    }


def measure(corpus: Path, output: Path) -> None:
    """Write what each source loses by each change, and nothing else: no picture, name or score of a person."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    record = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for folder in sorted(path.parent for path in output.glob("*-*/bundle.json")):
        bundle, people = read_bundle(folder), PEOPLE[int(folder.name[-1])]
        if record.get(folder.name, {}).get("sha256") != bundle.sha256:
            record[folder.name] = {
                "sha256": bundle.sha256,
                "figures": figures(bundle, corpus, tuple(CHANGES), people=people),
            }
            RESULTS.write_text(json.dumps(record, indent=1) + "\n")
            print(folder.name, {k: round(100 * v["acer"], 1) for k, v in record[folder.name]["figures"].items()})
    RESULTS.with_suffix(".md").write_text(as_markdown(record))


def as_markdown(record: dict[str, dict]) -> str:
    head = ["ACER %", "clean", *CHANGES]
    lines = [HEADING, f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for figure, mark in (("acer", ""), ("acer at the oracle threshold", ", oracle threshold")):
        for name, entry in record.items():
            cells = [f"{100 * entry['figures'][change][figure]:.1f}" for change in head[1:]]
            lines.append(f"| {name}{mark} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    corpus = commands.add_parser("corpus", help="simulate the corpus")
    corpus.add_argument("--portraits", type=Path, required=True, help="folder made by ratta.simulate.prepare_portraits")
    corpus.add_argument("--corpus", type=Path, required=True, help="folder to write dev, test and train into")
    train = commands.add_parser("train", help="train the sources on it")
    train.add_argument("--corpus", type=Path, required=True)
    train.add_argument("--model", default="ratta-mnv3s-128", help="bundle to start from")
    train.add_argument("--output", type=Path, required=True, help="folder to write the bundles into")
    measured = commands.add_parser("measure", help="what every source loses by every change of camera")
    measured.add_argument("--corpus", type=Path, required=True)
    measured.add_argument("--output", type=Path, required=True, help="folder of the bundles")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if args.command == "corpus":
        make_corpus(args.portraits, args.corpus)
    elif args.command == "measure":
        measure(args.corpus, args.output)
    else:
        make_sources(args.corpus, args.model, args.output)


if __name__ == "__main__":
    main()
