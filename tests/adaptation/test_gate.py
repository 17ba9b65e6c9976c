import math

import numpy as np
import pytest

from ratta.adaptation.anchors import Worth
from ratta.adaptation.gate import Gate, RejectReason
from ratta.adaptation.records import Attempt, BufferedFrame
from ratta.errors import InputError

LIVE = 1.0
"""The live threshold; with the margin of 2 a confident source says 3."""


def attempt(*logits: float, views: tuple[float, ...] = (3.0, 3.0), **known) -> Attempt:
    made = Attempt(view_logits=list(views), **known)
    made.frames.extend(BufferedFrame(float(t), np.zeros(2), logit, 0.0) for t, logit in enumerate(logits))
    return made


def judged(found: Attempt, *, views: int = 2, **arguments) -> Worth | RejectReason:
    """Ask a fresh gate; what it counts must agree with what it says."""
    gate = Gate(live_logit=LIVE, **arguments)
    verdict = gate.judge(found, views=views)
    counted = [reason for reason, count in gate.rejected.items() for _ in range(count)]
    assert counted == ([verdict] if isinstance(verdict, RejectReason) else [])
    return verdict


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (Worth.GATED, attempt(3.0, 3.0, 3.0)),
        (Worth.GATED, attempt(-9.0, 3.0, 9.0)),  # the median counts
        (Worth.CONFIRMED, attempt(3.0, 3.0, 3.0, confirmed=True)),
        (Worth.CONFIRMED, attempt(-9.0, -9.0, -9.0, confirmed=True, views=())),  # denied, and then a passcode
        (RejectReason.TOO_SHORT, attempt()),
        (RejectReason.TOO_SHORT, attempt(3.0, 3.0)),
        (RejectReason.TOO_SHORT, attempt(3.0, 3.0, confirmed=True)),
        (RejectReason.NOT_FINITE, attempt(3.0, 3.0, math.nan, 3.0)),
        (RejectReason.NOT_FINITE, attempt(3.0, 3.0, math.inf, 3.0, confirmed=True)),
        (RejectReason.ATTACK, attempt(3.0, 3.0, 3.0, confirmed=False)),
        (RejectReason.NOT_LIVE, attempt(2.99, 2.99, 9.0)),
        (RejectReason.UNAFFORDABLE, attempt(3.0, 3.0, 3.0, views=(3.0,))),
        (RejectReason.UNAFFORDABLE, attempt(3.0, 3.0, 3.0, views=())),
        (RejectReason.VIEWS, attempt(3.0, 3.0, 3.0, views=(3.0, 2.99))),
        (RejectReason.VIEWS, attempt(3.0, 3.0, 3.0, views=(math.nan, 3.0))),
        (RejectReason.VIEWS, attempt(3.0, 3.0, 3.0, views=(3.0, -math.inf))),
    ],
)
def test_each_condition_by_itself(expected, found):
    """One thing that speaks against an attempt is enough, and its reason is the one counted."""
    assert expected == judged(found)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_conformity_that_is_no_number_is_no_evidence(bad):
    """Also where the integrator confirmed it: it would stay in the sums for ever."""
    found = attempt(3.0, 3.0, 3.0, confirmed=True)
    found.frames.append(BufferedFrame(9.0, np.zeros(2), 3.0, bad))
    assert RejectReason.NOT_FINITE is judged(found)


def test_no_views_are_no_agreement():
    """An attempt of which no crop was kept is not believed."""
    assert RejectReason.UNAFFORDABLE is judged(attempt(3.0, 3.0, 3.0, views=()), views=0)


def test_where_only_confirmed_sessions_count():
    """The most confident stranger is none."""
    assert RejectReason.NOT_ALLOWED is judged(attempt(30.0, 30.0, 30.0), gated=False)
    assert Worth.CONFIRMED is judged(attempt(3.0, 3.0, 3.0, confirmed=True), gated=False)


def test_screening_asks_no_view_and_counts_nothing():
    """It may be asked again and again."""
    gate = Gate(live_logit=LIVE)
    found = attempt(3.0, 3.0, 3.0, views=())
    assert [None, None] == [gate.screen(found), gate.screen(found)]
    assert RejectReason.NOT_LIVE is gate.screen(attempt(0.0, 0.0, 0.0))
    assert dict.fromkeys(RejectReason, 0) == gate.rejected


def test_judging_leaves_the_attempt_alone_and_reset_forgets():
    """The same attempt gets the same answer; the counts begin anew."""
    gate, found = Gate(live_logit=LIVE), attempt(0.0, 0.0, 0.0)
    assert gate.judge(found, views=2) is gate.judge(found, views=2)
    assert (2, 3, [3.0, 3.0], None) == (
        gate.rejected[RejectReason.NOT_LIVE],
        len(found.frames),
        found.view_logits,
        found.confirmed,
    )
    gate.reset()
    assert Gate(live_logit=LIVE).rejected == gate.rejected


@pytest.mark.parametrize(
    "arguments",
    [
        {"live_logit": math.nan},
        {"live_logit": 0.0, "margin": -1.0},
        {"live_logit": 0.0, "margin": math.inf},
        {"live_logit": 0.0, "least_frames": 0},
    ],
)
def test_senseless_parameters_are_refused(arguments):
    """At once, in the constructor."""
    with pytest.raises(InputError, match="gate: expected"):
        Gate(**arguments)
