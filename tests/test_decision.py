"""The judge: scores over time become a verdict, and retrying until one frame passes does not work."""

import math
from decimal import Decimal

import numpy as np
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


def deficit(values, threshold):
    return sum(min(0.0, value - threshold) for value in values)


def test_hiding_the_face_keeps_what_spoke_against_it():
    """After a gap what the slots lacked of the threshold still weighs, so a fresh start does not help an attacker."""
    judge = Judge(POLICY)
    feed(judge, [-3.0] * 3 + [3.0] * 1)
    after_gap = judge.update(3.0, t=5.0, box=BOX)
    assert after_gap.session_score == pytest.approx(sigmoid(3.0 + deficit([-3.0] * 3, logit(0.6))))


@pytest.mark.parametrize("before", [logit(0.6) - 0.01, -4.0, 4.0])
def test_slots_and_hold_are_counted_on_the_face_that_passes(before):
    """Four slots of another face are none of the five, whatever they said."""
    judge = Judge(POLICY)
    feed(judge, [before] * 4)
    needed = 0
    while not judge.final and needed < 100:
        judge.update(4.0, t=0.8 + needed * 0.2, box=BOX, new_face=needed == 0)
        needed += 1
    assert needed >= POLICY.min_slots + POLICY.hold_slots
    assert (needed == 7) == (before > -4.0)


def test_faces_that_take_turns_do_not_multiply_what_spoke_against_them():
    """Of an earlier face one slot of time is kept, its least, however often the box jumps."""
    judge = Judge(POLICY)
    for i in range(30):
        judge.update(-2.0 if i % 2 else -1.0, t=i * 0.01, box=BOX, new_face=True)
    last = judge.update(1.0, t=0.3, box=BOX, new_face=True)
    assert last.session_score == pytest.approx(sigmoid(1.0 + deficit([-2.0, -2.0], logit(0.6))))


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
    assert after.session_score == pytest.approx(sigmoid(4.0 + deficit([-4.0], logit(0.6))))


def test_evidence_below_the_live_threshold_survives_hiding():
    """With a high threshold a score above one half still speaks against."""
    judge = Judge(Policy(live_threshold=0.95, spoof_threshold=0.9))
    feed(judge, [0.5] * 4)
    assert judge.update(4.0, t=5.0, box=BOX).session_score == pytest.approx(
        sigmoid(4.0 + deficit([0.5] * 4, logit(0.95)))
    )


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


def test_refused_frames_are_refused():
    """A frame that was not scored has no score."""
    first = Judge(POLICY).refuse(NO_FACE, t=0.0)
    assert (first.verdict, first.reason, first.final) == (Verdict.REFUSED, Reason.NO_FACE, False)
    assert math.isnan(first.live_score)


@pytest.mark.parametrize("wait_s", [2.0, 8.0, 60.0])
def test_waiting_for_a_face_counts_for_nothing(wait_s):
    """The attempt, its time limit too, begins with the first scored frame."""
    judge = Judge(POLICY)
    for i in range(int(wait_s * 15)):
        waiting = judge.refuse(Refusal(Reason.TOO_DARK), t=i / 15)
    assert not waiting.final
    last = feed(judge, [4.0] * 7, start=wait_s)
    assert (last.verdict, last.final) == (Verdict.LIVE, True)


def test_an_attempt_that_hides_ends_refused_and_says_what_was_in_the_way():
    """Time without a scored frame is lost; when most of it is, the detail names the most frequent cause."""
    judge = Judge(POLICY)
    judge.update(4.0, t=0.0, box=BOX)
    for i in range(1, 51):
        last = judge.refuse(Refusal(Reason.TOO_BLURRED) if i % 5 else NO_FACE, t=i * 0.2)
    assert (last.verdict, last.reason, last.final) == (Verdict.REFUSED, Reason.TOO_MANY_REFUSED, True)
    assert "50 frames could not be scored, 40 of them: too blurred" in last.detail


