"""The judge: scores over time become a verdict, and retrying until one frame passes does not work."""

import math

import pytest

from ratta.decision import Judge, Policy
from ratta.errors import InputError
from ratta.records import Box, Reason, Refusal, Verdict, logit, sigmoid

POLICY = Policy(live_threshold=0.6, spoof_threshold=0.4)
BOX = Box(0, 0, 10, 10)
NO_FACE = Refusal(Reason.NO_FACE)


def feed(judge, logits, *, start=0.0, every=0.2):
    decision = None
    for i, value in enumerate(logits):
        decision = judge.update(value, t=start + i * every, box=BOX)
    return decision


def test_first_frames_are_uncertain():
    """A verdict needs `min_slots` pieces of evidence."""
    decision = feed(Judge(POLICY), [4.0] * 4)
    assert (decision.verdict, decision.reason, decision.final) == (Verdict.UNCERTAIN, Reason.GATHERING, False)


@pytest.mark.parametrize(("value", "verdict"), [(2.0, Verdict.LIVE), (-2.0, Verdict.SPOOF)])
def test_steady_scores_give_a_final_verdict(value, verdict):
    """Five slots decide and two more confirm."""
    judge = Judge(POLICY)
    fifth = feed(judge, [value] * 5)
    assert (fifth.verdict, fifth.final) == (verdict, False)
    seventh = feed(judge, [value] * 2, start=1.0)
    assert (seventh.verdict, seventh.reason, seventh.final) == (verdict, Reason.STABLE, True)


def test_scores_between_the_thresholds_stay_uncertain_and_time_out():
    """An undecided attempt ends UNCERTAIN after `timeout_s`."""
    judge = Judge(POLICY)
    assert feed(judge, [0.0] * 10).reason is Reason.BETWEEN_THRESHOLDS
    last = judge.update(0.0, t=10.0, box=BOX)
    assert (last.verdict, last.reason, last.final) == (Verdict.UNCERTAIN, Reason.TIMED_OUT, True)


def test_one_perfect_frame_never_passes():
    """An attack that fools one frame in five is not LIVE at any time."""
    judge = Judge(POLICY)
    verdicts = {judge.update(1000.0 if i % 5 == 0 else -3.0, t=i * 0.2, box=BOX).verdict for i in range(50)}
    assert Verdict.LIVE not in verdicts


def test_a_burst_of_frames_counts_as_one_slot():
    """A thousand frames within one slot are one piece of evidence."""
    judge = Judge(POLICY)
    decision = feed(judge, [4.0] * 1000, every=0.0001)
    assert decision.reason is Reason.GATHERING


def test_hiding_the_face_keeps_what_spoke_against_it():
    """After a gap only the slots against the face remain, so a fresh start does not help an attacker."""
    judge = Judge(POLICY)
    feed(judge, [-3.0] * 3 + [3.0] * 1)
    after_gap = judge.update(3.0, t=5.0, box=BOX)
    assert after_gap.session_score == pytest.approx(sigmoid((-3.0 * 3 + 3.0) / 4))


def test_a_new_face_loses_what_spoke_for_the_old_one():
    """Evidence for a living face is not handed to the picture that replaces it."""
    judge = Judge(POLICY)
    assert feed(judge, [3.0] * 6).verdict is Verdict.LIVE
    swapped = judge.update(3.0, t=1.2, box=BOX, new_face=True)
    assert (swapped.verdict, swapped.reason) == (Verdict.UNCERTAIN, Reason.GATHERING)


def test_contradictory_slots_are_not_live():
    """A mean above the threshold is not enough when many slots say attack."""
    judge = Judge(POLICY)
    decision = feed(judge, [4.0, 4.0, -2.0, 4.0, -2.0])
    assert (decision.verdict, decision.reason) == (Verdict.UNCERTAIN, Reason.CONTRADICTORY)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_network_that_answers_no_number_is_refused(value):
    """Neither nan nor infinity is evidence, least of all the strongest."""
    decision = feed(Judge(POLICY), [value] * 8)
    assert (decision.verdict, decision.reason, decision.scored_frames) == (Verdict.REFUSED, Reason.UNUSABLE_INPUT, 0)


def test_one_huge_frame_does_not_outvote_its_slot():
    """Nine frames against and one absurdly for, in every slot: not LIVE."""
    judge = Judge(POLICY)
    verdicts = {judge.update(60.0 if i % 10 == 0 else -4.0, t=i * 0.02, box=BOX).verdict for i in range(200)}
    assert Verdict.LIVE not in verdicts


def test_a_new_face_in_an_open_slot_cannot_wash_it_clean():
    """What spoke against the face before stays a slot of its own."""
    judge = Judge(POLICY)
    judge.update(-4.0, t=0.0, box=BOX)
    after = judge.update(4.0, t=0.05, box=BOX, new_face=True)
    assert after.session_score == 0.5


def test_evidence_below_the_live_threshold_survives_hiding():
    """With a high threshold a score above one half still speaks against."""
    judge = Judge(Policy(live_threshold=0.95, spoof_threshold=0.9))
    feed(judge, [0.5] * 4)
    assert judge.update(4.0, t=5.0, box=BOX).session_score == pytest.approx(sigmoid((0.5 * 4 + 4.0) / 5))


