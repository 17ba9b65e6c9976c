"""Annotated copies: the right kind of file, whole at any moment, at the frames' own times."""

import math

import cv2
import numpy as np
import pytest

from ratta.camera import SourceFrame, open_recorder, open_source
from ratta.camera.recorder import VideoRecorder
from ratta.errors import InputError, OutputError

PICTURE = np.full((48, 64, 3), 90, np.uint8)


def frame(index, t=math.nan, name="p.png"):
    return SourceFrame(index, t, PICTURE, name)


def count_frames(path):
    with open_source(path) as source:
        return len(list(source))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes())
    return folder


def test_a_video_keeps_the_frames_in_time(tmp_path):
    """At 10 a second, a gap of 0.3 s repeats the next frame, and a frame too many is left out."""
    path = tmp_path / "out" / "v.avi"
    with VideoRecorder(path, fps=10.0) as recorder:
        for i, t in enumerate((0.0, 0.1, 0.12, 0.4)):
            recorder.write(frame(i, t), PICTURE)
    assert count_frames(path) == 5


def test_a_video_takes_frames_of_another_size(tmp_path):
    """A camera that was turned does not end the recording."""
    path = tmp_path / "v.avi"
    with VideoRecorder(path, fps=10.0) as recorder:
        recorder.write(frame(0, 0.0), PICTURE)
        recorder.write(frame(1, 0.1), np.zeros((64, 48, 3), np.uint8))
    assert count_frames(path) == 2


def test_an_interrupted_video_is_whole(tmp_path):
    """What was written before Ctrl-C can be played."""
    path = tmp_path / "v.mp4"
    recorder = VideoRecorder(path, fps=10.0)
    for i in range(3):
        recorder.write(frame(i, i / 10), PICTURE)
    with pytest.raises(KeyboardInterrupt), recorder:
        raise KeyboardInterrupt
    assert count_frames(path) == 3


def test_a_picture_becomes_a_picture_and_a_folder_a_folder(tmp_path, pictures):
    """Each output has the shape of its source, under the same names."""
    with open_source(pictures / "1.png") as source, open_recorder(tmp_path / "a" / "x.jpg", source) as recorder:
        recorder.write(next(source), PICTURE)
    assert cv2.imread(str(tmp_path / "a" / "x.jpg")).shape == (48, 64, 3)
    with open_source(pictures) as source, open_recorder(tmp_path / "b", source) as recorder:
        for each in source:
            recorder.write(each, PICTURE)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["1.png", "2.png"]


def test_an_output_that_does_not_fit_its_source_is_refused(tmp_path, pictures):
    """Before anything is read."""
    with open_source(pictures) as folder, pytest.raises(InputError, match="output: expected a folder for"):
        open_recorder(tmp_path / "x.mp4", folder)
    with open_source(pictures / "1.png") as picture, pytest.raises(InputError, match="output: expected a picture"):
        open_recorder(tmp_path / "x.mp4", picture)
    with VideoRecorder(tmp_path / "v.avi", fps=10.0) as recorder:
        recorder.write(frame(0, 0.0), PICTURE)
    with open_source(tmp_path / "v.avi") as video, pytest.raises(InputError, match=r"output: expected a video \(.mp4"):
        open_recorder(tmp_path / "x.jpg", video)


def test_the_source_is_never_overwritten(pictures):
    """A picture or folder cannot be its own output."""
    for path in (pictures, pictures / "1.png"):
        with open_source(path) as source, pytest.raises(InputError, match="it would be overwritten"):
            open_recorder(str(path), source)


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path, pictures):
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("x")
    message = "expected a folder to write in, got something else"
    with open_source(pictures / "1.png") as source, pytest.raises(OutputError, match=message):
        open_recorder(tmp_path / "file" / "x.jpg", source)
