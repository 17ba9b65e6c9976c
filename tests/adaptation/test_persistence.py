import json
import math

import numpy as np
import pytest

from ratta.adaptation.drift import BettingDrift, DriftReference, DriftSample
from ratta.adaptation.source import SourceReference, Space
from ratta.errors import StateError


def exported(stream):
    """Export through JSON and plain arrays, as the sealed state does."""
    values, arrays = stream.adapter.export_state()
    return json.loads(json.dumps(values)), {name: array.copy() for name, array in arrays.items()}


def with_drift(toy):
    samples = [DriftSample(1 + i / 60, i / 100) for i in range(60)]
    reference = SourceReference(
        toy.source.space, np.array([[-9.0, 0.0], [1.25, 1.25]]), DriftReference.from_samples(samples, samples)
    )
    return toy.controller(reference=reference, detector=BettingDrift(reference.drift))


def both_answer(one, other, toy):
    """Play the same on both, with the same luck and at the same times; what each answered."""
    found = []
    for stream in (one, other):
        stream.t, stream.rng = 1e6, np.random.default_rng(9)
        places = (toy.me, toy.screen, toy.stranger)
        found.append([stream.session(place, confirmed=known) for place in places for known in (True, None, True)])
    return found


def test_a_restored_adapter_answers_bit_for_bit_alike(learnt, toy):
    """From the first frame on, and as it goes on learning."""
    other = toy.Stream(toy.controller())
    other.adapter.restore_state(*exported(learnt))
    assert learnt.adapter.anchor.threshold == other.adapter.anchor.threshold
    mine, its = both_answer(learnt, other, toy)
    assert mine == its
    assert exported(learnt)[1].keys() == exported(other)[1].keys()
    for name, array in exported(learnt)[1].items():
        assert array.tobytes() == exported(other)[1][name].tobytes()


def test_what_was_confirmed_and_not_studied_yet_is_in_the_state(learnt, toy):
    """An export right after a confirmation, before any `idle`: both answer alike afterwards."""
    attempt, _ = learnt.attempt(toy.stranger)
    learnt.adapter.confirm(attempt, is_live=True)
    other = toy.Stream(toy.controller())
    other.adapter.restore_state(*exported(learnt))
    assert learnt.adapter.anchor.threshold == other.adapter.anchor.threshold
    mine, its = both_answer(learnt, other, toy)
    assert mine == its


def test_an_export_leaves_the_last_attempt_open(learnt, toy):
    """What can still be confirmed can be confirmed after the export, too."""
    attempt, _ = learnt.attempt(toy.me)
    before = learnt.adapter.counts
    exported(learnt)
    assert before == learnt.adapter.counts
    learnt.adapter.confirm(attempt, is_live=True)


def test_drift_survives_a_restart(toy):
    """The detector's evidence and band, too."""
    one, other = toy.Stream(with_drift(toy)), toy.Stream(with_drift(toy))
    for _ in range(25):
        one.session(toy.me, confirmed=True)
    assert "in" != one.adapter.band
    other.adapter.restore_state(*exported(one))
    assert (one.adapter.band, one.adapter.detector.evidence) == (other.adapter.band, other.adapter.detector.evidence)
    mine, its = both_answer(one, other, toy)
    assert mine == its


def test_the_state_holds_sums_and_scores_only(learnt):
    """No frame, no crop, no attempt: two sums, a weight and at most 64 scores for each worth, however long it runs."""
    sizes = {name: array.shape for name, array in exported(learnt)[1].items()}
    for _ in range(80):
        learnt.session(confirmed=True)
    later = {name: array.shape for name, array in exported(learnt)[1].items()}
    expected = {"weight": (1,), "total": (2,), "second": (2, 2)}
    for worth in ("confirmed", "gated"):
        assert expected == {name: later[f"anchor.{worth}.{name}"] for name in expected}
    assert len(ARRAYS) + 1 == len(later)  # and the scores of what the source calls live
    assert ((20,), (64,)) == (sizes["anchor.confirmed.scores"], later["anchor.confirmed.scores"])


