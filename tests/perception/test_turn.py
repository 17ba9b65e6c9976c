"""Turned faces are refused by name: by the keypoints, or, of a face on its head, by a second look."""

import math

import numpy as np
import pytest

from ratta.bundle import read_detector
from ratta.contract import CropRule
from ratta.inference import OrtSession
from ratta.perception import BlazeFace, Perception
from ratta.perception.turn import check_upright, turn_deg
from ratta.records import Box, Crop, Face, Reason

BOX = Box(100, 100, 200, 200)


def face(degrees, score=0.95):
    """A face whose eyes and mouth are turned clockwise by an angle."""
    turn = math.radians(degrees)
    turned = np.array([[-20, -20], [20, -20], [0, 5], [0, 25]]) @ np.array(
        [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
    )
    return Face(BOX, score, tuple(map(tuple, turned + 150)))


def never():
    pytest.fail("it was looked at a second time")


@pytest.mark.parametrize("degrees", [-170, -90, -46, -45, 0, 30, 45, 46, 90, 135])
def test_the_angle_is_that_of_the_keypoints(degrees):
    """Clockwise is positive."""
    assert degrees == pytest.approx(turn_deg(face(degrees)))


@pytest.mark.parametrize(("degrees", "refused"), [(0, False), (44, False), (-44, False), (46, True), (-90, True)])
def test_beyond_45_degrees_a_face_is_refused(degrees, refused):
    """And the detail says by how much; a sure face is not looked at twice."""
    found = check_upright(face(degrees), never)
    assert refused == (found is not None)
    if found:
        assert (Reason.FACE_TURNED, True) == (found.reason, f"by about {abs(degrees)} degrees" in found.detail)


@pytest.mark.parametrize(("other", "refused"), [((), False), ((0.6,), False), ((0.7,), False), ((0.71, 0.2), True)])
def test_a_face_that_is_surer_upside_down_stands_on_its_head(other, refused):
    """Its keypoints are reported as if it were upright."""
    found = check_upright(face(0, score=0.7), lambda: tuple(face(0, score=score) for score in other))
    assert refused == (found is not None)
    assert found is None or "about 180 degrees" in found.detail


def test_a_box_of_the_caller_is_taken_as_it_is():
    """It has no keypoints."""
    assert math.isnan(turn_deg(Face(BOX, 1.0)))
    assert check_upright(Face(BOX, 1.0), never) is None


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_real_face_turned_by_quarters(turns, portrait):
    """Upright it is cropped, turned it is refused; in a stream as in a single look."""
    detector = BlazeFace(OrtSession(read_detector(), name="blazeface.onnx"))
    perception = Perception(detector=detector, crops=(CropRule(size=128, scale=1.5),))
    turned = np.ascontiguousarray(np.rot90(portrait, turns))
    for seen in (perception.look(turned), perception.follow(turned, t=0.0)):
        if turns:
            assert seen.reason in (Reason.FACE_TURNED, Reason.NO_FACE)
        else:
            assert isinstance(seen, Crop)
