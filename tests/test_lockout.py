"""The count of failed attempts: how it grows, what clears it, how long it refuses, and that it cannot be doubled."""

import copy
import math
import pickle

import pytest

from ratta.errors import InputError, StateError
from ratta.lockout import Lockout
from ratta.records import Reason, Verdict

KEY = bytes(range(32))


def locked(*, failures=5, t=10.0):
    lockout = Lockout()
    for _ in range(failures):
        lockout.begin(t)
    return lockout


def test_the_lockout_counts_from_the_last_moment_of_the_last_attempt():
    """Not from its beginning."""
    lockout = locked()
    lockout.stand(5, 18.0)
    assert [lockout.locked(t) for t in (18.0, 77.9, 78.0)] == [True, True, False]


def test_the_seconds_left_are_told():
    """As of the latest time that was told; none where attempts are allowed."""
    lockout = locked()
    assert lockout.left_s == 60.0
    lockout.locked(45.5)
    assert lockout.left_s == 24.5
    lockout.locked(1000.0)
    assert lockout.left_s == 0.0
    assert locked(failures=4).left_s == 0.0


def test_an_attempt_beside_one_that_passed_stands_again():
    """Somebody's LIVE clears what failed before; whoever was in the middle of an attempt has still to end it."""
    lockout = Lockout()
    other, mine = lockout.begin(0.0), lockout.begin(0.1)
    lockout.clear()
    lockout.stand(mine, 1.0)
    assert (other, lockout.failed) == (1, 1)


def test_a_served_lockout_begins_anew():
    """Five attempts more, and then another minute."""
    lockout = locked()
    assert not lockout.locked(80.0)
    lockout.begin(80.0)
    assert (lockout.failed, lockout.locked(80.0)) == (1, False)


def test_attempts_share_one_clock():
    """An attempt before the last one is an error, not a lockout for ever; that one's verdict makes no difference."""
    passed = Lockout()
    passed.locked(20.0)
    passed.begin(20.0)
    passed.clear()
    for lockout in (locked(), passed):
        with pytest.raises(InputError, match="time never goes back"):
            lockout.locked(9.0)


def test_what_a_killed_process_leaves_is_restored_on_another_clock():
    """The seconds left are, whatever time passed in between and wherever the new clock begins."""
    lockout = locked()
    lockout.locked(30.0)
    other = Lockout()
    other.restore(lockout.export(), 5000.0)
    assert (other.failed, other.left_s) == (5, 40.0)
    assert [other.locked(t) for t in (5000.0, 5039.9, 5040.0)] == [True, True, False]
    few = Lockout()
    few.restore(locked(failures=3).export(), 0.0)
    few.begin(1.0)
    few.begin(2.0)
    assert few.locked(3.0)


@pytest.mark.parametrize(
    "values", [{}, {"failed": -1, "left_s": 0.0}, {"failed": True, "left_s": 0.0}, {"failed": 1, "left_s": math.nan}]
)
def test_nonsense_is_not_restored(values):
    """And changes nothing."""
    lockout = locked()
    with pytest.raises(InputError, match="lockout: expected"):
        lockout.restore(values, 20.0)
    assert lockout.locked(20.0)


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"max_attempts": 2.0}, {"lockout_s": 0.0}, {"lockout_s": "60"}])
def test_limits_that_limit_nothing_are_errors(wrong):
    """At once."""
    with pytest.raises(InputError, match="expected"):
        Lockout(**wrong)


def play(engine, frames, *, start, kind="spoof", count=9, read=None):
    session = engine.session()
    for i, frame in enumerate(frames(kind, count)):
        decision = session.step(frame, t=start + i * 0.2)
        if decision.final:
            break
    return session, decision


def fail_all(engine, frames):
    for attempt in range(engine.max_attempts):
        _, last = play(engine, frames, start=attempt * 10.0)
    return last


def test_an_engine_tells_when_attempts_are_allowed_again(engine, frames):
    """In the decision and as a property."""
    end = fail_all(engine, frames).t
    session, refused = play(engine, frames, start=50.0, kind="live")
    assert (refused.verdict, refused.reason) == (Verdict.REFUSED, Reason.ATTEMPTS_EXHAUSTED)
    assert engine.lockout_left_s == pytest.approx(end + 60 - 50)
    assert refused.detail == f"{math.ceil(end + 10)} s until the next attempt"
    assert session.final


@pytest.mark.parametrize("last", ["spoof", "none"])
def test_an_attempt_that_times_out_counts_from_its_end(engine, frames, last):
    """Whether its last frame was scored or refused."""
    for attempt in range(5):
        session = engine.session()
        session.step(frames("spoof", 1)[0], t=attempt * 20.0)
        session.step(frames(last, 2)[1], t=attempt * 20.0 + 10.0)
        assert session.final
    assert [engine.locked(t) for t in (90.0, 149.9, 150.0)] == [True, True, False]


def test_an_attempt_that_is_forgotten_counts_from_its_last_frame(engine, frames):
    """Neither closed nor decided."""
    for attempt in range(5):
        _, last = play(engine, frames, start=attempt * 2.0, count=4)
    assert [engine.locked(last.t + wait_s) for wait_s in (0.0, 59.9, 60.1)] == [True, True, False]


def test_a_lockout_survives_the_process(engine, frames, tmp_path, tiny_bundle):
    """Sealed, and restored by another engine of the same model on a clock of its own."""
    fail_all(engine, frames)
    engine.locked(60.0)
    left = engine.lockout_left_s
    engine.save_lockout(tmp_path / "lockout", key=KEY, counter=7)
    engine.reset()
    assert not engine.locked(0.0)
    assert engine.load_lockout(tmp_path / "lockout", key=KEY, at_least=7, t=3.0) == 7
    assert (engine.failed_attempts, engine.lockout_left_s) == (5, pytest.approx(left))
    assert play(engine, frames, start=3.0, kind="live")[1].reason is Reason.ATTEMPTS_EXHAUSTED
    assert play(engine, frames, start=4.0 + left, kind="live")[1].verdict is Verdict.LIVE


@pytest.mark.parametrize("harm", ["missing", "altered", "older"])
def test_a_lockout_that_is_refused_locks(engine, frames, tmp_path, harm):
    """Who deletes or alters the file wins nothing."""
    path = tmp_path / "lockout"
    engine.save_lockout(path, key=KEY, counter=7)
    if harm == "missing":
        path.unlink()
    elif harm == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StateError):
        engine.load_lockout(path, key=KEY, at_least=8 if harm == "older" else 7, t=3.0)
    assert [engine.locked(t) for t in (3.0, 62.9, 63.0)] == [True, True, False]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_count_is_not_doubled(engine, duplicate):
    """An engine, an attempt or the count itself cannot be copied."""
    for one in (engine, engine.session(), engine.lockout):
        with pytest.raises(InputError, match="copy"):
            duplicate(one)


def test_a_reset_forgets_attempts_that_are_still_open(engine, frames):
    """What was begun before a reset belongs to another count and another clock."""
    session, _ = play(engine, frames, start=1000.0, count=3)
    engine.reset()
    session.close()
    assert (engine.failed_attempts, engine.locked(0.0)) == (0, False)
