"""Scores over time become a verdict.

Neighbouring frames of a video are not independent, so evidence is counted in *slots* of `slot_s` seconds: a slot is
worth the mean of its frames' log-odds, each clipped to `max_logit`, so that no frame and no burst can outvote the
rest. The session's score is the mean over its slots. One good frame therefore never passes, however often it is
retried; and when the face changes, what spoke for the old face is dropped, while what spoke against it stays.

A verdict may be final after the first `min_slots + hold_slots` slots. Looking at the evidence as it comes gives an
attack several chances instead of one, so the error rate of sessions is not that of single looks: measure sessions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratta.errors import InputError
from ratta.records import Decision, Reason, Refusal, Verdict, as_float, logit, sigmoid

if TYPE_CHECKING:
    from ratta.records import Box

_TIME_TOLERANCE_S = 1e-6
"""Frame times are sums of fractions; a slot that is full but for rounding is full."""
_LATEST_S = 1e15
_RANGES = {
    "live_threshold": (0.0, 1.0),
    "spoof_threshold": (0.0, 1.0),
    "hysteresis": (0.0, 100.0),
    "slot_s": (0.001, 60.0),
    "max_logit": (0.0, 100.0),
    "max_against": (0.0, 0.99),
    "timeout_s": (0.001, 3600.0),
    "gap_s": (0.001, 3600.0),
    "window_s": (0.001, 3600.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When evidence is enough.

    Attributes
    ----------
    live_threshold, spoof_threshold : float
        On the session's score; between them the verdict is UNCERTAIN.
    hysteresis : float
        Log-odds by which an open-ended stream's score must fall back behind a threshold before a verdict is given up,
        at most half of what lies between the thresholds. An attempt has none: it ends, so nothing can flicker.
    slot_s : float
        Seconds of video that count as one piece of evidence.
    max_logit : float
        The most one frame, and so one slot, can say, in log-odds.
    min_slots : int
        Slots needed before the first verdict.
    hold_slots : int
        Further slots that a verdict must survive before it is final.
    max_against : float
        Share of slots below the spoof threshold that a LIVE verdict tolerates.
    timeout_s : float
        An attempt without a final verdict ends after this time.
    gap_s : float
        A face unseen for longer than this is taken for another face when one comes back.
    window_s : float
        How far an open-ended stream looks back; an attempt looks back to its beginning.
    """

    live_threshold: float
    spoof_threshold: float
    hysteresis: float = 0.4
    slot_s: float = 0.2
    max_logit: float = 4.0
    min_slots: int = 5
    hold_slots: int = 2
    max_against: float = 0.25
    timeout_s: float = 10.0
    gap_s: float = 1.0
    window_s: float = 3.0

    def __post_init__(self) -> None:
        self._check_numbers()
        if not 0 < self.spoof_threshold <= self.live_threshold < 1:
            raise InputError(
                "policy: expected 0 < spoof_threshold <= live_threshold < 1, "
                f"got {self.spoof_threshold} and {self.live_threshold}"
            )
        farthest = max(logit(self.live_threshold), -logit(self.spoof_threshold))
        if self.max_logit <= farthest:
            raise InputError(
                f"policy.max_logit: expected more than {farthest:.3g}, the farther threshold's log-odds, got "
                f"{self.max_logit}; no score could reach that threshold"
            )
        if self.slot_s * self.min_slots > self.window_s:
            raise InputError(f"policy.window_s: expected room for {self.min_slots} slots, got {self.window_s}")
        if self.slot_s * (self.min_slots + self.hold_slots) > self.timeout_s:
            raise InputError(
                f"policy.timeout_s: expected room for {self.min_slots} + {self.hold_slots} slots, got {self.timeout_s}"
            )

    def _check_numbers(self) -> None:
        for name, fewest in (("min_slots", 2), ("hold_slots", 0)):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < fewest:
                raise InputError(f"policy.{name}: expected a whole number of at least {fewest}, got {value!r}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= as_float(value) <= most:
                raise InputError(f"policy.{name}: expected a number from {least} to {most}, got {value!r}")


@dataclass(slots=True)
class _Slot:
    start_s: float
    total: float = 0.0
    frames: int = 0

    @property
    def value(self) -> float:
        return self.total / self.frames


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
        """Forget everything, as if newly made."""
        self.verdict = Verdict.REFUSED
        self.final = False
        self._reason = Reason.NO_FRAMES
        self._slots: list[_Slot] = []
        self._held_since: int | None = None
        self._slots_seen = 0
        self._scored = 0
        self._refused = 0
        self._fresh_slot = True
        self._start_s = math.nan
        self._t = -math.inf
        self._last_scored_s = -math.inf

    def update(self, live_logit: float, *, t: float, box: Box | None, new_face: bool = False) -> Decision:
        """Weigh one scored frame.

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
        self._advance(t)
        if self.final:
            return self._decision(sigmoid(live_logit), t=t, box=box)
        if new_face or t - self._last_scored_s > self.policy.gap_s:
            self._forget_what_spoke_for()
        self._last_scored_s = t
        self._scored += 1
        self._add(live_logit, t)
        self._weigh()
        self._maybe_end(t)
        return self._decision(sigmoid(live_logit), t=t, box=box)

    def refuse(self, refusal: Refusal, *, t: float) -> Decision:
        """Note a frame that could not be scored; it counts neither for nor against, but it costs time.

        Raises
        ------
        InputError
            If `t` is not finite or goes backwards.
        """
        self._advance(t)
        if not self.final:
            self._refused += 1
            if not self._scored:
                self._reason = refusal.reason
            self._maybe_end(t)
        if self.final:
            return self._decision(math.nan, t=t, box=None)
        return Decision(
            verdict=Verdict.REFUSED,
            live_score=math.nan,
            session_score=self.session_score,
            reason=refusal.reason,
            detail=refusal.detail,
            t=t,
            box=None,
            scored_frames=self._scored,
            final=False,
        )

    def close(self, verdict: Verdict, reason: Reason) -> None:
        """End the session with a verdict that the scores did not give."""
        self.verdict, self._reason, self.final = verdict, reason, True

    @property
    def session_score(self) -> float:
        """Mean over the slots as a probability of live; `nan` before the first scored frame."""
        return sigmoid(self._mean()) if self._slots else math.nan

    @property
    def reason(self) -> Reason:
        """Why the verdict is what it is."""
        return self._reason

    @property
    def scored_frames(self) -> int:
        """Frames scored so far."""
        return self._scored

    def _advance(self, t: float) -> None:
        check_time(t, self._t)
        self._t = t
        if math.isnan(self._start_s):
            self._start_s = t

    def _forget_what_spoke_for(self) -> None:
        self._slots = [slot for slot in self._slots if slot.value < self._live_logit]
        self._fresh_slot = True
        self._held_since = None
        self.verdict = Verdict.UNCERTAIN

    def _add(self, live_logit: float, t: float) -> None:
        if self._fresh_slot or t - self._slots[-1].start_s >= self.policy.slot_s - _TIME_TOLERANCE_S:
            self._slots.append(_Slot(t))
            self._slots_seen += 1
            self._fresh_slot = False
        most = self.policy.max_logit
        self._slots[-1].total += max(-most, min(most, live_logit))
        self._slots[-1].frames += 1
        if self.open_ended:
            self._slots = [slot for slot in self._slots if t - slot.start_s <= self.policy.window_s]

    def _mean(self) -> float:
        return sum(slot.value for slot in self._slots) / len(self._slots)

    def _weigh(self) -> None:
        before = self.verdict
        self.verdict, self._reason = self._judge()
        if self.verdict is not before:
            self._held_since = self._slots_seen

    def _judge(self) -> tuple[Verdict, Reason]:
        policy = self.policy
        if len(self._slots) < policy.min_slots:
            return Verdict.UNCERTAIN, Reason.GATHERING
        mean = self._mean()
        if mean >= self._live_logit - self._stay * (self.verdict is Verdict.LIVE):
            against = sum(slot.value <= self._spoof_logit for slot in self._slots)
            if against > policy.max_against * len(self._slots):
                return Verdict.UNCERTAIN, Reason.CONTRADICTORY
            return Verdict.LIVE, Reason.STABLE
        if mean <= self._spoof_logit + self._stay * (self.verdict is Verdict.SPOOF):
            return Verdict.SPOOF, Reason.STABLE
        return Verdict.UNCERTAIN, Reason.BETWEEN_THRESHOLDS

    def _maybe_end(self, t: float) -> None:
        if self.open_ended:
            return
        if self._may_end():
            self.final = True
        elif t - self._start_s >= self.policy.timeout_s:
            many = self._refused > self._scored
            self.close(*((Verdict.REFUSED, Reason.TOO_MANY_REFUSED) if many else (Verdict.UNCERTAIN, Reason.TIMED_OUT)))

    def _may_end(self) -> bool:
        if self.verdict is Verdict.LIVE:  # as long as the latest evidence agrees, and most frames could be judged
            if self._slots[-1].value < self._live_logit or self._refused > self._scored:
                return False
        elif self.verdict is not Verdict.SPOOF:
            return False
        return self._held_since is not None and self._slots_seen - self._held_since >= self.policy.hold_slots

    def _decision(self, live_score: float, *, t: float, box: Box | None) -> Decision:
        return Decision(
            verdict=self.verdict,
            live_score=live_score,
            session_score=self.session_score,
            reason=self._reason,
            detail="",
            t=t,
            box=box,
            scored_frames=self._scored,
            final=self.final,
        )


def check_time(t: object, earliest: float = -math.inf) -> None:
    """Refuse a time that is not a finite number of seconds at or after `earliest`."""
    seconds = as_float(t)
    if not abs(seconds) < _LATEST_S:
        raise InputError(
            f"t: expected a finite number of seconds, got {t!r}; pass the frame's time on a monotonic clock"
        )
    if seconds < earliest:
        raise InputError(
            f"t: expected at least {earliest}, the time of the frame or attempt before, got {t}; time never goes back"
        )
