import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ratta.adaptation.gate import Admission, Evidence, Gate, GateLimits, Obstacle, separating_plane
from ratta.errors import InputError, StateError

LIMITS = GateLimits(live_above=2.0, spoof_below=-3.0, live_margin=0.5, spoof_margin=0.7, view_sd=0.3)
PROTOTYPES, VARIANCE = np.array([[-1.0, 0.0], [1.0, 0.0]]), np.ones(2)
"""With these the margin of an embedding is its first number."""

LIVE = Evidence(session=0, source_logit=3.0, answer_logit=3.0, embedding=np.array([1.0, 5.0]), view_logits=(3.0, 3.1))
SPOOF = Evidence(
    session=0, source_logit=-4.0, answer_logit=-4.0, embedding=np.array([-1.0, 5.0]), view_logits=(-4.0, -4.1)
)


def make_gate(**arguments: int) -> Gate:
    return Gate(LIMITS, PROTOTYPES, VARIANCE, **arguments)


def obstacle_of(evidence: Evidence) -> Obstacle | None:
    """Ask a fresh gate; what it counts must agree with what it says."""
    gate = make_gate()
    admission = gate.admit(evidence)
    counted = [obstacle for obstacle, count in gate.refused.items() for _ in range(count)]
    assert counted == ([admission.obstacle] if admission.obstacle else [])
    assert sum(gate.frames) == sum(gate.sessions) == (admission.obstacle is None)
    assert (admission.is_live is None) == (admission.obstacle is not None)
    return admission.obstacle


def feed(gate: Gate, evidence: Evidence, *, sessions: int, frames: int, first: int = 0) -> list[Admission]:
    return [
        gate.admit(replace(evidence, session=first + session)) for session in range(sessions) for _ in range(frames)
    ]


def fingerprint(gate: Gate) -> bytes:
    return pickle.dumps(vars(gate))


def test_a_frame_with_nothing_against_it_is_admitted_under_its_label():
    """One live frame and one attack are counted, each for its class."""
    gate = make_gate()
    assert Admission(is_live=True) == gate.admit(LIVE)
    assert Admission(is_live=False) == gate.admit(replace(SPOOF, session=1))
    assert (1, 1) == gate.frames == gate.sessions
    assert dict.fromkeys(Obstacle, 0) == gate.refused


@pytest.mark.parametrize(
    ("expected", "evidence"),
    [
        (Obstacle.QUALITY, replace(LIVE, accepted=False)),
        (Obstacle.NOT_FINITE, replace(LIVE, source_logit=math.nan)),
        (Obstacle.NOT_FINITE, replace(LIVE, source_logit=math.inf)),
        (Obstacle.NOT_FINITE, replace(LIVE, answer_logit=math.nan)),
        (Obstacle.NOT_FINITE, replace(LIVE, embedding=np.array([1.0, math.nan]))),
        (Obstacle.UNSURE, replace(LIVE, source_logit=1.99)),
        (Obstacle.UNSURE, replace(SPOOF, source_logit=-2.99)),
        (Obstacle.OVERRULED, replace(LIVE, answer_logit=-0.5)),  # half-way between the limits
        (Obstacle.OVERRULED, replace(SPOOF, answer_logit=-0.49)),
        (Obstacle.MARGIN, replace(LIVE, embedding=np.array([0.49, 0.0]))),
        (Obstacle.MARGIN, replace(LIVE, embedding=np.array([-1.0, 0.0]))),
        (Obstacle.MARGIN, replace(SPOOF, embedding=np.array([-0.69, 0.0]))),
        (Obstacle.VIEWS, replace(LIVE, view_logits=())),
        (Obstacle.VIEWS, replace(LIVE, view_logits=(3.0, 3.7))),  # deviation 0.33
        (Obstacle.VIEWS, replace(LIVE, view_logits=(3.0, math.nan))),
        (Obstacle.VIEWS, replace(LIVE, view_logits=(3.0, -math.inf))),
    ],
)
def test_each_condition_refuses_by_itself_and_is_counted(expected: Obstacle, evidence: Evidence):
    """One thing that speaks against a frame is enough, and its reason is the one counted."""
    assert expected == obstacle_of(evidence)


@pytest.mark.parametrize(
    "evidence",
    [
        replace(LIVE, source_logit=2.0, view_logits=(2.0, 2.0)),
        replace(SPOOF, source_logit=-3.0, view_logits=(-3.0, -3.0)),
        replace(LIVE, answer_logit=-0.49),
        replace(SPOOF, answer_logit=-0.5),
        replace(LIVE, embedding=np.array([0.5, 0.0])),
        replace(SPOOF, embedding=np.array([-0.7, 0.0])),
        replace(LIVE, view_logits=(3.0, 3.6)),  # deviation 0.28
    ],
)
def test_a_frame_just_within_a_limit_is_admitted(evidence: Evidence):
    """The limits themselves are within."""
    assert obstacle_of(evidence) is None


