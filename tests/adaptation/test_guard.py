import json
import math

import numpy as np
import pytest

from ratta.adaptation.guard import (
    LIVE,
    SOURCE,
    Alarm,
    Arbiter,
    Canaries,
    CanaryCheck,
    DeepCheck,
    DeepReference,
    Landmarks,
    Nearness,
    Snapshot,
    Snapshots,
    Watch,
    at_least,
)
from ratta.adaptation.guard.exact import unequal_rates
from ratta.adaptation.update import Correction
from ratta.errors import InputError, StateError

SPECIES = np.array([LIVE] * 200 + ["print"] * 40 + ["replay"] * 40)
PERFECT = SPECIES == LIVE
NOBODY = np.array([], bool)
SIDES = [True] * 8 + [False] * 8


def flipped(verdicts, species, count, start=0):
    """Turn `count` verdicts of one species over."""
    changed = verdicts.copy()
    changed[np.flatnonzero(species == SPECIES)[start : start + count]] ^= True
    return changed


def judged(before, after, *, agreeing=NOBODY, agreement=0.95, **arguments):
    return CanaryCheck(**arguments).judge(SPECIES, before, after, agreeing=agreeing, agreement=agreement)


def compared(wide, narrow=1.0, *, before=1.0, sides=SIDES, wide_median=1.0, **arguments):
    """Compare frames at distance `before` with the same at `wide` (one for all, or a list) and `narrow`."""
    wides = wide if isinstance(wide, list) else [wide] * len(sides)
    after = [Nearness(w, narrow) for w in wides]
    return DeepCheck(**arguments).judge([Nearness(before, 1.0)] * len(sides), after, sides, wide_median=wide_median)


def correction(number):
    return Snapshot(early=Correction(np.array([1.0]), np.array([float(number)])))


def watched(usual=(), adapted=(), overturned=(), **arguments):
    watch = Watch(**{"overturn_rate": 0.02, **arguments})
    for is_live in usual:
        watch.note_usual(is_live=is_live)
    for is_live in adapted:
        watch.note_adapted(is_live=is_live)
    for turned in overturned:
        watch.note_confident(overturned=turned)
    return watch


@pytest.mark.parametrize("imperfect", [0, 5])
def test_the_source_passes_its_own_check(imperfect):
    """Also where it errs."""
    source = flipped(flipped(PERFECT, "print", imperfect), LIVE, imperfect)
    finding = judged(source, source, agreeing=np.ones(48, bool))
    assert (True, "harmless") == (finding.passed, finding.reason)
    assert {"apcer_rise.print": 0.0, "apcer_rise.replay": 0.0, "bpcer_rise": 0.0, "agreement": 1.0} == finding.numbers


@pytest.mark.parametrize("species", ["print", "replay"])
def test_one_more_attack_of_any_species_refuses(species):
    """Also when the other species gain more than this one loses."""
    other = {"print": "replay", "replay": "print"}[species]
    before = flipped(PERFECT, other, 10)
    after = flipped(PERFECT, species, 1)
    finding = judged(before, after, agreement=0.9)
    assert (False, f"APCER of {species} rises") == (finding.passed, finding.reason)
    assert (1 / 40, -10 / 40) == (finding.numbers[f"apcer_rise.{species}"], finding.numbers[f"apcer_rise.{other}"])


def test_a_species_that_swaps_attacks_evenly_has_not_risen():
    """One attack more and one less: the APCER is the same; two more and one less: it is not."""
    before = flipped(PERFECT, "print", 1)
    assert judged(before, flipped(PERFECT, "print", 1, start=5)).passed
    assert "APCER of print rises" == judged(before, flipped(PERFECT, "print", 2, start=5)).reason


def test_bpcer_may_rise_by_half_a_point_and_no_more():
    """One of 200 live canaries is 0.5 points, exactly at the bound; two are beyond."""
    one, two = (judged(PERFECT, flipped(PERFECT, LIVE, count)) for count in (1, 2))
    assert (True, 0.005) == (one.passed, one.numbers["bpcer_rise"])
    assert (False, "BPCER rises") == (two.passed, two.reason)


