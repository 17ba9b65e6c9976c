"""From labelled development sessions to what adaptation must know of the source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.drift import DriftReference
from ratta.adaptation.source import SourceReference, Space, drift_sample
from ratta.adaptation.stats import shrunk_covariance
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ratta.adaptation.drift import DriftSample
    from ratta.inference import Network
    from ratta.records import Pixels

    Samples = Iterable[tuple[Pixels, bool, str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Development:
    """What the source said of N development frames, session by session.

    Attributes
    ----------
    embeddings : (N, D) float32
    logits : (N,) float64
        Calibrated log-odds.
    is_live : (N,) bool
    sessions : (N,) str
        No session holds frames of two kinds.
    """

    embeddings: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float64]
    is_live: npt.NDArray[np.bool_]
    sessions: npt.NDArray[np.str_]


def read_development(network: Network, samples: Samples) -> Development:
    """Run the source over labelled frames.

    Parameters
    ----------
    network : Network
    samples : iterable of (crops, is_live, session)
        The crops of a frame as the contract says, (S, S, 3) uint8 RGB each; at most 16 frames a session, at least
        200 ms apart, as the device will keep them.

    Raises
    ------
    InputError
        If there is none, or the network gives no embedding.
    """
    rows = []
    for crops, is_live, session in samples:
        reading = network.read(crops)
        if not reading.embedding.size:
            raise InputError("source reference: expected a network that gives an embedding, got one that does not")
        rows.append((reading.embedding, reading.live_logit, bool(is_live), session))
    if not rows:
        raise InputError("source reference: expected labelled crops, got none")
    embeddings, logits, is_live_all, sessions = zip(*rows, strict=True)
    return Development(
        embeddings=np.stack(embeddings),
        logits=np.array(logits, np.float64),
        is_live=np.array(is_live_all),
        sessions=np.array(sessions),
    )


def source_reference(source: Development, envelope: Development) -> SourceReference:
    """Measure the space, the prototypes and the drift statistics.

    Every other session fits space and prototypes; the rest gives the drift statistics, which must not have been fitted.

    Parameters
    ----------
    source : Development
        Of the source camera: at least 100 sessions, of people whom the network was not trained on.
    envelope : Development
        The same kind of sessions under the camera changes that are declared adaptable: at least 50.

    Raises
    ------
    InputError
        If there are too few sessions, or a class is missing.
    """
    fitted = every_other_session(source)
    embeddings, is_live = source.embeddings[fitted], source.is_live[fitted]
    if not is_live.any() or is_live.all():
        raise InputError("source reference: expected live faces and attacks, got one class")
    means = np.stack([embeddings[is_live == kind].mean(axis=0, dtype=np.float64) for kind in (False, True)])
    space = Space.of_covariance(means[1], shrunk_covariance(embeddings - means[is_live.astype(np.intp)]))
    prototypes = space.project(means)
    drift = DriftReference.from_samples(
        session_samples(source, space, prototypes, ~fitted), session_samples(envelope, space, prototypes)
    )
    return SourceReference(space, prototypes, drift)


def every_other_session(frames: Development) -> npt.NDArray[np.bool_]:
    """Mark the frames of every second session of each class, in the order in which sessions first appear."""
    marked: dict[str, bool] = {}
    seen: Counter[bool] = Counter()
    for kind, session in zip(frames.is_live.tolist(), frames.sessions.tolist(), strict=True):
        if session not in marked:
            marked[session] = seen[kind] % 2 == 1
            seen[kind] += 1
    return np.array([marked[session] for session in frames.sessions.tolist()])


def session_samples(
    frames: Development, space: Space, prototypes: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_] | None = None
) -> list[DriftSample]:
    """Drift statistics of every session, as the device measures them."""
    samples = []
    for name in dict.fromkeys(frames.sessions.tolist()):
        chosen = frames.sessions == name
        if allowed is not None and not (chosen & allowed).any():
            continue
        z = space.project(frames.embeddings[chosen])
        samples.append(drift_sample(z, frames.logits[chosen].tolist(), prototypes))
    return samples
