"""The attacks on the anchors: each plays, and none grants anything."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import attacks

from ratta.adaptation.source import SourceReference, Space
from ratta.decision import Policy


@pytest.fixture
def sessions(feature_sessions):
    """Ten people, three live sessions and two attacks each; the source finds every attack live, beyond the margin."""
    return feature_sessions(people=10, each=(True, True, True, False, False), apart=6, spread=0.5, logit=5.0)


@pytest.mark.parametrize("attack", list(attacks.ATTACKS))
def test_nothing_is_granted(sessions, attack, monkeypatch) -> None:
    """Thirty sessions of each, then the owner; APCER is at most the source's at every probe."""
    space = Space(np.zeros(4, np.float32), np.eye(4, dtype=np.float32))
    policy = Policy(live_threshold=0.6, spoof_threshold=0.4, hold_slots=0)
    monkeypatch.setattr(attacks, "reference_of", lambda *_: (SourceReference(space), policy))
    found = attacks.play(attack, sessions, "any", count=30)
    assert (0, 30) == (found["granted"], found["sessions"])
    assert found["highest apcer"] <= found["source apcer"] == 1.0
    assert {"0 to 5", "5 to 10", "10 to 20"} == set(found["gated"]) == set(found["confirmed"])


def test_states_that_were_touched_are_refused(sessions, monkeypatch) -> None:
    """All of them; older ones only where the counter is kept."""
    space = Space(np.zeros(4, np.float32), np.eye(4, dtype=np.float32))
    policy = Policy(live_threshold=0.6, spoof_threshold=0.4, hold_slots=0)
    monkeypatch.setattr(attacks, "reference_of", lambda *_: (SourceReference(space), policy))
    monkeypatch.setattr(attacks, "EVERY", 6)
    tampering, replay, uncounted = (attacks.play(a, sessions, "any", count=12) for a in attacks.STATE_ATTACKS)
    assert ([12, 12], [12, 11], [12, 0]) == (tampering["states"], replay["states"], uncounted["states"])
