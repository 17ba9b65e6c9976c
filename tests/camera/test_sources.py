"""Frame sources: every kind yields its frames in time, or says why not."""

import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from ratta.camera import open_source
from ratta.camera.sources import Live, Video
from ratta.errors import InputError, SourceError


def write_video(path, *, frames=6, fps=25.0, codec="MJPG"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (64, 48))
    for i in range(frames):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    return path


def write_picture(path, level=90):
    path.write_bytes(cv2.imencode(path.suffix, np.full((48, 64, 3), level, np.uint8))[1].tobytes())
    return path


class ScriptedCapture:
    """A capture whose frames, timestamps and frame rate are given."""

    def __init__(self, *, stamps_ms, fps=0.0):
        self.stamps_ms = stamps_ms
        self.fps = fps
        self.at = -1
        self.released = False

    def read(self):
        self.at += 1
        if self.at >= len(self.stamps_ms):
            return False, None
        return True, np.full((4, 4, 3), self.at, np.uint8)

    def get(self, prop):
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self.stamps_ms[self.at]
        return self.fps if prop == cv2.CAP_PROP_FPS else -1.0

    def release(self):
        self.released = True


def times(source):
    return [round(frame.t_seconds, 3) for frame in source]


def test_a_picture_is_one_frame_without_a_time(tmp_path):
    """A picture has no time, and stands for itself."""
    with open_source(write_picture(tmp_path / "p.png")) as source:
        frames = list(source)
    assert (len(frames), source.count, source.independent) == (1, 1, True)
    assert frames[0].name == "p.png"
    assert frames[0].frame_bgr.shape == (48, 64, 3)
    assert math.isnan(frames[0].t_seconds)


def test_a_picture_without_a_suffix_is_known_by_its_content(tmp_path):
    """Uploads often have no suffix."""
    (tmp_path / "upload").write_bytes(write_picture(tmp_path / "p.png").read_bytes())
    with open_source(tmp_path / "upload") as source:
        assert len(list(source)) == 1


def test_a_folder_yields_its_pictures_in_natural_order(tmp_path):
    """Each picture is independent of the others."""
    for i in (10, 2, 1):
        write_picture(tmp_path / f"{i}.png", level=i)
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    assert [(f.index, f.name, int(f.frame_bgr[0, 0, 0])) for f in frames] == [
        (0, "1.png", 1),
        (1, "2.png", 2),
        (2, "10.png", 10),
    ]
    assert (source.independent, source.count) == (True, 3)


def test_a_folder_goes_on_after_a_bad_picture(tmp_path):
    """The error is about one picture; the next call gives the next."""
    for name in ("1.png", "2.png", "3.png"):
        write_picture(tmp_path / name)
    (tmp_path / "2.png").write_bytes(b"")
    with open_source(tmp_path) as source:
        assert next(source).name == "1.png"
        with pytest.raises(SourceError, match="empty file"):
            next(source)
        assert source.current.name == "2.png"
        assert next(source).name == "3.png"
        with pytest.raises(StopIteration):
            next(source)


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "MJPG"), ("v.mp4", "mp4v")])
def test_a_video_yields_frames_at_the_containers_times(tmp_path, name, codec):
    """Count, frame rate and times are the file's own."""
    path = write_video(tmp_path / name, codec=codec)
    with open_source(path) as source:
        assert (source.count, source.fps, source.independent) == (6, 25.0, False)
        assert times(source) == [0.0, 0.04, 0.08, 0.12, 0.16, 0.2]


def test_a_frame_rate_given_overrides_the_file(tmp_path):
    """For recordings whose container says wrong."""
    with open_source(write_video(tmp_path / "v.avi"), fps=10) as source:
        assert times(source) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_timestamps_go_before_the_frame_rate():
    """A variable rate is followed, from the first frame on, whatever the rate in the header."""
    assert times(Video(ScriptedCapture(stamps_ms=[500, 540, 700, 710], fps=90000), name="v")) == [0, 0.04, 0.2, 0.21]