def test_the_session_quota_holds_and_a_new_session_opens_it_again():
    """Of six frames of a session four count; the next session gives again."""
    gate = make_gate()
    assert [None] * 4 + [Obstacle.SESSION_FULL] * 2 == [a.obstacle for a in feed(gate, LIVE, sessions=1, frames=6)]
    assert gate.admit(replace(LIVE, session=1)).obstacle is None
    assert (0, 5) == gate.frames
    assert (0, 2) == gate.sessions
    assert gate.refused[Obstacle.SESSION_FULL] == 2


def test_a_session_counts_for_one_class_only():
    """Once a session gave live frames, its attack frames are refused, and the other way round."""
    for first, second in ((LIVE, SPOOF), (SPOOF, LIVE)):
        gate = make_gate()
        gate.admit(first)
        assert Admission(None, Obstacle.CONTRADICTS) == gate.admit(second)
        assert sum(gate.frames) == 1


def test_a_refused_frame_uses_up_no_quota_and_takes_no_side():
    """A session whose first frames were refused may still give four of either class."""
    gate = make_gate()
    feed(gate, replace(LIVE, accepted=False), sessions=1, frames=9)
    assert [None] * 4 == [a.obstacle for a in feed(gate, SPOOF, sessions=1, frames=4)]


@pytest.mark.parametrize(
    ("spoof", "live", "expected"),
    [
        ((4, 2), (4, 2), True),
        ((4, 2), (3, 4), False),  # enough frames, one session short
        ((3, 4), (4, 2), False),
        ((4, 2), (7, 1), False),  # enough sessions, one frame short
        ((7, 1), (4, 2), False),
        ((8, 1), (8, 1), True),
    ],
)
def test_both_classes_need_sessions_and_frames(spoof: tuple[int, int], live: tuple[int, int], expected: bool):
    """Ready from 4 sessions and 8 frames of each class on; given as (sessions, frames of each)."""
    gate = make_gate()
    feed(gate, SPOOF, sessions=spoof[0], frames=spoof[1])
    feed(gate, LIVE, sessions=live[0], frames=live[1], first=100)
    assert expected == gate.ready


@pytest.mark.parametrize("evidence", [LIVE, SPOOF, replace(SPOOF, confirmed=True), replace(LIVE, confirmed=False)])
def test_a_flood_of_one_class_never_becomes_ready(evidence: Evidence):
    """A thousand sessions of one class are admitted, and still nothing may move; a confirmed class is one class too."""
    gate = make_gate()
    assert all(a.obstacle is None for a in feed(gate, evidence, sessions=1000, frames=4))
    assert sorted(gate.frames) == [0, 4000]
    assert gate.ready is False


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize(
    "doubtful",
    [
        replace(LIVE, source_logit=0.0, view_logits=(0.0, 0.1)),
        replace(LIVE, answer_logit=-9.0),
        replace(LIVE, embedding=np.zeros(2)),
        LIVE,
        SPOOF,
    ],
)
def test_a_confirmation_stands_in_for_confidence(doubtful: Evidence, confirmed: bool):
    """The label is the integrator's, whatever source, answer and margin say."""
    assert Admission(is_live=confirmed) == make_gate().admit(replace(doubtful, confirmed=confirmed))


@pytest.mark.parametrize(
    ("expected", "evidence"),
    [
        (Obstacle.QUALITY, replace(LIVE, accepted=False)),
        (Obstacle.NOT_FINITE, replace(LIVE, source_logit=math.nan)),
        (Obstacle.NOT_FINITE, replace(LIVE, answer_logit=math.nan)),
        (Obstacle.NOT_FINITE, replace(LIVE, embedding=np.array([math.nan, 0.0]))),
        (Obstacle.VIEWS, replace(LIVE, view_logits=())),
        (Obstacle.VIEWS, replace(LIVE, view_logits=(3.0, 4.0))),
    ],
)
def test_a_confirmation_stands_in_for_nothing_else(expected: Obstacle, evidence: Evidence):
    """Quality, finite numbers and views are asked of a confirmed session too."""
    assert expected == obstacle_of(replace(evidence, confirmed=True))


def test_a_confirmation_lifts_no_quota():
    """A confirmed session gives four frames of one class, like any other."""
    gate = make_gate()
    confirmed = replace(LIVE, confirmed=True)
    obstacles = [a.obstacle for a in feed(gate, confirmed, sessions=1, frames=5)]
    assert [None] * 4 + [Obstacle.SESSION_FULL] == obstacles
    assert Obstacle.CONTRADICTS == gate.admit(replace(confirmed, confirmed=False)).obstacle


