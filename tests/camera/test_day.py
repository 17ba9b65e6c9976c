"""The demo's day: what it shows is what the adapter did."""

from itertools import count, islice

import numpy as np
import pytest

import ratta
from ratta.adaptation import Adaptation
from ratta.bundle import read_bundle
from ratta.camera.chart import day_chart
from ratta.camera.day import FRAMES, Phase, play_day, simulate_day, towards_alarm
from ratta.records import sigmoid

UNLOCKS = Phase("unlocks", ("live",), 14, confirmed=True)
ATTACKS = Phase("attacks", ("print", "replay"), 4)


@pytest.fixture(scope="module")
def attempts(played):
    """The crops of the phases, as if simulated."""
    seen = [(species, crops) for crops, _, species in islice(played(5, frames=3), 40)]
    chosen = []
    for phase in (UNLOCKS, ATTACKS):
        fitting = [one for one in seen if one[0] in phase.species]
        chosen += [(phase, *fitting[i % len(fitting)]) for i in range(phase.attempts)]
    return [(phase, species, [(crop,) for crop in crops]) for phase, species, crops in chosen]


@pytest.fixture
def adapter(adaptable):
    """One that is billed a millisecond for every piece of work, on a camera that counts as changed."""
    return ratta.load(adaptable, adapt=Adaptation(clock=count().__next__, drift=False)).adapter


def test_every_attempt_is_there(adapter, attempts):
    """In order, each with its phase; the last one tells what the adapter says of itself."""
    moments = play_day(adapter, attempts)
    assert [UNLOCKS] * 14 + [ATTACKS] * 4 == [m.phase for m in moments]
    assert (adapter.budget.spent_ms, adapter.band.value) == (moments[-1].spent_ms, moments[-1].band)
    assert 14 == adapter.counts["confirmed"] == moments[13].learnt


def test_before_anything_is_learnt_the_source_answers(adapter, attempts):
    """Scores are the source's, by hand on the first attempt."""
    moments = play_day(adapter, attempts)
    _, _, frames = attempts[0]
    logits = [adapter.network.read(crops).live_logit for crops in frames]
    assert sigmoid(float(np.median(logits))) == moments[0].score == moments[0].source_score


def test_nothing_is_ever_granted(adapter, attempts):
    """No score is above the source's, and what the adapted engine accepts the source accepts."""
    moments = play_day(adapter, attempts)
    assert all(m.score <= m.source_score and m.accepted <= m.accepted_by_source for m in moments)


def test_the_same_day_twice_is_the_same(adapter, adaptable, attempts):
    """However busy the machine is: work is billed by count."""
    other = ratta.load(adaptable, adapt=Adaptation(clock=count().__next__, drift=False)).adapter
    first, again = play_day(adapter, attempts), play_day(other, attempts)
    assert [(m.score, m.learnt, m.spent_ms) for m in first] == [(m.score, m.learnt, m.spent_ms) for m in again]


def test_the_chart_shows_every_attempt(adapter, attempts):
    """A dot an attempt, a name a phase, a ring where the source alone would have said something else."""
    moments = play_day(adapter, attempts)
    chart = day_chart(moments, threshold=0.5, title="t")
    lowered = sum(m.score != m.source_score for m in moments)
    assert (18, lowered) == (chart.count("<title>attempt "), chart.count('class="ring"'))
    assert all(f">{phase.name}<" in chart for phase in (UNLOCKS, ATTACKS))


def test_a_day_is_simulated_for_the_models_contract(adaptable):
    """Crops of the model's size, the same for the same seed, species in turn."""
    contract = read_bundle(adaptable).contract
    phases = (Phase("one", ("live", "print"), 2),)
    first, again = (list(simulate_day(contract, seed=4, phases=phases)) for _ in range(2))
    assert ["live", "print"] == [species for _, species, _ in first]
    assert (FRAMES, 1, (128, 128, 3)) == (len(first[0][2]), len(first[0][2][0]), first[0][2][0][0].shape)
    assert all(np.array_equal(a[2][0][0], b[2][0][0]) for a, b in zip(first, again, strict=True))


def test_evidence_is_shown_on_its_way_to_the_alarm():
    """Nothing at the beginning, all at the alarm and beyond, nothing for wealth that was lost."""
    ways = [towards_alarm({"wealth": wealth, "threshold": 25.0}) for wealth in (0.2, 1.0, 25.0, 1e9)]
    assert [0.0, 0.0, 1.0, 1.0] == ways
