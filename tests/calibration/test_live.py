"""A camera profile of live sessions: its threshold comes from people left out, and what it denies is counted."""

import numpy as np
import pytest

from ratta.adaptation.anchors import LiveAnchor, Worth
from ratta.adaptation.persistence import restore_anchor
from ratta.adaptation.source import Space
from ratta.calibration import LiveSession, live_profile
from ratta.calibration.live import evidence_of, groups_of, left_out_scores
from ratta.errors import DataError

SPACE = Space.unknown(4)


def sessions(count, *, people, seed=0, spread=1.0):
    """Sessions of people who each look a little different."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, spread, (people, 4))
    return [
        LiveSession(f"s{i}", f"p{i % people}", rng.normal(centers[i % people], 0.3, (6, 4)), rng.normal(4, 0.2, 6))
        for i in range(count)
    ]


def make(found, **settings):
    return live_profile(found, SPACE, model_sha256="00", live_logit=0.5, **settings)


def test_people_are_left_out_where_they_are_known():
    """Three people or more are groups; fewer are blocks of time, five of them."""
    assert (["p0", "p1", "p2", "p0"], "person") == groups_of(sessions(4, people=3))
    blocks, by = groups_of(sessions(10, people=2))
    assert (["0", "0", "1", "1", "2", "2", "3", "3", "4", "4"], "block of time") == (blocks, by)


def test_a_score_is_under_the_anchor_of_the_others():
    """By hand: the anchor of all other groups, refitted, asked for the session's median conformity."""
    found = sessions(6, people=3)
    groups, _ = groups_of(found)
    anchor = LiveAnchor(SPACE)
    anchor.evidence[Worth.CONFIRMED] = evidence_of([one for one in found if one.person != "p1"], SPACE)
    anchor.refit()
    expected = float(np.median([anchor.conformity(z, c) for z, c in zip(found[1].z, found[1].logits, strict=True)]))
    assert expected == left_out_scores(found, groups, SPACE)[1]


def test_new_people_get_a_looser_threshold_than_the_same_people():
    """Scores of people left out lie lower than scores of people whose other sessions were learnt."""
    found = sessions(40, people=5, spread=2.0)
    groups, _ = groups_of(found)
    same = left_out_scores(found, [one.name for one in found], SPACE)
    new = left_out_scores(found, groups, SPACE)
    assert np.median(new) < np.median(same)


def test_a_profile_restores_to_an_anchor_that_denies_strangers():
    """Live sessions of these people pass; something far away is denied."""
    found = sessions(40, people=8)
    made, anchor = make(found), LiveAnchor(SPACE)
    restore_anchor(anchor, made.level, made.anchor)
    assert np.mean([anchor.penalty(one.conformity(anchor)) == 0 for one in found]) >= 0.9
    assert anchor.penalty(anchor.conformity(np.full(4, 30.0), 4.0)) == 50.0


def test_the_report_counts_by_hand():
    """Sessions, people, frames, what the source itself rejects, and an interval around the share denied."""
    found = sessions(20, people=4)
    found[3] = LiveSession("low", "p3", found[3].z, np.full(6, -2.0))
    report = make(found).made_from
    assert (20, 4, 120, "person", 1) == tuple(
        report[name] for name in ("sessions", "people", "frames", "left_out", "rejected_by_source")
    )
    low, high = report["denied_interval_95"]
    assert 0 <= low <= report["denied_share"] <= high <= 1


def test_many_sessions_count_alike():
    """The sums are means times at most 64, and 64 scores are kept, from the lowest to the highest."""
    found = sessions(100, people=10)
    evidence = evidence_of(found, SPACE, [float(i) for i in range(100)])
    assert (64.0, 64) == (evidence.weight, len(evidence.scores))
    assert (0.0, 99.0) == (evidence.scores[0], evidence.scores[-1])
    np.testing.assert_allclose(evidence.total / 64, np.mean([one.z.mean(axis=0) for one in found], axis=0))


@pytest.mark.parametrize(("count", "message"), [(9, "at least 10"), (0, "at least 10")])
def test_too_few_are_refused(count, message):
    """The error says how many, and what to do."""
    with pytest.raises(DataError, match=message):
        make(sessions(count, people=3))


def test_features_that_are_no_numbers_are_refused():
    """The session is named."""
    found = sessions(12, people=3)
    found[4] = LiveSession("broken", "p1", np.full((2, 4), np.nan), np.zeros(2))
    with pytest.raises(DataError, match="broken"):
        make(found)
