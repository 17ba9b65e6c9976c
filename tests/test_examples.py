"""The programs of `examples/`, run with recorded cameras; what they show is true of whichever model is shipped."""

import importlib.util
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.records import Box, Face

cv2 = pytest.importorskip("cv2")
EXAMPLES = Path(__file__).parent.parent / "examples"
FPS = 15.0


@pytest.fixture
def program(monkeypatch):
    """`program(name)`: an example as a module."""
    if not EXAMPLES.is_dir():
        pytest.skip("the examples are no part of the installed package")

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="module")
def frames():
    """Two seconds of a simulated live face, (N, 480, 640, 3) BGR."""
    from ratta.camera.scenes import demo_scenes

    return [frame for _, (_, frame) in zip(range(round(2 * FPS)), demo_scenes(seed=8)[0].frames, strict=False)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """`clip(name, frames)`: a video file of frames."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name, pictures):
        path = folder / f"{name}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (640, 480))
        for picture in pictures:
            writer.write(picture)
        writer.release()
        return str(path)

    return make


def grey(count=12):
    """Frames without a face that differ from one another."""
    return [np.full((480, 640, 3), 120 + i, np.uint8) for i in range(count)]


def test_every_example_is_listed_and_tested():
    """In the folder's README and in this file."""
    here, listed = Path(__file__).read_text(), (EXAMPLES / "README.md").read_text()
    names = [path.stem for path in EXAMPLES.glob("*.py")]
    assert len(names) == 5
    assert [name for name in names if f'program("{name}")' not in here or f"]({name}.py)" not in listed] == []


def test_webcam_ends_with_the_verdict_as_its_status(program, clip, frames, capsys):
    """Status 0 means live and nothing else does; no score is shown to the person."""
    webcam = program("webcam")
    status = webcam.main(["--source", clip("live", frames)])
    out = capsys.readouterr().out
    verdict = re.search(r"^verdict: (\w+) \(", out, re.MULTILINE)[1]
    assert status == (0 if verdict == "live" else 1)
    assert verdict != "refused"
    assert re.search(r"0\.\d\d", out) is None
    assert webcam.main(["--source", clip("nobody", grey())]) == 1
    assert "look at the camera" in capsys.readouterr().out
    assert webcam.main(["--source", "no-such-file.mp4"]) == 2


def test_service_decides_two_cameras_at_once(program, clip, frames, capsys):
    """Each camera has an engine and a thread of its own, and its own outcome."""
    service = program("sdk_service")
    sources = [f"door={clip('door', frames)}", f"gate={clip('gate', grey(20))}"]
    assert service.main([*sources, "--deadline", "2.5"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^gate: refused \(no face\)", out, re.MULTILINE)
    assert re.search(r"^door: (live|uncertain|spoof) \(", out, re.MULTILINE)


def test_service_limits_accounts_and_hides_scores(program):
    """After so many failures an account waits; an outcome has no score; an attempt without frames ends in time."""
    service = program("sdk_service")
    accounts = service.Accounts(limit=1)
    camera = service.Camera("door", accounts, deadline_s=0.2)
    before = threading.active_count()
    began = time.monotonic()
    first = camera.begin("anna").result(timeout=20)
    assert (first.verdict, first.reason) == (ratta.Verdict.REFUSED, ratta.Reason.NO_FRAMES)
    assert time.monotonic() - began < 15
    assert camera.begin("anna").result(timeout=20).reason == "too many attempts of this account"
    assert camera.begin("boris").result(timeout=20).reason == ratta.Reason.NO_FRAMES
    assert not hasattr(first, "live_score")
    camera.close()
    assert threading.active_count() == before - 1


def test_tiles_find_a_face_that_the_whole_frame_loses(program, portrait, tmp_path, capsys):
    """The shipped detector on tiles sees a small face larger, and its box fits the frame."""
    own_detector = program("own_detector")
    wide = np.full((720, 1280, 3), 120, np.uint8)
    wide[380:700, 700:1020] = cv2.resize(portrait, (320, 320), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    assert own_detector.main([str(tmp_path / "wide.png")]) == 0
    shipped, tiles = capsys.readouterr().out.splitlines()
    assert shipped.startswith("shipped  0 faces; no face")
    assert tiles.startswith("tiles    1 faces")


def test_tiles_join_what_neighbours_both_see(program):
    """A face in two tiles is one face, in the frame's pixels."""
    own_detector = program("own_detector")

    class Marks:
        def detect(self, frame, *, color="bgr"):
            rows, columns = np.nonzero(frame[..., 0] == 255)
            inside = len(rows) == 100 * 100 and frame.shape[0] < 700
            box = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if inside else None
            return (Face(box, 0.9, ((float(box.x_min), float(box.y_min)),)),) if box else ()

    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[300:400, 600:700] = 255
    (face,) = own_detector.TiledDetector(Marks()).detect(frame)
    assert face.box == Box(600, 300, 700, 400)
    assert face.keypoints == ((600.0, 300.0),)


def test_own_method_is_evaluated_beside_the_source(program, capsys):
    """A line of error rates for each."""
    own_tta_method = program("own_tta_method")
    assert own_tta_method.main(["--sessions", "8", "--change", ""]) == 0
    source, method = capsys.readouterr().out.splitlines()
    assert source.startswith("Source       APCER")
    assert method.startswith("NearestMean  APCER")


def test_own_method_keeps_the_contract(program):
    """Observing gives what answering gave; the means move; reset gives the source back."""
    own_tta_method = program("own_tta_method")

    def embed(pixels):
        levels = pixels.reshape(len(pixels), -1).mean(axis=1) / 255
        return np.stack([levels, 1 - levels], axis=1), levels

    def batch(*levels):
        pixels = np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])
        return own_tta_method.FrameBatch(pixels, np.arange(len(levels)), np.zeros(len(levels), np.int64))

    learner = own_tta_method.NearestMean(embed)
    for frames in (batch(200), batch(40), batch(120), batch(90, 250)):
        np.testing.assert_array_equal(learner.answer(frames), learner.observe(frames))
    assert learner.state() == {"updates": 5.0}
    assert (learner.answer(batch(150)) != embed(batch(150).pixels)[1]).all()
    learner.reset()
    np.testing.assert_array_equal(learner.answer(batch(150)), embed(batch(150).pixels)[1])


def test_my_door_gets_thresholds_of_its_own(program, simulated, tmp_path, capsys):
    """Recordings become a model folder; error rates are of other people, each with its interval."""
    pytest.importorskip("pydantic")
    door = program("calibrate_my_door")
    for index, (crop, is_live, species) in enumerate(simulated):
        split, kind = ("test" if index in (1, 3, 4) else "dev"), "live" if is_live else species
        folder = tmp_path / "recordings" / split / kind / f"person-{index}" / "one"
        folder.mkdir(parents=True)
        for shot in range(8):
            shaken = np.roll(cv2.resize(crop, (480, 480), interpolation=cv2.INTER_CUBIC), shot, axis=1)
            cv2.imwrite(str(folder / f"{shot}.png"), shaken[..., ::-1])
    output = tmp_path / "door"
    policies = ["--live", "eer", "--spoof", "eer", "--interval", "0.25"]
    assert door.main([str(tmp_path / "recordings"), "--output", str(output), *policies]) == 0
    out = capsys.readouterr().out
    assert ratta.load(output).bundle.calibration.origin.startswith("folder, split dev; ")
    found = re.findall(r"^(live|print|replay) +(?:not )?accepted: \d of (\d) = \d\.\d+ \[", out, re.MULTILINE)
    assert found == [("live", "1"), ("print", "1"), ("replay", "1")] * 2
