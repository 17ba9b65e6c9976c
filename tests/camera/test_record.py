"""Recording: usable frames only, apart in time, with hints; folders and a manifest that the readers take."""

import math

import numpy as np
import pytest

pytest.importorskip("cv2")

from ratta.camera.record import Take, Who, read_rows, save_session, take_session
from ratta.camera.sources import SourceFrame
from ratta.cli import main
from ratta.contract import CropRule
from ratta.data import read_sessions
from ratta.errors import InputError
from ratta.perception import Perception
from ratta.records import Box, Face

FACE = Box(200, 100, 400, 340)


class FaceInTexture:
    """Finds the face wherever there is contrast."""

    def detect(self, frame, *, color="bgr"):
        return (Face(FACE, 0.9),) if frame.std() > 5 else ()


@pytest.fixture
def eyes():
    return Perception(detector=FaceInTexture(), crops=(CropRule(size=64, scale=1.5),))


@pytest.fixture
def camera(textured):
    """`camera(kinds, fps)`: frames of a camera that sees a face ("f"), nothing ("n") or the dark ("d")."""

    def play(kinds, fps=10.0):
        for index, kind in enumerate(kinds):
            shaken = np.roll(textured, index % 7, axis=1) + np.uint8(index % 2)
            picture = {"f": shaken, "n": np.full_like(textured, 90 + index % 5), "d": shaken // 5}[kind]
            yield SourceFrame(index, index / fps, picture, "camera")

    return play


def test_usable_frames_are_kept_apart_in_time(eyes, camera):
    """Every 200 ms at 10 frames a second is every second frame; it ends when there are enough."""
    frames = camera("f" * 50)
    take = take_session(frames, eyes, count=4)
    assert (4, {}) == (len(take.kept), dict(take.refused))
    assert 7 == next(frames).index
    assert take.kept[0].box == FACE


def test_what_is_wrong_is_said_when_it_changes(eyes, camera):
    """Once when it begins, once when it is over."""
    hints = []
    take = take_session(camera("nnnffffddddff"), eyes, count=9, on_hint=hints.append)
    assert ["no face", "", "too dark", ""] == [hint.partition(":")[0] for hint in hints]
    assert {"no face": 3, "too dark": 4} == dict(take.refused)


def test_a_session_ends_in_time(eyes, camera):
    """However few frames there are; pictures without a time count as well."""
    assert 0 == len(take_session(camera("n" * 500), eyes, most_s=2.0).kept)
    untimed = (SourceFrame(f.index, math.nan, f.frame_bgr, f.name) for f in camera("f" * 5))
    assert 5 == len(take_session(untimed, eyes).kept)


def test_sessions_are_numbered_and_read_back(eyes, camera, tmp_path):
    """Live and attacks of two people: the manifest is what ratta calibrate reads, pictures are what was seen."""
    for who in (Who(subject="p1", label="live"), Who(subject="p1", label="live"), Who(subject="p2", label="print")):
        place = save_session(tmp_path, who, take_session(camera("f" * 12), eyes, count=5))
    assert tmp_path / "p2" / "print-1" == place
    found = read_sessions(tmp_path)
    expected = [("p1", "", 5), ("p1", "", 5), ("p2", "print", 5)]
    assert expected == [(one.subject, one.species, len(one.paths)) for one in found]
    assert FACE == found[0].boxes[0]
    from ratta.media.picture import read_picture

    np.testing.assert_array_equal(read_picture(found[0].paths[0]), next(camera("f")).frame_bgr)


def test_too_few_usable_frames_are_not_kept(tmp_path, eyes, camera):
    """The error says what was in the way, and nothing is written."""
    with pytest.raises(InputError, match=r"got 2; refused: no face \(4\)"):
        save_session(tmp_path, Who(subject="p", label="live"), take_session(camera("nnnnfff"), eyes))
    assert [] == list(tmp_path.iterdir())


def test_a_foreign_manifest_is_left_alone(tmp_path, eyes, camera):
    """It is somebody's corpus."""
    (tmp_path / "manifest.csv").write_text("path,label\n")
    with pytest.raises(InputError, match="record into another folder"):
        read_rows(tmp_path)


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", "x" * 65])
def test_names_are_plain(name):
    """They become folders."""
    with pytest.raises(InputError, match="subject"):
        Who(subject=name, label="live")


@pytest.fixture
def video(tmp_path, textured):
    """A short clip of a face."""
    import cv2

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (640, 480))
    for index in range(24):
        writer.write(np.roll(textured, 5 * index, axis=1))
    writer.release()
    return path


def test_the_command_records_a_video(video, tmp_path, capsys, monkeypatch):
    """Consent, count-down, sessions, what comes next; without consent nothing."""
    waits = []
    monkeypatch.setattr("ratta.cli.record.sleep", waits.append)
    monkeypatch.setattr(
        "ratta.cli.record._eyes", lambda: Perception(detector=FaceInTexture(), crops=(CropRule(size=64, scale=1.5),))
    )
    arguments = ["record", "--source", str(video), "--output", str(tmp_path / "s"), "--subject", "p1"]
    arguments += ["--sessions", "2", "--frames", "5", "--countdown", "2"]
    assert 2 == main(arguments)
    assert "consent" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
    assert 0 == main([*arguments, "--consent"])
    out = capsys.readouterr().out
    assert "personal data" in out
    assert "2 of 2 sessions kept; next: ratta calibrate" in out
    assert [1, 1, 1, 1] == waits
    assert 2 == len(read_sessions(tmp_path / "s"))


def test_a_take_is_usable_from_three_frames_on():
    """Fewer say nothing of a session."""
    from collections import Counter

    assert not Take((), Counter()).usable
