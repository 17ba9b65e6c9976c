"""Scores over time become a verdict.

Neighbouring frames of a video are not independent, so evidence is counted in *slots* of `slot_s` seconds: a slot is
worth the mean of its frames' log-odds, each clipped to `max_logit`, so that no frame and no burst can outvote the
rest. The session's score is the mean over the slots of the face that is there, less what earlier faces of the session
fell short of the threshold: slots and hold are counted on the face that passes, and what spoke against another face
weighs, but is no evidence for this one.

**The decision is monotone in the logits.** Take one sequence of frames, times and faces twice, the second time with
some of the scored frames' log-odds lower (and finite). Then, with SPOOF < UNCERTAIN, REFUSED < LIVE:

1. at every frame the verdict of the second is at most that of the first, in an attempt and in an open-ended stream,
   where an attempt that has ended keeps its verdict;
2. an attempt that ends LIVE in the second ends LIVE in the first, and no later;
3. as long as neither has ended, the session's score in the second is at most that in the first.

So whoever can only lower log-odds can only deny. It holds to the last bit, because nothing but a threshold is ever
compared with a slot: which frames open a slot, whose face it is, which frames are lost and when the time is over do
not depend on the log-odds; clipping, the exactly rounded sum of `math.fsum`, and division by a count keep order; and
both the deficit `min(0, slot - threshold)` of an earlier face and the count of slots against are monotone. The proof
by trial is `tests/test_monotone.py`.

A verdict may be final after the first `min_slots + hold_slots` slots. Looking at the evidence as it comes gives an
attack several chances instead of one, so the error rate of sessions is not that of single looks: measure sessions.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ratta.policy import Policy
from ratta.records import Decision, Reason, Refusal, Verdict, as_time, logit, sigmoid

if TYPE_CHECKING:
    from ratta.records import Box

__all__ = ["Judge", "Policy"]

_TIME_TOLERANCE_S = 1e-6
"""Frame times are sums of fractions; a slot that is full but for rounding is full."""
_STALLED_FRAMES = 10
"""So many frames at one time are no burst of a fast camera."""


@dataclass(slots=True)
class _Slot:
    """What one piece of time is worth: the mean of `frames` clipped log-odds."""

    start_s: float
    total: float = 0.0
    frames: int = 0

    @property
    def value(self) -> float:
        return self.total / self.frames


@dataclass(slots=True)
class _Losses:
    """Frames of an attempt that were not scored, by cause, and the slots of time in which none was.

    `hidden` counts those slots that are held against the attempt; copies and frames that never came are not.
    """

    frames: Counter[Reason] = field(default_factory=Counter)
    slots: int = 0
    hidden: int = 0

    def told(self) -> str:
        (reason, count), *_ = self.frames.most_common(1)
        return f"{self.frames.total()} frames could not be scored, {count} of them: {reason}"


class Judge:
    """Weighs the frames of one session.

    Parameters
    ----------
    policy : Policy
    open_ended : bool
        An open-ended stream forgets what is older than `policy.window_s` and never ends; an attempt remembers
        everything and ends.

    Examples
    --------
    >>> judge = Judge(Policy(live_threshold=0.6, spoof_threshold=0.4))
    >>> for i in range(8):
    ...     decision = judge.update(3.0, t=i * 0.2, box=None)
    >>> decision.verdict, decision.final
    (<Verdict.LIVE: 'live'>, True)
    """

    def __init__(self, policy: Policy, *, open_ended: bool = False) -> None:
        self.policy = policy
        self.open_ended = open_ended
        self._live_logit = logit(policy.live_threshold)
        self._spoof_logit = logit(policy.spoof_threshold)
        self._stay = min(policy.hysteresis, (self._live_logit - self._spoof_logit) / 2) if open_ended else 0.0
        self.reset()

    def reset(self) -> None:
        """Forget everything, as a new instance."""
        self.verdict = Verdict.REFUSED
        self.final = False
        self._reason = Reason.NO_FRAMES
        self._detail = ""
        self._slots: list[_Slot] = []
        self._earlier: list[tuple[float, float]] = []  # (start_s, value) of slots of earlier faces
        self._held_since: int | None = None
        self._slots_seen = 0
        self._scored = 0
        self._losses = _Losses()
        self._start_s = math.nan
        self._t = -math.inf
        self._step_s = 0.0
        self._stalled = 0
        self._covered_s = -math.inf
        self._last_scored_s = -math.inf
        self._longest_gap_s = 0.0

    def update(self, live_logit: float, *, t: float, box: Box | None, new_face: bool = False) -> Decision:
        """Weigh one scored frame; the first one begins the attempt.

        Parameters
        ----------
        live_logit : float
            Calibrated log-odds of live; a frame for which it is no finite number is refused.
        t : float
            Seconds, not before the frame before.
        box : Box or None
            Passed through to the decision.
        new_face : bool
            Whether the face is, or may be, another one than in the frame before.

        Raises
        ------
        InputError
            If `t` is not finite or goes backwards.
        """
        if not math.isfinite(live_logit):
            return self.refuse(Refusal(Reason.UNUSABLE_INPUT, f"the network answered {live_logit}"), t=t)
        t = self._advance(t)
        if not self.final:
            self._follow(t, new_face=new_face)
            self._add(live_logit, t)
            self._weigh()
            self._maybe_end(t)
        return self._decision(sigmoid(live_logit), t=t, box=box)

    def refuse(self, refusal: Refusal, *, t: float) -> Decision:
        """Note a frame that could not be scored; it counts neither for nor against, but it costs time.

        Before the first scored frame nothing is counted: nobody's attempt has begun.

        Raises
        ------
        InputError
            If `t` is not finite or goes backwards.
        """
        t = self._advance(t)
        if not self.final and self._scored:
            self._lose(refusal, t)
            self._maybe_end(t)
        elif not self.final:
            self._reason = refusal.reason
        if self.final:
            return self._decision(math.nan, t=t, box=None)
        return Decision(
            verdict=Verdict.REFUSED,
            live_score=math.nan,
            session_score=self.session_score,
            reason=refusal.reason,
            detail="; ".join(filter(None, (refusal.detail, self._about_time()))),
            t=t,
            box=None,
            scored_frames=self._scored,
            final=False,
        )

    def close(self, verdict: Verdict, reason: Reason, detail: str = "") -> None:
        """End the session with a verdict that the scores did not give."""
        self.verdict, self._reason, self._detail, self.final = verdict, reason, detail, True

    @property
    def session_score(self) -> float:
        """The session's score as a probability of live; `nan` before the first scored frame."""
        return sigmoid(self._mean(self._live_logit)) if self._slots else math.nan

    @property
    def reason(self) -> Reason:
        """Why the verdict is what it is."""
        return self._reason

    @property
    def scored_frames(self) -> int:
        """Frames scored so far."""
        return self._scored

    def _advance(self, t: float) -> float:
        t = as_time(t, self._t)
        self._step_s = t - self._t if self._t > -math.inf else 0.0
        self._stalled = self._stalled + 1 if t == self._t else 0
        self._t = t
        return t

    def _follow(self, t: float, *, new_face: bool) -> None:
        """Begin with the first face, and begin the count again with every other."""
        if not self._scored:
            self._start_s = self._last_scored_s = t
        gap_s = t - self._last_scored_s
        self._longest_gap_s = max(self._longest_gap_s, gap_s)
        if new_face or gap_s > self.policy.gap_s:
            self._set_aside()
        self._last_scored_s = self._covered_s = t
        self._scored += 1

    def _set_aside(self) -> None:
        """Keep what an earlier face was worth, one slot of time each: the least, so that no flicker multiplies it."""
        for slot in self._slots:
            if self._earlier and slot.start_s - self._earlier[-1][0] < self.policy.slot_s - _TIME_TOLERANCE_S:
                start_s, least = self._earlier[-1]
                self._earlier[-1] = start_s, min(least, slot.value)
            else:
                self._earlier.append((slot.start_s, slot.value))
        self._slots = []
        self._held_since = None
        self.verdict = Verdict.UNCERTAIN

    def _add(self, live_logit: float, t: float) -> None:
        if not self._slots or t - self._slots[-1].start_s >= self.policy.slot_s - _TIME_TOLERANCE_S:
            self._slots.append(_Slot(t))
            self._slots_seen += 1
        most = self.policy.max_logit
        self._slots[-1].total += max(-most, min(most, live_logit))
        self._slots[-1].frames += 1
        if self.open_ended:
            first_s = t - self.policy.window_s
            self._slots = [slot for slot in self._slots if slot.start_s >= first_s]
            self._earlier = [entry for entry in self._earlier if entry[0] >= first_s]

    def _lose(self, refusal: Refusal, t: float) -> None:
        self._losses.frames[refusal.reason] += 1
        if t - self._covered_s >= self.policy.slot_s - _TIME_TOLERANCE_S:
            self._covered_s = t
            self._losses.slots += 1
            self._losses.hidden += refusal.counts

    def _mean(self, threshold: float) -> float:
        """Mean log-odds of the face's slots, less what earlier faces' slots lack of a threshold."""
        deficits = [min(0.0, value - threshold) for _, value in self._earlier]
        return math.fsum([slot.value for slot in self._slots] + deficits) / len(self._slots)

    def _weigh(self) -> None:
        before = self.verdict
        self.verdict, self._reason = self._judge()
        if self.verdict is not before:
            self._held_since = self._slots_seen

    def _judge(self) -> tuple[Verdict, Reason]:
        if len(self._slots) < self.policy.min_slots:
            return Verdict.UNCERTAIN, Reason.GATHERING
        if self._mean(self._live_logit) >= self._live_logit - self._stay * (self.verdict is Verdict.LIVE):
            return (Verdict.UNCERTAIN, Reason.CONTRADICTORY) if self._contradicts() else (Verdict.LIVE, Reason.STABLE)
        if self._mean(self._spoof_logit) <= self._spoof_logit + self._stay * (self.verdict is Verdict.SPOOF):
            return Verdict.SPOOF, Reason.STABLE
        return Verdict.UNCERTAIN, Reason.BETWEEN_THRESHOLDS

    def _contradicts(self) -> bool:
        values = [slot.value for slot in self._slots] + [value for _, value in self._earlier]
        against = sum(value <= self._spoof_logit for value in values)
        return against > self.policy.max_against * len(self._slots)

    def _maybe_end(self, t: float) -> None:
        if self.open_ended:
            return
        if self._may_end():
            self.final = True
        elif t - self._start_s >= self.policy.timeout_s:
            self._time_out()

    def _may_end(self) -> bool:
        if self.verdict is Verdict.LIVE:  # as long as the latest evidence agrees, and most of the time was seen
            if self._slots[-1].value < self._live_logit or self._losses.hidden > self._slots_seen:
                return False
        elif self.verdict is not Verdict.SPOOF:
            return False
        return self._held_since is not None and self._slots_seen - self._held_since >= self.policy.hold_slots

    def _time_out(self) -> None:
        if self._losses.slots > self._slots_seen:
            frozen = self._losses.frames.most_common(1)[0][0] is Reason.FROZEN
            reason = Reason.FROZEN if frozen else Reason.TOO_MANY_REFUSED
            self.close(Verdict.REFUSED, reason, self._losses.told())
        else:
            self.close(Verdict.UNCERTAIN, Reason.TIMED_OUT, self._about_gaps())

    def _about_gaps(self) -> str:
        if self._longest_gap_s <= self.policy.gap_s:
            return self._losses.told() if self._losses.slots else ""
        return (
            f"up to {self._longest_gap_s:.3g} s between two scored frames, and a face unseen for over "
            f"{self.policy.gap_s:g} s is taken for another; give more frames a second, and t is in seconds"
        )

    def _about_time(self) -> str:
        if self._stalled >= _STALLED_FRAMES:
            return f"t is the same for {self._stalled + 1} frames; pass each frame's time in seconds"
        if self._step_s > self.policy.gap_s:
            return f"{self._step_s:.3g} s between two frames; t is in seconds"
        return ""

    def _decision(self, live_score: float, *, t: float, box: Box | None) -> Decision:
        return Decision(
            verdict=self.verdict,
            live_score=live_score,
            session_score=self.session_score,
            reason=self._reason,
            detail=self._detail if self.final else self._about_time(),
            t=t,
            box=box,
            scored_frames=self._scored,
            final=self.final,
        )
