import json

import numpy as np
import pytest

from ratta.adaptation.gate import Gate, Obstacle
from ratta.adaptation.learner import LAST_BIAS, Learner, evidence_of
from ratta.adaptation.task import Step
from ratta.adaptation.update import LATE, LateStep, Prototypes
from ratta.errors import InputError, StateError


@pytest.fixture
def learner(toy) -> Learner:
    """Ready after four sessions of either class with two frames each; candidates after eight frames."""
    return Learner(toy.model, toy.reference, early_every=8, late_every=8)


@pytest.fixture
def teach(toy, run):
    """Let a learner live through some sessions of one class; say how many frames it took in."""

    def teach(learner: Learner, *, is_live: bool, sessions: int, first: int = 0, camera: float = 0.0) -> int:
        taken = 0
        for number in range(first, first + sessions):
            attempt = toy.attempt(number, *(toy.frame(is_live=is_live, camera=camera) for _ in range(3)))
            for kept in learner.screened(attempt):
                taken += run(learner.learn(kept, attempt, kept.source))[0]
        return taken

    return teach


def both(teach, learner: Learner, *, camera: float = 0.0) -> None:
    """Four sessions of either class: eight frames each."""
    assert 8 == teach(learner, is_live=False, sessions=4, camera=camera)
    assert 8 == teach(learner, is_live=True, sessions=4, first=4, camera=camera)


