import dataclasses

import numpy as np
import pytest

from ratta.adaptation.records import Attempt, BufferedFrame, Event


def frame(t: float, *, logit: float = 3.0, conformity: float = 1.0, penalty: float = 0.0) -> BufferedFrame:
    return BufferedFrame(t, np.array([t, 0.0]), logit, conformity, penalty)


def attempt(*frames: BufferedFrame) -> Attempt:
    made = Attempt()
    made.frames.extend(frames)
    return made


def test_frames_nearer_than_200_ms_are_not_kept():
    """Neighbouring frames say the same thing again; a sum of fractions is not held against them."""
    found = attempt(frame(0.0))
    assert [False, False, True, True] == [found.due(t) for t in (0.1, 0.199, 0.1 + 0.1, 0.2 - 1e-9)]
    assert Attempt().due(0.0)


def test_the_last_sixteen_frames_are_kept():
    """Memory of one attempt is bounded, however long it lasts."""
    found = Attempt()
    for t in range(40):
        found.keep(frame(float(t)), ())
    assert list(range(24, 40)) == [kept.t for kept in found.frames]


def test_crops_of_two_frames_are_kept_as_copies():
    """A buffer that a camera writes into again does not change the past, nor is it changed."""
    found, pixels = Attempt(), np.zeros((2, 2, 3), np.uint8)
    for t in range(20):
        pixels[:] = t
        found.keep(frame(float(t)), (pixels, pixels))
    assert [[0, 0], [4, 4]] == [[int(crop[0, 0, 0]) for crop in crops] for crops in found.crops]
    assert 19 == pixels[0, 0, 0]


def test_an_attempt_is_measured_by_medians():
    """One odd frame of three changes nothing."""
    found = attempt(frame(0.0), frame(1.0, logit=-50.0, conformity=-50.0), frame(2.0, logit=4.0, conformity=2.0))
    assert (3.0, 1.0) == (found.logit, found.conformity)
    assert [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]] == found.z.tolist()


@pytest.mark.parametrize(
    ("expected", "logit", "last_penalty"),
    [
        (False, 3.0, 0.0),
        (False, 3.0, 2.0),  # at the threshold is live
        (True, 3.0, 2.01),
        (False, 0.99, 5.0),  # not live to the source: not the anchors' denial
        (True, 1.0, 0.1),
    ],
)
def test_what_counts_as_denied(expected, logit, last_penalty):
    """The source calls the attempt live, and the last word of the anchors brings it below the threshold 1."""
    frames = [frame(float(t), logit=logit, penalty=9.0 * (t < 3)) for t in range(7)]
    frames.append(frame(7.0, logit=logit, penalty=last_penalty))
    assert expected == attempt(*frames).denied(1.0)


def test_slots_are_counted_as_the_decision_counts_them():
    """A slot begins with the first frame at least `slot_s` after the last began."""
    one = attempt()
    assert [1, 1, 2, 2, 3] == [one.count(t, slot_s=0.2) for t in (0.0, 0.1, 0.2, 0.3, 0.45)]


def test_records_are_frozen():
    """What travels is not changed on the way."""
    for record in (frame(0.0), Event(0.0, "drift", "in")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.t = 1.0


def test_attempts_share_nothing():
    """Each has frames, crops and views of its own."""
    one, other = Attempt(), Attempt()
    one.keep(frame(0.0), (np.zeros((2, 2, 3), np.uint8),))
    one.view_logits.append(1.0)
    assert (0, [], []) == (len(other.frames), other.crops, other.view_logits)
