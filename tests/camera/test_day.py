"""The demo's day: what it shows is what the adapter did."""

from itertools import count, islice

import numpy as np
import pytest

import ratta
from ratta.adaptation.settings import Adaptation
from ratta.bundle import read_bundle
from ratta.camera import day as day_module
from ratta.camera.chart import day_chart
from ratta.camera.day import Phase, play_day, shown_in, simulate_sessions, towards_alarm
from ratta.records import sigmoid

HOME, AWAY = Phase("home", None, 4), Phase("away", "dark-2.2", 6)
FLOOD = Phase("flood", "dark-2.2", 4, attacks_only=True)


@pytest.fixture(scope="module")
def sessions(played):
    return [(species, crops) for crops, _, species in islice(played(5, frames=2), 8)]


@pytest.fixture(scope="module")
def adapter(adaptable):
    """One that is billed a millisecond for every piece of work."""
    return ratta.load(adaptable, adapt=Adaptation(clock=count().__next__)).adapter


@pytest.fixture(scope="module")
def moments(adapter, sessions):
    return play_day(adapter, sessions, phases=(HOME, AWAY, FLOOD))


def test_every_attempt_is_there(adapter, moments):
    """In order, each with its phase; the last one tells what the adapter says of itself."""
    assert [HOME] * 4 + [AWAY] * 6 + [FLOOD] * 4 == [m.phase for m in moments]
    last = moments[-1]
    assert (adapter.budget.spent_ms, adapter.band.value) == (last.spent_ms, last.band)
    assert 14 == adapter.counts["studied"]
    assert adapter.counts["commits"] == sum(
        max(m.commits for m in moments if m.phase is p) for p in (HOME, AWAY, FLOOD)
    )


def test_on_its_own_camera_the_source_answers(adapter, moments, sessions):
    """Scores and errors are the source's, by hand on the first attempt."""
    for moment in moments[:4]:
        assert (moment.by_source, moment.wrong_by_source) == (moment.answered, moment.wrong)
    species, crops = sessions[0]
    logits = [adapter.model.network.read(crop).live_logit for crop in crops]
    assert sigmoid(float(np.median(logits))) == moments[0].answered
    wrong = sum((logit >= adapter.model.threshold_logit) != (species == "live") for logit in logits)
    assert wrong == moments[0].wrong


def test_a_flood_is_attacks_through_the_changed_camera(sessions):
    """No live session is among them, and the crops are changed."""
    shown = list(shown_in(FLOOD, sessions))
    assert {"print", "replay"} == {species for species, _ in shown}
    assert not np.array_equal(shown[0][1], sessions[1][1])


def test_the_chart_shows_every_attempt_and_every_commit(moment):
    """A dot an attempt, a broken line a commit, a name a phase; counters begin anew with a phase."""
    made = [moment(HOME, commits=0), moment(AWAY, commits=0), moment(AWAY, commits=1), moment(FLOOD, commits=0)]
    chart = day_chart(made, threshold=0.5, title="t")
    assert (4, 1) == (chart.count("<circle"), chart.count('class="final"'))
    assert all(f">{phase.name}<" in chart for phase in (HOME, AWAY, FLOOD))


def test_sessions_are_simulated_for_the_models_contract(adaptable, monkeypatch):
    """Crops of the model's size, the same for the same seed, live and attacks in turn."""
    monkeypatch.setattr(day_module, "SESSIONS", 2)
    contract = read_bundle(adaptable).contract
    first, again = (simulate_sessions(contract, seed=4) for _ in range(2))
    assert ["live", "print"] == [species for species, _ in first]
    assert (day_module.FRAMES, 128, 128, 3) == first[0][1].shape
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first, again, strict=True))


def test_evidence_is_shown_on_its_way_to_the_alarm():
    """Nothing at the beginning, all at the alarm and beyond, nothing for money that was lost."""
    ways = [towards_alarm({"money": money, "threshold": 25.0}) for money in (0.2, 1.0, 25.0, 1e9)]
    assert [0.0, 0.0, 1.0, 1.0] == ways
