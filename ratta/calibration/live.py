"""From live sessions of one camera to its profile: the anchor, its threshold, and what it does to people left out."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.anchors import LEAST_SESSIONS, MEMORY, Evidence, LiveAnchor, Worth
from ratta.adaptation.persistence import anchor_arrays
from ratta.adaptation.stats import conformal_threshold
from ratta.errors import DataError
from ratta.metrics import clopper_pearson
from ratta.profile import CameraProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ratta.adaptation.source import Space

BLOCKS = 5
LEAST_PEOPLE = 3


@dataclass(frozen=True, slots=True, eq=False)
class LiveSession:
    """What the source said of one live session.

    Attributes
    ----------
    name, person : str
    z : (n, K) float64
        Projected embeddings of at most 16 frames.
    logits : (n,) float64
        Calibrated log-odds of the source.
    """

    name: str
    person: str
    z: npt.NDArray[np.float64]
    logits: npt.NDArray[np.float64]

    def conformity(self, anchor: LiveAnchor) -> float:
        """Median conformity under an anchor."""
        return median(anchor.conformity(z, logit) for z, logit in zip(self.z, self.logits.tolist(), strict=True))


def live_profile(
    sessions: Sequence[LiveSession], space: Space, *, model_sha256: str, live_logit: float, alpha: float = 0.05
) -> CameraProfile:
    """Make a camera profile of live sessions; no attack is needed.

    The anchor is the mean of all sessions. Its conformal scores are those that each session has under the anchor of the
    other people (of the other blocks of time, where fewer than three people are known): sessions of the same people
    would give a threshold far too tight for new ones.

    Parameters
    ----------
    sessions : sequence of LiveSession
        In the order in which they were recorded.
    space : Space
    model_sha256 : str
        Of the bundle.
    live_logit : float
        The live threshold, in log-odds.
    alpha : float
        Share of live sessions that may be denied.

    Raises
    ------
    DataError
        If there are fewer than ten sessions, or a value is not finite.
    """
    _check(sessions)
    groups, by = groups_of(sessions)
    scores = left_out_scores(sessions, groups, space)
    anchor = LiveAnchor(space, alpha=alpha)
    anchor.evidence[Worth.CONFIRMED] = evidence_of(sessions, space, scores)
    anchor.refit()
    return CameraProfile(
        model_sha256=model_sha256,
        level=anchor.level,
        anchor=anchor_arrays(anchor),
        made_from=_report(sessions, scores, groups, by=by, alpha=alpha, live_logit=live_logit),
    )


def _check(sessions: Sequence[LiveSession]) -> None:
    if len(sessions) < LEAST_SESSIONS:
        raise DataError(
            f"live profile: expected at least {LEAST_SESSIONS} live sessions, got {len(sessions)}; record more, of "
            "several people if you can"
        )
    for one in sessions:
        if not len(one.z) or not (np.isfinite(one.z).all() and np.isfinite(one.logits).all()):
            raise DataError(f"live profile: session {one.name}: expected frames with finite features, got others")


def groups_of(sessions: Sequence[LiveSession]) -> tuple[list[str], str]:
    """Give what is left out together: each session's person, or its block of time where too few people are known."""
    people = [one.person for one in sessions]
    if len(set(people)) >= LEAST_PEOPLE:
        return people, "person"
    return [str(BLOCKS * i // len(sessions)) for i in range(len(sessions))], "block of time"


def evidence_of(sessions: Sequence[LiveSession], space: Space, scores: Sequence[float] = ()) -> Evidence:
    """Sum sessions that all count alike; at most the last 64 scores, evenly taken, are kept."""
    weight = float(min(len(sessions), MEMORY))
    total = np.mean([one.z.mean(axis=0) for one in sessions], axis=0) * weight
    second = np.mean([one.z.T @ one.z / len(one.z) for one in sessions], axis=0) * weight
    assert total.shape == (space.directions,)
    kept = sorted(scores)
    if len(kept) > MEMORY:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, MEMORY).round().astype(int).tolist()]
    return Evidence(weight, total, second, deque(kept, maxlen=MEMORY))


def left_out_scores(sessions: Sequence[LiveSession], groups: Sequence[str], space: Space) -> list[float]:
    """Score each session under the anchor of all other groups."""
    scores = [math.nan] * len(sessions)
    for group in dict.fromkeys(groups):
        anchor = LiveAnchor(space)
        anchor.evidence[Worth.CONFIRMED] = evidence_of(
            [one for one, of in zip(sessions, groups, strict=True) if of != group], space
        )
        anchor.refit()
        for index, of in enumerate(groups):
            if of == group:
                scores[index] = sessions[index].conformity(anchor)
    return scores


def _report(
    sessions: Sequence[LiveSession],
    scores: Sequence[float],
    groups: Sequence[str],
    *,
    by: str,
    alpha: float,
    live_logit: float,
) -> dict[str, Any]:
    """Say what the profile stands on, and what a threshold from the other groups denies in the group left out."""
    rejected = sum(float(np.median(one.logits)) < live_logit for one in sessions)
    denied = 0
    for score, group, one in zip(scores, groups, sessions, strict=True):
        others = [s for s, of in zip(scores, groups, strict=True) if of != group]
        denied += score < conformal_threshold(others, alpha) and float(np.median(one.logits)) >= live_logit
    low, high = clopper_pearson(denied, len(sessions))
    return {
        "kind": "live",
        "sessions": len(sessions),
        "people": len({one.person for one in sessions}),
        "frames": sum(len(one.z) for one in sessions),
        "alpha": alpha,
        "left_out": by,
        "denied": denied,
        "denied_share": round(denied / len(sessions), 4),
        "denied_interval_95": [round(low, 4), round(high, 4)],
        "rejected_by_source": rejected,
    }
