"""The decision and the engine as one state machine, against a model of the promises of docs/security.md.

Sessions are opened, fed, forgotten, closed, beside one another, over a clock that jumps; the machine knows of each
attempt what was scored and when, and checks the promises from outside, after every step.
"""

import math

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
from ratta.engine import Engine
from ratta.errors import InputError
from ratta.inference import NumpySession
from ratta.records import Box, Crop, Face, Reading, Reason, Refusal, Verdict, logit

MODEL = read_bundle(find_bundle(DEFAULT_MODEL))
GRAPH = NumpySession(MODEL.graph)
HERE, THERE = Box(100, 100, 300, 300), Box(400, 100, 600, 300)
MOST, LOCKOUT_S = 3, 60.0


class Eyes:
    """A frame is (log-odds, box), or a reason why nothing can be scored."""

    def detect(self, frame, *, color="bgr"):
        return ()

    def follow(self, frame, *, t, box=None, color="bgr"):
        if isinstance(frame, Reason):
            return Refusal(frame, counts=frame is not Reason.FROZEN)
        return Crop((np.full((1, 1, 1), frame[0]),), Face(frame[1], 1.0))


class Net:
    def read(self, pixels):
        none = np.zeros(1)
        return Reading(none, none, none, float(pixels[0][0, 0, 0]))


class Attempt:
    """A session and what is known of it."""

    scored_ever = False

    def __init__(self, session, life):
        self.session = session
        self.life = life
        self.scored = []  # (t, log-odds) of the face that is there
        self.box = None
        self.begun_s = math.nan
        self.last_s = -math.inf
        self.over = False


