"""From an exported network to a bundle: calibration on development identities, figures, card.

Two development sets, both of people the network was not trained on:

- *distillation inputs* with the teachers' opinion. The student's margin imitates their mean, so temperature, bias and
  thresholds are fitted to their verdict; inputs of which they themselves are unsure are left out.
- *simulated captures* with a true label, species and camera. They give figures for the card, what the thresholds mean
  on each simulated camera, and the space and the prototypes that adaptation compares with.
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
from ratta.calibration.bundles import statistics_of
from ratta.contract import Contract
from ratta.inference import Network, OrtSession
from ratta.metrics import Rate, ScoreSet, Summary, Threshold, summary
from ratta.train.development import development_samples
from ratta.train.judge import VIEWS
from ratta.train.pool import Producer

SURE_MARGIN = 1.0
"""Teachers whose mean log-odds are nearer to zero than this have no opinion to calibrate against."""
NOT_MEASURED = "Not measured for this model."
LIVE_POLICY, SPOOF_POLICY = "eer", "bpcer=0.05"


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """What a bundle is calibrated on.

    Attributes
    ----------
    portraits : str
        Folder of prepared portraits; its development identities are simulated.
    producer : Producer
        Makes distillation inputs of the same identities, judged by the teachers.
    judged, sessions : int
        How many inputs are judged, and simulated sessions of each species, two frames each.
    seed : int
    """

    portraits: str
    producer: Producer
    judged: int = 3000
    sessions: int = 180
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
    crop_scales: tuple[float, ...] = VIEWS,
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
    crop_scales : tuple of float
        Side of each crop over the longer side of the face box; the log-odds of the crops are averaged.

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
    contract = Contract.native(size=size, scales=crop_scales, std=std)
    network = Network(OrtSession(graph), contract)
    calibration = calibrate(
        judged_readings(network, development),
        origin="the teachers' verdict on distillation inputs of development identities",
        live_policy=LIVE_POLICY,
        spoof_policy=SPOOF_POLICY,
    )
    captures = captured_readings(network, development)
    threshold = Threshold(calibration.live_threshold, LIVE_POLICY, calibration.origin)
    scores = 1 / (1 + np.exp(-captures.logits(calibration)))
    figures = _summary(captures, scores, threshold)
    cameras = np.array([session.split("/")[1] for session in captures.sessions])
    by_camera = {str(one): _summary(captures, scores, threshold, cameras == one) for one in np.unique(cameras)}
    bundle = write_bundle(
        folder,
        name=name,
        version=version,
        licence="Apache-2.0",
        contract=contract,
        calibration=calibration,
        graph=graph,
        affine=affine,
        statistics=statistics_of(captures, (), network, calibration),
        card=_filled(
            template,
            name=name,
            figures=_figures(figures) + "\n\n" + _by_camera(by_camera),
            real=real,
            facts=_facts(facts),
        ),
    )
    return bundle, figures


def judged_readings(network: Network, development: Development) -> SourceReadings:
    """Run the network over distillation inputs; the label is the teachers' verdict, where they are sure."""
    rng = np.random.default_rng(development.seed)

    def samples() -> Iterator[tuple[tuple[NDArray[np.uint8], ...], bool, str, str, str]]:
        for start in range(0, development.judged, 100):
            batch = development.producer(rng, 100)
            margins = batch.target.numpy()
            for index in np.flatnonzero(np.abs(margins) >= SURE_MARGIN):
                live = bool(margins[index] > 0)
                species = "" if live else "judged spoof"
                yield tuple(batch.pixels[index].numpy()), live, species, "mixed", f"{start + index}"

    return read_sources(network, samples())


def captured_readings(network: Network, development: Development) -> SourceReadings:
    """Run the network over simulated captures, as many of each species, cameras in turn."""
    samples = development_samples(
        development.portraits,
        size=network.contract.size,
        crop_scales=network.contract.scales,
        sessions_per_species=development.sessions,
        seed=development.seed,
    )
    return read_sources(network, samples)


def _summary(
    readings: SourceReadings,
    scores: NDArray[np.float64],
    threshold: Threshold,
    rows: NDArray[np.bool_] | slice = slice(None),
) -> Summary:
    chosen = ScoreSet(
        live_scores=scores[rows],
        is_live=readings.is_live[rows],
        species=readings.species[rows],
        subjects=readings.subjects[rows],
    )
    return summary(chosen, threshold)


def _by_camera(found: dict[str, Summary]) -> str:
    """Give the errors at the live threshold on each simulated camera."""
    species = sorted({name for one in found.values() for name in one.apcer_by_species})
    head = ["simulated camera", "BPCER", *(f"APCER {name}" for name in species)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for camera, one in found.items():
        rates = [one.bpcer, *(one.apcer_by_species[name] for name in species)]
        lines.append(f"| {camera} | {' | '.join(map(_rate, rates))} |")
    return "\n".join(lines)


def _rate(rate: Rate) -> str:
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"


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
