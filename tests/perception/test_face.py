"""The decoder on synthetic network outputs, and the shipped network on what it must and must not find."""

import math
from pathlib import Path

import numpy as np
import pytest

import ratta.perception.face as face_module
from ratta.bundle import read_detector
from ratta.errors import InputError
from ratta.inference import OrtSession
from ratta.perception import BlazeFace
from ratta.perception.face import anchors, letterbox
from ratta.records import Box

PORTRAIT_BOX = Box(177.22, 82.94, 272.87, 178.60)
FRAME = np.zeros((480, 640, 3), np.uint8)


class Network:
    """Answers with given candidates: anchor -> (raw score, center offset x, y, width, height)."""

    def __init__(self, candidates):
        self.candidates = candidates
        self.seen = []

    def run(self, feeds):
        self.seen.append(feeds["pixels"])
        regressors = np.zeros((1, 896, 16), np.float32)
        scores = np.full((1, 896, 1), -50, np.float32)
        for anchor, (score, *box) in self.candidates.items():
            scores[0, anchor, 0] = score
            regressors[0, anchor, :4] = box
            regressors[0, anchor, 4:] = np.arange(12)
        return regressors, scores


def test_anchors_are_the_published_table():
    """16x16 cells with 2 anchors, then 8x8 with 6, at cell centers."""
    table = anchors()
    assert table.shape == (896, 2)
    golden = {0: (4, 4), 1: (4, 4), 2: (12, 4), 31: (124, 4), 32: (4, 12), 511: (124, 124)}
    golden |= {512: (8, 8), 517: (8, 8), 518: (24, 8), 559: (120, 8), 560: (8, 24), 895: (120, 120)}
    assert {i: tuple(table[i]) for i in golden} == golden


def test_box_and_keypoints_in_frame_pixels():
    """A candidate at an anchor is mapped through the letterbox: 640x480 fills 128x96, 16 rows down, 5 to one."""
    (found,) = BlazeFace(Network({560: (0.0, 2, 0, 20, 10)})).find(FRAME)
    # anchor (8, 24) + (2, 0) = center (10, 24), so the box is (0, 19, 20, 29) in the network's pixels
    assert found.box == Box(0, (19 - 16) * 5, 100, (29 - 16) * 5)
    assert found.score == 0.5
    assert found.keypoints[0] == ((8 + 0) * 5, (24 + 1 - 16) * 5)
    assert found.keypoints[5] == ((8 + 10) * 5, (24 + 11 - 16) * 5)


def test_overlapping_candidates_are_one_weighted_face():
    """Corners are means weighted by score; the score is the surest one's."""
    even = Network({560: (0.0, 0, 0, 20, 20), 561: (0.0, 2, 0, 20, 20)})
    (found,) = BlazeFace(even).find(FRAME)
    assert found.box == Box((9 - 10) * 5, (24 - 10 - 16) * 5, (9 + 10) * 5, (24 + 10 - 16) * 5)
    uneven = Network({560: (math.log(9), 0, 0, 20, 20), 561: (math.log(1.5), 2, 0, 20, 20)})
    (found,) = BlazeFace(uneven).find(FRAME)
    assert found.score == pytest.approx(0.9)
    assert found.box.center[0] == pytest.approx((8 + 2 * 0.6 / 1.5) * 5)


def test_separate_candidates_are_faces_largest_first():
    """Two that do not overlap stay two, whichever is surer."""
    small, large = (3.0, 0, 0, 10, 10), (1.0, 0, 0, 30, 30)
    found = BlazeFace(Network({560: small, 895: large})).find(FRAME)
    assert [f.box.width for f in found] == [150, 50]


def test_max_overlap_decides_what_is_one_face():
    """Two boxes with IoU 1/3 are one face below that limit and two above."""
    network = Network({560: (1.0, 0, 0, 20, 20), 561: (0.5, 10, 0, 20, 20)})
    assert len(BlazeFace(network, max_overlap=0.3).find(FRAME)) == 1
    assert len(BlazeFace(network, max_overlap=0.4).find(FRAME)) == 2


@pytest.mark.parametrize(("raw", "count"), [(0.0, 1), (-1e-3, 0), (1e30, 1), (math.nan, 0), (-math.inf, 0)])
def test_score_decides(raw, count):
    """Below one half there is no face; huge raw scores do not overflow; NaN is no face."""
    assert len(BlazeFace(Network({560: (raw, 0, 0, 20, 20)})).find(FRAME)) == count