class Promises(RuleBasedStateMachine):
    """One engine, any number of attempts, and what must hold."""

    attempts = Bundle("attempts")

    @initialize()
    def begin(self):
        self.engine = Engine(MODEL, GRAPH, detector=Eyes(), max_attempts=MOST, lockout_s=LOCKOUT_S)
        self.engine.new_perception, self.engine._network = Eyes, Net()
        self.engine.reset()
        self.t, self.life = 0.0, 0
        self.failures = {}
        self.last_failure_s = -math.inf

    @rule(target=attempts)
    def open(self):
        return Attempt(self.engine.session(), self.life)

    @rule(step_s=st.sampled_from([0.05, 0.2, 0.9, 1.5, 11.0, 59.0, 61.0]))
    def wait(self, step_s):
        self.t += step_s

    @rule(
        attempt=attempts,
        values=st.lists(st.sampled_from([4.0, 4.0, 4.0, 1.0, 0.2, -0.5, -4.0]), min_size=1, max_size=9),
        there=st.sampled_from([False, False, False, True]),
        step_s=st.sampled_from([0.0, 0.05, 0.2, 0.2, 0.2]),
    )
    def show(self, attempt, values, there, step_s):
        """Show one face, some frames long."""
        for value in values:
            self.t += step_s
            self.feed(attempt, (value, THERE if there else HERE))

    @rule(attempt=attempts, reason=st.sampled_from([Reason.NO_FACE, Reason.FROZEN, Reason.TOO_DARK]))
    def hide(self, attempt, reason):
        self.t += 0.1
        self.feed(attempt, reason)

    @rule(attempt=consumes(attempts))
    def leave(self, attempt):
        if attempt.life != self.life:
            return
        was_final, before = attempt.session.final, attempt.session.verdict
        attempt.session.close()
        assert attempt.session.verdict is (before if was_final or not attempt.scored_ever else Verdict.UNCERTAIN)
        if attempt.scored_ever and not attempt.over:
            self.fail(attempt, attempt.last_s)
        with pytest.raises(InputError):
            attempt.session.step((4.0, HERE), t=self.t)

    @rule(attempt=attempts, wrong=st.sampled_from([math.nan, "0", None, -1e9, True]))
    def slip(self, attempt, wrong):
        """Give a wrong time: an error, and nothing changes."""
        before = self.engine.failed_attempts, attempt.session.verdict, attempt.session.final
        with pytest.raises(InputError):
            attempt.session.step((4.0, HERE), t=wrong if attempt.last_s > -1e9 or wrong != -1e9 else math.inf)
        assert before == (self.engine.failed_attempts, attempt.session.verdict, attempt.session.final)

    @rule(attempt=attempts)
    def look(self, attempt):
        """Ask for what is known: nothing changes."""
        before = self.engine.failed_attempts
        self.engine.score(np.zeros((80, 80, 3), np.uint8))
        assert (self.engine.failed_attempts, self.engine.lockout_left_s >= 0) == (before, True)

    @rule()
    def restart(self):
        """Kill the process, and its attempts with it, and go on from what it exported."""
        self.life += 1
        self.engine.locked(self.t)
        exported, left_s = self.engine.lockout.export(), self.engine.lockout_left_s
        self.engine.reset()
        self.engine.lockout.restore(exported, self.t)
        assert self.engine.lockout_left_s == pytest.approx(left_s)
        self.failures = {f"restored {i}": None for i in range(len(self.failures))}
        self.last_failure_s = self.t - (LOCKOUT_S - left_s) if left_s else self.t

    def feed(self, attempt, frame):
        if attempt.life != self.life:
            return
        session, refused = attempt.session, isinstance(frame, Reason)
        was_final, charged = session.final, attempt.scored_ever
        locked = len(self.failures) >= MOST and self.t - self.last_failure_s < LOCKOUT_S - 1e-6
        decision = session.step(frame, t=self.t)
        attempt.last_s = self.t
        if was_final:
            assert decision.final
            assert decision.verdict is session.verdict
            return
        if not charged and decision.reason is Reason.ATTEMPTS_EXHAUSTED:
            assert decision.final
            assert decision.verdict is Verdict.REFUSED
            assert decision.detail
            assert len(self.failures) >= MOST
            assert self.t - self.last_failure_s < LOCKOUT_S + 1e-6
            return
        assert charged or not locked  # no attempt begins in a lockout
        if refused and not charged:
            assert not decision.final  # waiting for a face ends nothing
            return
        if not refused:
            self.note(attempt, frame)
        if session.final:
            attempt.over = True
            self.ended(attempt, decision)
        else:
            self.fail(attempt, self.t)

    def note(self, attempt, frame):
        value, box = frame
        apart = bool(attempt.scored) and self.t - attempt.scored[-1][0] > self.engine.policy.gap_s
        if not attempt.scored_ever:
            attempt.begun_s = self.t
            if len(self.failures) >= MOST:
                self.failures = {}
        if apart or box is not attempt.box:
            attempt.scored = []
        attempt.box = box
        attempt.scored.append((self.t, max(-4.0, min(4.0, value))))
        attempt.scored_ever = True

    def ended(self, attempt, decision):
        policy = self.engine.policy
        if decision.verdict is not Verdict.LIVE:
            self.fail(attempt, self.t)
            assert self.t - attempt.begun_s >= policy.timeout_s or decision.verdict is Verdict.SPOOF
            return
        slots = policy.min_slots + policy.hold_slots
        times, values = zip(*attempt.scored, strict=True)
        assert times[-1] - times[0] >= (slots - 1) * policy.slot_s - 1e-6  # one frame, and one burst, never pass
        assert sum(values) / len(values) >= -4
        assert max(values) >= logit(policy.live_threshold)
        assert values[-1] >= -4
        assert len(values) >= slots
        self.failures = {}

    def fail(self, attempt, t):
        self.failures[id(attempt)] = attempt
        self.last_failure_s = max(self.last_failure_s, t)

    @invariant()
    def the_count_is_what_stands(self):
        if hasattr(self, "engine"):
            assert self.engine.failed_attempts == len(self.failures)


TestPromises = Promises.TestCase
