"""The order of the rooms of adaptation, written once: keep, study, learn, try, commit; and the way back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.budget import Shortage
from ratta.adaptation.drift import Band, BettingDrift, SessionStatistics
from ratta.adaptation.event import Event
from ratta.adaptation.guard import Arbiter, Snapshots, Watch
from ratta.adaptation.kept import SOURCE_NUMBER, Attempt, Kept, Recent
from ratta.adaptation.learner import Learner
from ratta.adaptation.reference import add_frame
from ratta.adaptation.settings import Early
from ratta.adaptation.task import INFERENCES, Step, Task
from ratta.adaptation.tones import ToneMatching
from ratta.adaptation.trials import Trials
from ratta.adaptation.update.tone import ToneCorrection, tone_of
from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.budget import Budget
    from ratta.adaptation.drift import DriftDetector
    from ratta.adaptation.guard import Snapshot
    from ratta.adaptation.model import SourceModel
    from ratta.adaptation.reference import Network, Pixels, Reference
    from ratta.adaptation.task import Work
    from ratta.adaptation.trials import Trial
    from ratta.records import Reading

SAME_LEVELS = 4.0
"""Curves whose mean difference is at most so many grey levels are one: no commit is made for it."""
WAITING = 8
"""Attempts that may wait to be studied; the oldest gives way."""


class Adapter:
    """Answers crops by the source or by what was committed, and learns between the answers.

    The way of an attempt: `begin`, then `read` for every crop, then `end`. Whatever costs more than one run of a
    network waits for `idle`, where every piece of work is first admitted by the budget. Nothing that is learnt can
    change an answer that was given.

    - The source labels, measures drift and is always there; what was learnt is another network beside it.
    - In band IN nothing is learnt and the source answers; in REFUSE the same, and what was learnt is dropped.
    - In ADAPT the gate's frames become candidates; one that passes its trial is committed. An early correction answers
      only while the arbiter finds the last frames nearer under it.

    Parameters
    ----------
    model : SourceModel
    reference : Reference
    budget : Budget
    clock : callable
        Milliseconds; what a piece of work took is the difference of two calls.
    inference_ms : float
        The 99th percentile of one run of the network, from the calibration; the budget corrects it by what it measures.
    shadow : bool
        Learn and report, but let the source answer.
    early : Early
    late : bool
        Which candidates are tried.
    detector, learner, trials, watch, arbiter, snapshots, recent, tones : optional
        Made from the reference by default.
    on_event : callable, optional
        Takes every `Event`.

    Raises
    ------
    InputError
        If `inference_ms` is not positive.
    """

    def __init__(
        self,
        model: SourceModel,
        reference: Reference,
        *,
        budget: Budget,
        clock: Callable[[], float],
        inference_ms: float = 2.0,
        shadow: bool = False,
        early: Early = Early.TONE,
        late: bool = True,
        detector: DriftDetector | None = None,
        learner: Learner | None = None,
        trials: Trials | None = None,
        watch: Watch | None = None,
        arbiter: Arbiter | None = None,
        snapshots: Snapshots | None = None,
        recent: Recent | None = None,
        tones: ToneMatching | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        if not inference_ms > 0:
            raise InputError(f"adapter: expected inference_ms > 0, got {inference_ms}")
        self.model = model
        self.reference = reference
        self.budget = budget
        self.clock = clock
        self.inference_ms = inference_ms
        self.shadow = shadow
        self.early = early
        self.late = late
        self.detector = detector or BettingDrift(reference.drift, restarting=True)
        self.learner = learner or Learner(model, reference)
        self.trials = trials or Trials(model, reference)
        self.watch = watch or Watch(overturn_rate=reference.overturn_rate)
        self.arbiter = arbiter or Arbiter()
        self.snapshots = snapshots or Snapshots()
        self.recent = recent or Recent()
        self.tones = tones
        if tones is None and reference.tones is not None:
            self.tones = ToneMatching(reference.tones, threshold_logit=model.threshold_logit)
        self.on_event = on_event
        self._statistics = SessionStatistics(reference.statistics)
        self._networks = SOURCE_NUMBER  # never counted anew: frames of open attempts remember who answered
        self.reset()

    def reset(self) -> None:
        """Go back to the source and forget everything but the budget's books."""
        for room in (self.detector, self.learner, self.watch, self.arbiter, self.snapshots, self.recent):
            room.reset()
        if self.tones is not None:
            self.tones.reset()
        self._t = 0.0
        self._attempts = 0
        self._answered_by = SOURCE_NUMBER
        self._current: tuple[int, Network] | None = None
        self._unchecked: deque[Kept] = deque(maxlen=self.arbiter.window)
        self._waiting: deque[Attempt] = deque(maxlen=WAITING)
        self._reopening: Snapshot | None = None
        self._task: Task | None = None
        self._counts = dict.fromkeys(("studied", "dropped", "commits", "rollbacks", "trials refused"), 0)

    # -- the answer path: no more than one run of a network

    def begin(self) -> Attempt:
        """Begin an attempt: one person in front of one camera."""
        self.budget.begin_session()
        return Attempt(0, max_frames=self._statistics.max_frames, min_gap_s=self._statistics.min_gap_s)

    def read(self, attempt: Attempt | None, pixels: Pixels, *, t: float) -> Reading:
        """Answer one crop, by the source or by what was committed, and keep it if the attempt has room.

        Parameters
        ----------
        attempt : Attempt or None
            `None` for a frame of no attempt: it is answered and teaches nothing.
        pixels : (S, S, 3) uint8
            RGB.
        t : float
            Seconds.
        """
        if tone := self._tone_in_force:
            self._look_at(tone_of(pixels), tone)
        number, network = self._answering
        self._answered_by = number
        reading = network.read(pixels)
        if attempt is not None and attempt.has_room(t):
            kept = Kept(pixels.copy(), t, number, {number: reading})
            attempt.frames.append(kept)
            if self._arbitrated and not tone:
                self._unchecked.append(kept)
                self.arbiter.skip()
        return reading

    def look(self, pixels: Pixels) -> Reading:
        """Answer one crop by whatever answers now; nothing changes."""
        return self._answering[1].read(pixels)

    def end(self, attempt: Attempt, *, t: float) -> None:
        """End an attempt; it will be studied when there is time and budget."""
        if not attempt.frames or attempt.ended_s is not None:
            return
        self._attempts += 1
        attempt.number, attempt.ended_s = self._attempts, t
        if len(self._waiting) == self._waiting.maxlen:
            self._counts["dropped"] += 1
        self._waiting.append(attempt)

    def resume(self, snapshot: Snapshot) -> None:
        """Put a restored snapshot in force.

        Raises
        ------
        InputError
            If it does not answer a probe as it says it does.
        """
        network = self.model.open(snapshot, self.model.probe)
        self.snapshots.commit(snapshot)
        self._put_in_force(network)

    @property
    def adapted(self) -> bool:
        """Whether the last answer was given by something else than the source."""
        return self._answered_by != SOURCE_NUMBER

    @property
    def in_force(self) -> Network | None:
        """The network that was committed, whether it answers now or not."""
        return self._current[1] if self._current is not None else None

    @property
    def band(self) -> Band:
        """What drift means at present."""
        return self.detector.band

    @property
    def counts(self) -> dict[str, int]:
        """Attempts studied and dropped, commits, rollbacks, candidates refused."""
        return dict(self._counts)

    @property
    def _answering(self) -> tuple[int, Network]:
        if self._current is None or self.shadow or (self._arbitrated and not self.arbiter.nearer):
            return SOURCE_NUMBER, self.model.network
        return self._current

    @property
    def _tone_in_force(self) -> ToneCorrection | None:
        early = self.snapshots.current.early
        return early if self._current is not None and isinstance(early, ToneCorrection) else None

    def _look_at(self, tone: npt.NDArray[np.float64], correction: ToneCorrection) -> None:
        """Let the arbiter see whether a frame's tones are likelier the changed camera's or the source's."""
        assert self.reference.tones is not None
        self.arbiter.update(self.reference.tones.likelier(tone, correction), 0.0)

    @property
    def _arbitrated(self) -> bool:
        return self._current is not None and self.snapshots.current.early is not None

    # -- off the answer path: every piece is admitted by the budget first

    def idle(self, t: float, *, within_ms: float = math.inf) -> bool:
        """Work while the budget lasts; say whether all work is done.

        Call it whenever no answer is awaited: between frames, after an attempt.

        Parameters
        ----------
        t : float
            Seconds on the clock of the frames.
        within_ms : float
            No piece of work is begun after so many milliseconds; the longest takes some ten runs of the network.
        """
        self.budget.advance(t)
        self._t = t
        deadline = math.inf if within_ms == math.inf else self.clock() + within_ms
        while self._task is not None or self._next():
            if (deadline < math.inf and self.clock() >= deadline) or not self._advance():
                return False
        return True

    def _next(self) -> bool:
        """Take up the next task: what keeps the arbiter up to date goes first."""
        if self._reopening is not None:
            self._task = Task(self._reopen(self._reopening))
        elif self._unchecked and self._arbitrated:
            self._task = Task(self._check(self._unchecked.popleft()))
        elif self._waiting:
            attempt = self._waiting.popleft()
            attempt.studied = True
            self._task = Task(self._study(attempt))
        return self._task is not None

    def _advance(self) -> bool:
        """Do one piece of work if the budget admits it; where it fails or can never be paid, the task is dropped."""
        task = self._task
        assert task is not None
        if task.step is not None:
            admitted = self.budget.reserve(INFERENCES[task.step] * self.inference_ms, t=self._t)
            if admitted is Shortage.TOO_LARGE:  # waiting for it would hold up all other work
                self._task = None
                self._tell("dropped", admitted.value, {"inferences": INFERENCES[task.step]})
                return True
            if isinstance(admitted, Shortage):
                return False
            began = self.clock()
            try:
                task.advance()
            except InputError as error:
                self._tell("dropped", str(error))
            finally:
                self.budget.settle(admitted, max(0.0, self.clock() - began))
        if task.step is None:
            self._task = None
        return True

    def _check(self, kept: Kept) -> Work[None]:
        """Compare one frame under the source and under the correction in force."""
        assert self._current is not None
        number, network = self._current
        yield from self._ask(kept, SOURCE_NUMBER, self.model.network)
        yield from self._ask(kept, number, network)
        if self._current == (number, network):
            source, corrected = (self.trials.nearness(kept.readings[n]).wide for n in (SOURCE_NUMBER, number))
            self.arbiter.update(source, corrected)

    def _study(self, attempt: Attempt) -> Work[None]:
        """Measure drift by an ended attempt, look back, and learn from it where the band allows."""
        for kept in attempt.frames:
            yield from self._ask(kept, SOURCE_NUMBER, self.model.network)
            yield Step.MOMENTS
            kept.moments = self.model.stem.moments(kept.pixels)
        yield Step.DRIFT
        self._measure(attempt)
        self._counts["studied"] += 1
        if self._look_back(attempt):
            return
        if self.band is not Band.ADAPT:
            self._stand_back()
            return
        yield from self._learn(attempt)
        if self.tones is not None:
            yield from self._match(attempt, self.tones)
        if self.early is Early.MOMENTS and self.learner.early_due and self._both_classes:
            self._settle((yield from self.trials.early(self.learner.early_candidate(), self.recent)))
        elif self.late and self.learner.late_due and self._both_classes:
            now = self.snapshots.current
            late = yield from self.learner.late_candidate(now.late)
            self._settle((yield from self.trials.late(late, now.early, self.recent)))

    @property
    def _both_classes(self) -> bool:
        return self.tones is None or self.tones.both_classes

    def _ask(self, kept: Kept, number: int, network: Network) -> Work[None]:
        if number not in kept.readings:
            yield Step.READ
            kept.readings[number] = network.read(kept.pixels)

    def _measure(self, attempt: Attempt) -> None:
        self._statistics.reset()
        for kept in attempt.frames:
            assert kept.moments is not None
            source = kept.source
            add_frame(self._statistics, kept.moments, source.cut, source.embedding, source.live_logit, t=kept.t)
        sample = self._statistics.measure()
        self.detector.update(sample)
        numbers = {"kl": sample.kl, "distance": sample.distance, "entropy": sample.entropy}
        self._tell("drift", self.band.value, numbers | dict(self.detector.evidence))

    def _look_back(self, attempt: Attempt) -> bool:
        """Let the watch see what was answered; where it is alarmed, take the last commit back, and say so."""
        threshold = self.model.threshold_logit
        answered_by = {kept.answered_by for kept in attempt.frames}
        if answered_by == {SOURCE_NUMBER}:
            if self.band is Band.IN:
                self.watch.note_usual(is_live=median([k.source.live_logit for k in attempt.frames]) >= threshold)
        elif self._current is not None and answered_by <= {SOURCE_NUMBER, self._current[0]}:
            self.watch.note_adapted(is_live=median([k.answer_logit for k in attempt.frames]) >= threshold)
            for kept in attempt.frames:
                overturned = self.trials.overturned(kept.source.live_logit, kept.answer_logit)
                if overturned is not None:
                    self.watch.note_confident(overturned=overturned)
        if self._current is None or not (alarm := self.watch.alarm):
            return False
        self._roll_back(alarm.value)
        return True

    def _learn(self, attempt: Attempt) -> Work[None]:
        """Let the gate's frames teach; the others are held back for trials."""
        chosen = self.learner.screened(attempt)
        for kept in chosen:
            reading = kept.source
            if self._current is not None and self._arbitrated:
                number, network = self._current
                yield from self._ask(kept, number, network)
                reading = kept.readings[number]
            yield from self.learner.learn(kept, attempt, reading)
        held_back = [kept for kept in attempt.frames if kept not in chosen]
        self.recent.keep(held_back, threshold_logit=self.model.threshold_logit)
        spoof, live = self.learner.gate.frames
        self._tell("gate", "looked at", {"frames": len(chosen), "admitted.spoof": spoof, "admitted.live": live})

    def _match(self, attempt: Attempt, tones: ToneMatching) -> Work[None]:
        """Follow the tones; a proposal that differs from what is in force is tried."""
        yield Step.TONES
        tone = np.median([tone_of(kept.pixels) for kept in attempt.frames], axis=0)
        verdict = median([kept.source.live_logit for kept in attempt.frames]) >= self.model.threshold_logit
        confirmed = attempt.confirmed is not None
        tones.update(tone, is_live=bool(attempt.confirmed if confirmed else verdict), confirmed=confirmed)
        if not tones.due or self.early is not Early.TONE:
            return
        proposal = tones.propose()
        self._tell("proposal", proposal.finding.reason, proposal.finding.numbers)
        if proposal.correction is not None and self._differs(proposal.correction):
            self._settle((yield from self.trials.tone(proposal.correction, self.recent)))

    def _differs(self, correction: ToneCorrection) -> bool:
        now = self._tone_in_force
        return now is None or float(np.abs(now.table - 1.0 * correction.table).mean()) > SAME_LEVELS

    def _settle(self, trial: Trial) -> None:
        """Commit a candidate that passed."""
        self._tell("trial", trial.finding.reason, trial.finding.numbers)
        if trial.network is None:
            self._counts["trials refused"] += 1
            return
        new_camera = trial.snapshot.early is not self.snapshots.current.early
        self.snapshots.commit(trial.snapshot)
        self._put_in_force(trial.network)
        if new_camera:
            self.learner.forget_late()
        self._counts["commits"] += 1
        self._tell("commit", "early" if new_camera else "late", {"commits": self.snapshots.commits})
        if self.snapshots.due_for_reset:
            self._to_source("many commits")

    def _put_in_force(self, network: Network) -> None:
        self._networks += 1
        self._current = (self._networks, network)
        self.watch.renew()
        self.arbiter.reset()
        self._unchecked.clear()

    def _stand_back(self) -> None:
        """Outside of ADAPT what was learnt is not used: the camera is the source's again, or too far."""
        if self._current is not None:
            self._to_source("too far" if self.band is Band.REFUSE else "the source's camera again")
        self._forget_evidence()

    def _forget_evidence(self) -> None:
        self.learner.forget()
        self.recent.reset()
        if self.tones is not None:
            self.tones.reset()

    def _to_source(self, reason: str) -> None:
        self._current = self._reopening = None
        self._answered_by = SOURCE_NUMBER
        self.snapshots.reset()
        self.watch.renew()
        self.arbiter.reset()
        self._tell("reset", reason)

    def _roll_back(self, reason: str) -> None:
        """Let the source answer at once; what was in force before is opened again when there is time.

        Nothing that spoke for what is taken back is kept: another proposal needs sessions of its own.
        """
        self._counts["rollbacks"] += 1
        self._current = None
        self.watch.renew()
        self._forget_evidence()
        before = self.snapshots.rollback()
        self._reopening = None if before.is_source else before
        self._tell("rollback", reason)

    def _reopen(self, snapshot: Snapshot) -> Work[None]:
        self._reopening = None
        yield Step.OPEN
        if snapshot is self.snapshots.current:
            self._put_in_force(self.model.open(snapshot, self.model.probe))

    def _tell(self, kind: str, reason: str, numbers: Mapping[str, float] | None = None) -> None:
        self.on_event(Event(self._t, kind, reason, numbers or {}))