@pytest.mark.parametrize("box", [(0, 0, -5, 20), (0, 0, 20, 0), (0, 0, math.nan, 20), (0, 0, math.inf, 20)])
def test_impossible_boxes_are_dropped(box):
    """A network gone wrong finds nothing rather than raising."""
    assert BlazeFace(Network({560: (5.0, *box)})).find(FRAME) == ()


@pytest.mark.parametrize(("color", "expected"), [("bgr", [3, 2, 1]), ("rgb", [1, 2, 3])])
def test_network_sees_rgb_bytes(color, expected):
    """The declared colour order ends before the network."""
    network = Network({})
    BlazeFace(network).detect(np.full((480, 640, 3), (1, 2, 3), np.uint8), color=color)
    (seen,) = network.seen
    assert (seen.shape, seen.dtype) == ((1, 128, 128, 3), np.uint8)
    assert seen[0, 64, 64].tolist() == expected
    assert seen[0, 0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("shape", "inner", "offset"),
    [
        ((480, 640), (128, 96), (0, 16)),
        ((640, 480), (96, 128), (16, 0)),
        ((512, 512), (128, 128), (0, 0)),
        ((64, 64), (128, 128), (0, 0)),
        ((1080, 1920), (128, 72), (0, 28)),
        ((1, 2000), (128, 1), (0, 63)),
    ],
)
def test_letterbox_keeps_the_aspect(shape, inner, offset):
    """The frame lies in the middle between black bars."""
    pixels, size, corner = letterbox(np.full((*shape, 3), 200, np.uint8), flip=False)
    assert (tuple(size), tuple(corner)) == (inner, offset)
    assert np.count_nonzero(pixels[..., 0]) == inner[0] * inner[1]


@pytest.mark.parametrize(
    "arguments", [{"min_score": 0}, {"min_score": 1}, {"min_score": math.nan}, {"max_overlap": 0}, {"max_overlap": 1.5}]
)
def test_parameters_are_validated(arguments):
    """Out of range raises at once."""
    with pytest.raises(InputError, match=next(iter(arguments))):
        BlazeFace(Network({}), **arguments)


@pytest.fixture(scope="module")
def blazeface():
    return BlazeFace(OrtSession(read_detector()))


def test_shipped_network_has_the_documented_ports():
    """uint8 NHWC in, regressors and scores out, in this order."""
    session = OrtSession(read_detector())
    assert (session.inputs, session.outputs) == (("pixels",), ("regressors", "scores"))


def test_shipped_file_is_small():
    """The detector weighs less than a tenth of the model's limit."""
    path = Path(face_module.__file__).parents[2] / "models" / "blazeface-short-range" / "blazeface.onnx"
    size = path.stat().st_size if path.exists() else len(read_detector())
    assert size <= 384_000


def test_finds_the_portrait_where_mediapipe_does(blazeface, portrait):
    """In this picture mediapipe 0.10.21 finds the box above."""
    (found,) = blazeface.find(portrait)
    assert found.box.iou(PORTRAIT_BOX) > 0.9
    assert found.score > 0.8


def test_the_box_is_drawn_around_the_whole_face(blazeface, portrait):
    """`detect` gives the box from hairline to chin: taller than wide, and higher up than the network's own."""
    (own,), (whole,) = blazeface.find(portrait), blazeface.detect(portrait)
    assert whole.box.width / whole.box.height == pytest.approx(0.741)
    assert whole.box.y_min < own.box.y_min
    assert (whole.score, whole.keypoints) == (own.score, own.keypoints)


@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_finds_no_face_in_noise_and_cards(blazeface, color):
    """Neither noise, nor grey, nor stripes are a face."""
    rng = np.random.default_rng(0)
    stripes = np.tile(np.arange(640, dtype=np.uint8) // 8 * 30, (480, 1))
    for frame in (
        rng.integers(0, 256, (480, 640, 3), dtype=np.uint8),
        np.full((480, 640, 3), 127, np.uint8),
        np.repeat(stripes[..., None], 3, axis=2),
    ):
        assert blazeface.detect(frame, color=color) == ()


def test_detect_is_pure(blazeface, portrait):
    """Twice the same answer, and the frame as it was."""
    before = portrait.copy()
    assert blazeface.detect(portrait) == blazeface.detect(portrait)
    np.testing.assert_array_equal(portrait, before)
