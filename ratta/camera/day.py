"""A day in front of a new camera: unlocks that are learnt from, the same person again, then prints and screens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ratta.records import sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ratta.adaptation.controller import Controller
    from ratta.contract import Contract
    from ratta.records import Pixels

Attempted = tuple["Phase", str, "list[Pixels]"]

FRAMES, SIDE = 4, 208
STEP_S, PAUSE_S = 0.2, 60.0
CAMERA, LIGHT = "phone-2015", "daylight"


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the day.

    Attributes
    ----------
    name : str
    species : tuple of str
        Dealt in turn.
    attempts : int
    confirmed : bool
        Whether each attempt is confirmed as live afterwards, as by a passcode.
    """

    name: str
    species: tuple[str, ...]
    attempts: int
    confirmed: bool = False


PHASES = (
    Phase("unlocks, then a passcode", ("live",), 20, confirmed=True),
    Phase("the same person again", ("live",), 8),
    Phase("prints and screens", ("print", "replay"), 16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One attempt, and what there was to see when it had been studied.

    Attributes
    ----------
    phase : Phase
    species : str
    score, source_score : float
        Median live score of its frames, as answered, and as the source model alone would have.
    accepted, accepted_by_source : bool
        Whether these are at or above the live threshold.
    drift : float
        Evidence on its way to the alarm, 0 to 1, logarithmic; 1 where drift is not measured.
    band : str
    learnt : int
        Sessions learnt since the day began.
    spent_ms, elapsed_s : float
        Since the day began.
    """

    phase: Phase
    species: str
    score: float
    source_score: float
    accepted: bool
    accepted_by_source: bool
    drift: float
    band: str
    learnt: int
    spent_ms: float
    elapsed_s: float

    @property
    def denied(self) -> bool:
        """Whether the anchors turned away what the source would have accepted."""
        return self.accepted_by_source and not self.accepted


def simulate_day(
    contract: Contract, *, seed: int, phases: Sequence[Phase] = PHASES
) -> Iterator[tuple[Phase, str, list[Pixels]]]:
    """Simulate the attempts of a day, one after the other: phase, species and the crops of each frame."""
    from ratta.camera.scenes import FACE, PORTRAIT
    from ratta.media.picture import read_picture
    from ratta.simulate import Session, crop_face, cut_out

    portrait = np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1])
    person = cut_out(portrait, FACE)
    for number, phase in enumerate(phases):
        for index in range(phase.attempts):
            species, rng = phase.species[index % len(phase.species)], np.random.default_rng((seed, number, index))
            session = Session(
                cutout=person,
                species=species,
                camera=CAMERA,
                rng=rng,
                height=SIDE,
                width=SIDE,
                face_px=SIDE / rng.uniform(2.8, 3.2),
                illuminant=LIGHT,
                own_background=True if species == "live" else None,
            )
            shots = [session.frame(STEP_S * i) for i in range(FRAMES)]
            yield (
                phase,
                species,
                [
                    tuple(crop_face(shot.rgb, shot.box, scale=rule.scale, size=rule.size) for rule in contract.crops)
                    for shot in shots
                ],
            )


def play_day(
    adapter: Controller,
    attempts: Iterable[Attempted],
    *,
    on_moment: Callable[[Moment], None] | None = None,
) -> list[Moment]:
    """Show attempts to an adapter, in turn; it learns in the pauses.

    Parameters
    ----------
    adapter : Controller
        Reset before; its budget's accounts go on.
    attempts : iterable of (phase, species, crops of each frame)
    on_moment : callable, optional
        Called after each attempt.
    """
    adapter.reset()
    moments: list[Moment] = []
    t, before_ms = 0.0, adapter.budget.spent_ms
    for phase, species, frames in attempts:
        attempt = adapter.begin()
        answered, source = [], []
        for crops in frames:
            answered.append(adapter.read(attempt, crops, t=t).live_logit)
            source.append(answered[-1] + attempt.penalty)
            t += STEP_S
        adapter.end(attempt, t=t)
        if phase.confirmed:
            adapter.confirm(attempt, is_live=True)
        t += PAUSE_S
        adapter.idle(t)
        moments.append(_moment(adapter, phase, species, median(answered), median(source), t, before_ms))
        if on_moment is not None:
            on_moment(moments[-1])
    return moments


def _moment(
    adapter: Controller, phase: Phase, species: str, answered: float, source: float, t: float, before_ms: float
) -> Moment:
    counts = adapter.counts
    return Moment(
        phase=phase,
        species=species,
        score=sigmoid(answered),
        source_score=sigmoid(source),
        accepted=answered >= adapter.live_logit,
        accepted_by_source=source >= adapter.live_logit,
        drift=towards_alarm(adapter.detector.evidence) if adapter.detector else 1.0,
        band=adapter.band.value,
        learnt=counts["confirmed"] + counts["gated"],
        spent_ms=adapter.budget.spent_ms - before_ms,
        elapsed_s=t,
    )


def towards_alarm(evidence: dict[str, float]) -> float:
    """Say how far the bets have come: 0 where they began, 1 at the alarm.

    Examples
    --------
    >>> towards_alarm({"wealth": 5.0, "threshold": 25.0})
    0.5
    """
    share = math.log(max(evidence["wealth"], 1.0)) / math.log(evidence["threshold"])
    return min(share, 1.0)