def test_an_exported_state_is_a_copy(learnt):
    """Learning on does not change it, nor does changing it reach the adapter."""
    values, arrays = learnt.adapter.export_state()
    before = {name: array.tobytes() for name, array in arrays.items()}
    learnt.session(confirmed=True)
    assert before == {name: array.tobytes() for name, array in arrays.items()}
    threshold = learnt.adapter.anchor.threshold
    for array in learnt.adapter.export_state()[1].values():
        array[...] = 0
    learnt.adapter.anchor.refit()
    assert threshold == learnt.adapter.anchor.threshold
    assert {"anchor", "detector", "monitor", "budget", "profiled"} == set(values)


def test_restoring_leaves_the_state_alone(learnt, toy):
    """It may be read-only, and what is learnt afterwards does not reach it."""
    values, arrays = exported(learnt)
    before = {name: array.tobytes() for name, array in arrays.items()}
    for array in arrays.values():
        array.setflags(write=False)
    other = toy.Stream(toy.controller())
    other.adapter.restore_state(values, arrays)
    other.session(confirmed=True)
    assert before == {name: array.tobytes() for name, array in arrays.items()}


SUMS = ("weight", "total", "second", "scores")
ARRAYS = [f"anchor.{worth}.{name}" for worth in ("confirmed", "gated") for name in SUMS]
BROKEN = {
    "missing": lambda arrays, name: arrays.pop(name),
    "nan": lambda arrays, name: arrays.update({name: np.full(max(arrays[name].shape, (1,)), math.nan)}),
    "infinite": lambda arrays, name: arrays.update({name: np.full(max(arrays[name].shape, (1,)), math.inf)}),
    "single precision": lambda arrays, name: arrays.update({name: arrays[name].astype(np.float32)}),
    "text": lambda arrays, name: arrays.update({name: np.array(["0"])}),
    "objects": lambda arrays, name: arrays.update({name: np.array([None, 1.0], object)}),
    "three more dimensions": lambda arrays, name: arrays.update({name: arrays[name][None, None, None]}),
    "one number": lambda arrays, name: arrays.update({name: np.array(1.0)}),
    "renamed": lambda arrays, name: arrays.update({name + "s": arrays.pop(name)}),
}


def assert_refused(toy, values, arrays):
    """The state is refused by a used adapter, which is then the source and learns like a new one."""
    used = toy.Stream(toy.controller())
    for _ in range(12):
        used.session(confirmed=True)
    with pytest.raises(StateError, match="expected"):
        used.adapter.restore_state(values, arrays)
    assert -math.inf == used.adapter.anchor.threshold
    fresh, again = toy.Stream(toy.controller(), t=1e6), toy.Stream(used.adapter, t=1e6)
    assert fresh.adapter.counts == again.adapter.counts
    for place in (toy.me,) * 11 + (toy.screen,):
        assert fresh.session(place, confirmed=True) == again.session(place, confirmed=True)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_array_is_refused(learnt, toy, name, how):
    """Every array, whatever is wrong with it; the source is in force afterwards."""
    values, arrays = exported(learnt)
    BROKEN[how](arrays, name)
    assert_refused(toy, values, arrays)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", [-1.0]),
        ("weight", [64.5]),
        ("weight", [1e300]),
        ("weight", [1.0, 1.0]),
        ("total", [1e9, 0.0]),  # no covariance has such a mean
        ("total", [1.0]),
        ("second", [[-1.0, 0.0], [0.0, -1.0]]),
        ("second", [[1e4, 0.0], [0.0, -1e3]]),
        ("second", [[0.0, 0.0], [0.0, 0.0]]),  # less than the mean's
        ("second", [[1e4, 2.0], [-2.0, 1e4]]),
        ("second", [[1e4, 0.0]]),
        ("scores", [0.0] * 65),
        ("scores", [[0.0, 1.0]]),
    ],
)
def test_impossible_sums_are_refused(learnt, toy, name, value):
    """No sessions have them."""
    values, arrays = exported(learnt)
    arrays[f"anchor.confirmed.{name}"] = np.array(value)
    assert_refused(toy, values, arrays)


