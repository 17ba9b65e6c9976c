"""The SWAP table: speed, weight, accuracy and power of any models side by side.

Speed is measured in one race, in which the models take turns, on one crop each; the pipeline around a model is not in
it. Weight is the graph's. Accuracy comes from score files, or from the figures in a bundle's card, and is comparable
only where it was measured on the same data. Power needs a meter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.bench.energy import Meter, find_meter, meter_loop
from ratta.bench.timing import Contestant, Ratio, race, ratios_over, spread
from ratta.bundle import find_bundle, read_bundle
from ratta.data.scores import ScoreRow, read_scores
from ratta.errors import BundleError, InputError
from ratta.inference import OrtSession
from ratta.inference.graph import read_graph
from ratta.metrics import ScoreSet, acer, auc, choose_threshold

if TYPE_CHECKING:
    from collections.abc import Callable

ACER_LINE = re.compile(r"^\| ACER \| ([0-9.]+) \| .* \| (\d+) \|$", re.MULTILINE)
FREE_SIDE = 128
"""Side given to a graph that leaves it open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapRow:
    """One model.

    Attributes
    ----------
    name : str
    input : str
        Shape of one input.
    ms : float
        Median wall time of one crop, one thread.
    ratio : Ratio or None
        Its time over the first model's; `None` for the first.
    mb : float
        Of the graph, 10^6 bytes.
    parameters : int or None
        Stored floating-point weights, normalisation folded; `None` where the graph cannot be read here.
    acer, auc : float
        In [0, 1]; `nan` where nothing says.
    origin : str
        Where the accuracy comes from.
    mj : float
        Energy of one crop in millijoules; `nan` without a meter.
    """

    name: str
    input: str
    ms: float
    ratio: Ratio | None
    mb: float
    parameters: int | None
    acer: float
    auc: float
    origin: str
    mj: float


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    name: str
    graph: bytes
    card: str
    call: Callable[[], object]
    shape: tuple[int, ...]


def swap_rows(
    models: Sequence[str], *, scores: Mapping[str, Path] | None = None, seconds: float = 10.0
) -> tuple[SwapRow, ...]:
    """Put models side by side.

    Parameters
    ----------
    models : sequence of str
        Names of shipped models, model folders, and ONNX files.
    scores : mapping of str to path, optional
        For a model as it is named in `models`: a folder with `scores-eval.csv` and, for the threshold,
        `scores-dev.csv`.
    seconds : float
        Of the race; as much again for each model with an energy meter.

    Raises
    ------
    BundleError, InputError, DataError
        If a model or a score file cannot be read, or scores are given for no model.
    """
    loaded = [_load(model) for model in models]
    foreign = set(scores or {}) - set(models)
    if not loaded or foreign or len(set(models)) < len(models):
        raise InputError(f"swap: expected different models, and scores of these alone, got {list(models)}, {foreign}")
    named = dict(zip(models, loaded, strict=True))
    samples = race([Contestant(model, one.call) for model, one in named.items()], seconds=seconds)
    ratios = ratios_over(samples, models[0])
    meter = find_meter()
    rows = []
    for model, one in named.items():
        found = _accuracy(one, (scores or {}).get(model))
        rows.append(
            SwapRow(
                name=one.name,
                input="x".join(map(str, one.shape)),
                ms=spread(samples[model].wall_ms).p50,
                ratio=ratios.get(model),
                mb=len(one.graph) / 1e6,
                parameters=_parameters(one.graph),
                acer=found[0],
                auc=found[1],
                origin=found[2],
                mj=math.nan if meter is None else _energy(one.call, meter, seconds),
            )
        )
    return tuple(rows)


def _load(model: str) -> _Model:
    path = Path(model)
    if path.suffix == ".onnx":
        try:
            graph, name, card = path.read_bytes(), path.name, ""
        except OSError as error:
            raise BundleError(f"{model}: expected a readable ONNX file, got: {error.strerror or error}") from error
    else:
        bundle = read_bundle(find_bundle(model))
        graph, name, card = bundle.graph, bundle.name, bundle.card
    session = OrtSession(graph, name=name)
    if len(session.inputs) != 1:
        raise BundleError(f"{model}: expected a graph with one input, got {len(session.inputs)}; name another file")
    shape = _shape(session.shapes[session.inputs[0]])
    feeds = {session.inputs[0]: _crop(session, shape)}
    return _Model(name, graph, card, lambda: session.run(feeds), shape)


def _shape(declared: tuple[int | None, ...]) -> tuple[int, ...]:
    """Fill in what a graph leaves open: one input, three channels where there are none, a usual side."""
    return (1, *(side or FREE_SIDE for side in declared[1:]))


def _crop(session: OrtSession, shape: tuple[int, ...]) -> Any:
    """Make an input of the type that the graph takes; both usual ones are tried, the graph says which it is."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    try:
        session.run({session.inputs[0]: pixels})
    except InputError:
        return pixels.astype(np.float32) / 255
    return pixels


def _parameters(graph: bytes) -> int | None:
    try:
        weights = read_graph(graph).initializers.values()
    except BundleError:
        return None
    return sum(one.array.size for one in weights if one.array.dtype.kind == "f")


def _accuracy(model: _Model, folder: Path | None) -> tuple[float, float, str]:
    if folder is not None:
        test = _scores(read_scores(folder / "scores-eval.csv"))
        development = folder / "scores-dev.csv"
        if not development.is_file():
            return math.nan, auc(test), f"{folder.name}: no scores-dev.csv for a threshold"
        chosen = choose_threshold(_scores(read_scores(development)), policy="eer", origin=folder.name)
        return acer(test, chosen.value), auc(test), f"{folder.name}: {len(test)} samples, EER threshold of its dev set"
    match = ACER_LINE.search(model.card)
    if match is None:
        return math.nan, math.nan, "n/a"
    return float(match[1]), math.nan, f"its card, simulated development captures, n={match[2]}"


def _scores(rows: Sequence[ScoreRow]) -> ScoreSet:
    return ScoreSet(
        live_scores=[row.score for row in rows],
        is_live=[row.is_bonafide for row in rows],
        species=[row.attack_type for row in rows],
        subjects=[row.claimed_id for row in rows],
    )


def _energy(call: Callable[[], object], meter: Meter, seconds: float) -> float:
    found = meter_loop(meter, call, seconds=seconds, idle_seconds=max(2.0, seconds / 4))
    return math.nan if found is None else found.mj_per_frame


def swap_table(rows: Sequence[SwapRow]) -> str:
    """Lay the rows out as Markdown."""
    head = ("model", "input", "ms", "times the first", "MB", "parameters", "ACER %", "AUC", "accuracy from", "mJ")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        ratio = "1" if row.ratio is None else f"{row.ratio.value:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})"
        cells = [row.name, row.input, f"{row.ms:.2f}", ratio, f"{row.mb:.2f}", _known(row.parameters, ",")]
        cells += [_known(100 * row.acer, ".1f"), _known(row.auc, ".3f"), row.origin, _known(row.mj, ".2f")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _known(value: float | None, form: str) -> str:
    return "n/a" if value is None or math.isnan(value) else format(value, form)
