import math
from dataclasses import replace

import numpy as np
import pytest

from ratta.adaptation.guard import DeepCheck, Nearness
from ratta.adaptation.kept import Recent
from ratta.adaptation.task import Step
from ratta.adaptation.trials import CANARIES_AT_ONCE, Trials
from ratta.adaptation.update import Correction
from ratta.errors import InputError

UNDONE = Correction(np.ones(2), np.full(2, -1.0))
"""What takes a camera back that adds 1 to both features."""
IDENTITY = Correction(np.ones(2), np.zeros(2))
CANARIES = [Step.CANARIES] * math.ceil(39 / CANARIES_AT_ONCE)


def leaning(towards_live: float) -> dict[str, np.ndarray]:
    """A head whose margin is higher by so much."""
    return {"classifier.2.bias": np.array([1 - towards_live / 2, 1 + towards_live / 2], np.float32)}


@pytest.fixture
def recent(toy) -> Recent:
    """Twelve frames of each side, by a camera that adds 1 to both features."""
    recent = Recent()
    for is_live in [False, True] * 12:
        recent.keep([toy.frame(is_live=is_live, camera=1.0)], threshold_logit=0.0)
    return recent


@pytest.fixture
def trials(toy) -> Trials:
    return Trials(toy.model, toy.reference)


def test_a_correction_that_brings_frames_nearer_passes(toy, trials, recent, run):
    """It takes every frame from a distance of root 2 onto its prototype; its network answers with it in force."""
    trial, steps = run(trials.early(UNDONE, recent))
    assert (True, "nearer") == (trial.finding.passed, trial.finding.reason)
    assert (0.0, 0.0, 24, 0) == tuple(
        trial.finding.numbers[name] for name in ("wide_ratio", "narrow_ratio", "confident", "overturned")
    )
    assert trial.snapshot.early is UNDONE
    assert [5.0, 2.0] == trial.network.read(toy.frame(is_live=False, camera=1.0).pixels).embedding.tolist()
    assert [Step.OPEN] + [Step.READ] * 24 == steps


def test_a_correction_that_moves_features_away_is_refused(trials, recent, run):
    """From root 2 to twice as far: all five numbers but none of the verdicts."""
    trial, _ = run(trials.early(Correction(np.ones(2), np.ones(2)), recent))
    assert (False, None) == (trial.finding.passed, trial.network)
    assert "not nearer: wide_ratio, narrow_ratio, wide_medians, spoof_ratio, live_ratio" == trial.finding.reason
    assert pytest.approx(2.0) == trial.finding.numbers["wide_ratio"]


def test_no_correction_is_not_nearer(trials, recent, run):
    """The source tried as an early candidate gains nothing, so nothing is put in its place."""
    trial, _ = run(trials.early(IDENTITY, recent))
    assert (False, "not nearer: wide_ratio") == (trial.finding.passed, trial.finding.reason)
    assert pytest.approx(1.0) == trial.finding.numbers["wide_ratio"]


def test_one_side_cannot_vote_for_the_other(trials, recent, run):
    """Taking all frames to the prototype of attacks turns live faces into attacks: nearer, and refused."""
    trial, _ = run(trials.early(Correction(np.zeros(2), np.array([5.0, 2.0])), recent))
    assert (0.0, 12) == (trial.finding.numbers["wide_ratio"], trial.finding.numbers["overturned"])
    assert (False, "overturns confident verdicts of the source") == (trial.finding.passed, trial.finding.reason)
    assert trial.network is None


def test_too_few_frames_of_a_side_are_no_evidence(toy, trials, run):
    """A flood of live faces: refused before anything is opened or read."""
    recent = Recent()
    for _ in range(100):
        recent.keep([toy.frame(is_live=True, camera=1.0)], threshold_logit=0.0)
    trial, steps = run(trials.early(UNDONE, recent))
    assert (False, None, []) == (trial.finding.passed, trial.network, steps)
    assert {"spoof_frames": 0, "live_frames": 12} == trial.finding.numbers


