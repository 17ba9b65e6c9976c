import json

import pytest

from ratta.adaptation.guard import RollbackMonitor
from ratta.errors import InputError, StateError


def monitor(denied: int, of: int, *, alpha: float = 0.05) -> RollbackMonitor:
    """Make a monitor that saw so many denials, first of all, among so many confirmed live sessions."""
    made = RollbackMonitor(alpha=alpha)
    for i in range(of):
        made.update(denied=i < denied)
    return made


@pytest.mark.parametrize(
    ("denied", "of", "alarm"),
    [(0, 0, False), (0, 32, False), (2, 2, False), (3, 4, False), (4, 4, True), (9, 32, False), (10, 32, True)],
)
def test_the_alarm_by_the_binomial_tail(denied, of, alarm):
    """At most 0.001 by Bin(n, 0.1): 4 of 4 are 0.0001, 3 of 4 0.0037; 10 of 32 0.0007, 9 of 32 0.0024."""
    assert alarm == monitor(denied, of).alarm


def test_twice_the_target_is_no_alarm():
    """What the anchors may deny anyway never drops them: three of 32 at alpha .05, and twelve at .2."""
    assert not monitor(3, 32).alarm
    assert not monitor(12, 32, alpha=0.2).alarm


def test_only_the_last_32_sessions_count():
    """Denials of long ago are forgotten."""
    made = monitor(10, 32)
    for _ in range(10):
        made.update(denied=False)
    assert ([False] * 32, False) == (made.export_state(), made.alarm)


def test_reset_is_a_fresh_monitor():
    """Nothing of the past remains."""
    made = monitor(10, 32)
    made.reset()
    assert (RollbackMonitor(alpha=0.05).export_state(), False) == (made.export_state(), made.alarm)


def test_state_round_trips_through_json():
    """A restored monitor raises its alarm with the same session."""
    one, other = monitor(9, 31), RollbackMonitor(alpha=0.05)
    other.restore_state(json.loads(json.dumps(one.export_state())))
    for made in (one, other):
        made.update(denied=True)
    assert (True, True) == (one.alarm, other.alarm)


def test_an_exported_state_is_a_copy():
    """What is done with it does not reach the monitor."""
    made = monitor(1, 2)
    made.export_state().clear()
    assert [True, False] == made.export_state()


@pytest.mark.parametrize("state", [None, {}, "10", [True] * 33, [1], [None], [True, 0.0], (True,)])
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state):
    """Only a list of at most 32 truth values is one."""
    made = monitor(2, 5)
    before = made.export_state()
    with pytest.raises(StateError, match="expected at most 32 truth values"):
        made.restore_state(state)
    assert before == made.export_state()


@pytest.mark.parametrize("arguments", [{"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 0.1, "significance": 0.0}])
def test_senseless_parameters_are_refused(arguments):
    """At once, in the constructor."""
    with pytest.raises(InputError, match="monitor: expected"):
        RollbackMonitor(**arguments)
