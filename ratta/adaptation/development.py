"""From labelled development frames to all that adaptation must know of the source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.drift import DriftReference, SessionStatistics, SourceStatistics, shrunk_precision
from ratta.adaptation.gate import Evidence, Gate, GateLimits, separating_plane
from ratta.adaptation.guard import LIVE, Canaries, Landmarks
from ratta.adaptation.reference import Reference, add_frame, camera_moments
from ratta.adaptation.update import StemReference, fisher_information, hidden_feature
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from ratta.adaptation.drift import DriftSample
    from ratta.adaptation.reference import Doubles, Network, Pixels
    from ratta.adaptation.update import Moments, Stem, Tail
    from ratta.adaptation.views import Views

FISHER_FRAMES = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Development:
    """What the source said of N development frames, in order, session by session.

    Attributes
    ----------
    live_logits : (N,) float64
        Calibrated log-odds.
    view_logits : (N, 2) float64
        Of the two views of each frame.
    embeddings : (N, 576) float32
    cuts : (N, C, h, w) float16
    moments : sequence of Moments
        Of the first layer.
    is_live : (N,) bool
    species : (N,) str
        `live` for bona fide.
    sessions : (N,) str
        No session holds frames of two kinds.
    """

    live_logits: Doubles
    view_logits: Doubles
    embeddings: npt.NDArray[np.float32]
    cuts: npt.NDArray[np.float16]
    moments: Sequence[Moments]
    is_live: npt.NDArray[np.bool_]
    species: npt.NDArray[np.str_]
    sessions: npt.NDArray[np.str_]


def read_development(
    network: Network, stem: Stem, views: Views, samples: Iterable[tuple[Pixels, bool, str, str]]
) -> Development:
    """Run the source over labelled crops and their views: three runs a crop.

    Parameters
    ----------
    network : Network
        The source.
    stem : Stem
    views : Views
    samples : iterable of (crop (S, S, 3) uint8 RGB, is_live, species, session)
        At most 16 a session, at least 200 ms apart, as the device will keep them.

    Raises
    ------
    InputError
        If there is none, or an attack is called live.
    """
    rows = []
    for crop, is_live, species, session in samples:
        if species == LIVE and not is_live:
            raise InputError(f"read_development: expected the species of an attack, got {LIVE!r} in session {session}")
        reading = network.read(crop)
        seen = [network.read(view).live_logit for view in views(crop)]
        row = (reading.live_logit, seen, reading.embedding, reading.cut.astype(np.float16), stem.moments(crop))
        rows.append((*row, bool(is_live), LIVE if is_live else species, session))
    if not rows:
        raise InputError("read_development: expected labelled crops, got none")
    logits, seen_all, embeddings, cuts, moments, is_live_all, kinds, sessions = zip(*rows, strict=True)
    return Development(
        live_logits=np.array(logits, np.float64),
        view_logits=np.array(seen_all, np.float64),
        embeddings=np.stack(embeddings),
        cuts=np.stack(cuts),
        moments=moments,
        is_live=np.array(is_live_all),
        species=np.array(kinds),
        sessions=np.array(sessions),
    )


def make_reference(
    source: Development,
    envelope: Development,
    *,
    tail: Tail,
    temperature: float,
    bias: float,
    threshold_logit: float,
    canaries_per_species: int = 48,
) -> Reference:
    """Measure everything that adaptation must know of the source.

    Every other session fits prototypes, covariances and moments; the rest gives the references that must not have been
    fitted (drift, canaries, the median distance). The gate's limits need all.

    Parameters
    ----------
    source : Development
        Of the source camera: at least 100 sessions, and people whom the network was not trained on.
    envelope : Development
        The same kind of sessions under the camera changes that are declared adaptable: at least 50.
    tail : Tail
        Of the source model.
    temperature, bias, threshold_logit : float
        Of the calibration; the threshold from which a session may be live, in log-odds.
    canaries_per_species : int

    Raises
    ------
    InputError
        If there are too few sessions, or a class is missing.
    """
    if canaries_per_species < 1:
        raise InputError(f"make_reference: expected canaries_per_species of at least 1, got {canaries_per_species}")
    fitted = every_other_session(source)
    canaries = choose_canaries(source, ~fitted, canaries_per_species)
    prototypes, within = class_means(source.embeddings[fitted], source.is_live[fitted])
    hidden = np.asarray(hidden_feature(source.embeddings, tail.source), np.float64)
    hidden_prototypes, hidden_within = class_means(hidden[fitted], source.is_live[fitted])
    precision, hidden_precision = shrunk_precision(within), shrunk_precision(hidden_within)
    variance = within.var(axis=0)
    axis, offset = separating_plane(prototypes, variance)
    limits = GateLimits.from_development(
        live_logits=source.live_logits,
        view_logits=source.view_logits,
        margins=source.embeddings @ axis - offset,
        is_live=source.is_live,
    )
    camera = [camera_moments(m, c) for m, c in zip(source.moments, source.cuts, strict=True)]
    chosen = [moments for moments, fit in zip(camera, fitted, strict=True) if fit]
    camera_mean, camera_variance = (
        np.mean(np.array(column, np.float64), axis=0) for column in zip(*chosen, strict=True)
    )
    statistics = SourceStatistics(camera_mean, camera_variance, prototypes, precision)
    landmarks = Landmarks(prototypes, precision)
    agreement, overturn_rate = self_agreement(source, limits, threshold_logit)
    return Reference(
        limits=limits,
        prototypes=prototypes,
        variance=variance,
        precision=precision,
        hidden_prototypes=hidden_prototypes,
        hidden_precision=hidden_precision,
        wide_median=float(np.median([landmarks.distance(e) for e in source.embeddings[~fitted]])),
        stem=StemReference.from_development(source.moments, gate_labels(source, Gate(limits, prototypes, variance))),
        camera_mean=camera_mean,
        camera_variance=camera_variance,
        fisher=fisher_information(
            tail, list(spread(source.cuts[fitted], FISHER_FRAMES)), temperature=temperature, bias=bias
        ),
        canaries=canaries,
        agreement=agreement,
        overturn_rate=overturn_rate,
        drift=DriftReference.from_samples(
            session_samples(source, statistics, ~fitted), session_samples(envelope, statistics)
        ),
    )


def every_other_session(frames: Development) -> npt.NDArray[np.bool_]:
    """Mark the frames of every second session of each species, in the order in which sessions first appear.

    The first is left unmarked, so that a species with a single session gives canaries.
    """
    marked: dict[str, bool] = {}
    seen: Counter[str] = Counter()
    for species, session in zip(frames.species.tolist(), frames.sessions.tolist(), strict=True):
        if session not in marked:
            marked[session] = seen[species] % 2 == 1
            seen[species] += 1
    return np.array([marked[session] for session in frames.sessions.tolist()])


def class_means(features: npt.NDArray[Any], is_live: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Class means, (2, D) spoof first, and what is left of each frame without its class's mean, (N, D)."""
    if not is_live.any() or is_live.all():
        raise InputError("reference: expected live faces and attacks, got one class")
    means = np.array([features[is_live == kind].mean(axis=0, dtype=np.float64) for kind in (False, True)])
    return means, features - means[is_live.astype(np.intp)]


