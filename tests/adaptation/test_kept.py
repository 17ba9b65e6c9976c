import numpy as np
import pytest

from ratta.adaptation.kept import Attempt, Kept, Recent, evenly
from ratta.errors import InputError
from ratta.records import Reading


def make_kept(t: float, source_logit: float, *, adapted_logit: float | None = None) -> Kept:
    def reading(live_logit: float) -> Reading:
        return Reading(np.zeros(2, np.float32), np.zeros(4, np.float32), np.zeros((2, 1, 1), np.float32), live_logit)

    readings = {0: reading(source_logit)}
    if adapted_logit is not None:
        readings[7] = reading(adapted_logit)
    return Kept(np.zeros((2, 2, 3), np.uint8), t, 0 if adapted_logit is None else 7, readings)


def times(recent: Recent, per_side: int) -> list[tuple[float, bool]]:
    return [(kept.t, side) for kept, side in recent.sample(per_side)]


def test_a_frame_knows_what_the_source_said_and_what_was_answered():
    """Both are the same number where the source answered."""
    source, adapted = make_kept(0.0, 1.0), make_kept(0.0, 1.0, adapted_logit=-2.0)
    assert (1.0, 1.0) == (source.source.live_logit, source.answer_logit)
    assert (1.0, -2.0) == (adapted.source.live_logit, adapted.answer_logit)


def test_an_attempt_has_room_for_few_frames_well_apart():
    """Two frames half a second apart; earlier, too soon, or at no time is refused."""
    attempt = Attempt(number=0, max_frames=2, min_gap_s=0.5)
    assert attempt.has_room(1.0)
    attempt.frames.append(make_kept(1.0, 0.0))
    assert [False, False, False, True] == [attempt.has_room(t) for t in (0.0, 1.25, float("nan"), 1.5)]
    attempt.frames.append(make_kept(1.5, 0.0))
    assert not attempt.has_room(9.0)


def test_evenly_takes_the_first_and_spreads():
    """Three of seven: places 0, 2 and 4."""
    frames = [make_kept(float(t), 0.0) for t in range(7)]
    assert [0.0, 2.0, 4.0] == [kept.t for kept in evenly(frames, 3)]
    assert frames == evenly(frames, 7)


def test_a_flood_of_one_side_does_not_displace_the_other():
    """A thousand live sessions later the one attack is still there, and each side holds so many frames at most."""
    recent = Recent(per_side=3, per_session=2)
    recent.keep([make_kept(0.0, -1.0)], threshold_logit=0.5)
    for session in range(1, 1001):
        recent.keep([make_kept(session + frame / 10, 0.5) for frame in range(4)], threshold_logit=0.5)
    assert [(0.0, False), (999.2, True), (1000.0, True), (1000.2, True)] == times(recent, 9)
    assert [(0.0, False), (1000.2, True)] == times(recent, 1)


def test_reset_forgets_all():
    """Nothing is left on either side."""
    recent = Recent()
    recent.keep([make_kept(0.0, -1.0), make_kept(1.0, 1.0)], threshold_logit=0.0)
    recent.reset()
    assert [] == recent.sample(24)


@pytest.mark.parametrize("arguments", [{"per_side": 0}, {"per_session": 0}])
def test_room_for_nothing_is_refused(arguments: dict[str, int]):
    """Checks would then judge nothing."""
    with pytest.raises(InputError, match="recent: expected"):
        Recent(**arguments)