def test_screening_says_what_admission_would_and_changes_nothing():
    """Without views a good frame passes the screen; no count and no session moves."""
    gate = make_gate(per_session=1)
    gate.admit(LIVE)
    before = fingerprint(gate)
    assert Admission(is_live=True) == gate.screen(replace(LIVE, session=1, view_logits=()))
    assert Admission(None, Obstacle.SESSION_FULL) == gate.screen(LIVE)
    assert Admission(None, Obstacle.CONTRADICTS) == gate.screen(SPOOF)
    assert Admission(None, Obstacle.UNSURE) == gate.screen(replace(LIVE, session=1, source_logit=0.0))
    assert before == fingerprint(gate)


def test_a_gate_does_not_mutate_what_it_sees():
    """Embedding and prototypes stay as they were, and a later change of the caller's arrays changes no answer."""
    prototypes, variance, embedding = PROTOTYPES.copy(), VARIANCE.copy(), LIVE.embedding.copy()
    gate = Gate(LIMITS, prototypes, variance)
    gate.admit(replace(LIVE, embedding=embedding))
    assert np.array_equal(PROTOTYPES, prototypes)
    assert np.array_equal(LIVE.embedding, embedding)
    prototypes += 100
    assert gate.margin(embedding) == 1.0


def test_an_earlier_session_may_not_come_back():
    """Else two sessions in turn would each get a new quota."""
    gate = make_gate()
    gate.admit(replace(LIVE, session=5))
    with pytest.raises(InputError, match="expected session 5 or a later one, got 4"):
        gate.admit(replace(LIVE, session=4))


def test_reset_is_fresh_and_forgetting_keeps_the_refusals():
    """Reset leaves a gate as newly made; `forget` drops the evidence only."""
    gate = make_gate()
    feed(gate, LIVE, sessions=3, frames=6)
    gate.forget()
    assert (0, 0) == gate.frames == gate.sessions
    assert gate.refused[Obstacle.SESSION_FULL] == 6
    gate.reset()
    assert fingerprint(make_gate()) == fingerprint(gate)


def test_state_goes_through_json_and_back():
    """A restored gate exports the same, is as ready, and answers the next sessions alike."""
    gate = make_gate()
    feed(gate, SPOOF, sessions=4, frames=3)
    feed(gate, LIVE, sessions=4, frames=6, first=10)
    other = make_gate()
    other.restore_state(json.loads(json.dumps(gate.export_state())))
    assert gate.export_state() == other.export_state()
    assert ((12, 16), (4, 4), True) == (other.frames, other.sessions, other.ready)
    assert feed(gate, LIVE, sessions=2, frames=6, first=20) == feed(other, LIVE, sessions=2, frames=6, first=20)
    assert gate.export_state() == other.export_state()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: None,
        lambda state: [],
        lambda state: {},
        lambda state: {**state, "more": 0},
        lambda state: {**state, "frames.live": -1},
        lambda state: {**state, "frames.live": 1.0},
        lambda state: {**state, "frames.live": True},
        lambda state: {**state, "sessions.spoof": "1"},
        lambda state: {key: count for key, count in state.items() if key != "refused.margin"},
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(spoil: Callable[[dict[str, int]], object]):
    """Anything but the exported counts is a `StateError`."""
    gate = make_gate()
    feed(gate, LIVE, sessions=2, frames=5)
    before = fingerprint(gate)
    with pytest.raises(StateError, match="gate state"):
        gate.restore_state(spoil(gate.export_state()))
    assert before == fingerprint(gate)


def test_memory_is_bounded():
    """Ten thousand frames leave no more behind than ten, but for the digits of the counts."""
    gate = make_gate()
    feed(gate, LIVE, sessions=2, frames=5)
    before = len(fingerprint(gate))
    feed(gate, SPOOF, sessions=2000, frames=5, first=10)
    assert len(fingerprint(gate)) - before <= 64


def test_the_margin_is_the_distance_to_the_plane_in_standard_deviations():
    """Nothing half-way, half the Mahalanobis distance between the prototypes at either."""
    prototypes, variance = np.array([[1.0, 0.0], [5.0, 6.0]]), np.array([4.0, 9.0])
    gate = Gate(LIMITS, prototypes, variance)
    half = math.sqrt(4**2 / 4 + 6**2 / 9) / 2
    assert pytest.approx([-half, 0.0, half], abs=1e-6) == [
        gate.margin(embedding) for embedding in (prototypes[0], prototypes.mean(axis=0), prototypes[1])
    ]


