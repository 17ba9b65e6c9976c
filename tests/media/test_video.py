"""Recorded video: square pixels, frames that do not decode, times that stand still, decoders that fail."""

import math

import cv2
import numpy as np
import pytest

from ratta.errors import SourceError
from ratta.media.video import LOOKAHEAD, VideoReader, open_video, square


class Capture:
    """Frames that are given (nothing for one that does not decode), with stamps and properties of any kind."""

    def __init__(self, frames, stamp=lambda i: math.nan, **properties):
        self.frames = list(frames)
        self.stamp = stamp
        self.properties = {getattr(cv2, f"CAP_PROP_{name}"): value for name, value in properties.items()}
        self.at = -1

    def read(self):
        self.at += 1
        frame = self.frames[self.at] if self.at < len(self.frames) else None
        return frame is not None, frame

    def get(self, prop):
        return self.stamp(max(self.at, 0)) if prop == cv2.CAP_PROP_POS_MSEC else self.properties.get(prop, 0.0)

    def release(self):
        pass


def grey(level, height=4, width=6):
    return np.full((height, width, 3), level, np.uint8)


def levels(reader):
    return [(f.index, int(f.frame_bgr[0, 0, 0])) for f in reader]


def test_frames_that_do_not_decode_are_passed_over_and_counted():
    """The rest of the video is not lost, and positions stay what they are."""
    frames = [grey(1), grey(2), None, None, grey(5), grey(6)]
    for count in (6.0, 5.0, 0.0, -1e17):
        reader = VideoReader(Capture(frames, FPS=10.0, FRAME_COUNT=count), name="v")
        assert [(0, 1), (1, 2), (4, 5), (5, 6)] == levels(reader)
        assert 2 == reader.missed


def test_a_container_that_claims_too_many_frames_ends_all_the_same():
    """What it says is asked for no more than a few hundred times."""
    capture = Capture([grey(1), grey(2)], FPS=10.0, FRAME_COUNT=1e8)
    reader = VideoReader(capture, name="v")
    assert ([(0, 1), (1, 2)], 0) == (levels(reader), reader.missed)
    assert capture.at < 1000


def test_a_broken_mjpeg_frame_does_not_end_the_video(tmp_path):
    """A file of thirty frames whose tenth is noise has twenty-nine."""
    path, rng = tmp_path / "v.avi", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 15, (64, 48))
    for _ in range(30):
        writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(11):  # the first names the stream
        at = data.index(b"00dc", at + 1)
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    data[at + 8 : at + 8 + size] = bytes(size)
    path.write_bytes(data)
    reader = open_video(path)
    assert [i for i in range(30) if i != 9] == [f.index for f in reader]
    assert 1 == reader.missed


@pytest.mark.parametrize(
    ("sar", "turned", "shape"),
    [((2, 1), 0, (4, 12)), ((1, 2), 0, (8, 6)), ((16, 15), 90, (4, 6)), ((2, 1), 270, (8, 6)), ((0, 1), 0, (4, 6))],
)
def test_pixels_are_made_square(sar, turned, shape):
    """Nothing is squeezed, and a container's rotation, which OpenCV undoes, turns the ratio too."""
    properties = {"SAR_NUM": sar[0], "SAR_DEN": sar[1], "ORIENTATION_META": turned, "ORIENTATION_AUTO": 1}
    [frame] = VideoReader(Capture([grey(9)], FPS=10.0, **properties), name="v")
    assert frame.frame_bgr.shape[0] == pytest.approx(shape[0], abs=1)
    assert frame.frame_bgr.shape[1] == pytest.approx(shape[1], abs=1)
    assert frame.scale == (frame.frame_bgr.shape[1] / 6, frame.frame_bgr.shape[0] / 4)


def test_a_ratio_that_nobody_means_is_refused():
    """A file with a damaged header is not squeezed to a line."""
    with pytest.raises(SourceError, match="expected pixels that are about square, got 1 to 100"):
        VideoReader(Capture([grey(9)], SAR_NUM=1, SAR_DEN=100), name="v")


def test_square_leaves_square_pixels_alone():
    """No copy, no blur."""
    frame = grey(3)
    assert square(frame, 1.0) is frame


def test_video_that_is_black_to_the_last_bit_does_not_decode():
    """Not the light is to blame, and the sentence says what to do; a fade from black is a video."""
    with pytest.raises(SourceError, match="black to the last bit; interlaced video, for one, does not decode here"):
        list(VideoReader(Capture([grey(0)] * 5, FPS=10.0), name="v"))
    faded = VideoReader(Capture([*[grey(0)] * 5, grey(7)], FPS=10.0), name="v")
    assert ([(i, 0) for i in range(5)] + [(5, 7)], False) == (levels(faded), faded.unchanging)


@pytest.mark.parametrize("count", [2, LOOKAHEAD, LOOKAHEAD + 9])
def test_video_that_never_changes_says_so(count):
    """A still, or memory that a decoder hands out again and again; the frames come all the same."""
    reader = VideoReader(Capture([grey(9)] * count, FPS=10.0), name="v")
    assert (count, True) == (len(levels(reader)), reader.unchanging)


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0, 100, 100, 300], [0, 0.1, 0.2, 0.3]),
        ([0, 100, 50, 300, 400], [0, 0.1, 0.2, 0.3, 0.4]),
        ([0, 0, 100, 200], [0, 0.1, 0.2]),
        ([5, 105, math.nan, 305], [0, 0.1, 0.2, 0.3]),
    ],
)
@pytest.mark.parametrize("fps", [0.0, 1000.0, 90000.0])
def test_a_time_that_stands_still_is_the_median_step_on(stamps, times, fps):
    """Where the container gives no rate to be believed; before the first step such a frame is left out."""
    capture = Capture([grey(i) for i in range(len(stamps))], stamps.__getitem__, FPS=fps)
    assert [pytest.approx(t) for t in times] == [f.t_seconds for f in VideoReader(capture, name="v")]


def test_no_times_at_all_are_an_error_soon():
    """After a few frames, not after hours."""
    capture = Capture([grey(i % 99) for i in range(10_000)], lambda i: 0.0)
    with pytest.raises(SourceError, match="expected timestamps or a frame rate, got neither"):
        list(VideoReader(capture, name="v"))
    assert capture.at < 100


@pytest.mark.parametrize(("code", "named"), [("av01", "AV1"), ("hvc1", "H.265"), ("apch", "apch")])
def test_a_codec_that_does_not_decode_is_named(code, named):
    """And what to do about it."""
    capture = Capture([], FOURCC=float(int.from_bytes(code.encode(), "little")))
    with pytest.raises(SourceError, match=f"without a readable frame: its codec, {named}, .* convert it to H.264"):
        next(VideoReader(capture, name="v"))


def test_large_frames_are_scaled_down():
    """To what the engine takes."""
    [frame] = VideoReader(Capture([grey(9, 40, 60)], FPS=10.0), name="v", max_pixels=600)
    assert (20, 30) == frame.frame_bgr.shape[:2]
