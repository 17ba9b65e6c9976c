"""Odd calls: the answer is a decision, a score or an error of ours, and a wrong call leaves no trace."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ratta.decision import Policy
from ratta.errors import RattaError
from ratta.lockout import Lockout
from ratta.records import Box, Decision, Score, as_float

NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.decimals(),
    st.fractions(),
    st.booleans(),
    st.complex_numbers(),
    st.text(max_size=4),
    st.none(),
    st.binary(max_size=4),
    hnp.from_dtype(np.dtype("int8")),
    hnp.from_dtype(np.dtype("float16")),
    hnp.from_dtype(np.dtype("timedelta64[s]")),
    hnp.from_dtype(np.dtype("datetime64[s]")),
    hnp.arrays(st.sampled_from(["f4", "i2", "O", "U3", "b1"]), st.sampled_from([(), (1,), (2, 2)])),
    st.sampled_from([np.ma.masked, np.ma.masked_array([1.0]), object(), type, [1.0], {}, 10**400, -(10**400), 1e300]),
)
SHAPES = (0, 0, 3), (1, 1, 3), (70, 70, 3), (3, 80, 80), (80, 80), (1, 80, 80, 3)
FRAMES = st.sampled_from(
    [
        np.full(shape, value).astype(kind)
        for shape in SHAPES
        for value in (0, 1, 120)
        for kind in ("u1", "i1", "f4", "?")
    ]
    + [None, "frame.png", b"frame", [[0]], 5, math.nan, np.ma.masked_array(np.zeros((80, 80, 3), np.uint8))]
)
BOXES = st.one_of(st.none(), NUMBERS, st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), st.lists(st.floats(), max_size=5))
COLORS = st.one_of(st.sampled_from(["bgr", "rgb", "RGB", "", None, 3, math.nan]), NUMBERS)


@given(frame=FRAMES, t=NUMBERS, box=BOXES, color=COLORS)
@example(frame=None, t=Decimal("0.1"), box=None, color="bgr")
@example(frame=None, t=Fraction(1, 3), box=(0, 0, 10**400, 1), color="bgr")
def test_a_wrong_call_is_an_answer_or_an_error_of_ours(engine, frames, frame, t, box, color):
    """`score`, `step` and a session alike; afterwards the engine answers right calls as if nothing had been."""
    good, count = frames("live", 2), engine.failed_attempts
    session, arguments = engine.session(), {"box": box, "color": color}
    for call in (
        lambda: engine.score(frame, **arguments),
        lambda: engine.step(frame, t=t, **arguments),
        lambda: session.step(frame, t=t, **arguments),
        lambda: engine.locked(t),
    ):
        try:
            answer = call()
        except RattaError:
            continue
        assert isinstance(answer, (Decision, Score, bool))
        if isinstance(answer, Decision):
            assert type(answer.t) is float
    engine.reset()
    assert not engine.score(good[0]).refused
    assert not math.isnan(engine.session().step(good[1], t=0.0).live_score)
    engine.reset()
    assert (engine.failed_attempts, count) == (0, 0)


@given(corners=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_a_box_holds_floats_or_is_refused(corners):
    """Of whatever it was made."""
    try:
        box = Box(*corners)
    except RattaError:
        return
    assert [type(edge) for edge in (box.x_min, box.y_min, box.x_max, box.y_max)] == [float] * 4
    assert box.iou(box) == pytest.approx(1.0)
    assert [as_float(corner) for corner in corners] == [box.x_min, box.y_min, box.x_max, box.y_max]


POLICY = ("live_threshold", "spoof_threshold", "hysteresis", "slot_s", "max_logit", "min_slots", "timeout_s", "gap_s")


@given(values=st.dictionaries(st.sampled_from(POLICY), NUMBERS, max_size=3))
def test_a_policy_is_right_or_refused(values):
    """No other error leaves its constructor."""
    try:
        policy = Policy(**{"live_threshold": 0.6, "spoof_threshold": 0.4, **values})
    except RattaError:
        return
    assert 0 < policy.spoof_threshold <= policy.live_threshold < 1


@given(
    most=NUMBERS,
    seconds=NUMBERS,
    values=st.dictionaries(st.sampled_from(["failed", "left_s", "x"]), NUMBERS),
    t=NUMBERS,
)
def test_a_lockout_is_right_or_refused(most, seconds, values, t):
    """Made or restored from anything."""
    try:
        lockout = Lockout(max_attempts=most, lockout_s=seconds)
        lockout.restore(values, t)
    except RattaError:
        return
    assert 0 <= lockout.left_s <= lockout.lockout_s + 1e-6