def test_timestamps_that_stand_still_or_go_back_are_replaced_by_the_frame_rate():
    """Time never goes back, and every frame has one."""
    assert times(Video(ScriptedCapture(stamps_ms=[0, 0, 0], fps=10), name="v")) == [0, 0.1, 0.2]
    assert times(Video(ScriptedCapture(stamps_ms=[0, 100, 50, math.nan, 400], fps=10), name="v")) == [
        0,
        0.1,
        0.2,
        0.3,
        0.4,
    ]


@pytest.mark.parametrize("fps", [0.0, -1.0, math.nan, math.inf, 90000.0])
def test_a_video_without_any_time_is_refused(fps):
    """Evidence is counted in time, so time is not made up."""
    source = Video(ScriptedCapture(stamps_ms=[0, 0], fps=fps), name="v.avi")
    next(source)
    with pytest.raises(SourceError, match=r"v.avi: expected timestamps or a frame rate, got neither; .*--fps 30"):
        next(source)


def test_a_raw_stream_needs_a_frame_rate(tmp_path):
    """Raw MJPEG holds no times; what the decoder reports is its own default."""
    picture = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    path = tmp_path / "v.mjpeg"
    path.write_bytes(picture * 3)
    with pytest.raises(SourceError, match=r"got a raw .mjpeg stream; say how fast"):
        open_source(path)
    with open_source(path, fps=20) as source:
        assert times(source) == [0.0, 0.05, 0.1]


def test_a_live_stream_is_timed_by_the_clock():
    """What counts is when a frame arrives, from the first one on."""
    clock = iter([100.0, 100.04, 100.2])
    source = Live(
        ScriptedCapture(stamps_ms=[0, 0, 0]),
        name="camera 0",
        endless=False,
        clock=lambda: next(clock),
        wait=lambda _: None,
    )
    assert times(source) == [0.0, 0.04, 0.2]


class Hiccups:
    """A camera whose reads fail here and there."""

    def __init__(self, answers):
        self.answers = iter(answers)
        self.released = False

    def read(self):
        found = next(self.answers, False)
        return found, np.full((4, 4, 3), 9, np.uint8) if found else None

    def get(self, prop):
        return 0.0

    def release(self):
        self.released = True


def live(answers, **options):
    waits = []
    options = {"endless": True, "clock": lambda: 0.0, "wait": waits.append, **options}
    return Live(Hiccups(answers), name="camera 0", **options), waits


def test_a_camera_may_miss_frames_for_a_second():
    """At its start too; what was missed is counted."""
    source, waits = live([False, True, *[False] * 20, True, True])
    assert [0, 1, 2] == [next(source).index for _ in range(3)]
    assert (21, 21) == (source.missed, len(waits))
    with pytest.raises(SourceError, match="expected a frame, got none"):
        next(source)
    assert 0.9 < sum(waits[21:]) < 1.1


def test_a_lost_source_is_opened_again():
    """Once it is gone for good; the old one is let go of."""
    source, _ = live([True], reopen=lambda: Hiccups([True, True]))
    first = source._capture
    assert [0, 1, 2] == [next(source).index for _ in range(3)]
    assert first.released


def test_a_camera_that_stops_is_an_error():
    """An unplugged camera does not look like a finished video."""
    source = Live(ScriptedCapture(stamps_ms=[0]), name="camera 0", endless=True, clock=lambda: 1.0, wait=lambda _: None)
    next(source)
    with pytest.raises(SourceError, match="camera 0: expected a frame, got none; check that it is connected"):
        next(source)


