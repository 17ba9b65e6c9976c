"""What the page asks of ratta, asked without a browser."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ratta.bench.frames import Stream, portrait_frames

INSIDE = Path(__file__).parents[2] / "docs" / "browser" / "inside.py"


class Pixels:
    """The bytes of a canvas, as Pyodide hands them over."""

    def __init__(self, frame_bgr):
        rgb = frame_bgr[..., ::-1]
        self.rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1)
        self.height, self.width = frame_bgr.shape[:2]

    def assign_to(self, buffer):
        buffer[:] = self.rgba.reshape(-1)


@pytest.fixture(scope="module")
def inside():
    """The page's Python, with the model loaded."""
    pytest.importorskip("onnxruntime")
    spec = importlib.util.spec_from_file_location("inside", INSIDE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.told = json.loads(module.start("onnxruntime"))
    return module


def ask(inside, frame, t):
    pixels = Pixels(frame)
    return json.loads(inside.frame(pixels, pixels.width, pixels.height, t))


def test_it_says_which_model_answers(inside):
    """With its thresholds, and with what adapts if it was calibrated for that."""
    assert inside.told["name"] == inside.watcher.engine.bundle.name
    assert 0 < inside.told["spoof_threshold"] < inside.told["live_threshold"] < 1
    assert (inside.told["adaptation"] is None) == (inside.watcher.engine.adapter is None)


def test_what_adapts_is_shown(inside, adaptable, monkeypatch):
    """A model that was calibrated for it adapts between attempts, and spends no more than it was granted."""
    monkeypatch.setattr(inside, "watcher", inside.Watcher("onnxruntime", model=adaptable))
    stream = Stream(portrait_frames(4), fps=10.0)
    shown = [ask(inside, frame, t)["adaptation"] for frame, _, t in (stream.next() for _ in range(80))]
    assert {"studied", "confirmed", "gated"} <= shown[0]["counts"].keys()
    assert shown[0]["spent_ms"] == 0 < shown[-1]["spent_ms"]
    assert 0 < shown[-1]["spent_share"] <= 1
    assert shown[-1]["band"] in ("in", "adapt", "refuse")


def test_attempts_follow_one_another(inside):
    """An attempt ends, its answer stands for a while, and the next begins; stages add up and none is negative."""
    inside.forget()
    stream = Stream(portrait_frames(4), fps=10.0)
    answers = [ask(inside, frame, t) for frame, _, t in (stream.next() for _ in range(40))]
    finals = [answer["decision"]["final"] for answer in answers]
    first, again = finals.index(True), finals.index(False, finals.index(True))
    assert answers[first]["decision"]["verdict"] == "live"
    assert 0.1 * (again - first) == pytest.approx(inside.REST_S)
    assert [True, False] == [answers[i]["fresh"] for i in (first, first + 1)]
    assert answers[again]["decision"]["scored_frames"] == 1
    assert min(min(answer["stages"].values()) for answer in answers) >= 0
    assert {"copy", "face", "network", "rest"} == answers[0]["stages"].keys()


def test_a_picture_is_scored_or_refused(inside):
    """A face has a score and a box; a grey wall is refused, without a number."""
    pixels = Pixels(portrait_frames(1).frames[0])
    face = json.loads(inside.picture(pixels, pixels.width, pixels.height))
    assert ("live", "single frame") == (face["decision"]["verdict"], face["decision"]["reason"])
    assert 0 < face["box"]["x_min"] < face["box"]["x_max"] < pixels.width
    wall = Pixels(np.full((480, 640, 3), 127, np.uint8))
    refused = json.loads(inside.picture(wall, wall.width, wall.height))["decision"]
    assert ("refused", None, "no face") == (refused["verdict"], refused["live_score"], refused["reason"])


def test_the_shipped_portrait_is_a_jpeg(inside):
    """The page shows it where a person has no picture at hand."""
    assert inside.example().startswith(b"\xff\xd8\xff")
