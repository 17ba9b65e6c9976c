"""From labelled development sessions to what adaptation must know of the source."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.drift import DriftReference
from ratta.adaptation.drift.reference import MIN_SESSIONS
from ratta.adaptation.source import SourceReference, Space, drift_sample
from ratta.adaptation.stats import shrunk_covariance
from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.drift import DriftSample
    from ratta.bundle import Calibration
    from ratta.calibration.readings import SourceReadings


def source_reference(
    source: SourceReadings, envelope: SourceReadings | None, calibration: Calibration
) -> SourceReference:
    """Measure the space, the prototypes and, where there are enough sessions, the drift statistics.

    Every other session fits space and prototypes; the rest gives the drift statistics, which must not have been fitted.

    Parameters
    ----------
    source : SourceReadings
        Of the source camera, of people whom the network was not trained on; at most 16 frames a session, 200 ms
        apart or more, as the device will keep them. Drift needs 100 sessions.
    envelope : SourceReadings or None
        The same kind of sessions under the camera changes that are declared adaptable. Drift needs 50.
    calibration : Calibration

    Raises
    ------
    InputError
        If a class is missing among the fitted sessions.
    """
    fitted = every_other_session(source)
    embeddings, is_live = source.embeddings[fitted], source.is_live[fitted]
    if not is_live.any() or is_live.all():
        raise InputError("source reference: expected sessions of live faces and of attacks, two each, got fewer")
    means = np.stack([embeddings[is_live == kind].mean(axis=0, dtype=np.float64) for kind in (False, True)])
    space = Space.of_covariance(means[1], shrunk_covariance(embeddings - means[is_live.astype(np.intp)]))
    prototypes = space.project(means)
    if envelope is None:
        return SourceReference(space, prototypes)
    held_out = session_samples(source, space, prototypes, calibration, allowed=~fitted)
    changed = session_samples(envelope, space, prototypes, calibration)
    if min(len(held_out), len(changed)) < MIN_SESSIONS:
        return SourceReference(space, prototypes)
    return SourceReference(space, prototypes, DriftReference.from_samples(held_out, changed))


def every_other_session(readings: SourceReadings) -> npt.NDArray[np.bool_]:
    """Mark the frames of every second session of each class, in the order in which sessions first appear."""
    marked: dict[str, bool] = {}
    seen: Counter[bool] = Counter()
    for kind, session in zip(readings.is_live.tolist(), readings.sessions.tolist(), strict=True):
        if session not in marked:
            marked[session] = seen[kind] % 2 == 1
            seen[kind] += 1
    return np.array([marked[session] for session in readings.sessions.tolist()])


def session_samples(
    readings: SourceReadings,
    space: Space,
    prototypes: npt.NDArray[np.float64],
    calibration: Calibration,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> list[DriftSample]:
    """Drift statistics of every session, as the device measures them."""
    logits, samples = readings.logits(calibration), []
    for name in dict.fromkeys(readings.sessions.tolist()):
        chosen = readings.sessions == name
        if allowed is None or (chosen & allowed).any():
            samples.append(
                drift_sample(space.project(readings.embeddings[chosen]), logits[chosen].tolist(), prototypes)
            )
    return samples
