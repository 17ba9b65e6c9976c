"""A picture without a face is never LIVE: patterns of sixteen kinds, of which `bench/no_face.py` measures many more."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.bundle import read_detector
from ratta.inference import OrtSession
from ratta.perception import BlazeFace
from ratta.records import Box, Verdict

pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")
_spec = spec_from_file_location("no_face", Path(__file__).parents[2] / "bench" / "no_face.py")
no_face = module_from_spec(_spec)
_spec.loader.exec_module(no_face)


@pytest.fixture(scope="module")
def engine():
    return ratta.load(max_attempts=10**9)


@pytest.mark.parametrize("kind", [kind for kind in no_face.KINDS if kind not in no_face.LIKE_FACES])
def test_no_pattern_is_live(engine, kind):
    """Thirty of each kind: hardly one is scored, and none ends LIVE."""
    engine.reset()
    counts = no_face.measure(engine, kind, range(50_000, 50_030))
    assert counts["live"] == 0
    assert counts["scored"] <= 2


def test_random_colour_cells_of_every_size_are_no_face(engine):
    """The pattern that was LIVE in 4 to 8 of 100 before candidates were looked at twice."""
    engine.reset()
    for side in (2, 4, 8, 12, 24):
        for seed in range(12):
            cells = np.random.default_rng([seed, side]).integers(0, 256, (240 // side, 320 // side, 3), dtype=np.uint8)
            picture = cells.repeat(side, 0).repeat(side, 1)
            if not engine.score(picture).refused:
                start_s = 1e4 * (seed + 100 * side)
                assert no_face.play(engine, picture, start_s=start_s, seed=seed) is not Verdict.LIVE


class Twice:
    """A detector's graph that answers each look with one face of a given score, in the middle."""

    def __init__(self, *scores):
        self.scores = list(scores)

    def run(self, feeds):
        regressors, scores = np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -9, np.float32)
        middle = 16 * 16 * 2 + 6 * (8 * 4 + 4)
        regressors[0, middle, 2:4] = 40
        score = self.scores.pop(0)
        scores[0, middle, 0] = np.log(score / (1 - score))
        return regressors, scores


@pytest.mark.parametrize(
    ("scores", "found", "looks"),
    [((0.9,), 1, 1), ((0.6, 0.9), 1, 2), ((0.6, 0.6), 0, 2), ((0.77, 0.3), 0, 2), ((0.4,), 0, 1)],
)
def test_an_unsure_candidate_is_looked_at_from_closer(scores, found, looks):
    """A sure one is taken at once; an unsure one has to be sure from closer."""
    graph = Twice(*scores)
    faces = BlazeFace(graph).detect(np.full((480, 640, 3), 127, np.uint8))
    assert (len(faces), len(scores) - len(graph.scores)) == (found, looks)


def test_a_small_face_is_found_from_closer(portrait):
    """A ninth of the frame's width; the first look alone is not sure of it."""
    cv2 = pytest.importorskip("cv2")
    detector = BlazeFace(OrtSession(read_detector()))
    face = detector.detect(portrait)[0].box
    scale = 70 / face.width
    side = round(512 * scale)
    frame = np.full((480, 640, 3), 120, np.uint8)
    frame[:side, 150 : 150 + side] = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    (found,) = detector.detect(frame)
    left, top = 150 + scale * face.x_min, scale * face.y_min
    assert found.box.iou(Box(left, top, left + 70, top + scale * face.height)) > 0.6
    assert found.score < detector.sure_score