def more_live(toy, run, learner: Learner) -> None:
    """Four sessions of either class, two frames each, by a camera that adds 1/2 to the live feature alone."""
    for number in range(8):
        spoof, live = toy.reference.prototypes[number // 4]
        attempt = toy.attempt(number, *(toy.kept(spoof, live + 0.5) for _ in range(2)))
        for kept in attempt.frames:
            assert run(learner.learn(kept, attempt, kept.source))[0]


def fingerprint(learner: Learner) -> list[object]:
    """All that has been learnt, and what of it would be made of it."""
    values, arrays = learner.export_state()
    return [values, {name: array.tolist() for name, array in arrays.items()}, learner.early_due, learner.late_due]


@pytest.mark.parametrize("is_live", [False, True])
def test_evidence_of_one_class_makes_no_candidate(learner, teach, run, is_live):
    """Two hundred frames of a moved camera: none is due, and one asked for all the same moves nothing."""
    assert 200 == teach(learner, is_live=is_live, sessions=100, camera=1.0)
    assert (False, False) == (learner.early_due, learner.late_due)
    correction = learner.early_candidate()
    assert ([1.0, 1.0], [0.0, 0.0]) == (correction.scale.tolist(), correction.shift.tolist())
    with pytest.raises(InputError, match="lessons of both classes"):
        run(learner.late_candidate({}))


def test_no_evidence_makes_no_candidate(learner, run):
    """Neither is due, and no late one can be asked for."""
    assert (False, False) == (learner.early_due, learner.late_due)
    with pytest.raises(InputError, match=r"\(0, 0\)"):
        run(learner.late_candidate({}))


def test_both_classes_make_candidates_due_once(learner, teach, run):
    """Sixteen frames of both: each kind is due until it was made; a late one again only with new lessons of both."""
    both(teach, learner)
    assert (True, True) == (learner.early_due, learner.late_due)
    learner.early_candidate()
    assert (False, True) == (learner.early_due, learner.late_due)
    run(learner.late_candidate({}))
    assert (False, False) == (learner.early_due, learner.late_due)
    teach(learner, is_live=True, sessions=3, first=8)
    assert (False, False) == (learner.early_due, learner.late_due)
    teach(learner, is_live=True, sessions=1, first=11)
    assert (True, False) == (learner.early_due, learner.late_due)
    teach(learner, is_live=True, sessions=40, first=12)
    assert not learner.late_due
    teach(learner, is_live=False, sessions=4, first=52)
    assert learner.late_due


def test_an_early_candidate_takes_back_what_both_classes_saw(learner, teach):
    """A camera adds 1 to both features; eight frames of either class against a prior of eight: half of it."""
    both(teach, learner, camera=1.0)
    correction = learner.early_candidate()
    np.testing.assert_allclose([1.0, 1.0], correction.scale, rtol=1e-12)
    np.testing.assert_allclose([-0.5, -0.5], correction.shift, rtol=1e-12)


def test_a_late_candidate_moves_what_it_may_and_no_further(learner, teach, toy, run):
    """However fast it learns, no tensor leaves by more than 5 % of its norm; the last bias by a shift of 1/2 more."""
    learner.late_step.rate = 1e6
    both(teach, learner, camera=1.0)
    late, in_force = {}, {}
    for _ in range(50):
        late, _ = run(learner.late_candidate(in_force))
        in_force = late
    assert set(LATE) == set(late)
    left = {}
    for name, value in late.items():
        source = toy.model.tail.source[name]
        left[name] = np.linalg.norm(value - source) / np.linalg.norm(source) if source.any() else np.abs(value).max()
        assert (source.shape, source.dtype) == (value.shape, value.dtype)
        assert left[name] <= 0.05 + (0.25 if name == LAST_BIAS else 0.0), name
    assert pytest.approx(0.99 * 0.05, rel=1e-4) == left["classifier.2.weight"]  # it did try


@pytest.mark.parametrize("in_force", [{}, {LAST_BIAS: np.array([0.98, 1.03], np.float32)}])
def test_a_late_candidate_is_the_step_over_all_lessons_and_the_shift(toy, teach, run, in_force):
    """Put together by hand from the same lessons and what is in force."""
    learner = Learner(toy.model, toy.reference)
    both(teach, learner, camera=1.0)
    late, steps = run(learner.late_candidate(in_force))
    before, gradient = {**toy.model.tail.source, **in_force}, {}
    step = LateStep(toy.model.tail, toy.reference.fisher, temperature=1.0, bias=0.0)
    for side in learner._lessons:
        for lesson in side:
            step.add_gradient(lesson, before, gradient, class_frames=(8, 8))
    expected = step.step(before, gradient)
    prototypes = Prototypes(toy.reference.prototypes)
    for is_live in [False] * 8 + [True] * 8:
        prototypes.update(toy.reference.prototypes[int(is_live)] + 1.0, is_live=is_live)
    half = prototypes.shift(expected) / 2
    assert [Step.LESSON] * 16 == steps
    for name in LATE:
        added = (-half, half) if name == LAST_BIAS else 0.0
        np.testing.assert_allclose(expected[name] + added, late[name], rtol=1e-6, err_msg=name)


def test_the_last_bias_follows_the_prototypes(toy, learner, teach, run):
    """Both classes look more live by 0.5: the margin gives back what the moving average saw of it."""
    more_live(toy, run, learner)
    late, _ = run(learner.late_candidate({}))
    seen = 0.5 * (1 - 0.99**8)
    bias = late[LAST_BIAS] - toy.model.tail.source[LAST_BIAS]
    assert pytest.approx(-seen, abs=0.02) == bias[1] - bias[0]


def test_only_the_newest_lessons_are_taught(toy, teach, run):
    """Of twenty and eight admitted frames, three of either class."""
    learner = Learner(toy.model, toy.reference, lessons_per_class=3)
    teach(learner, is_live=True, sessions=10)
    teach(learner, is_live=False, sessions=4, first=10)
    _, steps = run(learner.late_candidate({}))
    assert [Step.LESSON] * 6 == steps


def test_few_frames_of_a_session_are_looked_at_twice(toy, learner, run):
    """Of five good ones two, evenly spread; the obstacle of the doubtful one is counted, and costs no view."""
    good = [toy.frame(is_live=True) for _ in range(5)]
    doubtful = toy.kept(3.0, 4.0)
    attempt = toy.attempt(0, good[0], doubtful, *good[1:])
    before = toy.model.network.asked
    assert [good[0], good[2]] == learner.screened(attempt)
    assert (1, 1) == (learner.gate.refused[Obstacle.UNSURE], sum(learner.gate.refused.values()))
    assert before == toy.model.network.asked


def test_a_frame_is_looked_at_by_two_views_of_the_frozen_source(toy, learner, run):
    """One step, two runs of the source network."""
    kept = toy.frame(is_live=True)
    attempt, before = toy.attempt(0, kept), toy.model.network.asked
    assert (True, [Step.VIEWS]) == run(learner.learn(kept, attempt, kept.source))
    assert before + 2 == toy.model.network.asked


def test_a_frame_that_the_gate_refuses_teaches_nothing(toy, learner, teach, run):
    """Its views disagree (the source wavers), and nothing but the count of refusals is another."""
    both(teach, learner)
    before = fingerprint(learner)
    kept = toy.frame(is_live=True, camera=1.0)
    learner.model.network.read = wavering(learner.model.network)
    attempt = toy.attempt(99, kept)
    assert not run(learner.learn(kept, attempt, kept.source))[0]
    assert learner.gate.refused[Obstacle.VIEWS] == 1
    after = fingerprint(learner)
    after[0]["gate"]["refused.views"] = 0
    assert before == after


def test_what_the_integrator_knows_labels(toy, learner, run):
    """A doubtful frame of a session confirmed as an attack is evidence of attacks."""
    kept = toy.kept(3.0, 4.0)
    attempt = toy.attempt(0, kept, confirmed=False)
    assert run(learner.learn(kept, attempt, kept.source))[0]
    assert (1, 0) == learner.gate.frames


def test_the_evidence_of_a_frame(toy):
    """The frozen source's numbers, the answer's, and the session's."""
    kept = toy.frame(is_live=True)
    kept.readings[7], kept.answered_by = toy.kept(4.0, 3.0).source, 7
    evidence = evidence_of(kept, toy.attempt(5, kept, confirmed=True), (2.0, 3.0))
    assert (5, 3.0, -1.0, (2.0, 3.0), True) == (
        evidence.session,
        evidence.source_logit,
        evidence.answer_logit,
        evidence.view_logits,
        evidence.confirmed,
    )
    assert evidence.embedding is kept.source.embedding


def test_a_frame_without_moments_is_refused_before_it_counts(toy, learner, run):
    """Counted without its moments it would be evidence from nowhere."""
    kept = toy.frame(is_live=True)
    kept.moments = None
    with pytest.raises(InputError, match="with its moments"):
        run(learner.learn(kept, toy.attempt(0, kept), kept.source))
    assert (0, 0) == learner.gate.frames


def test_a_look_that_is_abandoned_takes_nothing_in(toy, learner):
    """Announced, and dropped before it was done."""
    kept, before = toy.frame(is_live=True), fingerprint(learner)
    work = learner.learn(kept, toy.attempt(0, kept), kept.source)
    next(work)
    work.close()
    assert before == fingerprint(learner)


def test_a_candidate_that_is_abandoned_leaves_the_evidence(learner, teach, run):
    """Dropped half-way, the next one is made of the same lessons and comes out the same, bit for bit."""
    both(teach, learner, camera=1.0)
    work = learner.late_candidate({})
    for _ in range(9):
        next(work)
    work.close()
    first, second = (run(learner.late_candidate({}))[0] for _ in range(2))
    assert {n: v.tobytes() for n, v in first.items()} == {n: v.tobytes() for n, v in second.items()}


def test_lessons_that_come_while_a_candidate_is_made_wait_for_the_next(toy, learner, teach, run):
    """The candidate is what it would have been without them."""
    both(teach, learner, camera=1.0)
    expected, _ = run(learner.late_candidate({}))
    work = learner.late_candidate({})
    next(work)
    teach(learner, is_live=True, sessions=1, first=8, camera=0.5)
    candidate, steps = run(work)
    assert 15 == len(steps)
    for name in set(LATE) - {LAST_BIAS}:  # which follows the prototypes of the moment
        assert expected[name].tobytes() == candidate[name].tobytes(), name


def test_nothing_that_is_given_is_changed(toy, learner, teach, run):
    """Frames, parameters in force and the source's parameters keep their bits."""
    kept = toy.frame(is_live=True)
    in_force = {LAST_BIAS: np.array([0.9, 1.1], np.float32)}
    both(teach, learner, camera=1.0)
    watched = [
        kept.pixels,
        kept.source.cut,
        kept.source.embedding,
        kept.moments.mean,
        kept.moments.variance,
        in_force[LAST_BIAS],
        *toy.model.tail.source.values(),
        toy.reference.prototypes,
        toy.reference.stem.mean,
        *toy.reference.fisher.values(),
    ]
    before = [array.tobytes() for array in watched]
    run(learner.learn(kept, toy.attempt(8, kept), kept.source))
    run(learner.late_candidate(in_force))
    learner.early_candidate()
    assert before == [array.tobytes() for array in watched]
    assert [LAST_BIAS] == list(in_force)


def test_reset_is_as_newly_made(toy, learner, teach):
    """Nothing learnt is left, and what is learnt then is what a new one learns."""
    new = fingerprint(learner)
    both(teach, learner, camera=1.0)
    learner.screened(toy.attempt(99, toy.kept(3.0, 4.0)))
    learner.reset()
    assert new == fingerprint(learner)
    both(teach, learner, camera=1.0)
    other = Learner(toy.model, toy.reference, early_every=8, late_every=8)
    both(teach, other, camera=1.0)
    assert fingerprint(other) == fingerprint(learner)


def test_forgetting_keeps_the_counts_of_refusals(toy, learner, teach):
    """All evidence goes; why frames were refused is told for ever."""
    both(teach, learner)
    learner.screened(toy.attempt(99, toy.kept(3.0, 4.0)))
    learner.forget()
    assert ((0, 0), 1) == (learner.gate.frames, learner.gate.refused[Obstacle.UNSURE])
    assert (False, False) == (learner.early_due, learner.late_due)


def test_late_evidence_can_be_forgotten_alone(learner, teach, run):
    """Under another early correction lessons and prototypes mean nothing; the first layer's moments stay."""
    both(teach, learner, camera=1.0)
    correction = learner.matching.correction()
    learner.forget_late()
    assert (True, False) == (learner.early_due, learner.late_due)
    assert correction.shift.tolist() == learner.early_candidate().shift.tolist()
    with pytest.raises(InputError, match=r"\(0, 0\)"):
        run(learner.late_candidate({}))


def test_what_was_forgotten_does_not_shift_the_last_bias(toy, learner, teach, run):
    """The same candidate as of a learner that never saw the other camera."""
    more_live(toy, run, learner)
    learner.forget_late()
    other = Learner(toy.model, toy.reference, early_every=8, late_every=8)
    for each in (learner, other):
        teach(each, is_live=False, sessions=4, first=8)
        teach(each, is_live=True, sessions=4, first=12)
    first, second = (run(each.late_candidate({}))[0][LAST_BIAS].tolist() for each in (learner, other))
    assert first == second


@pytest.mark.parametrize("few", [0, 1, 3])
def test_old_counts_do_not_stand_in_for_lessons(learner, teach, few):
    """The gate is ready from before; sixteen live frames and fewer than eight attacks since are not enough."""
    both(teach, learner)
    learner.forget_late()
    teach(learner, is_live=True, sessions=8, first=8)
    teach(learner, is_live=False, sessions=few, first=16)
    assert (True, False) == (learner.gate.ready, learner.late_due)
    teach(learner, is_live=False, sessions=4 - few, first=16 + few)
    assert learner.late_due


def test_a_step_may_move_less(toy, teach, run):
    """A candidate of one tensor and the last bias; the source's own bias keeps its bits."""
    step = LateStep(
        toy.model.tail, toy.reference.fisher, temperature=1.0, bias=0.0, names=("features.12.beta", "classifier.0.bias")
    )
    learner = Learner(toy.model, toy.reference, late_step=step)
    learner._prototypes.rate = 0.1
    more_live(toy, run, learner)
    late, _ = run(learner.late_candidate({}))
    assert {"features.12.beta", "classifier.0.bias", LAST_BIAS} == set(late)
    assert [1.0, 1.0] == toy.model.tail.source[LAST_BIAS].tolist()
    assert late[LAST_BIAS].tolist() != [1.0, 1.0]


def test_state_survives_a_journey(toy, learner, teach):
    """Through JSON and back: the same counts and the same early candidate; no lesson travels."""
    both(teach, learner, camera=1.0)
    values, arrays = learner.export_state()
    other = Learner(toy.model, toy.reference, early_every=8, late_every=8)
    other.restore_state(json.loads(json.dumps(values)), {name: array.copy() for name, array in arrays.items()})
    assert fingerprint(learner)[:3] == fingerprint(other)[:3]
    assert (True, False) == (other.early_due, other.late_due)
    assert learner.early_candidate().shift.tolist() == other.early_candidate().shift.tolist()
    assert {"change": 8} == {name: array.size for name, array in arrays.items()}


@pytest.mark.parametrize(
    "change",
    [
        {"since_early": -1},
        {"since_early": True},
        {"since_early": None},
        {"gate": {}},
        {"gate": 3},
        {"moments": {}},
        {"moments": 3},
        {"moments": {"frames.spoof": 8, "frames.live": -8}},
        {"more": 1},
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_leaves_nothing(toy, learner, teach, change):
    """Half a state would be counts without what they count."""
    both(teach, learner, camera=1.0)
    values, arrays = learner.export_state()
    with pytest.raises(StateError, match="state: expected"):
        learner.restore_state(values | change, arrays)
    assert fingerprint(Learner(toy.model, toy.reference)) == fingerprint(learner)


def test_a_state_without_its_arrays_is_refused_and_leaves_nothing(toy, learner, teach):
    """The counts alone would make the gate ready for an empty correction."""
    both(teach, learner, camera=1.0)
    values, _ = learner.export_state()
    with pytest.raises(StateError, match="moments state"):
        learner.restore_state(values, {})
    assert fingerprint(Learner(toy.model, toy.reference)) == fingerprint(learner)


@pytest.mark.parametrize("name", ["views_per_session", "early_every", "late_every", "lessons_per_class"])
def test_a_quota_of_nothing_is_refused(toy, name):
    """It would never learn, or always."""
    with pytest.raises(InputError, match="learner: expected"):
        Learner(toy.model, toy.reference, **{name: 0})


def test_a_gate_can_be_given(toy, teach):
    """A stricter one is not ready after what suffices the usual one."""
    limits, prototypes, variance = toy.reference.limits, toy.reference.prototypes, toy.reference.variance
    strict = Learner(
        toy.model, toy.reference, early_every=8, late_every=8, gate=Gate(limits, prototypes, variance, min_frames=9)
    )
    both(teach, strict)
    assert (False, False) == (strict.early_due, strict.late_due)


def wavering(network):
    """Make a network that says the opposite at every second call."""
    verdicts = iter([3.0, -3.0] * 8)

    def read(pixels):
        reading = type(network).read(network, pixels)
        return type(reading)(reading.logits, reading.embedding, reading.cut, next(verdicts))

    return read
