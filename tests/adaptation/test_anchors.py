import math

import numpy as np
import pytest

from ratta.adaptation.anchors import GREATEST_PENALTY, LiveAnchor, Worth
from ratta.adaptation.source import Space
from ratta.errors import InputError

PLAIN = Space(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))
UNSCALED = Space.unknown(2)
CONFIRMED, GATED = Worth


def anchor_of(*scores: float, worth: Worth = CONFIRMED, alpha: float = 0.05) -> LiveAnchor:
    """Make an anchor that learnt sessions of these conformities, none of them denied."""
    anchor = LiveAnchor(PLAIN, alpha=alpha)
    for score in scores:
        anchor.learn(np.ones((2, 2)), score, denied=False, worth=worth)
    anchor.refit()
    return anchor


def everything(anchor: LiveAnchor):
    """All that decides what an anchor answers, bit for bit."""
    arrays = [(e.weight, e.total.tobytes(), e.second.tobytes(), list(e.scores)) for e in anchor.evidence.values()]
    return anchor.level, anchor.threshold, arrays, anchor.conformity(np.array([1.0, 2.0]), 3.0)


def test_a_fresh_anchor_denies_nothing():
    """Whatever is shown."""
    anchor = LiveAnchor(PLAIN)
    assert -math.inf == anchor.threshold
    assert {0.0} == {anchor.penalty(c) for c in (0.0, -1e300, -math.inf, math.inf, math.nan)}


def test_the_conformity_to_the_source_by_hand():
    """`0.3 logit - log d2` about the source's live prototype."""
    assert pytest.approx(0.6 - math.log(25)) == LiveAnchor(PLAIN).conformity(np.array([3.0, 4.0]), 2.0)


def test_at_the_anchor_itself_the_conformity_is_finite():
    """A distance of nothing is no division by zero."""
    assert math.isfinite(LiveAnchor(PLAIN).conformity(np.zeros(2), 0.0))


def test_the_sums_of_two_sessions_by_hand():
    """Each counts once, whatever its frames, and the older one 1/64 less."""
    anchor, keep = LiveAnchor(PLAIN), 63 / 64
    anchor.learn(np.array([[1.0, 0.0], [3.0, 0.0]]), -1.0, denied=False, worth=CONFIRMED)
    anchor.learn(np.array([[0.0, 2.0]]), -2.0, denied=False, worth=CONFIRMED)
    evidence = anchor.evidence[CONFIRMED]
    assert (keep + 1, [2 * keep, 2.0]) == (evidence.weight, evidence.total.tolist())
    assert ([[5 * keep, 0.0], [0.0, 4.0]], [-1.0, -2.0]) == (evidence.second.tolist(), list(evidence.scores))
    assert {CONFIRMED: keep + 1, GATED: 0.0} == anchor.sessions


@pytest.mark.parametrize(("space", "variances"), [(PLAIN, (1.0, 5 / 6)), (UNSCALED, (7 / 12, 5 / 12))])
def test_the_anchor_of_one_session_by_hand(space, variances):
    """Mean (2, 0), covariance diag(1, 0) by 1/6; by 5/6 the prior: the identity, or, without calibration, as large."""
    anchor = LiveAnchor(space)
    anchor.learn(np.array([[1.0, 0.0], [3.0, 0.0]]), 0.0, denied=False, worth=CONFIRMED)
    anchor.refit()
    expected = -math.log(4 / variances[0] + 9 / variances[1])
    assert pytest.approx(expected) == anchor.conformity(np.array([4.0, 3.0]), 0.0)


def test_identical_frames_have_an_anchor_all_the_same():
    """Without any spread, and without a known scale, nothing is divided by zero."""
    anchor = LiveAnchor(UNSCALED)
    for _ in range(12):
        anchor.learn(np.ones((3, 2)), 5.0, denied=False, worth=CONFIRMED)
    anchor.refit()
    assert math.isfinite(anchor.conformity(np.array([2.0, 2.0]), 0.0))
    assert anchor.conformity(np.array([2.0, 2.0]), 0.0) < anchor.conformity(np.ones(2), 0.0)