def test_the_margin_has_unit_variance_within_a_class():
    """Embeddings of the given variance have margins of variance 1."""
    generator = np.random.default_rng(3)
    variance = np.array([4.0, 0.25, 1.0])
    axis, _ = separating_plane(np.array([[0.0, 0.0, 0.0], [1.0, 2.0, -1.0]]), variance)
    margins = generator.normal(0, np.sqrt(variance), (20_000, 3)) @ axis
    assert pytest.approx(1.0, abs=0.03) == margins.var()


def test_a_dead_channel_does_not_own_the_margin():
    """A channel without variance is floored at a thousandth of the mean variance."""
    axis, _ = separating_plane(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.0, 2.0]))
    assert pytest.approx(2.0 / 1e-3) == axis[0] / axis[1]


@pytest.mark.parametrize(
    ("prototypes", "variance"),
    [
        (np.zeros((2, 3)), np.ones(3)),
        (np.zeros((3, 3)), np.ones(3)),
        (PROTOTYPES, np.ones(3)),
        (PROTOTYPES, np.ones((2, 1))),
        (np.array([[0.0, math.nan], [1.0, 0.0]]), VARIANCE),
        (PROTOTYPES, np.array([math.nan, 1.0])),
    ],
)
def test_a_plane_needs_two_finite_prototypes_that_differ(prototypes: np.ndarray, variance: np.ndarray):
    """Wrong shapes, equal prototypes and no numbers are refused."""
    with pytest.raises(InputError, match="plane: expected"):
        Gate(LIMITS, prototypes, variance)


@pytest.mark.parametrize("quota", ["per_session", "min_sessions", "min_frames"])
def test_a_quota_is_at_least_one(quota: str):
    """A quota of nothing would make a gate that is always or never ready."""
    with pytest.raises(InputError, match="quotas of at least 1"):
        make_gate(**{quota: 0})


def test_an_embedding_of_another_length_is_refused():
    """It belongs to another model."""
    with pytest.raises(InputError, match="expected an embedding of shape"):
        make_gate().admit(replace(LIVE, embedding=np.ones(3)))


@pytest.mark.parametrize(
    "changes",
    [{"live_above": -3.0}, {"spoof_below": math.nan}, {"view_sd": -0.1}, {"live_margin": math.inf}],
)
def test_limits_must_be_finite_and_apart(changes: dict[str, float]):
    """Confidences that overlap would give a frame both labels."""
    with pytest.raises(InputError, match="gate limits: expected"):
        replace(LIMITS, **changes)


def from_development(lives: np.ndarray, attacks: np.ndarray, view_change: float = 2.0) -> GateLimits:
    """Margins are the log-odds themselves, and the only view is `view_change` higher."""
    logits = np.concatenate((lives, attacks)).astype(float)
    return GateLimits.from_development(
        live_logits=logits,
        view_logits=logits[:, None] + view_change,
        margins=logits,
        is_live=np.arange(len(logits)) < len(lives),
    )


def test_limits_of_separated_classes_lie_outside_the_gap():
    """Lives 10 ... 110 and attacks -110 ... -10: their 2nd and 99th percentile, and the medians of all."""
    limits = from_development(np.arange(101) + 10, -np.arange(101) - 10)
    expected = GateLimits(live_above=12.0, spoof_below=-11.0, live_margin=60.0, spoof_margin=60.0, view_sd=1.0)
    assert expected == limits


def test_limits_of_overlapping_classes_leave_the_overlap_out():
    """Lives -50 ... 50, attacks -60 ... 40: labels only above 39 and below -48, medians of the rightly classified."""
    limits = from_development(np.arange(101) - 50, np.arange(101) - 60)
    expected = GateLimits(live_above=39.0, spoof_below=-48.0, live_margin=23.0, spoof_margin=32.5, view_sd=1.0)
    assert expected == limits


def test_limits_need_both_classes_recognised_and_fitting_lengths():
    """One class, none ever recognised, and arrays that do not fit are refused."""
    with pytest.raises(InputError, match="got one class"):
        from_development(np.arange(9), np.arange(0))
    with pytest.raises(InputError, match="one that never is"):
        from_development(np.full(9, -5.0), np.full(9, 5.0))
    for views, margins in (
        (np.zeros(4), np.zeros(4)),
        (np.zeros((4, 2)), np.zeros(3)),
        (np.zeros((3, 2)), np.zeros(4)),
    ):
        with pytest.raises(InputError, match="arrays of one length"):
            GateLimits.from_development(
                live_logits=np.zeros(4), view_logits=views, margins=margins, is_live=np.array([True, False] * 2)
            )
