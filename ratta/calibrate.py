"""Source sessions become what a bundle knows of its own camera: calibration, thresholds and source statistics.

Everything here is computed on *development* identities: people whom the network was not trained on and who are not in
the test set either.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.bundle import Bundle, Calibration, find_bundle, read_bundle, write_bundle
from ratta.contract import Contract, OutputRule
from ratta.errors import BundleError, DataError
from ratta.inference import Network, OrtSession
from ratta.metrics import ScoreSet, Summary, Threshold, choose_threshold, summary

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]
    Sample = tuple[Pixels | tuple[Pixels, ...], bool, str, str, str]

SCORE_RANGE = (0.02, 0.98)
"""Thresholds stay inside it: a development set without errors must not ask for certainty."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceReadings:
    """What the network said of N development crops.

    Attributes
    ----------
    margins : (N,) float
        `logit_live - logit_spoof`, before calibration.
    embeddings : (N, D) float32
    cuts : (N, K, c, h, w) float32
        Of K crops; of no length where the contract names none.
    is_live : (N,) bool
    species : (N,) str
        Attack species; empty for bona fide.
    subjects, sessions : (N,) str

    Raises
    ------
    DataError
        If lengths differ, a value is not finite, or a class is empty.
    """

    margins: Floats
    embeddings: npt.NDArray[np.float32]
    cuts: npt.NDArray[np.float32]
    is_live: npt.NDArray[np.bool_]
    species: npt.NDArray[np.str_]
    subjects: npt.NDArray[np.str_]
    sessions: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(set(lengths.values())) != 1:
            raise DataError(f"readings: expected arrays of one length, got {lengths}")
        if not self.is_live.any() or self.is_live.all():
            raise DataError(
                f"readings: expected live faces and attacks, got {self.is_live.sum()} live of {len(self.is_live)}; "
                "calibrate on development data that hold both"
            )
        if not all(np.isfinite(a).all() for a in (self.margins, self.embeddings, self.cuts)):
            raise DataError("readings: expected finite numbers, got nan or inf; check the network and the crops")


def read_sources(network: Network, samples: Iterable[Sample]) -> SourceReadings:
    """Run the network over labelled crops.

    Parameters
    ----------
    network : Network
        Uncalibrated: of temperature 1 and bias 0.
    samples : iterable of (crops, is_live, species, subject, session)
        The crops of one face, each (S, S, 3) uint8 RGB, in the contract's order; or, where there is one, the crop.

    Returns
    -------
    SourceReadings
    """
    rows: list[tuple[Any, ...]] = []
    for crops, is_live, species, subject, session_id in samples:
        seen = network.read(crops if isinstance(crops, tuple) else (crops,))
        rows.append((seen.live_logit, seen.embedding, seen.cut, bool(is_live), species, subject, session_id))
    if not rows:
        raise DataError("read_sources: expected labelled crops, got none")
    columns = list(zip(*rows, strict=True))
    return SourceReadings(
        margins=np.array(columns[0]),
        embeddings=np.stack(columns[1]),
        cuts=np.stack(columns[2]),
        is_live=np.array(columns[3]),
        species=np.array(columns[4]),
        subjects=np.array(columns[5]),
        sessions=np.array(columns[6]),
    )


def calibrate(
    readings: SourceReadings,
    *,
    origin: str,
    live_policy: str = "apcer=0.05",
    spoof_policy: str = "bpcer=0.02",
) -> Calibration:
    """Choose temperature, bias and the two thresholds.

    Parameters
    ----------
    readings : SourceReadings
        Of the development set.
    origin : str
        Names the set; the policies and counts are added.
    live_policy, spoof_policy : str
        Policies of `ratta.metrics.choose_threshold`. Where the first would lie below the second, the set is separated
        better than they ask for, and both become their midpoint.
    """
    temperature, bias = fit_temperature(readings.margins, readings.is_live, readings.species)
    scores = 1 / (1 + np.exp(-(readings.margins / temperature + bias)))
    development = ScoreSet(
        live_scores=scores, is_live=readings.is_live, species=readings.species, subjects=readings.subjects
    )
    live = choose_threshold(development, policy=live_policy, origin=origin).value
    spoof = choose_threshold(development, policy=spoof_policy, origin=origin).value
    if live < spoof:
        live = spoof = (live + spoof) / 2
    if live > SCORE_RANGE[1]:
        raise DataError(
            f"calibration: expected a live threshold of at most {SCORE_RANGE[1]}, got {live:.4f} for {live_policy}; "
            "some attacks score like the surest live faces: ask for less, or train further"
        )
    people = len(np.unique(readings.subjects))
    counts = f"{len(scores)} crops" + (f" of {people} subjects" if people > 1 else "")
    return Calibration(
        temperature=temperature,
        bias=bias,
        live_threshold=float(np.clip(live, *SCORE_RANGE)),
        spoof_threshold=float(np.clip(spoof, *SCORE_RANGE)),
        origin=f"{origin}; {counts}; live {live_policy}, spoof {spoof_policy}",
    )