@pytest.mark.parametrize(("every", "rate"), [(3, 45), (5, 75), (2, 30), (3, 15)])
@pytest.mark.parametrize("lost", [Refusal(Reason.FROZEN, counts=False), Refusal(Reason.TOO_DARK)])
def test_one_good_frame_in_every_slot_is_enough(every, rate, lost):
    """Copies, and a lamp that lights one frame in three, cost a living face nothing as long as no slot is empty."""
    judge = Judge(POLICY)
    for i in range(3 * rate):
        last = judge.refuse(lost, t=i / rate) if i % every else judge.update(4.0, t=i / rate, box=BOX)
        if last.final:
            break
    assert (last.verdict, last.t) == (Verdict.LIVE, pytest.approx(1.2))


def test_copies_and_missed_frames_are_not_held_against_anybody():
    """One fresh frame a second among copies: no slot in five is covered, and nothing speaks against the face."""
    judge = Judge(Policy(live_threshold=0.6, spoof_threshold=0.4, gap_s=2.0))
    copy = Refusal(Reason.FROZEN, counts=False)
    for i in range(100):
        last = judge.refuse(copy, t=i * 0.1) if i % 10 else judge.update(4.0, t=i * 0.1, box=BOX)
        if last.final:
            break
    assert (last.verdict, last.t) == (Verdict.LIVE, pytest.approx(6.0))


def test_a_source_that_only_repeats_ends_refused_as_frozen():
    """One look is no evidence, however often it is shown."""
    judge = Judge(POLICY)
    judge.update(4.0, t=0.0, box=BOX)
    for i in range(1, 151):
        last = judge.refuse(Refusal(Reason.FROZEN, counts=False), t=i / 15)
    assert (last.verdict, last.reason, last.final) == (Verdict.REFUSED, Reason.FROZEN, True)
    assert "150 of them: frozen frame" in last.detail


def test_frames_that_come_too_seldom_are_named():
    """A face unseen for longer than `gap_s` is taken for another, and the answer says so."""
    judge = Judge(POLICY)
    last = feed(judge, [4.0] * 11, every=1.02)
    assert (last.verdict, last.reason, last.final) == (Verdict.UNCERTAIN, Reason.TIMED_OUT, True)
    assert "1.02 s between two scored frames" in last.detail


def test_times_in_another_unit_are_named():
    """Milliseconds for seconds, or one time for all, fail closed and say why."""
    assert "t is in seconds" in feed(Judge(POLICY), [4.0] * 2, every=66.7).detail
    still = feed(Judge(POLICY), [4.0] * 60, every=0.0)
    assert (still.verdict, still.final) == (Verdict.UNCERTAIN, False)
    assert "t is the same for 60 frames" in still.detail


@pytest.mark.parametrize("times", [np.array(10.0), np.float32(10)])
def test_time_is_taken_as_it_is_and_kept(times):
    """What the caller does to his object afterwards changes nothing."""
    judge = Judge(POLICY)
    judge.update(1.0, t=times, box=BOX)
    times -= 5
    with pytest.raises(InputError, match="time never goes back"):
        judge.update(1.0, t=times, box=BOX)


def test_small_types_of_time_do_not_overflow():
    """Differences are reckoned in floats, whatever was given."""
    judge = Judge(POLICY)
    for second in (-100, -99, 100, 101):
        last = judge.update(4.0, t=np.int8(second), box=BOX)
    assert (last.final, last.reason) == (True, Reason.TIMED_OUT)
    assert Judge(POLICY).update(1.0, t=Decimal("0.1"), box=BOX).t == 0.1


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


@pytest.mark.parametrize(
    "t",
    [
        math.nan,
        math.inf,
        None,
        "1",
        True,
        np.True_,
        10**400,
        1j,
        [1.0],
        np.ones(1),
        np.timedelta64(1, "s"),
        np.ma.masked,
    ],
)
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
