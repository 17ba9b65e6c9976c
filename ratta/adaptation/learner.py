"""From kept frames to candidates: what passes the gate teaches moments, prototypes and a few lessons."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ratta.adaptation.gate import Evidence, Gate
from ratta.adaptation.kept import evenly
from ratta.adaptation.task import Step
from ratta.adaptation.update import LateStep, Lesson, MomentMatching, Prototypes
from ratta.adaptation.views import Views
from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.adaptation.kept import Attempt, Kept
    from ratta.adaptation.model import SourceModel
    from ratta.adaptation.reference import Reference
    from ratta.adaptation.task import Work
    from ratta.adaptation.update import Correction
    from ratta.records import Reading

    Arrays = dict[str, npt.NDArray[Any]]

LAST_BIAS = "classifier.2.bias"


class Learner:
    """Holds the evidence; nothing of it is in force.

    Parameters
    ----------
    model : SourceModel
    reference : Reference
    views_per_session : int
        Frames of a session whose views are looked at: these cost most.
    early_every, late_every : int
        Admitted frames from one candidate of a kind to the next.
    lessons_per_class : int
        Newest admitted frames that a late step learns from; it waits until it has as many.
    gate, matching, late_step : optional
        Made from the reference by default.
    """

    def __init__(
        self,
        model: SourceModel,
        reference: Reference,
        *,
        views_per_session: int = 2,
        early_every: int = 32,
        late_every: int = 64,
        lessons_per_class: int = 8,
        gate: Gate | None = None,
        matching: MomentMatching | None = None,
        late_step: LateStep | None = None,
    ) -> None:
        if min(views_per_session, early_every, late_every, lessons_per_class) < 1:
            raise InputError(
                "learner: expected views_per_session, early_every, late_every and lessons_per_class of at least 1, "
                f"got {views_per_session}, {early_every}, {late_every} and {lessons_per_class}"
            )
        self.model = model
        self.views_per_session = views_per_session
        self.early_every = early_every
        self.late_every = late_every
        self.lessons_per_class = lessons_per_class
        self.gate = gate or Gate(reference.limits, reference.prototypes, reference.variance)
        self.matching = matching or MomentMatching(reference.stem)
        self.late_step = late_step or LateStep(
            model.tail, reference.fisher, temperature=model.temperature, bias=model.bias
        )
        self._prototypes = Prototypes(reference.prototypes)
        self._views = Views(model.size)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self.gate.reset()
        self.forget()

    def forget(self) -> None:
        """Drop the evidence, keep the counts of refusals."""
        self.gate.forget()
        self.matching.reset()
        self._since_early = 0
        self.forget_late()

    def forget_late(self) -> None:
        """Drop the evidence for late candidates: it was taken under another early correction."""
        self._prototypes.reset()
        self._lessons: tuple[deque[Lesson], deque[Lesson]] = (
            deque(maxlen=self.lessons_per_class),
            deque(maxlen=self.lessons_per_class),
        )
        self._since_late = [0, 0]

    def screened(self, attempt: Attempt) -> list[Kept]:
        """Choose the frames worth looking at twice; the obstacles of the others are counted."""
        passing = []
        for kept in attempt.frames:
            evidence = evidence_of(kept, attempt)
            if self.gate.screen(evidence).obstacle is None:
                passing.append(kept)
            else:
                self.gate.admit(evidence)
        return evenly(passing, self.views_per_session)

    def learn(self, kept: Kept, attempt: Attempt, reading: Reading) -> Work[bool]:
        """Look at a frame twice; if the gate admits it, take it in.

        Parameters
        ----------
        kept : Kept
            With its moments.
        attempt : Attempt
        reading : Reading
            Of the network whose late parameters are to move: under the early correction in force.

        Raises
        ------
        InputError
            If the moments were not measured; nothing has been counted then.
        """
        if kept.moments is None:
            raise InputError("learner: expected a frame with its moments, got none; measure them first")
        yield Step.VIEWS
        seen = tuple(self.model.network.read(view).live_logit for view in self._views(kept.pixels))
        admission = self.gate.admit(evidence_of(kept, attempt, seen))
        if admission.is_live is None:
            return False
        self.matching.update(kept.moments, is_live=admission.is_live)
        self._prototypes.update(reading.embedding, is_live=admission.is_live)
        lesson = Lesson(cut=reading.cut, is_live=admission.is_live, source_logit=kept.source.live_logit)
        self._lessons[admission.is_live].append(lesson)
        self._since_early += 1
        self._since_late[admission.is_live] += 1
        return True

    @property
    def early_due(self) -> bool:
        """Whether an early candidate should be tried."""
        return self.gate.ready and self._since_early >= self.early_every

    @property
    def late_due(self) -> bool:
        """Whether a late candidate should be tried: only with full lessons of both classes, all new since the last.

        The gate's counts may be older than the lessons (`forget_late`, `restore_state`) and say nothing about these. A
        flood of one class renews its own lessons only, and waits for the other.
        """
        full = min(self._since_late) >= self.lessons_per_class
        return self.gate.ready and sum(self._since_late) >= self.late_every and full

    def early_candidate(self) -> Correction:
        """Make an early candidate."""
        self._since_early = 0
        return self.matching.correction()

    def late_candidate(self, late: Mapping[str, npt.NDArray[Any]]) -> Work[Arrays]:
        """Make a late candidate from the parameters in force, one lesson at a time.

        Raises
        ------
        InputError
            If a class has no lesson.
        """
        counts = len(self._lessons[0]), len(self._lessons[1])
        if min(counts) < 1:
            raise InputError(f"learner: expected lessons of both classes, got {counts}; wait until `late_due`")
        self._since_late = [0, 0]
        before = self.model.parameters(late)
        gradient: Arrays = {}
        for lesson in [*self._lessons[0], *self._lessons[1]]:
            yield Step.LESSON
            self.late_step.add_gradient(lesson, before, gradient, class_frames=counts)
        after = self.late_step.step(before, gradient)
        return {**{name: after[name] for name in self.late_step.names}, LAST_BIAS: self._shifted_bias(after)}

    def export_state(self) -> tuple[dict[str, Any], Arrays]:
        """Everything learnt: plain numbers, and arrays. Lessons are features of faces and stay in memory."""
        moments, arrays = self.matching.export_state()
        return {"gate": self.gate.export_state(), "moments": moments, "since_early": self._since_early}, arrays

    def restore_state(self, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `export_state` gave; `StateError` if it does not fit, and then reset."""
        self.reset()
        since, moments = values.get("since_early"), values.get("moments")
        fits = set(values) == {"gate", "moments", "since_early"} and isinstance(moments, Mapping)
        if not fits or type(since) is not int or since < 0:
            raise StateError(f"learner state: expected gate, moments and since_early, got {dict(values)!r:.80}")
        try:
            self.gate.restore_state(values["gate"])
            self.matching.restore_state(values["moments"], arrays)
        except StateError:
            self.reset()  # counts without the moments they stand for would be evidence from nowhere
            raise
        self._since_early = since

    def _shifted_bias(self, parameters: Arrays) -> npt.NDArray[np.float32]:
        """Move the last bias with the prototypes; reckoned from the step's own bias, which the trust region holds."""
        half = self._prototypes.shift(parameters) / 2
        bias: npt.NDArray[np.float32] = parameters[LAST_BIAS].copy()
        bias += (-half, half)
        return bias


def evidence_of(kept: Kept, attempt: Attempt, view_logits: tuple[float, ...] = ()) -> Evidence:
    """Put together what the gate is to judge."""
    return Evidence(
        session=attempt.number,
        source_logit=kept.source.live_logit,
        answer_logit=kept.answer_logit,
        embedding=kept.source.embedding,
        view_logits=view_logits,
        confirmed=attempt.confirmed,
    )