def fit_temperature(
    margins: Floats, is_live: npt.NDArray[np.bool_], species: npt.NDArray[np.str_]
) -> tuple[float, float]:
    """Fit `P(live) = sigmoid(margin / temperature + bias)` (Platt 1999, with his smoothed targets).

    Live counts as much as all attacks together, and every attack species as much as any other.

    Returns
    -------
    temperature, bias : float

    Raises
    ------
    DataError
        If larger margins do not mean live more often: the class order is wrong, or the network has learnt nothing.

    Examples
    --------
    >>> margins = np.array([2.0, 1.0, -0.5, -1.0, -2.0, 0.5])
    >>> temperature, bias = fit_temperature(margins, margins > 0, np.where(margins > 0, "", "print"))
    >>> temperature > 0
    True
    """
    kinds, index, counts = np.unique(np.where(is_live, "", species), return_inverse=True, return_counts=True)
    share = np.where(kinds == "", 0.5, 0.5 / max(1, len(kinds) - 1))
    weights = (share / counts)[index] * len(margins)
    target = np.where(is_live, 1 - 1 / (is_live.sum() + 2), 1 / ((~is_live).sum() + 2))
    spread = float(margins.std()) or 1.0
    design = np.stack([margins / spread, np.ones_like(margins)], axis=1)
    theta = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -30, 30)))
        gradient = design.T @ (weights * (p - target)) + 1e-3 * theta
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta -= step * min(1.0, 1.0 / float(np.abs(step).max() + 1e-12))
        if float(np.abs(step).max()) < 1e-9:
            break
    if theta[0] <= 0:
        raise DataError(
            f"calibration: expected larger margins for live, got a slope of {theta[0]:.3g}; check the class order"
        )
    return float(spread / theta[0]), float(theta[1])


