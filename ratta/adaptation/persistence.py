"""Export and restore of what was learnt: sums, scores and counts, for the sealed state."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.anchors import HIGHEST_LEVEL, MEMORY, Evidence, Worth
from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.anchors import LiveAnchor
    from ratta.adaptation.controller import Controller

    Arrays = Mapping[str, npt.NDArray[Any]]

GREATEST_SUM = 1e12
CALLED = "anchor.called.scores"
PARTS = {"anchor", "detector", "monitor", "budget", "profiled"}


def export_learnt(controller: Controller) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float64]]]:
    """Give everything that outlives a restart."""
    values = {
        "anchor": {"level": controller.anchor.level},
        "detector": controller.detector.export_state() if controller.detector else {},
        "monitor": controller.monitor.export_state(),
        "budget": controller.budget.export_state(),
        "profiled": controller.profiled,
    }
    return values, anchor_arrays(controller.anchor)


def restore_learnt(controller: Controller, values: Mapping[str, Any], arrays: Arrays) -> None:
    """Take back what `export_learnt` gave.

    Raises
    ------
    StateError
        If anything does not fit; the controller is then as newly made.
    """
    controller.reset()
    try:
        if set(values) != PARTS or type(values["profiled"]) is not bool:
            raise StateError(f"state: expected {sorted(PARTS)}, got {sorted(values)}; it was made by another version")
        parts = {name: _mapping(values, name) for name in ("anchor", "detector", "budget")}
        restore_anchor(controller.anchor, parts["anchor"].get("level"), arrays)
        controller.monitor.restore_state(values["monitor"])
        if controller.detector:
            controller.detector.restore_state(parts["detector"])
        controller.budget.restore_state(parts["budget"])
        controller.profiled = values["profiled"]
    except (InputError, StateError) as error:
        controller.reset()
        raise error if isinstance(error, StateError) else StateError(f"state: {error}") from error


def anchor_arrays(anchor: LiveAnchor) -> dict[str, npt.NDArray[np.float64]]:
    """Give the evidence as arrays, by name."""
    arrays: dict[str, npt.NDArray[np.float64]] = {}
    for worth, evidence in anchor.evidence.items():
        arrays |= {
            f"anchor.{worth}.weight": np.array([evidence.weight]),
            f"anchor.{worth}.total": evidence.total,
            f"anchor.{worth}.second": evidence.second,
            f"anchor.{worth}.scores": np.array(evidence.scores, np.float64),
        }
    return {**arrays, CALLED: np.array(anchor.called, np.float64)}


def restore_anchor(anchor: LiveAnchor, level: object, arrays: Arrays) -> None:
    """Take evidence and level back, and refit.

    Raises
    ------
    StateError
        If an array is missing, or of another shape, or no possible sum.
    """
    if isinstance(level, bool) or not isinstance(level, int | float) or not -anchor.rate <= level <= HIGHEST_LEVEL:
        raise StateError(
            f"state: anchor.level: expected a number in [{-anchor.rate}, {HIGHEST_LEVEL}], got {level!r:.40}"
        )
    expected = set(anchor_arrays(anchor))
    if set(arrays) != expected:
        raise StateError(f"state: expected the arrays {sorted(expected)}, got {sorted(arrays)}")
    restored = {worth: _evidence(worth, arrays, anchor.space.directions) for worth in Worth}
    called = arrays[CALLED]
    if called.dtype != np.float64 or called.ndim != 1 or len(called) > MEMORY or not np.isfinite(called).all():
        raise StateError(f"state: {CALLED}: expected at most {MEMORY} finite float64, got {called.shape}")
    anchor.evidence, anchor.level = restored, float(level)
    anchor.called = deque(called.tolist(), maxlen=MEMORY)
    try:
        anchor.refit()
    except np.linalg.LinAlgError as error:
        raise StateError(f"state: expected moments of sessions, got impossible ones: {error}") from error


def _evidence(worth: Worth, arrays: Arrays, directions: int) -> Evidence:
    found = {name: arrays[f"anchor.{worth}.{name}"] for name in ("weight", "total", "second", "scores")}
    shapes = {"weight": (1,), "total": (directions,), "second": (directions,) * 2, "scores": found["scores"].shape}
    for name, array in found.items():
        if array.dtype != np.float64 or array.shape != shapes[name] or not np.isfinite(array).all():
            raise StateError(f"state: anchor.{worth}.{name}: expected finite float64 {shapes[name]}, got {array.shape}")
    weight, scores = float(found["weight"][0]), found["scores"]
    fits = 1 <= weight <= MEMORY if scores.size else weight == 0
    if scores.ndim != 1 or len(scores) > MEMORY or not fits:
        raise StateError(f"state: anchor.{worth}: expected at most {MEMORY} scores, and as many sessions, got others")
    evidence = Evidence(weight, found["total"].copy(), found["second"].copy())
    evidence.scores.extend(scores.tolist())
    _check_moments(worth, evidence)
    return evidence


def _check_moments(worth: Worth, evidence: Evidence) -> None:
    """Refuse sums that no sessions have: a covariance must have no negative direction."""
    if max(np.abs(evidence.total).max(), np.abs(evidence.second).max()) > GREATEST_SUM:
        raise StateError(f"state: anchor.{worth}: expected sums of at most {GREATEST_SUM}, got larger ones")
    if not np.allclose(evidence.second, evidence.second.T):
        raise StateError(f"state: anchor.{worth}.second: expected a symmetric matrix, got another")
    if not evidence.weight:
        return
    weight = evidence.weight
    covariance = evidence.second / weight - np.outer(evidence.total, evidence.total) / weight**2
    scale = max(1.0, float(np.abs(evidence.second).max()) / weight)
    if float(np.linalg.eigvalsh(covariance).min()) < -1e-9 * scale:
        raise StateError(f"state: anchor.{worth}: expected moments of sessions, got impossible ones")


def _mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values[name]
    if not isinstance(value, Mapping):
        raise StateError(f"state: {name}: expected a mapping, got {value!r:.80}")
    return value
