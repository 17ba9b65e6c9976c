"""One attempt, or an open-ended stream: from a frame to a decision."""

from __future__ import annotations

import math
from dataclasses import replace
from threading import get_ident
from typing import TYPE_CHECKING, NoReturn, Protocol, Self

from ratta.decision import Judge, Policy
from ratta.errors import InputError
from ratta.lockout import Lockout
from ratta.perception import Perception, check_color
from ratta.records import Box, Decision, Reason, Refusal, Verdict, as_time

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from ratta.adapter import Adapter, AttemptHandle
    from ratta.inference import Corrected, Ensemble, Network
    from ratta.records import Pixels, Reading

    BoxLike = Box | tuple[float, float, float, float]

UNLIKE = "unlike the live faces learnt on this camera"


class Host(Protocol):
    """What a session needs of its engine."""

    policy: Policy

    @property
    def network(self) -> Network | Ensemble | Corrected:
        """The network that answers where nothing adapts."""

    @property
    def adapter(self) -> Adapter | None:
        """What answers and learns in its place, if adaptation is enabled."""

    def new_perception(self) -> Perception:
        """Make the perception of one session."""

    @property
    def lockout(self) -> Lockout:
        """What counts the attempts that failed."""

    @property
    def turn(self) -> Turn:
        """The guard against concurrent calls."""


class Turn:
    """Lets one thread at a time into an engine; a second one is an error.

    A call inside a call of the same thread, as from a signal's handler, is let in.

    Examples
    --------
    >>> turn = Turn()
    >>> with turn:
    ...     answer = "given"
    """

    def __init__(self) -> None:
        self._owner: int | None = None

    def __enter__(self) -> None:
        me, owner = get_ident(), self._owner
        if owner not in (None, me):
            raise InputError(
                "engine: expected one thread at a time, got a second one before the first was answered; "
                "give each thread an engine of its own"
            )
        self._owner = me  # no lock: an exception that a signal raises here must not shut the engine for ever

    def __exit__(self, *_: object) -> None:
        self._owner = None


class Session:
    """One person in front of one camera for one attempt; or, open-ended, a stream.

    The attempt begins with its first scored frame: waiting for a face costs nothing and counts for nothing. From then
    on it stands as failed, and only a final LIVE takes that back: neither breaking off nor forgetting to close is a
    free retry. Leaving the `with` block, or `close`, ends it.

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
        self._lockout = engine.lockout
        self._number: int | None = None
        self._ended = False
        self._closed = False
        self._attempt: AttemptHandle | None = None
        self._confirmed: bool | None = None

    def __repr__(self) -> str:
        state = "final" if self.final else "closed" if self._closed else "open"
        return f"<Session {self.verdict} ({self.reason}), {self._judge.scored_frames} frames scored, {state}>"

    def step(
        self, frame: npt.NDArray[np.uint8], *, t: float, box: BoxLike | None = None, color: str = "bgr"
    ) -> Decision:
        """Answer one frame; arguments and errors as in `Engine.step`.

        After `decision.final` the verdict stays; further frames are not looked at.
        """
        box = as_box(box)
        check_color(color)
        with self._engine.turn:
            return self._step(frame, self._admit(t), box, color)

    def _step(self, frame: npt.NDArray[np.uint8], t: float, box: Box | None, color: str) -> Decision:
        if self._judge.final:
            return self._judge.refuse(Refusal(self._judge.reason), t=t)
        seen = self._perception.follow(frame, t=t, box=box, color=color)
        if isinstance(seen, Refusal):
            decision = self._judge.refuse(seen, t=t)
            self._settle(t)
            return decision
        self._charge(t)
        reading = self._read(seen.pixels, t)
        new_face = self._is_new(seen.face.box)
        decision = self._judge.update(reading.live_logit, t=t, box=seen.face.box, new_face=new_face)
        self._settle(t)
        return self._told(decision)

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
        """State what is known for certain about this attempt: a live person, or an attack.

        For an integrator who knows that a living face was there, or that none was: a passcode or second factor (it
        proves who, and is proof of life only where nobody would hold up a picture of himself), an operator's label. It
        changes no verdict; it is the best evidence that an engine can learn from, after a denial above all.

        It may be called during the attempt and after its end, until `Adaptation.confirm_s` seconds have passed or the
        next attempt begins.

        Raises
        ------
        InputError
            If `is_live` is no truth value, or it is too late.
        """
        if not isinstance(is_live, bool):
            raise InputError(f"confirm: expected is_live to be True or False, got {is_live!r:.80}")
        if self._attempt is not None and self._engine.adapter is not None:
            self._engine.adapter.confirm(self._attempt, is_live=is_live)
        self._confirmed = is_live

    def close(self) -> None:
        """End the attempt; the verdict of an undecided one becomes UNCERTAIN (or stays REFUSED)."""
        if self._closed or self._open_ended:
            return
        self._closed = True
        judge = self._judge
        if not judge.final and judge.scored_frames:
            undecided = judge.verdict is Verdict.UNCERTAIN
            judge.close(Verdict.UNCERTAIN, judge.reason if undecided else Reason.GATHERING)
            self._settle(self._t)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled: one attempt must not become several."""
        raise InputError("session: expected one attempt, got an order to copy it; begin another with engine.session()")

    def _admit(self, t: float) -> float:
        if self._closed:
            raise InputError(
                "session: expected an open session, got one that was closed; begin another with engine.session()"
            )
        t = as_time(t, self._t)
        begins = not (self._open_ended or self._number or self._judge.final)
        if begins and self._lockout.locked(t):
            left = f"{math.ceil(self._lockout.left_s)} s until the next attempt"
            self._judge.close(Verdict.REFUSED, Reason.ATTEMPTS_EXHAUSTED, left)
        self._t = t
        return t

    def _charge(self, t: float) -> None:
        if not (self._number or self._open_ended):
            self._number = self._lockout.begin(t)

    def _read(self, pixels: Pixels, t: float) -> Reading:
        adapter = self._engine.adapter
        if adapter is None:
            return self._engine.network.read(pixels)
        if self._attempt is None:
            self._attempt = adapter.begin()
            self._attempt.confirmed = self._confirmed
        return adapter.read(self._attempt, pixels, t=t)

    def _told(self, decision: Decision) -> Decision:
        """Add what the adapter has to say."""
        adapter = self._engine.adapter
        if adapter is None or self._attempt is None:
            return decision
        unlike = UNLIKE if self._attempt.penalty > 0 else ""
        detail = "; ".join(filter(None, (decision.detail, unlike)))
        return replace(decision, detail=detail, adapted=adapter.adapted, band=adapter.band)

    def _settle(self, t: float) -> None:
        """Let a charged attempt stand as failed up to now, or end it."""
        if self._number is None or self._ended:
            return
        self._ended = self._judge.final
        if self._ended and self._judge.verdict is Verdict.LIVE:
            self._lockout.clear()
        else:
            self._lockout.stand(self._number, t)
        if self._ended and self._engine.adapter and self._attempt:
            self._engine.adapter.end(self._attempt, t=t)

    def _is_new(self, box: Box) -> bool:
        before, self._box = self._box, box
        return before is not None and before.iou(box) < 0.1


def as_box(box: BoxLike | None) -> Box | None:
    """Make a `Box` of a `Box`, four numbers or nothing.

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