@pytest.mark.parametrize(
    ("live", "spoof", "logits"), [(0.6, 0.4, [0.41] * 5 + [-0.38, 0.0]), (0.5, 0.5, [0.1] * 5 + [-2.8, 0.1])]
)
def test_an_attempt_is_never_live_below_its_threshold(live, spoof, logits):
    """Hysteresis is for streams; an attempt that slips below the threshold is not LIVE."""
    decision = feed(Judge(Policy(live_threshold=live, spoof_threshold=spoof)), logits)
    assert decision.verdict is not Verdict.LIVE


def test_the_last_word_must_agree():
    """LIVE does not become final on a frame that says attack."""
    judge = Judge(POLICY)
    assert not feed(judge, [4.0] * 6 + [-4.0]).final
    assert judge.update(4.0, t=1.4, box=BOX).final


def test_mostly_refused_frames_are_no_final_live():
    """Who hides most frames from the network does not choose the evidence."""
    judge = Judge(POLICY)
    for i in range(40):
        decision = judge.update(4.0, t=i * 0.2, box=BOX) if i % 4 == 0 else judge.refuse(NO_FACE, t=i * 0.2)
    assert not decision.final


def test_a_session_without_scores_tells_why():
    """The reason of an attempt in which nothing was scored is the refusal's."""
    judge = Judge(POLICY)
    judge.refuse(NO_FACE, t=0.0)
    assert judge.reason is Reason.NO_FACE


def test_hysteresis_keeps_a_verdict_near_its_threshold():
    """A stream at the threshold does not flicker."""
    judge = Judge(POLICY, open_ended=True)
    threshold = logit(0.6)
    assert feed(judge, [threshold + 0.01] * 6).verdict is Verdict.LIVE
    assert judge.update(threshold - 0.5, t=1.2, box=BOX).verdict is Verdict.LIVE
    assert feed(Judge(POLICY, open_ended=True), [threshold - 0.1] * 6).verdict is Verdict.UNCERTAIN


def test_a_stream_forgets_and_never_ends():
    """Open-ended, evidence older than the window is gone and no verdict is final."""
    judge = Judge(POLICY, open_ended=True)
    assert feed(judge, [3.0] * 30).verdict is Verdict.LIVE
    later = feed(judge, [-3.0] * 30, start=6.0)
    assert (later.verdict, later.final) == (Verdict.SPOOF, False)


def test_refused_frames_are_refused_and_end_as_refused():
    """A frame that was not scored has no score, and an attempt of such frames ends REFUSED."""
    judge = Judge(POLICY)
    first = judge.refuse(NO_FACE, t=0.0)
    assert (first.verdict, first.reason, first.final) == (Verdict.REFUSED, Reason.NO_FACE, False)
    assert math.isnan(first.live_score)
    last = judge.refuse(NO_FACE, t=10.0)
    assert (last.verdict, last.reason, last.final) == (Verdict.REFUSED, Reason.TOO_MANY_REFUSED, True)


def test_a_final_verdict_stays():
    """After the end further frames change nothing, whatever they show."""
    judge = Judge(POLICY)
    feed(judge, [-3.0] * 8)
    after = feed(judge, [4.0] * 20, start=2.0)
    assert (after.verdict, after.final) == (Verdict.SPOOF, True)


def test_reset_is_a_fresh_judge():
    """After `reset` the same frames give the same decisions as at first."""
    judge = Judge(POLICY)
    first = [judge.update(1.0, t=i * 0.3, box=BOX) for i in range(9)]
    judge.reset()
    assert [judge.update(1.0, t=i * 0.3, box=BOX) for i in range(9)] == first


@pytest.mark.parametrize("t", [math.nan, math.inf, None, "1", True, 10**400])
def test_time_must_be_seconds(t):
    """What is not a finite number of seconds is an error that names `t`."""
    with pytest.raises(InputError, match="t: expected"):
        Judge(POLICY).update(0.0, t=t, box=BOX)


def test_time_never_goes_back():
    """A frame before the last one is an error."""
    judge = Judge(POLICY)
    judge.update(0.0, t=1.0, box=BOX)
    with pytest.raises(InputError, match="time never goes back"):
        judge.update(0.0, t=0.9, box=BOX)


@pytest.mark.parametrize(
    "wrong",
    [
        {"live_threshold": 0.4, "spoof_threshold": 0.6},
        {"live_threshold": 1.0},
        {"spoof_threshold": 0.0},
        {"slot_s": 0.0},
        {"timeout_s": math.inf},
        {"min_slots": 1},
        {"hold_slots": -1},
        {"max_against": 1.0},
        {"hysteresis": -0.1},
        {"max_logit": math.nan},
        {"max_logit": 0.1},
        {"min_slots": math.nan},
        {"min_slots": True},
        {"hold_slots": 1.5},
        {"hysteresis": math.nan},
        {"live_threshold": "0.6"},
        {"live_threshold": 0.985},
        {"slot_s": 1e-7},
        {"window_s": 0.5},
        {"timeout_s": 1.0},
    ],
)
def test_a_policy_is_checked_when_made(wrong):
    """Every field has a range, and leaving it is an error at once."""
    with pytest.raises(InputError, match="policy"):
        Policy(**({"live_threshold": 0.6, "spoof_threshold": 0.4} | wrong))
