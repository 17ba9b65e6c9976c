"""From an exported network, or a model, and development crops to a calibrated bundle."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.bundle import Bundle, Calibration, find_bundle, read_bundle, write_bundle
from ratta.calibration.readings import read_sources
from ratta.calibration.source import source_reference
from ratta.calibration.thresholds import calibrate
from ratta.contract import Contract, OutputRule
from ratta.errors import BundleError
from ratta.inference import Network, OrtSession
from ratta.metrics import ScoreSet, Summary, Threshold, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from ratta.adaptation.source import SourceReference
    from ratta.calibration.readings import Sample, SourceReadings


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
    changed: Iterable[Sample] = (),
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
    changed : iterable of the same
        Such sessions under the camera changes that count as adaptable. From 100 sessions and 50 changed ones on, drift
        can be detected; with fewer, adaptation takes every camera for changed.
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
    network = Network(OrtSession(parts.graph), parts.contract)
    readings = read_sources(network, samples)
    made = calibrate(readings, origin=origin, live_policy=live_policy, spoof_policy=spoof_policy)
    bundle = write_bundle(
        folder,
        name=parts.name,
        version=parts.version,
        licence=parts.licence,
        contract=parts.contract,
        calibration=made,
        graph=parts.graph,
        affine=parts.affine,
        statistics=statistics_of(readings, list(changed), network, made),
        card=_with_calibration(parts.card, made),
    )
    scores = ScoreSet(
        live_scores=1 / (1 + np.exp(-readings.logits(made))),
        is_live=readings.is_live,
        species=readings.species,
        subjects=readings.subjects,
    )
    return bundle, summary(scores, Threshold(made.live_threshold, live_policy, made.origin))


def statistics_of(
    readings: SourceReadings, changed: Sequence[Sample], network: Network, made: Calibration
) -> dict[str, npt.NDArray[Any]]:
    """Give what adaptation must know of the source; nothing where the network gives no embedding."""
    if not readings.embeddings.size:
        return {}
    envelope = read_sources(network, changed) if changed else None
    return source_reference(readings, envelope, made).to_arrays()


def with_statistics(folder: str | Path, bundle: Bundle, reference: SourceReference) -> Bundle:
    """Write a bundle again with other knowledge of its source.

    Parameters
    ----------
    folder : path
        Where to; may be the bundle's own.
    bundle : Bundle
    reference : SourceReference
        Of this bundle's model.

    Returns
    -------
    Bundle
        As `read_bundle` gives it; its hash is another than before.
    """
    return write_bundle(
        folder,
        name=bundle.name,
        version=bundle.version,
        licence=bundle.licence,
        contract=bundle.contract,
        calibration=bundle.calibration,
        graph=bundle.graph,
        affine=bundle.affine,
        statistics=reference.to_arrays(),
        card=bundle.card,
    )


def _with_calibration(card: str, made: Calibration) -> str:
    """Say in the card where this bundle's thresholds come from, in place of an earlier such note."""
    note = (
        "## Calibration of this copy\n\n"
        f"Temperature {made.temperature:.3f}, bias {made.bias:.3f}, live from {made.live_threshold:.3f} on, spoof up "
        f"to {made.spoof_threshold:.3f}; from {made.origin}. Error rates that stand elsewhere in this card were "
        "measured at earlier thresholds, if at any.\n"
    )
    return card.partition("## Calibration of this copy")[0].rstrip() + "\n\n" + note
