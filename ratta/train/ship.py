"""From an exported network to a bundle: calibration on development identities, source statistics, card.

Two development sets, both of people the network was not trained on:

- *distillation inputs* with the teachers' opinion. The student's margin imitates their mean, so temperature, bias and
  thresholds are fitted to their verdict; inputs of which they themselves are unsure are left out.
- *simulated captures* with a true label and species. They give prototypes and canaries, and figures for the card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratta.bundle import Bundle, write_bundle
from ratta.calibration import SourceReadings, calibrate, read_sources
from ratta.contract import Contract
from ratta.inference import Network, OrtSession
from ratta.metrics import ScoreSet, Summary, Threshold, summary
from ratta.simulate import SPECIES, PortraitBank, crop_face, simulate_capture
from ratta.train.pool import Producer

SURE_MARGIN = 1.0
"""Teachers whose mean log-odds are nearer to zero than this have no opinion to calibrate against."""
NOT_MEASURED = "Not measured for this model."
LIVE_POLICY, SPOOF_POLICY = "apcer=0.05", "bpcer=0.05"


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """What a bundle is calibrated on.

    Attributes
    ----------
    portraits : PortraitBank
        Development identities only.
    producer : Producer
        Makes distillation inputs of the same identities, judged by the teachers.
    judged, captures : int
        How many inputs of each kind.
    seed : int
    """

    portraits: PortraitBank
    producer: Producer
    judged: int = 3000
    captures: int = 900
    seed: int = 11


def ship(
    exported: Path,
    folder: Path,
    *,
    name: str,
    version: str,
    development: Development,
    card: Path | None = None,
    real: str = NOT_MEASURED,
    crop_scale: float = 2.7,
) -> tuple[Bundle, Summary]:
    """Make a bundle of `model.onnx`, `affine.npz` and `facts.json`.

    Parameters
    ----------
    exported : path
        Folder that `export_graph` wrote into.
    folder : path
        The bundle to write.
    name, version : str
        Of the model.
    development : Development
    card : path, optional
        Markdown with `{name}`, `{figures}`, `{real}` and `{facts}` to be filled in.
    real : str
        Markdown: what was measured on real captures.
    crop_scale : float
        Side of the crop over the longer side of the face box.

    Returns
    -------
    Bundle, Summary
        What was written, and the figures on simulated development captures at its live threshold.
    """
    template = (card or Path(__file__).parent / "card.md").read_text()
    facts = json.loads((exported / "facts.json").read_text())
    graph = (exported / "model.onnx").read_bytes()
    with np.load(exported / "affine.npz", allow_pickle=False) as archive:
        affine = {key: archive[key] for key in archive.files if "." in key}
    size, std = int(facts["input"]["size"]), float(facts["normalisation"]["std"])
    contract = Contract.native(size=size, scales=(crop_scale,), std=std)
    network = Network(OrtSession(graph), contract)
    calibration = calibrate(
        judged_readings(network, development),
        origin="the teachers' verdict on distillation inputs of development identities",
        live_policy=LIVE_POLICY,
        spoof_policy=SPOOF_POLICY,
    )
    captures = captured_readings(network, development, crop_scale=crop_scale, size=size)
    scores = 1 / (1 + np.exp(-(captures.margins / calibration.temperature + calibration.bias)))
    figures = summary(
        ScoreSet(live_scores=scores, is_live=captures.is_live, species=captures.species, subjects=captures.subjects),
        Threshold(calibration.live_threshold, LIVE_POLICY, calibration.origin),
    )
    bundle = write_bundle(
        folder,
        name=name,
        version=version,
        licence="Apache-2.0",
        contract=contract,
        calibration=calibration,
        graph=graph,
        affine=affine,
        card=_filled(template, name=name, figures=_figures(figures), real=real, facts=_facts(facts)),
    )
    return bundle, figures


def judged_readings(network: Network, development: Development) -> SourceReadings:
    """Run the network over distillation inputs; the label is the teachers' verdict, where they are sure."""
    rng = np.random.default_rng(development.seed)

    def samples() -> Iterator[tuple[NDArray[np.uint8], bool, str, str, str]]:
        for start in range(0, development.judged, 100):
            batch = development.producer(rng, 100)
            margins = batch.target.numpy()
            for index in np.flatnonzero(np.abs(margins) >= SURE_MARGIN):
                live = bool(margins[index] > 0)
                species = "" if live else "judged spoof"
                yield batch.pixels[index].numpy(), live, species, "mixed", f"{start + index}"

    return read_sources(network, samples())


def captured_readings(network: Network, development: Development, *, crop_scale: float, size: int) -> SourceReadings:
    """Run the network over simulated captures, as many of each species."""
    rng, portraits = np.random.default_rng(development.seed), development.portraits

    def samples() -> Iterator[tuple[NDArray[np.uint8], bool, str, str, str]]:
        for index in range(development.captures):
            species, person = SPECIES[index % len(SPECIES)], int(rng.integers(len(portraits)))
            shot = simulate_capture(portraits[person], rng, species=species)
            crop = crop_face(shot.rgb, shot.box, scale=crop_scale, size=size)
            live = species == "live"
            yield crop, live, "" if live else species, portraits.names[person], f"{index}"

    return read_sources(network, samples())


def _filled(template: str, **parts: str) -> str:
    for part, text in parts.items():
        template = template.replace(f"{{{part}}}", text)
    return template


def _figures(s: Summary) -> str:
    rates = {f"APCER {name}": rate for name, rate in s.apcer_by_species.items()} | {"BPCER": s.bpcer}
    rows = [f"| {k} | {r.value:.3f} | {r.low:.3f} to {r.high:.3f} | {r.n} |" for k, r in rates.items()]
    rows += [
        f"| {k} | {e.value:.3f} | {e.low:.3f} to {e.high:.3f} | {s.samples} |"
        for k, e in {"ACER": s.acer, "AUC": s.auc, "EER": s.eer}.items()
    ]
    return "\n".join(["| figure | value | 95 % interval | n |", "|---|---|---|---|", *rows])


def _facts(facts: dict[str, Any]) -> str:
    told = {name: value for name, value in facts.items() if name != "curves"}
    return "```json\n" + json.dumps(told, indent=1) + "\n```"