def test_only_confident_verdicts_can_be_overturned(trials):
    """Between the limits of -2 and 2 the source has none; the limits themselves are confident."""
    asked = [(-2.0, 1.0), (-1.9, 1.0), (1.9, -1.0), (2.0, -1.0), (2.0, 0.0)]
    assert [True, None, None, True, False] == [trials.overturned(*logits) for logits in asked]


def test_the_nearness_of_a_frame(toy, trials):
    """One step beside a prototype; the hidden feature is the embedding moved by as much as its prototype."""
    near = trials.nearness(toy.kept(2.0, 6.0).source)
    assert Nearness(1.0, 1.0) == near


def test_a_correction_without_a_number_is_refused(trials, recent, run):
    """It is a trial lost, not an exception in somebody's camera loop."""
    trial, _ = run(trials.early(Correction(np.ones(2), np.full(2, math.nan)), recent))
    assert (False, None) == (trial.finding.passed, trial.network)
    assert "it is dropped" in trial.finding.reason


@pytest.mark.parametrize("early", [None, UNDONE])
def test_the_source_passes_its_own_trial(toy, trials, recent, run, early):
    """As a late candidate the source itself harms nothing and agrees always, under whatever early correction."""
    trial, steps = run(trials.late({}, early, recent))
    assert (True, "harmless") == (trial.finding.passed, trial.finding.reason)
    assert {0.0, 1.0} == set(trial.finding.numbers.values())
    assert trial.snapshot.early is early
    crop = toy.frame(is_live=True, camera=1.0).pixels
    assert toy.model.network.read(crop).live_logit == trial.network.read(crop).live_logit
    assert [Step.READ] * 24 + 2 * CANARIES + [Step.OPEN] == steps


def test_a_late_candidate_that_changes_little_passes(toy, trials, recent, run):
    """Half a logit turns no canary, and is in force in the network that comes back."""
    trial, _ = run(trials.late(leaning(0.5), None, recent))
    assert trial.finding.passed
    assert pytest.approx(3.5) == trial.network.read(toy.frame(is_live=True).pixels).live_logit


def test_a_candidate_that_lets_attacks_pass_is_refused(trials, recent, run):
    """Replays lie at -1: 1.5 logits more and all nine pass; it is never opened."""
    trial, steps = run(trials.late(leaning(1.5), None, recent))
    assert (False, None) == (trial.finding.passed, trial.network)
    assert "APCER of replay rises" in trial.finding.reason
    assert (1.0, 0.0) == (trial.finding.numbers["apcer_rise.replay"], trial.finding.numbers["apcer_rise.print"])
    assert Step.OPEN not in steps


def test_a_candidate_that_refuses_faces_is_refused(trials, recent, run):
    """Live faces lie at 3: 4 logits less and none passes."""
    trial, _ = run(trials.late(leaning(-4.0), None, recent))
    assert "BPCER rises" in trial.finding.reason
    assert trial.finding.numbers["bpcer_rise"] == 1.0


def test_a_candidate_without_numbers_is_refused(trials, recent, run):
    """No comparison with `nan` holds, so no face passes."""
    trial, _ = run(trials.late(leaning(math.nan), None, recent))
    assert (False, None) == (trial.finding.passed, trial.network)


def test_a_candidate_must_agree_on_recent_frames_too(toy, trials, run):
    """Frames at -0.75 are turned by a logit that turns no canary."""
    recent = Recent()
    for _ in range(24):
        recent.keep([toy.kept(4.0, 3.25)], threshold_logit=0.0)
    trial, _ = run(trials.late(leaning(0.875), None, recent))
    assert (False, "disagrees with the source") == (trial.finding.passed, trial.finding.reason)
    assert pytest.approx(39 / 63) == trial.finding.numbers["agreement"]