def test_a_candidate_that_refuses_all_is_refused():
    """Its APCER is perfect; a candidate without numbers looks the same."""
    finding = judged(PERFECT, np.zeros(len(PERFECT), bool))
    assert "BPCER rises; disagrees with the source" == finding.reason


def test_disagreement_on_recent_frames_refuses():
    """At 95 % agreement 21 of 328 verdicts turned are within chance, 30 are not."""
    few, many = (judged(PERFECT, PERFECT, agreeing=np.arange(48) >= turned) for turned in (21, 30))
    assert at_least(21, 328, 0.05) > 0.05 >= at_least(30, 328, 0.05)
    assert (True, False, "disagrees with the source") == (few.passed, many.passed, many.reason)


def test_the_canaries_know_their_classes_and_are_kept_small():
    """Cuts come back as float32; anything else is refused."""
    cuts = np.ones((2, 3, 2, 2), np.float16)
    canaries = Canaries(cuts, np.array([LIVE, "print"]))
    assert (2, [True, False]) == (len(canaries), canaries.is_live.tolist())
    assert ((3, 2, 2), np.float32) == (canaries.cut(1).shape, canaries.cut(1).dtype)
    for species in ([LIVE, LIVE], ["print", "print"], [LIVE, "print", "print"]):
        with pytest.raises(InputError, match="canaries: expected"):
            Canaries(cuts, np.array(species))
    with pytest.raises(InputError, match="finite"):
        Canaries(cuts * np.float16("nan"), np.array([LIVE, "print"]))


def test_the_distance_is_mahalanobis_to_the_nearer_prototype():
    """Against the quadratic form, with a full precision matrix."""
    rng = np.random.default_rng(1)
    root, prototypes, feature = rng.normal(size=(5, 5)), rng.normal(size=(2, 5)), rng.normal(size=5)
    precision = root @ root.T + np.eye(5)
    expected = min(math.sqrt((feature - p) @ precision @ (feature - p)) for p in prototypes)
    assert math.isclose(expected, Landmarks(prototypes, precision).distance(feature), rel_tol=1e-5)


def test_the_deep_reference_measures_both_features():
    """The wide one on the wide landmarks, the narrow one on the narrow."""
    wide, narrow = Landmarks(np.zeros((2, 3)), np.eye(3)), Landmarks(np.zeros((2, 2)), 4 * np.eye(2))
    near = DeepReference(wide, narrow, 1.0).nearness(np.array([2.0, 0.0, 0.0]), np.array([0.0, 3.0]))
    assert Nearness(2.0, 6.0) == near


def test_nearer_frames_pass():
    """Down to 95 % of the distance, the narrow one unchanged."""
    finding = compared(0.95)
    assert (True, "nearer") == (finding.passed, finding.reason)
    assert (0.95, 1.0, 0.95) == tuple(finding.numbers[n] for n in ("wide_ratio", "narrow_ratio", "wide_medians"))


@pytest.mark.parametrize(
    ("finding", "above"),
    [
        (compared(0.96), "wide_ratio"),
        (compared(0.9, 1.01), "narrow_ratio"),
        (compared(0.9, wide_median=0.4), "wide_medians"),
        (compared([0.2] * 8 + [1.05] * 8), "spoof_ratio"),
        (compared([1.05] * 8 + [0.2] * 8), "live_ratio"),
        (compared(math.nan), "wide_ratio, wide_medians, spoof_ratio, live_ratio"),
        (compared(0.0, before=0.0), "wide_ratio, spoof_ratio, live_ratio"),
        (compared(1.0), "wide_ratio"),
    ],
)
def test_each_limit_of_the_deep_check_refuses_alone(finding, above):
    """One class cannot vote for the other, no number is no gain, and the source itself is no gain."""
    assert (False, f"not nearer: {above}") == (finding.passed, finding.reason)


@pytest.mark.parametrize(("live", "spoof", "passed"), [(8, 8, True), (7, 40, False), (40, 7, False), (0, 0, False)])
def test_both_sides_must_have_frames(live, spoof, passed):
    """8 of each; a judgement of too few refuses as the question does."""
    sides = [True] * live + [False] * spoof
    finding = DeepCheck().enough(sides)
    assert (passed, {"spoof_frames": spoof, "live_frames": live}) == (finding.passed, finding.numbers)
    assert passed == compared(0.5, sides=sides).passed


