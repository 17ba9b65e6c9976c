"""One attempt, or an open-ended stream: the way of a frame from the camera to a decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from ratta.decision import Judge, Policy, check_time
from ratta.errors import InputError
from ratta.perception import Perception, check_color
from ratta.records import Box, Decision, Reason, Refusal, Verdict

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from ratta.adaptation.adapter import Adapter
    from ratta.adaptation.kept import Attempt
    from ratta.inference import Ensemble, Network

    BoxLike = Box | tuple[float, float, float, float]


class Host(Protocol):
    """What a session needs of its engine."""

    policy: Policy

    @property
    def network(self) -> Network | Ensemble:
        """The network that answers where nothing adapts."""

    @property
    def adapter(self) -> Adapter | None:
        """What answers and learns in its place, if anything does."""

    def new_perception(self) -> Perception:
        """Give eyes of its own to a session."""

    def locked(self, t: float) -> bool:
        """Whether attempts that begin at time `t` are refused."""

    def begin_attempt(self, t: float) -> None:
        """Charge an attempt."""

    def end_attempt(self, verdict: Verdict, t: float) -> None:
        """Take the charge back after LIVE."""


class Session:
    """One person in front of one camera for one attempt; or, open-ended, a stream.

    Leaving the `with` block, or `close`, ends the attempt. It is charged as failed when its first frame is scored, and
    only a final LIVE takes that back: neither breaking off nor forgetting to close is a free retry.

    Examples
    --------
    >>> import numpy as np, ratta
    >>> with ratta.load().session() as session:
    ...     decision = session.step(np.full((480, 640, 3), 127, np.uint8), t=0.0)
    >>> session.verdict
    <Verdict.REFUSED: 'refused'>
    """

    def __init__(self, engine: Host, *, open_ended: bool = False) -> None:
        self._engine = engine
        self._perception = engine.new_perception()
        self._judge = Judge(engine.policy, open_ended=open_ended)
        self._open_ended = open_ended
        self._box: Box | None = None
        self._t = -math.inf
        self._charged = False
        self._closed = False
        self._attempt: Attempt | None = None
        self._confirmed: bool | None = None

    def step(
        self, frame: npt.NDArray[np.uint8], *, t: float, box: BoxLike | None = None, color: str = "bgr"
    ) -> Decision:
        """Answer one frame; arguments and errors as in `Engine.step`.

        After `decision.final` the verdict stays; further frames are not looked at.
        """
        box = as_box(box)
        check_color(color)
        self._admit(t)
        if self._judge.final:
            return self._judge.refuse(Refusal(self._judge.reason), t=t)
        seen = self._perception.follow(frame, t=t, box=box, color=color)
        if isinstance(seen, Refusal):
            return self._judge.refuse(seen, t=t)
        self._charge(t)
        adapter = self._engine.adapter
        network = self._engine.network
        reading = adapter.read(self._attempt, seen.pixels[0], t=t) if adapter else network.read(seen.pixels)
        new_face = self._is_new(seen.face.box)
        decision = self._judge.update(reading.live_logit, t=t, box=seen.face.box, new_face=new_face)
        if decision.final:
            self._end(decision.verdict, t)
        return replace(decision, adapted=adapter.adapted, band=adapter.band.value) if adapter else decision

    @property
    def verdict(self) -> Verdict:
        """The verdict so far; LIVE only counts once `final` is true."""
        return self._judge.verdict

    @property
    def final(self) -> bool:
        """Whether the verdict will no longer change."""
        return self._judge.final

    @property
    def reason(self) -> Reason:
        """Why the verdict is what it is."""
        return self._judge.reason

    def confirm(self, *, is_live: bool) -> None:
        """Say what is known for certain of the person in this attempt: live, or an attack.

        For an integrator who knows that a living face was there, or that none was: an operator's label, a second
        sensor. A passcode proves who, not that. Only this ever stands in for the gate's confidence when the engine
        learns; it changes no verdict. Before the attempt has been studied, that is before the next `engine.idle` after
        its end.

        Raises
        ------
        InputError
            If `is_live` is no truth value, or the attempt has been studied.
        """
        if not isinstance(is_live, bool):
            raise InputError(f"confirm: expected is_live to be True or False, got {is_live!r}")
        if self._attempt is not None and self._attempt.studied:
            raise InputError(
                "confirm: expected an attempt that waits to be studied, got one that the engine has learnt from; "
                "confirm before engine.idle is called after its end"
            )
        self._confirmed = is_live
        if self._attempt is not None:
            self._attempt.confirmed = is_live

    def close(self) -> None:
        """End the attempt; the verdict of an undecided one becomes UNCERTAIN (or stays REFUSED)."""
        if self._closed or self._open_ended:
            return
        self._closed = True
        judge = self._judge
        if not judge.final and judge.scored_frames:
            undecided = judge.verdict is Verdict.UNCERTAIN
            judge.close(Verdict.UNCERTAIN, judge.reason if undecided else Reason.GATHERING)
            self._end(judge.verdict, self._t)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _admit(self, t: float) -> None:
        if self._closed:
            raise InputError(
                "session: expected an open session, got one that was closed; begin another with engine.session()"
            )
        check_time(t, self._t)
        begins = not (self._open_ended or self._charged or self._judge.final)
        if begins and self._engine.locked(t):
            self._judge.close(Verdict.REFUSED, Reason.ATTEMPTS_EXHAUSTED)
        self._t = t

    def _charge(self, t: float) -> None:
        if not (self._charged or self._open_ended):
            self._engine.begin_attempt(t)
            self._charged = True
            if adapter := self._engine.adapter:
                self._attempt = adapter.begin()
                self._attempt.confirmed = self._confirmed

    def _end(self, verdict: Verdict, t: float) -> None:
        self._engine.end_attempt(verdict, t)
        if self._engine.adapter and self._attempt:
            self._engine.adapter.end(self._attempt, t=t)

    def _is_new(self, box: Box) -> bool:
        before, self._box = self._box, box
        return before is not None and before.iou(box) < 0.1


def as_box(box: BoxLike | None) -> Box | None:
    """Take a `Box`, four numbers or nothing.

    Raises
    ------
    InputError
        If it is none of these, or the box has no area.
    """
    if box is None or isinstance(box, Box):
        return box
    try:
        if isinstance(box, str | bytes | dict):
            raise TypeError
        x_min, y_min, x_max, y_max = (float(c) for c in box)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"box: expected four numbers (x_min, y_min, x_max, y_max), got {box!r}") from error
    return Box(x_min, y_min, x_max, y_max)