def test_without_held_back_frames_no_late_candidate_passes(trials, run):
    """There is nothing to open it on; nothing is done."""
    trial, steps = run(trials.late({}, None, Recent()))
    assert (False, "no held-back frames", None, []) == (
        trial.finding.passed,
        trial.finding.reason,
        trial.network,
        steps,
    )


def test_the_source_is_tried_on_the_canaries_once(trials, recent, run):
    """The second trial costs half the canaries and finds the same."""
    (first, _), (second, steps) = (run(trials.late(leaning(1.5), None, recent)) for _ in range(2))
    assert [Step.READ] * 24 + CANARIES == steps
    assert first.finding == second.finding


def test_a_trial_abandoned_anywhere_leaves_no_trace(toy, recent, run):
    """Dropped after any step, the next trial finds what a fresh one does."""
    expected, steps = run(Trials(toy.model, toy.reference).late(leaning(1.5), None, recent))
    for done in range(1, len(steps) + 1):
        trials = Trials(toy.model, toy.reference)
        work = trials.late({}, None, recent)
        for _ in range(done):
            next(work)
        work.close()
        assert expected.finding == run(trials.late(leaning(1.5), None, recent))[0].finding


def test_each_piece_is_as_small_as_it_says(toy, trials, recent):
    """One frame is read, eight canaries run, one network opened and probed: never more in one piece."""
    tail, network, calls = toy.model.tail.forward, toy.model.open_network, []
    toy.model.tail.forward = lambda *arguments: calls.append("tail") or tail(*arguments)

    def counted(weights):
        opened = network(weights)
        read = opened.read
        opened.read = lambda pixels: calls.append("network") or read(pixels)
        return opened

    trials.model = replace(toy.model, open_network=counted)
    pieces = list(pieces_of(trials.late({}, None, recent), calls)) + list(
        pieces_of(trials.early(UNDONE, recent), calls)
    )
    for step, tails, networks in pieces:
        bound = {Step.READ: 1, Step.CANARIES: CANARIES_AT_ONCE, Step.OPEN: 2}[step]
        assert tails + networks <= bound, step


def pieces_of(work, calls):
    """Step by step: what was announced, and how often tail and networks then ran."""
    step = next(work)
    while step is not None:
        calls.clear()
        following = next(work, None)
        yield step, calls.count("tail"), calls.count("network")
        step = following


def test_what_is_tried_and_what_it_is_tried_on_stay_as_they_were(toy, trials, recent, run):
    """Candidate, source, canaries and frames have the same bits afterwards."""
    late, early = leaning(0.5), Correction(np.ones(2), np.full(2, -1.0))
    watched = [
        *late.values(),
        early.scale,
        early.shift,
        *toy.model.tail.source.values(),
        toy.reference.canaries.cuts,
        *(array for kept, _ in recent.sample(24) for array in (kept.pixels, kept.source.cut, kept.source.embedding)),
    ]
    before = [array.tobytes() for array in watched]
    run(trials.early(early, recent))
    run(trials.late(late, early, recent))
    assert before == [array.tobytes() for array in watched]
    assert {1} == {len(kept.readings) for kept, _ in recent.sample(24)}


@pytest.mark.parametrize("arguments", [{"frames_per_side": 7}, {"overturn_alpha": 0.0}, {"overturn_alpha": 1.0}])
def test_parameters_that_would_pass_nothing_or_everything_are_refused(toy, arguments):
    """Fewer frames than the deep check asks for could never pass."""
    with pytest.raises(InputError, match="trials: expected"):
        Trials(toy.model, toy.reference, **arguments)


def test_more_frames_can_be_asked_for(toy, recent, run):
    """A check of twelve on each side has just enough; thirteen are more than a trial looks at."""
    twelve = Trials(toy.model, toy.reference, deep_check=DeepCheck(min_frames=12))
    assert run(twelve.early(UNDONE, recent))[0].finding.passed
    with pytest.raises(InputError, match="at least 13"):
        Trials(toy.model, toy.reference, deep_check=DeepCheck(min_frames=13))
