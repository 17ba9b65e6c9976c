"""A day before a camera that changes: what adaptation did, attempt by attempt, as the demo shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ratta.records import sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from ratta.adaptation.adapter import Adapter
    from ratta.bundle import Contract

    Crops = npt.NDArray[np.uint8]

SPECIES = ("live", "print", "live", "replay")
SESSIONS, FRAMES, SIDE = 24, 3, 208
STEP_S, PAUSE_S = 0.2, 30.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the day.

    Attributes
    ----------
    name : str
    change : str or None
        What the camera does to every crop: a name of `ratta.simulate.CHANGES`; `None` is the model's own camera.
    attempts : int
    attacks_only : bool
    """

    name: str
    change: str | None
    attempts: int
    attacks_only: bool = False


CHANGE = "contrast-0.5"
PHASES = (
    Phase("the camera as it was", None, 12),
    Phase("another camera", CHANGE, 48),
    Phase("attacks, nothing else", CHANGE, 24, attacks_only=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One attempt, and what there was to see when it had been studied.

    Attributes
    ----------
    phase : Phase
    species : str
    answered, by_source : float
        Median live score of its frames, as answered, and as the source model alone would have.
    frames, wrong, wrong_by_source : int
        Frames answered, and how many of them were on the wrong side of the threshold.
    drift : float
        Evidence on its way to the alarm, 0 to 1, logarithmic.
    band : str
    admitted, refused : int
        Frames that the gate has let teach so far in this phase, and frames that it has not.
    tried, commits : int
        Candidates so far in this phase, and how many of them were put in force.
    spent_ms, elapsed_s : float
        Since the day began.
    """

    phase: Phase
    species: str
    answered: float
    by_source: float
    frames: int
    wrong: int
    wrong_by_source: int
    drift: float
    band: str
    admitted: int
    refused: int
    tried: int
    commits: int
    spent_ms: float
    elapsed_s: float


def simulate_sessions(contract: Contract, *, seed: int) -> list[tuple[str, Crops]]:
    """Simulate short sessions of the portrait, live and attacked: species and crops (FRAMES, S, S, 3) RGB."""
    from ratta.camera.scenes import CAMERA, FACE, PORTRAIT
    from ratta.media.picture import read_picture
    from ratta.simulate import Session, crop_face, cut_out

    portrait = np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1])
    person = cut_out(portrait, FACE)
    found = []
    for index in range(SESSIONS):
        species = SPECIES[index % len(SPECIES)]
        rng = np.random.default_rng((seed, index))
        face_px = SIDE / rng.uniform(2.6, 3.4)
        session = Session(
            cutout=person, species=species, camera=CAMERA, rng=rng, height=SIDE, width=SIDE, face_px=face_px
        )
        shots = [session.frame(STEP_S * i) for i in range(FRAMES)]
        crops = [crop_face(shot.rgb, shot.box, scale=contract.crop_scale, size=contract.size) for shot in shots]
        found.append((species, np.stack(crops)))
    return found


def play_day(
    adapter: Adapter,
    sessions: Sequence[tuple[str, Crops]],
    *,
    phases: Sequence[Phase] = PHASES,
    on_moment: Callable[[Moment], None] | None = None,
) -> list[Moment]:
    """Show the sessions to an adapter, in turn, through the cameras of the phases; it learns in the pauses.

    Parameters
    ----------
    adapter : Adapter
        Reset before; its budget's books go on.
    sessions : sequence of (species, crops)
    phases : sequence of Phase
    on_moment : callable, optional
        Called after each attempt.
    """
    adapter.reset()
    moments, t = [], 0.0
    for phase in phases:
        books = Books(adapter)
        for species, crops in shown_in(phase, sessions):
            attempt = adapter.begin()
            answered = []
            for crop in crops:
                answered.append(adapter.read(attempt, crop, t=t).live_logit)
                t += STEP_S
                adapter.idle(t)
            adapter.end(attempt, t=t)
            t += PAUSE_S
            adapter.idle(t)
            source = [adapter.model.network.read(crop).live_logit for crop in crops]
            moments.append(books.moment(phase, species, answered, source, t))
            if on_moment is not None:
                on_moment(moments[-1])
    return moments


def shown_in(phase: Phase, sessions: Sequence[tuple[str, Crops]]) -> Iterator[tuple[str, Crops]]:
    """Take the sessions in turn, as the phase's camera sees them."""
    from ratta.simulate import change_crops

    fitting = [one for one in sessions if not (phase.attacks_only and one[0] == "live")]
    for index in range(phase.attempts):
        species, crops = fitting[index % len(fitting)]
        yield species, crops if phase.change is None else change_crops(crops, phase.change, seed=index)


class Books:
    """Reads an adapter's counters from the beginning of a phase on."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._admitted = 0
        self._held = sum(adapter.learner.gate.frames)
        self._before = self._counts()

    def moment(
        self, phase: Phase, species: str, answered: Sequence[float], source: Sequence[float], elapsed_s: float
    ) -> Moment:
        """Put one attempt down."""
        adapter, threshold, is_live = self._adapter, self._adapter.model.threshold_logit, species == "live"
        before, self._held = self._held, sum(adapter.learner.gate.frames)
        self._admitted += max(0, self._held - before)  # evidence that is dropped was admitted all the same
        refused, commits, turned_down = (now - was for now, was in zip(self._counts(), self._before, strict=True))
        return Moment(
            phase=phase,
            species=species,
            answered=sigmoid(median(answered)),
            by_source=sigmoid(median(source)),
            frames=len(answered),
            wrong=sum((logit >= threshold) != is_live for logit in answered),
            wrong_by_source=sum((logit >= threshold) != is_live for logit in source),
            drift=towards_alarm(adapter.detector.evidence),
            band=adapter.band.value,
            admitted=self._admitted,
            refused=refused,
            tried=commits + turned_down,
            commits=commits,
            spent_ms=adapter.budget.spent_ms,
            elapsed_s=elapsed_s,
        )

    def _counts(self) -> tuple[int, int, int]:
        counts = self._adapter.counts
        return sum(self._adapter.learner.gate.refused.values()), counts["commits"], counts["trials refused"]


def towards_alarm(evidence: dict[str, float]) -> float:
    """Say how far the bets have come: 0 where they began, 1 at the alarm.

    Examples
    --------
    >>> towards_alarm({"money": 5.0, "threshold": 25.0})
    0.5
    """
    share = math.log(max(evidence["money"], 1.0)) / math.log(evidence["threshold"])
    return min(share, 1.0)
