"""The order of adaptation, written once: answer, study, gate, learn, refit, and the way back."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from ratta.adaptation.anchors import LiveAnchor, Worth
from ratta.adaptation.budget import Shortage
from ratta.adaptation.drift import Band
from ratta.adaptation.gate import Gate, RejectReason
from ratta.adaptation.guard import RollbackMonitor
from ratta.adaptation.persistence import export_learnt, restore_anchor, restore_learnt
from ratta.adaptation.records import Attempt, BufferedFrame, Event
from ratta.adaptation.source import drift_sample
from ratta.adaptation.views import VIEWS, augmented
from ratta.adapter import Idle
from ratta.errors import InputError
from ratta.records import as_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

    from ratta.adaptation.budget import Budget, PowerState
    from ratta.adaptation.drift import DriftDetector
    from ratta.adaptation.source import SourceReference
    from ratta.records import Pixels, Reading

    class Network(Protocol):
        """The frozen source."""

        def read(self, pixels: Pixels) -> Reading:
            """Read the crops of one frame."""


WAITING = 8
"""Ended attempts that may wait for budget; the oldest is then studied without augmented views."""


class Controller:
    """Answers by the source, lowered by what the live anchors deny, and learns live sessions between the answers.

    An attempt goes through `begin`, `read` for every frame, `end`, perhaps `confirm`, and `idle` whenever no answer
    is awaited. After its end it can be confirmed until `confirm_s` seconds have passed or the next attempt begins;
    then its evidence is decided. Nothing that is learnt can change an answer that was given, and no answer is ever
    higher than the source's.

    In band IN the camera looks like the source's, and the source answers alone. In ADAPT and REFUSE anchors may deny.

    Parameters
    ----------
    network : Network
        The frozen source.
    reference : SourceReference
    live_logit : float
        The live threshold, in log-odds.
    budget : Budget
    clock : callable
        Milliseconds; what a piece of work took is the difference of two calls.
    inference_ms : float
        One run of the network; the budget corrects it by what it measures.
    alpha : float
        Share of live sessions that the anchors may deny.
    gated : bool
        Whether unconfirmed sessions may be learnt.
    shadow : bool
        Learn and report, but let the source answer.
    anchors : bool
        Whether live anchors are learnt and may deny; without them only drift is measured.
    learning : bool
        Whether anything is measured and learnt; without it only a camera profile denies.
    confirm_s : float
        Seconds after its end for which an attempt can be confirmed.
    slot_s, min_slots : float, int
        Of the policy: before so many slots no attempt is LIVE, and nothing is denied for what may be noise.
    detector : DriftDetector or None
        Without one, and without a calibrated reference of drift, every camera counts as changed.
    on_event : callable, optional
        Takes every `Event`.

    Raises
    ------
    InputError
        If a parameter is out of range.
    """

    def __init__(
        self,
        network: Network,
        reference: SourceReference,
        *,
        live_logit: float,
        budget: Budget,
        clock: Callable[[], float],
        inference_ms: float = 2.0,
        alpha: float = 0.05,
        gated: bool = True,
        shadow: bool = False,
        anchors: bool = True,
        learning: bool = True,
        confirm_s: float = 60.0,
        slot_s: float = 0.2,
        min_slots: int = 5,
        detector: DriftDetector | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        if not inference_ms > 0 or not 0 <= confirm_s < math.inf:
            raise InputError(
                f"adapter: expected inference_ms > 0 and confirm_s >= 0, got {inference_ms} and {confirm_s}"
            )
        self.network = network
        self.reference = reference
        self.live_logit = live_logit
        self.budget = budget
        self.clock = clock
        self.inference_ms = inference_ms
        self.shadow = shadow
        self.anchors = anchors
        self.learning = learning
        self.confirm_s = confirm_s
        self.slot_s = slot_s
        self.min_slots = min_slots
        self.detector = detector
        self.on_event = on_event
        self.anchor = LiveAnchor(reference.space, alpha=alpha)
        self.gate = Gate(live_logit=live_logit, gated=gated)
        self.monitor = RollbackMonitor(alpha=alpha)
        self._profile: tuple[float, Mapping[str, npt.NDArray[Any]]] | None = None
        self.reset()

    def reset(self) -> None:
        """Go back to the source, or to the camera profile, and forget everything but the budget's accounts."""
        for part in (self.anchor, self.gate, self.monitor):
            part.reset()
        if self.detector is not None:
            self.detector.reset()
        self._t = -math.inf
        self._penalty = 0.0
        self._ended: deque[Attempt] = deque()
        self._stale = False
        self.profiled = self._profile is not None
        if self._profile is not None:
            restore_anchor(self.anchor, *self._profile)
        self._counts = dict.fromkeys(("studied", "confirmed", "gated", "denied", "rollbacks"), 0)

    # -- the answer path: one run of the network, one projection, one quadratic form

    def begin(self) -> Attempt:
        """Begin an attempt; those that ended before can no longer be confirmed."""
        self.budget.begin_session()
        for attempt in self._ended:
            attempt.studied = True
        return Attempt()

    def read(self, attempt: Attempt, pixels: Pixels, *, t: float) -> Reading:
        """Answer one frame: the source's reading, its log-odds lowered by what the anchors deny."""
        reading = self.network.read(pixels)
        z = self.reference.space.project(reading.embedding)
        conformity = self.anchor.conformity(z, reading.live_logit)
        so_far = median((*(frame.conformity for frame in attempt.frames), conformity))
        penalty = self.anchor.penalty(so_far)
        if attempt.due(t):
            attempt.keep(BufferedFrame(t, z, reading.live_logit, conformity, penalty), pixels)
        settled = attempt.count(t, slot_s=self.slot_s) >= self.min_slots
        attempt.penalty = self._penalty = penalty if settled and self.denying else 0.0
        return lowered(reading, self._penalty)

    def end(self, attempt: Attempt, *, t: float) -> None:
        """End an attempt; its evidence is decided later, in `idle`."""
        if attempt.ended_s is not None or not attempt.frames or not self.learning:
            return
        attempt.ended_s = t
        self._ended.append(attempt)
        if len(self._ended) > WAITING:
            self._study(self._ended.popleft())

    def confirm(self, attempt: Attempt, *, is_live: bool) -> None:
        """Take in what the integrator knows of an attempt.

        Raises
        ------
        InputError
            If its evidence has been decided.
        """
        if attempt.studied:
            raise InputError(
                f"confirm: expected the last attempt, at most {self.confirm_s:g} s after its end, got one whose "
                "evidence has been decided; confirm before the next attempt begins"
            )
        attempt.confirmed = is_live

    @property
    def denying(self) -> bool:
        """Whether the anchors may lower answers now."""
        return self.anchors and not self.shadow and (self.profiled or self.band is not Band.IN)

    @property
    def adapted(self) -> bool:
        """Whether the last answer was lowered."""
        return self._penalty > 0

    @property
    def band(self) -> Band:
        """What drift means at present."""
        return self.detector.band if self.detector else Band.ADAPT

    @property
    def counts(self) -> dict[str, int]:
        """Attempts studied, learnt (confirmed, gated), denied among the confirmed live ones, and rollbacks."""
        return dict(self._counts)

    # -- off the answer path: what runs a network or inverts a matrix is admitted by the budget first

    def idle(self, t: float, *, within_ms: float = math.inf) -> Idle:
        """Study ended attempts while the budget lasts.

        Parameters
        ----------
        t : float
            Seconds on the clock of the frames.
        within_ms : float
            No piece of work is begun after so many milliseconds; each takes about one run of the network.

        Raises
        ------
        InputError
            If `t` is no finite number of seconds, or goes back.
        """
        self._advance(t)
        deadline = math.inf if within_ms == math.inf else self.clock() + within_ms
        while (piece := self._next()) is not None:
            if deadline < math.inf and self.clock() >= deadline:
                return Idle.MORE
            admitted = self.budget.reserve(self.inference_ms, t=t)
            if isinstance(admitted, Shortage):
                return Idle.WAITING
            began = self.clock()
            try:
                piece()
            finally:
                self.budget.settle(admitted, max(0.0, self.clock() - began))
        return Idle.DONE

    def set_power(self, state: PowerState, *, t: float) -> None:
        """Take in the device's power: learning waits for better times."""
        self._advance(t)
        self.budget.set_power(state, t=t)

    def export_state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float64]]]:
        """Give sums, scores and counts.

        Ended attempts whose evidence is decided are studied first. One that can still be confirmed stays where it is:
        confirm, then export.
        """
        while self._ended and self._decided(self._ended[0]):
            self._study(self._ended.popleft())
        self._refit()
        return export_learnt(self)

    def use(self, level: float, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take a camera profile's anchor: it denies in every band, and is what `reset` goes back to.

        Raises
        ------
        StateError
            If it does not fit the model.
        """
        restore_anchor(self.anchor, level, arrays)
        self._profile = level, arrays
        self.profiled = True

    def restore_state(self, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If anything does not fit; the adapter is then as newly made, the source answers.
        """
        restore_learnt(self, values, arrays)

    def _advance(self, t: float) -> None:
        seconds = as_time(t, self._t)
        if self._t == -math.inf:
            self.budget.begin_clock()
        self._t = seconds
        self.budget.advance(seconds)

    def _next(self) -> Callable[[], None] | None:
        """Take up the next piece of work that costs something, after all that costs next to nothing."""
        while self._ended:
            attempt = self._ended[0]
            if self._views_wanted(attempt):
                return partial(self._view, attempt)
            if not self._decided(attempt):
                break
            self._study(self._ended.popleft())
        return self._refit if self._stale else None

    def _decided(self, attempt: Attempt) -> bool:
        """Whether nothing will be confirmed of it any more, or has been."""
        assert attempt.ended_s is not None
        return attempt.studied or attempt.confirmed is not None or self._t - attempt.ended_s > self.confirm_s

    def _views_wanted(self, attempt: Attempt) -> bool:
        """Whether the gate depends on views that were not asked yet."""
        if not self.anchors or attempt.confirmed is not None or self.gate.screen(attempt) is not None:
            return False
        return len(attempt.view_logits) < VIEWS * len(attempt.crops)

    def _view(self, attempt: Attempt) -> None:
        """Ask the source about the next augmented view."""
        frame, view = divmod(len(attempt.view_logits), VIEWS)
        attempt.view_logits.append(self.network.read(augmented(attempt.crops[frame], view)).live_logit)

    def _study(self, attempt: Attempt) -> None:
        """Measure drift by an ended attempt, decide its evidence, and learn it."""
        attempt.studied = True
        self._counts["studied"] += 1
        self._measure(attempt)
        if self.anchors:
            self._learn(attempt)

    def _learn(self, attempt: Attempt) -> None:
        if self.gate.called_live(attempt):
            self.anchor.note(attempt.conformity)
            self._stale = True
        verdict = self.gate.judge(attempt, views=VIEWS * len(attempt.crops))
        attempt.crops.clear()
        numbers = {"logit": attempt.logit, "conformity": attempt.conformity, "threshold": self.anchor.threshold}
        if isinstance(verdict, RejectReason):
            self._tell("evidence", verdict.value, numbers)
            return
        denied = attempt.denied(self.live_logit)
        self._counts[verdict.value] += 1
        if verdict is Worth.CONFIRMED:
            self._counts["denied"] += denied
            self.monitor.update(denied=denied)
        if self.monitor.alarm:
            self._roll_back()
        self.anchor.learn(attempt.z, attempt.conformity, denied=denied, worth=verdict)
        self._stale = True
        self._tell("evidence", verdict.value, {**numbers, "denied": float(denied), "level": self.anchor.level})

    def _measure(self, attempt: Attempt) -> None:
        prototypes = self.reference.prototypes
        if self.detector is None or prototypes is None:
            return
        self.detector.update(drift_sample(attempt.z, [f.logit for f in attempt.frames], prototypes))
        self._tell("drift", self.band.value, self.detector.evidence)

    def _refit(self) -> None:
        self.anchor.refit()
        self._stale = False

    def _roll_back(self) -> None:
        """Drop the anchors: confirmed live sessions are denied more often than allowed."""
        self.anchor.reset()
        self.monitor.reset()
        self.profiled = False
        self._counts["rollbacks"] += 1
        self._tell("rollback", "confirmed live sessions denied too often")

    def _tell(self, kind: str, reason: str, numbers: Mapping[str, float] | None = None) -> None:
        self.on_event(Event(max(0.0, self._t), kind, reason, dict(numbers or {})))


def lowered(reading: Reading, penalty: float) -> Reading:
    """Lower a reading's log-odds; the only way in which the anchors touch an answer.

    Raises
    ------
    InputError
        If the penalty is negative or not finite: what may only deny cannot grant.
    """
    if not 0 <= penalty < math.inf:
        raise InputError(f"penalty: expected a finite number of at least 0, got {penalty}")
    return replace(reading, live_logit=reading.live_logit - penalty) if penalty else reading