def test_an_array_too_many_is_refused(learnt, toy):
    """Nothing unknown is taken in silence."""
    values, arrays = exported(learnt)
    assert_refused(toy, values, arrays | {"anchor.rumoured.weight": np.ones(1)})
    assert_refused(toy, values, {})


@pytest.mark.parametrize(
    "change",
    [
        *({"anchor": {"level": level}} for level in (-0.06, 0.31, math.nan, math.inf, True, "0.05", None)),
        *({part: value} for part in ("anchor", "budget", "detector") for value in (None, [], 5, "x")),
        {"anchor": {}},
        {"monitor": [1]},
        {"monitor": [True] * 33},
        {"monitor": None},
        {"budget": {}},
        {"profiled": 1},
        {"profiled": None},
        {"rumour": True},
    ],
    ids=str,
)
def test_values_that_do_not_fit_are_refused(learnt, toy, change):
    """Of another type, out of range, or unknown."""
    values, arrays = exported(learnt)
    assert_refused(toy, values | change, arrays)


@pytest.mark.parametrize("part", ["anchor", "budget", "detector", "monitor", "profiled"])
def test_a_missing_part_is_refused(learnt, toy, part):
    """Nothing is made up in its place."""
    values, arrays = exported(learnt)
    values.pop(part)
    assert_refused(toy, values, arrays)


def test_a_state_without_drift_does_not_fit_an_adapter_with_it(learnt, toy):
    """It was made with other settings, and is refused as a whole."""
    adapter = with_drift(toy)
    with pytest.raises(StateError):
        adapter.restore_state(*exported(learnt))
    assert (-math.inf, "in") == (adapter.anchor.threshold, adapter.band)


def test_a_state_of_another_width_is_refused(learnt, toy):
    """The sums belong to one space."""
    with pytest.raises(StateError, match="expected finite float64"):
        toy.controller(reference=SourceReference(Space.unknown(3))).restore_state(*exported(learnt))


@pytest.mark.parametrize(
    ("weight", "second"),
    [
        (1e-3, [[1.0, 0.0], [0.0, 1.0]]),  # a share of one session
        (20.0, [[1e13, 0.0], [0.0, -1e6]]),  # a negative direction, small beside the other
    ],
)
def test_sums_that_would_make_a_distance_negative_are_refused(toy, weight, second):
    """The answer path takes the logarithm of a squared distance: it must never be of a negative number."""
    stream = toy.Stream(toy.controller())
    stream.session(confirmed=True)
    values, arrays = exported(stream)
    arrays["anchor.confirmed.weight"] = np.array([weight])
    arrays["anchor.confirmed.second"] = np.array(second)
    arrays["anchor.confirmed.total"] = np.array([1.0, 0.0])
    assert_refused(toy, values, arrays)


@pytest.mark.parametrize("name", ["total", "second"])
def test_sums_that_overflow_are_refused(learnt, toy, name):
    """As a state that does not fit, not by an error of the linear algebra."""
    values, arrays = exported(learnt)
    arrays[f"anchor.confirmed.{name}"] = np.full_like(arrays[f"anchor.confirmed.{name}"], 1e300)
    with np.errstate(all="ignore"):
        assert_refused(toy, values, arrays)


@pytest.mark.parametrize("broken", [np.zeros((2, 2)), np.zeros(65), np.array([math.nan]), np.zeros(3, np.float32)])
def test_scores_of_called_sessions_are_checked(learnt, toy, broken):
    """As every other array of a state."""
    values, arrays = exported(learnt)
    assert_refused(toy, values, arrays | {"anchor.called.scores": broken})