def test_a_source_lets_go_of_its_capture():
    """Leaving the block releases the device, also after an error."""
    capture = ScriptedCapture(stamps_ms=[0])
    with pytest.raises(RuntimeError), Live(capture, name="camera 0", endless=True):
        raise RuntimeError
    assert capture.released


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "got a path where nothing is; check the spelling"),
        ("empty.mp4", b"", "expected a picture or video, got 0 bytes that open as neither"),
        ("text.mp4", b"not a video", "got 11 bytes that open as neither"),
        ("text.txt", b"hello", "got 5 bytes that open as neither"),
        ("nosuffix", b"hello", "got 5 bytes that open as neither"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, name, content, message):
    """The message says what lies there instead."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(path)


def test_a_text_file_named_jpg_is_refused(tmp_path):
    """A name does not make a picture."""
    (tmp_path / "p.jpg").write_text("hello")
    with open_source(tmp_path / "p.jpg") as source, pytest.raises(SourceError, match="5 bytes that do not decode"):
        next(source)


def test_a_video_without_frames_or_cut_in_half_is_refused(tmp_path):
    """A container that opens without a frame, and one whose index is missing."""
    write_video(tmp_path / "none.mp4", frames=0, codec="mp4v")
    half = write_video(tmp_path / "half.mp4", codec="mp4v").read_bytes()
    (tmp_path / "half.mp4").write_bytes(half[: len(half) // 2])
    for name in ("none.mp4", "half.mp4"):
        with pytest.raises(SourceError), open_source(tmp_path / name) as source:
            list(source)
    with pytest.raises(SourceError, match="expected a video, got one without a readable frame"):
        next(Video(ScriptedCapture(stamps_ms=[]), name="v.avi"))


def test_a_camera_that_is_not_there_is_refused():
    """The message says what to check."""
    with pytest.raises(SourceError, match=r"camera 97: expected a camera, got none that opens; check .*another number"):
        open_source("97")


@pytest.mark.parametrize("source", ["", "  ", Path(), "file://"])
def test_an_empty_source_is_no_folder(source, tmp_path, monkeypatch):
    """An unset variable does not answer whatever lies in the current folder."""
    write_picture(tmp_path / "p.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"source: expected a picture, .* got an empty one"):
        open_source(source)


def test_a_device_is_a_camera_and_a_pipe_is_no_file(tmp_path):
    """Looked at before they are opened: neither is waited for, nor read for ever."""
    with pytest.raises(SourceError, match="camera /dev/null: expected a camera, got none that opens"):
        open_source("/dev/null")
    (tmp_path / "x.png").symlink_to("/dev/zero")
    with pytest.raises(SourceError, match=r"camera .*x\.png: expected a camera"):
        open_source(tmp_path / "x.png")
    for name in ("y.png", "y.mp4", "y"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(SourceError, match="got a pipe"), open_source(tmp_path / name) as source:
            next(source)


def test_a_file_may_be_named_by_a_url(tmp_path):
    """It is the same file, so it is guarded like one."""
    path = write_picture(tmp_path / "a b.png")
    with open_source(path.as_uri()) as source:
        assert (source.files, next(source).name) == ((path,), "a b.png")


def test_a_dead_url_is_refused_without_its_password():
    """Nothing listens there, and the message does not give the password away."""
    with pytest.raises(SourceError, match=r"^http://127\.0\.0\.1:9/x\.mp4: expected a video stream"):
        open_source("http://me:secret@127.0.0.1:9/x.mp4")


@pytest.mark.parametrize("fps", [0, -1, 1000, math.nan])
def test_a_senseless_frame_rate_is_refused(tmp_path, fps):
    """A rate is above 0 and at most 240."""
    with pytest.raises(InputError, match="fps: expected above 0 and at most 240"):
        open_source(write_video(tmp_path / "v.avi"), fps=fps)


def test_a_frame_rate_goes_with_a_video_file_only(tmp_path):
    """Pictures have no rate, and a camera has a clock."""
    for source in ("0", str(tmp_path), str(write_picture(tmp_path / "p.png")), "http://127.0.0.1:9/x"):
        with pytest.raises(InputError, match="fps: expected a video file to go with it"):
            open_source(source, fps=10)
