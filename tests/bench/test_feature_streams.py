"""The rates of the benchmark of the anchors, and its streams, by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import itertools

from feature_streams import Answered, Trial, rates, read_sessions, stream_of

from ratta.adaptation.source import SourceReference, Space
from ratta.decision import Policy


def answered(person, is_live, source, anchored, *, species="", seed=0):
    return Answered(seed, person, is_live, species, source, anchored)


ROWS = [
    answered(1, True, True, True),
    answered(1, True, True, False),
    answered(2, True, False, False),
    answered(2, True, True, True),
    answered(1, False, True, False, species="print"),
    answered(1, False, True, True, species="replay"),
    answered(2, False, False, False, species="print"),
    answered(2, False, False, False, species="print"),
]


def test_rates_by_hand() -> None:
    """Live sessions turned away, attacks let in, their mean, and the worst species."""
    found = rates(ROWS)
    assert (0.25, 0.5) == (found["source bpcer"], found["anchored bpcer"])
    assert (0.5, 0.25) == (found["source apcer"], found["anchored apcer"])
    assert (0.375, 0.375, 0.0) == (found["source acer"], found["anchored acer"], found["acer difference"])
    assert (1.0, 1.0) == (found["source worst"], found["anchored worst"])
    assert all(low <= found[name] <= high for name, (low, high) in found["95 %"].items())


def test_intervals_are_drawn_over_people() -> None:
    """One person leaves nothing to draw; two that differ give both extremes."""
    assert [0.5, 0.5] == rates([r for r in ROWS if r.person == 1])["95 %"]["anchored bpcer"]
    assert [0.0, 1.0] == rates(ROWS)["95 %"]["source apcer"]


@pytest.fixture
def sessions(feature_sessions):
    """Six people with two live sessions and one attack each, in four directions."""
    return feature_sessions(people=6, each=(True, True, False), apart=8, spread=0.3, logit=4.0)


def test_by_person_nobody_comes_back(sessions) -> None:
    """Each person's sessions stand together; in random order they do not."""
    by_person, mixed = (
        [s.person for s in stream_of(sessions, live=12, attacks=6, order=order, rng=np.random.default_rng(1))]
        for order in ("person", "random")
    )
    changes = [sum(a != b for a, b in itertools.pairwise(some)) for some in (by_person, mixed)]
    assert 5 == changes[0] < changes[1]
    assert sorted(by_person) == sorted(mixed)


def test_a_trial_learns_from_what_is_confirmed_and_grants_nothing(sessions) -> None:
    """Attacks that the source lets in are denied once live sessions are learnt; a probe learns nothing."""
    policy = Policy(live_threshold=0.6, spoof_threshold=0.4, hold_slots=0)
    trial = Trial(SourceReference(Space(np.zeros(4, np.float32), np.eye(4, dtype=np.float32))), policy)
    attack, live = next(s for s in sessions if not s.is_live), [s for s in sessions if s.is_live]
    assert trial.probe(attack).anchored
    for session in live:
        trial.answer(session, confirm=True)
    counts = trial.adapter.counts
    assert (True, False) == (trial.probe(attack).source, trial.probe(attack).anchored)
    assert counts == trial.adapter.counts
    assert (12, 0) == (counts["confirmed"], trial.granted)


def test_read_sessions_orders_frames_and_joins_crops(tmp_path) -> None:
    """Frames by their number; both crops side by side, with the mean of their log-odds."""
    columns = {"session": [3, 3, 1], "frame": [1, 0, 0], "person": [7, 7, 5], "is_live": [True, True, False]}
    columns |= {"species": ["live", "live", "print"], "live_logit_wide": [2.0, 1.0, 0.0], "live_logit_tight": [4.0] * 3}
    columns |= {"embedding_wide": [[1.0], [2.0], [3.0]], "embedding_tight": [[4.0], [5.0], [6.0]]}
    np.savez(tmp_path / "features.npz", **{name: np.array(values) for name, values in columns.items()})
    attack, live = read_sessions(tmp_path / "features.npz", "both")
    assert (False, "print", 5) == (attack.is_live, attack.species, attack.person)
    assert ([[2.0, 5.0], [1.0, 4.0]], [2.5, 3.0]) == (live.embeddings.tolist(), live.logits.tolist())
