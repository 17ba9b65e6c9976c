"""Which parts of the simulator teach? One part is left out of the training captures, the test is the whole simulator.

    python bench/simulator_ablation.py pools --portraits cache --folder run/ablation
    python bench/simulator_ablation.py train --weights ema.pt --folder run/ablation
    python bench/simulator_ablation.py measure --weights ema.pt --folder run/ablation --data nuaa-dev \
        --detector yunet.onnx --write bench/results/training/simulator-ablation

`pools` makes the same captures (people, cameras, seeds) once whole and once without each part; species that a part does
not touch are taken from the whole ones. `train` fine-tunes the weights (a distilled MobileNetV3-Small) with labels,
three seeds a part. `measure` scores the people of the test part before the whole simulator, and real captures. What is
there is not made again.

Bias: the weights were distilled on inputs that had every part in them, so that a part may be known before; a few
thousand crops cannot take from a network all that it knew. What is left out is left out by other values of profiles, or
by a step that does nothing; its exact size is a choice of ours. One real corpus, prints only, eight subjects.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import torch
from torch import nn
from training_auc import CROP_SCALE, FOOT, compare, counts, real_part, table, write
from tuning import SIZE, TONES, batches, tune

from ratta.evaluate import CropSession, read_pool, write_pool
from ratta.evaluate.sessions import open_pool
from ratta.simulate import (
    CAMERAS,
    DISPLAYS,
    ILLUMINANTS,
    PRINTERS,
    SPECIES,
    PortraitBank,
    Session,
    crop_face,
    separability,
)
from ratta.simulate import camera as camera_steps
from ratta.simulate import media as media_steps
from ratta.simulate import session as session_steps
from ratta.train.checkpoint import save_checkpoint
from ratta.train.factory import split_portraits
from ratta.train.labelled import gather
from ratta.train.supervised import margins
from ratta.train.teachers import load_network, save_network

Change = Callable[[], AbstractContextManager[object]]
SIDE, SEEDS = 192, (0, 1, 2)
PEOPLE, TEST_ROUNDS = 500, 4
SIDES, RATE, DECAY, MOMENTUM = (96, 96, 128), 1e-3, 0.02, 0.05
"""Side of the inputs in each epoch, peak rate of AdamW, decay, and how fast normalisation forgets the statistics."""


def profiles(table: dict, **values: object) -> AbstractContextManager[object]:
    return patch.dict(table, {name: replace(profile, **values) for name, profile in table.items()})


def step(module: object, name: str, instead: Callable[..., object]) -> AbstractContextManager[object]:
    return patch.object(module, name, instead)


def first(image: object, *_: object, **__: object) -> object:
    return image


def even(*args: object, **kwargs: object) -> np.ndarray:
    return np.ones_like(RELIGHT(*args, **kwargs))


RELIGHT = session_steps.relight


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """What is left out, whom it touches, how."""

    what: str
    species: tuple[str, ...] = SPECIES
    changes: tuple[Change, ...] = ()
    edges: bool | None = None


PARTS = {
    "whole": Without(what="nothing"),
    "grid": Without(
        what="pixel stripes and rows of screens, hence their moire",
        species=("replay",),
        changes=(partial(profiles, DISPLAYS, stripe_duty=1.0, row_duty=1.0),),
    ),
    "halftone": Without(
        what="dot screens of prints", species=("print",), changes=(partial(profiles, PRINTERS, dot_depth=0.0),)
    ),
    "edges": Without(what="edges of media, rims and hands", species=("print", "replay"), edges=False),
    "light": Without(
        what="colour and direction of the light: 6,500 K, even, before media too",
        changes=(
            partial(profiles, ILLUMINANTS, kelvin=(6400.0, 6600.0), directed=(0.0, 0.0), tint=0.0),
            partial(step, session_steps, "relight", even),
        ),
    ),
    "compression": Without(
        what="JPEG: the camera's and the attacker's",
        changes=(
            partial(profiles, CAMERAS, jpeg_quality=(0.0, 0.0)),
            partial(step, media_steps, "first_generation", first),
        ),
    ),
    "noise": Without(
        what="photon and read noise, and denoising",
        changes=(partial(profiles, CAMERAS, electrons=(1e9, 1e9), read_electrons=(0.0, 0.0), denoise=(0.0, 0.0)),),
    ),
    "automatic": Without(
        what="automatic sharpness, contrast, white level and colour, which hide global statistics",
        changes=(partial(step, camera_steps, "set_acuity", first), partial(step, camera_steps, "set_tone", first)),
    ),
    "ink": Without(
        what="tone and colour of media: gamma, gamut, black, white point; dot gain, paper, grain",
        species=("print", "replay"),
        changes=(
            partial(profiles, DISPLAYS, gamma=(2.2, 2.2), gamut=(1.0, 1.0), black=(0.0, 0.0), kelvin=(6500.0, 6500.0)),
            partial(
                profiles, PRINTERS, gamut=(1.0, 1.0), black=(0.0, 0.0), dot_gain=(1.0, 1.0), grain=(0.0, 0.0),
                paper=(0.95, 0.95, 0.95),
            ),
        ),
    ),
}  # fmt: skip


def capture(bank: PortraitBank, index: int, *, seed: int, edges: bool | None) -> CropSession:
    """One crop; people in turn, each live, printed and replayed before anybody comes again."""
    rng = np.random.default_rng((seed, index))
    species, person = SPECIES[index % len(SPECIES)], index // len(SPECIES) % len(bank)
    session = Session(
        cutout=bank[person],
        species=species,
        camera=str(rng.choice(list(CAMERAS))),
        rng=rng,
        height=SIDE,
        width=SIDE,
        face_px=SIDE / rng.uniform(2.2, 3.6),
        edges=edges,
    )
    shot = session.frame(0.0)
    return CropSession(
        name=f"{seed}-{index:05d}",
        subject=bank.names[person],
        camera=shot.camera,
        is_live=species == "live",
        species="" if species == "live" else species,
        pixels=crop_face(shot.rgb, shot.box, scale=CROP_SCALE, size=SIZE)[None],
        refusals=np.array([""]),
        t=np.zeros(1),
    )


def captures(
    bank: PortraitBank, without: Without, whole: Sequence[CropSession], *, count: int, seed: int
) -> Iterator[CropSession]:
    for index in range(count):
        if whole and SPECIES[index % len(SPECIES)] not in without.species:
            yield whole[index]
            continue
        with ExitStack() as stack:
            for change in without.changes:
                stack.enter_context(change())
            yield capture(bank, index, seed=seed, edges=without.edges)


def make_pools(portraits: Path, folder: Path, names: Sequence[str]) -> None:
    split = split_portraits(portraits)
    train, test = PortraitBank(portraits, keep=split.train[:PEOPLE]), PortraitBank(portraits, keep=split.test)
    key = f"{SIDE} {SIZE} {PEOPLE} {TEST_ROUNDS} 1"
    if open_pool(folder / "test", key=key) is None:
        count = len(test) * len(SPECIES) * TEST_ROUNDS
        write_pool(folder / "test", captures(test, PARTS["whole"], (), count=count, seed=7), key=key)
    for name in names:
        if open_pool(folder / name, key=key) is None:
            began = time.process_time()
            whole = () if name == "whole" else read_pool(folder / "whole")
            made = captures(train, PARTS[name], whole, count=len(train) * len(SPECIES), seed=6)
            write_pool(folder / name, made, key=key)
            print(f"{name}: {time.process_time() - began:.0f} s", flush=True)


def fine_tune(weights: Path, sessions: Sequence[CropSession], *, seed: int) -> nn.Module:
    """Tune every weight with labels; normalisation takes its statistics from the last, full-sized epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = load_network(weights)[0].train().requires_grad_(True)
    network = network.to(memory_format=torch.channels_last)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = MOMENTUM
    crops = np.concatenate([one.pixels for one in sessions])
    is_live = np.array([one.is_live for one in sessions])

    def inputs(side: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for pixels, labels in batches(crops, is_live, TONES["weak"], rng, side=side):
            yield pixels.contiguous(memory_format=torch.channels_last), labels

    tune(network, [inputs(side) for side in SIDES], is_live, rate=RATE, decay=DECAY)
    return network.eval()


def train(weights: Path, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        for seed in SEEDS:
            path = folder / "runs" / f"{name}-{seed}.pt"
            if path.is_file():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            began = time.process_time()
            save_checkpoint(path, save_network(fine_tune(weights, read_pool(folder / name), seed=seed)))
            print(f"{path.stem}: {time.process_time() - began:.0f} s", flush=True)


def tell_tale(sessions: Sequence[CropSession]) -> dict[str, float]:
    """AUC of each global statistic alone on training crops: what a network could learn in place of a medium."""
    return separability(*([one.pixels[0] for one in sessions if one.is_live == live] for live in (True, False)))


def measure(weights: Path, folder: Path, data: Path, detector: Path, into: Path) -> None:
    """Write AUCs and nothing else: no picture, name or score of a person."""
    parts = {
        "simulated": gather(read_pool(folder / "test"), name="test"),
        "real": real_part(data, detector, size=SIZE),
    }
    runs = {name: [folder / "runs" / f"{name}-{seed}.pt" for seed in SEEDS] for name in PARTS}
    runs = {"before": [weights], **{n: paths for n, paths in runs.items() if all(p.is_file() for p in paths)}}
    found = {
        kind: compare(
            part,
            {name: [margins(load_network(path)[0], part.pixels) for path in paths] for name, paths in runs.items()},
            reference="whole",
        )
        for kind, part in parts.items()
    }
    trained = counts(gather(read_pool(folder / "whole"), name="train"))
    told = {name: tell_tale(read_pool(folder / name)) for name in runs if name in PARTS}
    farthest = {name: max(each, key=lambda s: abs(each[s] - 0.5)) for name, each in told.items()}
    record = {
        "train": trained,
        "statistics": told,
        "counts": {k: counts(part) for k, part in parts.items()},
        "rows": found,
    }
    columns = (("simulated", "print"), ("simulated", "replay"), ("real", "print"))
    lines = ["# Simulator with one part left out\n"]
    lines += ["| row | left out of the training captures | their farthest global statistic, AUC |", "|---|---|---|"]
    lines += [f"| {n} | {PARTS[n].what} | {stat} {100 * told[n][stat]:.1f} |" for n, stat in farthest.items()]
    lines += ["| before | the weights before fine-tuning | |", "", *table(found, columns, reference="whole")]
    lines += [f"Trained on {trained}, each row alike: {len(SIDES)} epochs at {', '.join(map(str, SIDES))} pixels."]
    lines += [*(f"{kind.capitalize()}: {counts(part)}." for kind, part in parts.items()), FOOT]
    write(into, "results", record, "\n".join(lines))
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("pools", "train", "measure"))
    parser.add_argument("--folder", type=Path, required=True, help="of pools (faces: keep them private) and runs")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="to make or train; all by default"
    )
    parser.add_argument("--portraits", type=Path, help="folder made by ratta.simulate.prepare_portraits")
    parser.add_argument("--weights", type=Path, help="checkpoint to start from")
    parser.add_argument("--data", type=Path, help="real captures, live/<subject>/*.jpg and print/<subject>/*.jpg")
    parser.add_argument("--detector", type=Path, help="yunet.onnx")
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if args.step == "pools":
        make_pools(args.portraits, args.folder, args.parts)
    elif args.step == "train":
        train(args.weights, args.folder, args.parts)
    else:
        measure(args.weights, args.folder, args.data, args.detector, args.write)


if __name__ == "__main__":
    main()
