"""The attacks on the anchors: each plays, and none grants anything."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import attacks
from feature_streams import FeatureSession

from ratta.adaptation.source import SourceReference, Space
from ratta.decision import Policy


@pytest.fixture
def sessions():
    """Ten people, three live sessions and two attacks each; the source finds every attack live, beyond the margin."""
    rng = np.random.default_rng(0)
    return [
        FeatureSession(
            rng.normal(0 if live else 6, 0.5, (5, 4)).astype(np.float32),
            np.full(5, 5.0),
            live,
            "" if live else "print",
            person,
        )
        for person in range(10)
        for live in (True, True, True, False, False)
    ]


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