def test_learning_is_in_force_after_the_next_refit():
    """No answer changes before."""
    anchor = anchor_of(*range(10))
    before = anchor.threshold, anchor.conformity(np.ones(2), 0.0)
    anchor.learn(np.full((2, 2), 9.0), -50.0, denied=False, worth=CONFIRMED)
    assert before == (anchor.threshold, anchor.conformity(np.ones(2), 0.0))
    anchor.refit()
    assert -50.0 == anchor.threshold


@pytest.mark.parametrize("worth", Worth)
def test_nothing_is_denied_before_ten_sessions(worth):
    """Nine are too few; the tenth gives the smallest score as the threshold."""
    assert -math.inf == anchor_of(*range(9), worth=worth).threshold
    assert 0.0 == anchor_of(*range(10), worth=worth).threshold


def test_the_threshold_is_the_quantile_at_the_level():
    """40 scores at level .05 + 30 steps of .0025 = .125: the fifth; by gated ones at alpha .05: the second."""
    assert 4.0 == anchor_of(*range(40)).threshold
    assert 1.0 == anchor_of(*range(40), worth=GATED).threshold


def test_confirmed_sessions_count_alone_from_ten_on():
    """Until then what the gate believed counts beside them, at the target alpha."""
    anchor = anchor_of(*range(10, 20), worth=GATED)
    for score in range(30, 39):
        anchor.learn(np.full((1, 2), 5.0), score, denied=False, worth=CONFIRMED)
    anchor.refit()
    assert 10.0 == anchor.threshold
    near_both = anchor.conformity(np.full(2, 3.0), 0.0)
    anchor.learn(np.full((1, 2), 5.0), 39, denied=False, worth=CONFIRMED)
    anchor.refit()
    assert 30.0 == anchor.threshold
    assert anchor.conformity(np.full(2, 3.0), 0.0) < near_both


def test_any_number_of_gated_sessions_changes_nothing_beside_ten_confirmed_ones():
    """A flood of attacks that the source accepts cannot move anchor or threshold then."""
    anchor = anchor_of(*range(10))
    before = anchor.threshold, anchor.conformity(np.ones(2), 0.0)
    for _ in range(100):
        anchor.learn(np.full((1, 2), 99.0), -99.0, denied=False, worth=GATED)
    anchor.refit()
    assert before == (anchor.threshold, anchor.conformity(np.ones(2), 0.0))


def test_the_last_64_scores_count():
    """What was low long ago is forgotten."""
    assert 0.0 < anchor_of(-100.0, *range(64)).threshold


def test_the_steps_of_the_level_by_hand():
    """`a + .05 (.05 - denied)` after a confirmed session, at most .3; what nobody confirmed moves nothing."""
    anchor = anchor_of(*range(10))
    levels = []
    for denied, worth in ((False, CONFIRMED), (False, CONFIRMED), (True, CONFIRMED), (True, GATED)):
        anchor.learn(np.ones((1, 2)), 0.0, denied=denied, worth=worth)
        levels.append(anchor.level)
    assert pytest.approx([0.0525, 0.055, 0.0075, 0.0075]) == levels
    for _ in range(200):
        anchor.learn(np.ones((1, 2)), 0.0, denied=False, worth=CONFIRMED)
    assert 0.3 == anchor.level


def test_the_level_waits_for_ten_confirmed_sessions():
    """Until then nothing is denied at it, so nothing is learnt of it."""
    anchor = LiveAnchor(PLAIN)
    for denied in (True, False) * 5:
        anchor.learn(np.ones((1, 2)), 0.0, denied=denied, worth=CONFIRMED)
    assert 0.05 == anchor.level


