"""What an adapter has learnt, as plain numbers and arrays, for a sealed state; frames are not among it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.guard import SOURCE, Snapshot
from ratta.adaptation.settings import Early
from ratta.adaptation.update import Correction, ToneCorrection
from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.adapter import Adapter

    Arrays = dict[str, npt.NDArray[Any]]

LATE = "late."
EARLY = ("early.scale", "early.shift")
TONE = "early.tone"
LEARNER = "learner."


def export_memory(adapter: Adapter) -> tuple[dict[str, Any], Arrays]:
    """Give everything that outlives a restart: what is in force, the evidence, the detector, the budget's books.

    Of the ring of snapshots only what is in force goes along: after a restart the way back leads to the source.
    """
    learner, learnt = adapter.learner.export_state()
    values = {
        "learner": learner,
        "detector": adapter.detector.export_state(),
        "watch": adapter.watch.export_state(),
        "budget": adapter.budget.export_state(),
    }
    return values, {
        **{LEARNER + name: array for name, array in learnt.items()},
        **snapshot_arrays(adapter.snapshots.current),
    }


def restore_memory(adapter: Adapter, values: Mapping[str, Any], arrays: Arrays) -> None:
    """Take back what `export_memory` gave.

    What was in force is opened and must answer a probe as it says it does; it answers once the arbiter has seen frames.

    Raises
    ------
    StateError
        If anything does not fit; the adapter is then as newly made, the source answers.
    """
    adapter.reset()
    try:
        if set(values) != {"learner", "detector", "watch", "budget"}:
            raise StateError(f"state: expected learner, detector, watch and budget, got {sorted(values)}")
        snapshot = snapshot_of(adapter, arrays)
        _check_settings(adapter, snapshot)
        learnt = {name.removeprefix(LEARNER): a for name, a in arrays.items() if name.startswith(LEARNER)}
        adapter.detector.restore_state(_mapping(values, "detector"))
        adapter.learner.restore_state(_mapping(values, "learner"), learnt)
        adapter.watch.restore_state(values["watch"])
        adapter.budget.restore_state(_mapping(values, "budget"))
        if not snapshot.is_source:
            adapter.resume(snapshot)
    except (InputError, StateError) as error:
        adapter.reset()
        raise error if isinstance(error, StateError) else StateError(f"state: {error}") from error


def snapshot_arrays(snapshot: Snapshot) -> Arrays:
    """Arrays of a snapshot, by name."""
    early = snapshot.early
    corrections: Arrays = {}
    if isinstance(early, ToneCorrection):
        corrections = {TONE: early.to_array()}
    elif early is not None:
        corrections = dict(zip(EARLY, (early.scale, early.shift), strict=True))
    return {**corrections, **{LATE + name: np.asarray(array) for name, array in snapshot.late.items()}}


def snapshot_of(adapter: Adapter, arrays: Arrays) -> Snapshot:
    """Make a snapshot of its arrays.

    Raises
    ------
    StateError
        If an array has not the source's shape, or is not finite.
    """
    channels = adapter.reference.stem.mean.shape[1:]
    expected = (
        dict.fromkeys(EARLY, channels)
        | {TONE: (8,)}
        | {LATE + n: a.shape for n, a in adapter.model.tail.source.items()}
    )
    found = {name: array for name, array in arrays.items() if not name.startswith(LEARNER)}
    for name, array in found.items():
        if expected.get(name) != array.shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise StateError(f"state: {name}: expected finite numbers of the source's shape, got {array.shape}")
    if not found:
        return SOURCE
    early = _early(found)
    return Snapshot(early, {n.removeprefix(LATE): a for n, a in found.items() if n.startswith(LATE)})


def _check_settings(adapter: Adapter, snapshot: Snapshot) -> None:
    """Refuse what the settings of now would not learn: whoever switches a part off wants its product gone."""
    kinds = {Early.TONE: ToneCorrection, Early.MOMENTS: Correction}
    if snapshot.early is not None and not isinstance(snapshot.early, kinds.get(adapter.early, ())):
        raise StateError(f"state: expected early corrections of kind {adapter.early.value}, got another kind")
    if snapshot.late and not adapter.late:
        raise StateError("state: expected no late parameters with late=False, got some")


def _early(found: Arrays) -> Correction | ToneCorrection | None:
    which = [name for name in (*EARLY, TONE) if name in found]
    if which == [TONE]:
        return ToneCorrection.from_array(found[TONE])
    if which == list(EARLY):
        return Correction(found[EARLY[0]], found[EARLY[1]])
    if which:
        raise StateError(f"state: expected {TONE}, or both of {EARLY}, or neither, got {which}")
    return None


def _mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values[name]
    if not isinstance(value, Mapping):
        raise StateError(f"state: {name}: expected a mapping, got {value!r:.80}")
    return value