def gate_labels(frames: Development, gate: Gate) -> list[bool | None]:
    """Labels that the gate gives, quotas aside; `None` where it refuses."""
    columns = zip(frames.live_logits, frames.view_logits, frames.embeddings, strict=True)
    return [
        gate.admit(
            Evidence(
                session=index,  # every frame a session of its own: quotas are not asked
                source_logit=float(logit),
                answer_logit=float(logit),
                embedding=embedding,
                view_logits=tuple(map(float, seen)),
            )
        ).is_live
        for index, (logit, seen, embedding) in enumerate(columns)
    ]


def self_agreement(frames: Development, limits: GateLimits, threshold_logit: float) -> tuple[float, float]:
    """Share of views on which the source agrees with itself, and share of confident verdicts overturned.

    With one more disagreement than was seen (Laplace): a rate of 0 would forbid everything.
    """
    plain, seen = frames.live_logits[:, None] >= threshold_logit, frames.view_logits >= threshold_logit
    differ = plain != seen
    sure = (frames.live_logits >= limits.live_above) | (frames.live_logits <= limits.spoof_below)
    return 1 - (differ.sum() + 1) / (differ.size + 2), (differ[sure].sum() + 1) / (differ[sure].size + 2)


def choose_canaries(frames: Development, allowed: npt.NDArray[np.bool_], per_species: int) -> Canaries:
    """Take canaries of every species, spread evenly over the allowed frames."""
    of = [np.flatnonzero(allowed & (frames.species == name)) for name in np.unique(frames.species)]
    chosen = np.concatenate([spread(indices, per_species) for indices in of])
    return Canaries(frames.cuts[chosen], frames.species[chosen])


def spread(items: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """At most `count` items, evenly spread.

    Examples
    --------
    >>> spread(np.arange(10), 3)
    array([0, 4, 9])
    """
    if len(items) <= count:
        return items
    chosen: npt.NDArray[Any] = items[np.linspace(0, len(items) - 1, count).astype(np.intp)]
    return chosen


def session_samples(
    frames: Development, statistics: SourceStatistics, allowed: npt.NDArray[np.bool_] | None = None
) -> list[DriftSample]:
    """Drift statistics of every session, as the device measures them."""
    samples = []
    for name in dict.fromkeys(frames.sessions.tolist()):
        indices = np.flatnonzero(frames.sessions == name)
        if allowed is not None and not allowed[indices].any():
            continue
        session = SessionStatistics(statistics)
        for index in indices.tolist():
            add_frame(
                session,
                frames.moments[index],
                frames.cuts[index],
                frames.embeddings[index],
                float(frames.live_logits[index]),
                t=float(session.frames),
            )
        samples.append(session.measure())
    return samples