def test_at_the_lowest_level_nothing_is_denied():
    """After two denials in a row the anchors are silent until live sessions passed."""
    anchor = anchor_of(*range(10))
    for _ in range(3):
        anchor.learn(np.ones((1, 2)), -1.0, denied=True, worth=CONFIRMED)
    anchor.refit()
    assert -math.inf == anchor.threshold
    assert 0.0 == anchor.penalty(-math.inf)


@pytest.mark.parametrize(
    ("below", "expected"),
    [(-1.0, 0.0), (0.0, 0.0), (0.01, 1.0), (0.1, 10.0), (0.5, 50.0), (9.0, 50.0), (math.inf, 50.0), (math.nan, 50.0)],
)
def test_the_penalty_by_hand(below, expected):
    """100 per unit of conformity below the threshold, at most 50; what is no number is denied."""
    anchor = anchor_of(*range(10))
    assert pytest.approx(expected, abs=1e-9) == anchor.penalty(anchor.threshold - below)


def test_a_frame_far_from_all_live_faces_is_denied_and_a_near_one_not():
    """Twenty sessions about (3, 3), then one there and one at (9, 9)."""
    anchor, rng = LiveAnchor(PLAIN), np.random.default_rng(0)
    for _ in range(20):
        z = rng.normal(3.0, 0.5, (8, 2))
        conformity = float(np.median([anchor.conformity(row, 3.0) for row in z]))
        anchor.learn(z, conformity, denied=False, worth=CONFIRMED)
        anchor.refit()
    far, near = (anchor.penalty(anchor.conformity(np.full(2, place), 3.0)) for place in (9.0, 3.0))
    assert (GREATEST_PENALTY, 0.0) == (far, near)


def test_an_embedding_that_is_no_number_is_denied():
    """Fail closed: nothing near any live face."""
    anchor = anchor_of(*range(10))
    assert GREATEST_PENALTY == anchor.penalty(anchor.conformity(np.array([math.nan, 0.0]), 3.0))


def test_learning_leaves_the_frames_alone():
    """They may be read-only, and are not kept: what becomes of them afterwards does not matter."""
    z = np.array([[1.0, 2.0], [3.0, 4.0]])
    z.setflags(write=False)
    one, other = LiveAnchor(PLAIN), LiveAnchor(PLAIN)
    one.learn(z, 0.0, denied=False, worth=CONFIRMED)
    buffer = z.copy()
    other.learn(buffer, 0.0, denied=False, worth=CONFIRMED)
    buffer[:] = 99
    for anchor in (one, other):
        anchor.refit()
    assert everything(one) == everything(other)


def test_reset_is_a_fresh_anchor():
    """Nothing of the past remains."""
    anchor = anchor_of(*range(30))
    anchor.reset()
    assert everything(LiveAnchor(PLAIN)) == everything(anchor)


def test_the_same_gives_the_same():
    """Two anchors that learnt the same answer alike, bit for bit, and a refit more changes nothing."""
    one, other = anchor_of(*range(30)), anchor_of(*range(30))
    other.refit()
    assert everything(one) == everything(other)


@pytest.mark.parametrize(
    "arguments", [{"alpha": 0.0}, {"alpha": 0.31}, {"alpha": math.nan}, {"rate": 0.0}, {"rate": 1.1}]
)
def test_senseless_parameters_are_refused(arguments):
    """At once, in the constructor."""
    with pytest.raises(InputError, match="anchor: expected"):
        LiveAnchor(PLAIN, **arguments)


def test_without_confirmations_half_of_the_threshold_is_of_all_that_the_source_calls_live():
    """Ten gated sessions at 1.0, and as many that the source called live without conviction at -1.0: the mean is 0."""
    anchor = LiveAnchor(PLAIN)
    for _ in range(10):
        anchor.note(1.0)
        anchor.note(-1.0)
        anchor.learn(np.ones((1, 2)), 1.0, denied=False, worth=Worth.GATED)
    anchor.refit()
    assert 0.0 == anchor.threshold
