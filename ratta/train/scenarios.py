"""Running a labelled experiment: study, trainings, one look at the test part each, and the table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ratta.evaluate.cells import clean
from ratta.metrics import ScoreSet, Threshold, choose_threshold, summary
from ratta.train.checkpoint import write_atomically
from ratta.train.experiment import Scenario, TrainingExperiment, TrainingSettings, open_teacher, run_folder
from ratta.train.graph import build_graph
from ratta.train.labelled import Parts
from ratta.train.network import make_network
from ratta.train.study import run_study
from ratta.train.supervised import SupervisedTrainer, margins
from ratta.train.teachers import load_network

FIGURES = ("accuracy", "precision", "recall", "f1", "auc", "apcer", "bpcer", "acer")
STUDENT_T = (math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Two-sided 95 % quantiles for 2 to 10 runs; beyond that, the normal one."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds: mean and 95 % interval of the mean (Student's t); without an interval for one seed."""

    mean: float
    low: float
    high: float


def over_seeds(values: list[float]) -> Spread:
    """Put the figures of several seeds together.

    Examples
    --------
    >>> over_seeds([1.0, 2.0, 3.0]).mean
    2.0
    """
    mean = fmean(values)
    if len(values) < 2:
        return Spread(mean, math.nan, math.nan)
    quantile = STUDENT_T[len(values) - 1] if len(values) <= len(STUDENT_T) else 1.96
    half = quantile * stdev(values) / math.sqrt(len(values))
    return Spread(mean, mean - half, mean + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRunner:
    """Runs what is left of an experiment.

    Parameters
    ----------
    settings : TrainingExperiment
    parts : Parts
        The division that all scenarios share.
    folder : Path
        Of runs, study and table.
    storage : str, optional
        URL of the study's database.
    latency : callable, optional
        From files of graphs by name to milliseconds by name, measured in one run.
    report : callable
        Takes a line of progress.
    """

    settings: TrainingExperiment
    parts: Parts
    folder: Path
    storage: str | None = None
    latency: Callable[[dict[str, Path]], dict[str, float]] | None = None
    report: Callable[[str], None] = lambda _: None

    def run(self) -> dict[str, Any]:
        """Run everything and write `results.json` and `results.md`; what is finished is not done again."""
        found = self.tune() if any(one.tuned for one in self.settings.scenarios) else {}
        rows = []
        for scenario in self.settings.scenarios:
            rows += [self.scenario(scenario, seed, found) for seed in scenario.seeds or self.settings.seeds]
        parts = {
            part.name: {"crops": len(part), "live": int(part.is_live.sum()), "people": len(set(part.subjects.tolist()))}
            for part in (self.parts.train, self.parts.validation, self.parts.test)
        }
        graphs = self.export({row["training"]["network"] for row in rows})
        record = {
            "experiment": self.settings.name,
            "size": self.settings.size,
            "threshold": self.settings.threshold,
            "parts": parts,
            "study": {"trials": self.settings.study.trials, "best": found} if self.settings.study else None,
            "torch": torch.__version__,
            "latency_ms": self.latency(graphs) if self.latency is not None else {},
            "runs": rows,
        }
        write_json(self.folder / "results.json", record)
        write_atomically(self.folder / "results.md", markdown(record).encode())
        return record

    def export(self, networks: set[str]) -> dict[str, Path]:
        """Write the graph of each network, for its size and speed; its weights do not matter for either."""
        graphs = {}
        for name in sorted(networks):
            graph = build_graph(make_network(name), size=self.settings.size, std=255.0).SerializeToString()
            (self.folder / "graphs").mkdir(exist_ok=True)
            graphs[name] = write_atomically(self.folder / "graphs" / f"{name}.onnx", graph)
        return graphs

    def tune(self) -> dict[str, Any]:
        """Run the study, on the validation part alone."""
        study = self.settings.study
        assert study is not None

        def objective(values: dict[str, Any], folder: Path) -> float:
            training = self.settings.training_of(Scenario(name="trial", training=study.training, tuned=True), values)
            return self._trained(training, (), folder, seed=study.seed)

        return run_study(
            study,
            objective,
            name=self.settings.name,
            folder=self.folder / "study",
            storage=self.storage,
            report=self.report,
        )

    def scenario(self, scenario: Scenario, seed: int, found: dict[str, Any]) -> dict[str, Any]:
        """Train a scenario with one seed and look at the test part, once: a result that is there stays."""
        folder = run_folder(self.folder / "runs", scenario.name, seed)
        path = folder / "result.json"
        if path.is_file():
            known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return known
        training = self.settings.training_of(scenario, found)
        self.report(f"{scenario.name}, seed {seed}")
        first = {one.name: (one.seeds or self.settings.seeds)[0] for one in self.settings.scenarios}
        teachers = [open_teacher(one, runs=self.folder / "runs", first_seed=first) for one in scenario.teachers]
        self._trained(training, teachers, folder, seed=seed)
        network, facts = load_network(folder / "best.pt")
        result = {
            "scenario": scenario.name,
            "seed": seed,
            "training": training.model_dump(),
            "teachers": [one.kind for one in scenario.teachers],
            "samples": facts["samples"],
            "best_step": facts["step"],
            "validation_auc": facts["auc"],
            **cost(training, self.settings.size),
            **tested(
                margins(network, self.parts.validation.pixels),
                margins(network, self.parts.test.pixels),
                self.parts,
                policy=self.settings.threshold,
            ),
        }
        write_json(path, result)
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def _trained(self, training: TrainingSettings, teachers: Any, folder: Path, *, seed: int) -> float:
        settings = training.run(
            folder=folder, crops=len(self.parts.train), seed=seed, crop_scale=self.settings.crop_scale
        )
        trainer = SupervisedTrainer(
            settings=settings,
            train=self.parts.train,
            validation=self.parts.validation,
            teachers=teachers,
            report=self.report,
        )
        trainer.run()
        return float(trainer.best["auc"])


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write strict JSON, whole or not at all."""
    write_atomically(path, (json.dumps(clean(record), indent=1, allow_nan=False) + "\n").encode())


def cost(training: TrainingSettings, size: int) -> dict[str, float]:
    """Parameters of a scenario's network, and bytes of its exported graph."""
    network = make_network(training.network)
    graph = build_graph(network, size=size, std=255.0).SerializeToString()
    return {"parameters": sum(p.numel() for p in network.parameters()), "size_bytes": len(graph)}


def tested(validation: NDArray[np.float64], test: NDArray[np.float64], parts: Parts, *, policy: str) -> dict[str, Any]:
    """Choose the threshold on the validation part and say how the test part does at it."""
    chosen = choose_threshold(parts.validation.scored(validation), policy=policy, origin="validation part")
    scores = parts.test.scored(test)
    found = summary(scores, chosen)
    half = summary(scores, Threshold(0.0, "fixed=0", "equal logits"))
    return {
        "threshold": asdict(chosen),
        "figures": classification(scores, chosen.value)
        | {"auc": found.auc.value, "apcer": found.apcer.value, "bpcer": found.bpcer.value, "acer": found.acer.value},
        "apcer_by_species": {name: asdict(rate) for name, rate in found.apcer_by_species.items()},
        "at_equal_logits": classification(scores, 0.0)
        | {"apcer": half.apcer.value, "bpcer": half.bpcer.value, "acer": half.acer.value},
        "intervals": {"auc": asdict(found.auc), "acer": asdict(found.acer), "bpcer": asdict(found.bpcer)},
    }


def classification(scores: ScoreSet, threshold: float) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 of the attack class; an undefined one is `nan`.

    Examples
    --------
    >>> scores = ScoreSet(live_scores=[0.9, 0.2, 0.1, 0.8], is_live=[1, 1, 0, 0])
    >>> classification(scores, 0.5)
    {'accuracy': 0.5, 'precision': 0.5, 'recall': 0.5, 'f1': 0.5}
    """
    called, attack = scores.live_scores < threshold, ~scores.is_live
    hits = float((called & attack).sum())
    precision = hits / called.sum() if called.any() else math.nan
    recall = hits / attack.sum() if attack.any() else math.nan
    f1 = 2 * hits / float(called.sum() + attack.sum()) if called.any() or attack.any() else math.nan
    return {
        "accuracy": float((called == attack).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": f1,
    }


def markdown(record: dict[str, Any]) -> str:
    """Lay out the table: a row for each scenario, means over seeds with 95 % intervals, rates in per cent."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in record["runs"]:
        groups.setdefault(run["scenario"], []).append(run)
    species = sorted({name for run in record["runs"] for name in run["apcer_by_species"]})
    head = ["scenario", "seeds", *FIGURES[:6], *(f"apcer {s}" for s in species), *FIGURES[6:], "parameters", "MB", "ms"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, runs in groups.items():
        cells = [name, str(len(runs))]
        cells += [_cell([run["figures"][figure] for run in runs]) for figure in FIGURES[:6]]
        cells += [_cell([run["apcer_by_species"].get(s, {}).get("value") for run in runs]) for s in species]
        cells += [_cell([run["figures"][figure] for run in runs]) for figure in FIGURES[6:]]
        ms = record["latency_ms"].get(runs[0]["training"]["network"])
        cells += [f"{runs[0]['parameters']:,}", f"{runs[0]['size_bytes'] / 1e6:.2f}", f"{ms:.2f}" if ms else "n/a"]
        lines.append(f"| {' | '.join(cells)} |")
    sizes = "; ".join(
        f"{name}: {p['crops']} crops ({p['live']} live) of {p['people']} people" for name, p in record["parts"].items()
    )
    seen = ", ".join(f"{name} {runs[0]['samples']}" for name, runs in groups.items())
    notes = [
        f"{record['size']} pixels. {sizes}.",
        f"Crops seen in each training, repeats included: {seen}.",
        f"Threshold: {record['threshold']} on the validation part; weights: best validation AUC; the test part was "
        "looked at once for each row and seed. Precision, recall and F1 are of the attack class, APCER is that of the "
        "worst species. Per cent: mean over seeds and the 95 % interval of that mean (Student's t), which says how "
        "much a seed matters; how much these few people matter is in results.json (bootstrap over people).",
    ]
    return "\n".join([f"# {record['experiment']}", "", *lines, "", *(f"{note}\n" for note in notes)])


def _cell(values: list[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return "n/a"
    found = over_seeds(known)
    return f"{found.mean:.1f}" + ("" if math.isnan(found.low) else f" ({found.low:.1f} to {found.high:.1f})")