def test_the_arbiter_lets_the_correction_answer_only_after_a_full_window():
    """Seven frames nearer are not enough; the eighth is."""
    arbiter, nearer = Arbiter(), []
    for _ in range(8):
        arbiter.update(2.0, 1.0)
        nearer.append(arbiter.nearer)
    assert [False] * 7 + [True] == nearer


def test_the_arbiter_gives_way_when_the_camera_comes_back():
    """With half of the last 8 frames nearer to the source, the source answers: after 4 frames."""
    arbiter = Arbiter()
    for _ in range(100):
        arbiter.update(2.0, 1.0)
    answered = []
    for _ in range(5):
        arbiter.update(1.0, 2.0)
        answered.append(arbiter.nearer)
    assert [True, True, True, False, False] == answered


@pytest.mark.parametrize("pair", [(1.0, 1.0), (math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_no_gain_and_no_number_are_answered_by_the_source(pair):
    """A tie goes to the source."""
    arbiter = Arbiter(window=2)
    for _ in range(2):
        arbiter.update(*pair)
    assert not arbiter.nearer


def test_unchecked_frames_make_the_arbiter_forget():
    """A check in between starts the count anew; a reset forgets all."""
    arbiter = Arbiter(window=2)
    for _ in range(2):
        arbiter.update(2.0, 1.0)
    arbiter.skip()
    arbiter.update(2.0, 1.0)
    arbiter.skip()
    assert arbiter.nearer
    arbiter.skip()
    assert not arbiter.nearer
    arbiter.update(2.0, 1.0)
    assert not arbiter.nearer
    arbiter.update(2.0, 1.0)
    assert arbiter.nearer
    arbiter.reset()
    assert not arbiter.nearer


def test_the_ring_holds_eight_and_ends_at_the_source():
    """Of ten commits the last eight can be taken back; then the source is in force, and stays."""
    snapshots, commits = Snapshots(), [correction(number) for number in range(10)]
    for snapshot in commits:
        snapshots.commit(snapshot)
    assert commits[-1] is snapshots.current
    back = [snapshots.rollback() for _ in range(9)]
    assert commits[8:1:-1] == back[:7]
    assert [SOURCE, SOURCE] == back[7:]
    assert 10 == snapshots.commits


def test_a_commit_after_a_rollback_follows_what_is_in_force():
    """The one taken back never returns."""
    snapshots, (a, b, c) = Snapshots(), map(correction, range(3))
    snapshots.commit(a)
    snapshots.commit(b)
    assert a is snapshots.rollback()
    snapshots.commit(c)
    assert (c, a, SOURCE) == (snapshots.current, snapshots.rollback(), snapshots.rollback())


def test_a_reset_is_due_after_so_many_commits():
    """Rollbacks do not put it off; a reset starts the count again from the source."""
    snapshots = Snapshots(reset_after=2)
    snapshots.commit(correction(1))
    snapshots.rollback()
    assert not snapshots.due_for_reset
    snapshots.commit(correction(2))
    assert snapshots.due_for_reset
    snapshots.reset()
    assert (False, 0, SOURCE) == (snapshots.due_for_reset, snapshots.commits, snapshots.current)


def test_only_a_snapshot_without_parameters_is_the_source():
    """Either group of parameters alone makes it another."""
    assert (True, False) == (SOURCE.is_source, correction(0).is_source)
    assert not Snapshot(late={"classifier.2.bias": np.zeros(2)}).is_source


def test_the_watch_knows_nothing_at_first():
    """No sessions or only one kind of them is no evidence."""
    assert watched().alarm is None
    assert watched(adapted=[True] * 64).alarm is None
    assert watched(usual=[True] * 64).alarm is None


def test_the_watch_alarms_where_the_exact_test_does():
    """Against 20 usual rejections 5 live ones have chance 2/53130, 3 have 2/1771: beyond and within 1e-3."""
    assert math.isclose(2 / math.comb(25, 5), unequal_rates(5, 5, 0, 20), rel_tol=1e-12)
    assert math.isclose(2 / math.comb(23, 3), unequal_rates(3, 3, 0, 20), rel_tol=1e-12)
    assert Alarm.LIVE_RATE is watched([False] * 20, [True] * 5).alarm
    assert watched([False] * 20, [True] * 3).alarm is None


def test_the_watch_alarms_when_live_sessions_vanish():
    """The test has two sides: a correction that locks the owner out is taken back too."""
    assert Alarm.LIVE_RATE is watched([True] * 30, [False] * 10).alarm
    assert watched([True, False] * 15, [False, True] * 10).alarm is None


def test_the_watch_alarms_on_overturned_verdicts():
    """At 2 %: two of two have chance 4e-4, two of four 2.3e-3."""
    assert at_least(2, 2, 0.02) <= 1e-3 < at_least(2, 4, 0.02)
    assert Alarm.OVERTURNED is watched(overturned=[True] * 2).alarm
    assert watched(overturned=[False, True, False, True]).alarm is None


def test_the_watch_looks_at_the_last_ones_only():
    """What is older than the window is forgotten, so an early excuse does not last for ever."""
    assert Alarm.OVERTURNED is watched(overturned=[True] * 3 + [False] * 4).alarm
    assert watched(overturned=[True] * 3 + [False] * 4, frames=4).alarm is None
    assert Alarm.LIVE_RATE is watched([True] * 99 + [False] * 20, [True] * 10, sessions=20).alarm


def test_another_commit_is_watched_anew():
    """What is usual stays."""
    watch = watched([False] * 20, [True] * 10, [True] * 5)
    watch.renew()
    assert watch.alarm is None
    for _ in range(10):
        watch.note_adapted(is_live=True)
    assert Alarm.LIVE_RATE is watch.alarm


def test_what_is_usual_survives_a_restart():
    """Through JSON; what a commit did does not."""
    state = json.loads(json.dumps(watched([False] * 20, [True] * 10).export_state()))
    watch = watched(overturned=[True] * 5)
    watch.restore_state(state)
    assert ([False] * 20, None) == (watch.export_state(), watch.alarm)
    for _ in range(10):
        watch.note_adapted(is_live=True)
    assert Alarm.LIVE_RATE is watch.alarm


@pytest.mark.parametrize("state", [None, {}, "", (True,), [1], [True, None], [True] * 65])
def test_a_watch_state_that_does_not_fit_changes_nothing(state):
    """Anything but a short enough list of booleans."""
    watch = watched([True] * 3)
    with pytest.raises(StateError, match="watch state"):
        watch.restore_state(state)
    assert [True] * 3 == watch.export_state()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Watch(overturn_rate=0.0),
        lambda: Watch(overturn_rate=math.nan),
        lambda: Watch(overturn_rate=0.1, alpha=1.0),
        lambda: Watch(overturn_rate=0.1, sessions=0),
        lambda: Watch(overturn_rate=0.1, frames=0),
        lambda: Snapshots(depth=0),
        lambda: Snapshots(reset_after=0),
        lambda: Arbiter(window=0),
        lambda: CanaryCheck(alpha=0.0),
        lambda: CanaryCheck(agreement_alpha=1.0),
        lambda: CanaryCheck(max_bpcer_rise=-0.1),
        lambda: CanaryCheck(max_bpcer_rise=math.nan),
        lambda: DeepCheck(min_frames=0),
        lambda: DeepCheck(max_wide_ratio=0.0),
        lambda: DeepCheck(max_narrow_ratio=math.nan),
        lambda: DeepCheck(max_wide_medians=math.inf),
        lambda: Landmarks(np.zeros((2, 3)), np.eye(2)),
        lambda: Landmarks(np.zeros((3, 3)), np.eye(3)),
        lambda: Landmarks(np.zeros((2, 2)), -np.eye(2)),
        lambda: Landmarks(np.zeros((2, 2)), np.full((2, 2), np.nan)),
        lambda: DeepReference(Landmarks(np.eye(2), np.eye(2)), Landmarks(np.eye(2), np.eye(2)), 0.0),
    ],
)
def test_parameters_out_of_range_are_refused_at_once(make):
    """Every constructor says what it expected."""
    with pytest.raises(InputError, match="expected"):
        make()