def source_statistics(
    readings: SourceReadings, *, canaries_per_species: int = 24, seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """Summarise the source for the rooms that watch over it; features only, never faces.

    Returns
    -------
    dict of str to array
        `prototypes (2, D)`: class means of the embedding, spoof first; `embedding_var (D,)`: variance within classes;
        `canary_cuts (N, K, c, h, w) float16`, `canary_species (K,)`, `canary_margins (K,)`: held-back cut
        features of each species, live under the name `live`.
    """
    is_live = readings.is_live
    prototypes = np.stack([readings.embeddings[~is_live].mean(0), readings.embeddings[is_live].mean(0)])
    within = readings.embeddings - prototypes[is_live.astype(np.intp)]
    rng = np.random.default_rng(seed)
    names = np.where(is_live, "live", readings.species)
    chosen = np.concatenate([_choose(rng, np.flatnonzero(names == n), canaries_per_species) for n in np.unique(names)])
    return {
        "prototypes": prototypes.astype(np.float32),
        "embedding_var": within.var(0).astype(np.float32),
        "canary_cuts": readings.cuts[chosen].astype(np.float16),
        "canary_species": names[chosen],
        "canary_margins": readings.margins[chosen].astype(np.float32),
    }


def _choose(rng: np.random.Generator, candidates: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    return np.sort(rng.choice(candidates, min(count, len(candidates)), replace=False))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """A model but for its calibration."""

    name: str
    version: str
    licence: str
    contract: Contract
    graph: bytes
    affine: dict[str, npt.NDArray[Any]]
    card: str


def read_parts(model: str, *, crop_scale: float | None = None) -> Parts:
    """Read a folder that `ratta export` wrote, or a model.

    Parameters
    ----------
    model : str
        An exported folder (`model.onnx`, `affine.npz`, `facts.json`), a model folder, or a shipped model's name.
    crop_scale : float, optional
        Of an exported network whose facts do not say; 2.7 by default.

    Raises
    ------
    BundleError
        If it is neither, or an exported network without the parts that a bundle needs.
    """
    folder = Path(model)
    if (folder / "facts.json").is_file():
        return _exported(folder, crop_scale)
    bundle = read_bundle(find_bundle(model))
    return Parts(
        name=bundle.name,
        version=bundle.version,
        licence=bundle.licence,
        contract=bundle.contract,
        graph=bundle.graph,
        affine=bundle.affine,
        card=bundle.card,
    )


def _exported(folder: Path, crop_scale: float | None) -> Parts:
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        graph = (folder / "model.onnx").read_bytes()
        affine = _affine(folder / "affine.npz")
        size, std = int(facts["input"]["size"]), float(facts["normalisation"]["std"])
        has_cut = "cut" in facts["outputs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder}: expected model.onnx and facts.json of an exported network, got "
            f"{type(error).__name__}: {error}; run ratta export"
        ) from error
    contract = Contract.native(size=size, scales=(float(crop_scale or facts.get("crop_scale") or 2.7),), std=std)
    if not has_cut:
        contract = replace(contract, outputs=OutputRule(embedding="embedding"))
    card = f"# {folder.name}\n\nWhat it learnt from is not stated.\n\n```json\n{json.dumps(facts, indent=1)}\n```\n"
    return Parts(
        name=folder.name,
        version="1",
        licence="not stated",
        contract=contract,
        graph=graph,
        affine=affine,
        card=card,
    )


def _affine(path: Path) -> dict[str, npt.NDArray[Any]]:
    if not path.is_file():
        return {}
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def calibrated(
    parts: Parts,
    samples: Iterable[Sample],
    *,
    folder: str | Path,
    origin: str,
    live_policy: str = "apcer=0.05",
    spoof_policy: str = "bpcer=0.02",
) -> tuple[Bundle, Summary]:
    """Calibrate a model on development crops and write it as a complete bundle.

    Parameters
    ----------
    parts : Parts
    samples : iterable of (crops, is_live, species, subject, session)
        As in `read_sources`; of people whom the network was not trained on.
    folder : path
        Of the new bundle.
    origin, live_policy, spoof_policy
        As in `calibrate`.

    Returns
    -------
    Bundle, Summary
        The figures are of the very crops that it was calibrated on: its AUC says something of the network, its error
        rates nothing.
    """
    readings = read_sources(Network(OrtSession(parts.graph), parts.contract), samples)
    made = calibrate(readings, origin=origin, live_policy=live_policy, spoof_policy=spoof_policy)
    scores = ScoreSet(
        live_scores=1 / (1 + np.exp(-(readings.margins / made.temperature + made.bias))),
        is_live=readings.is_live,
        species=readings.species,
        subjects=readings.subjects,
    )
    bundle = write_bundle(
        folder,
        name=parts.name,
        version=parts.version,
        licence=parts.licence,
        contract=parts.contract,
        calibration=made,
        graph=parts.graph,
        affine=parts.affine,
        statistics=source_statistics(readings),
        card=_with_calibration(parts.card, made),
    )
    return bundle, summary(scores, Threshold(made.live_threshold, live_policy, made.origin))


def _with_calibration(card: str, made: Calibration) -> str:
    """Say in the card where this bundle's thresholds come from, in place of an earlier such note."""
    note = (
        "## Calibration of this copy\n\n"
        f"Temperature {made.temperature:.3f}, bias {made.bias:.3f}, live from {made.live_threshold:.3f} on, spoof up "
        f"to {made.spoof_threshold:.3f}; from {made.origin}. Error rates that stand elsewhere in this card were "
        "measured at earlier thresholds, if at any.\n"
    )
    return card.partition("## Calibration of this copy")[0].rstrip() + "\n\n" + note
