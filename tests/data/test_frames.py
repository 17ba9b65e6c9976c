"""Decoding of pictures and of a small video made here."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ratta.data import Presentation, read_frames
from ratta.data.frames import spread
from ratta.errors import InputError, MissingExtraError, SourceError
from ratta.records import Box

cv2 = pytest.importorskip("cv2")


def presentation(*paths: Path, **more) -> Presentation:
    """A live session of these files."""
    return Presentation(paths=paths, is_live=True, species="", subject="1", session="1", split="test", **more)


def pictures(folder: Path, n: int) -> list[Path]:
    """Flat pictures, each one brighter than the last."""
    found = []
    for i in range(n):
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), np.full((6, 8, 3), 10 * i, np.uint8))
        found.append(path)
    return found


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Ten grey frames, 10 to 190, at 20 frames a second."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 16))
    for i in range(10):
        writer.write(np.full((16, 32, 3), 10 + 20 * i, np.uint8))
    writer.release()
    return path


def test_pictures(tmp_path) -> None:
    """Pictures come in order, a second apart, with their boxes."""
    found = list(read_frames(presentation(*pictures(tmp_path, 2), boxes=(None, Box(1, 1, 3, 3)))))
    assert [(0, 0.0, 0, None), (1, 1.0, 10, Box(1, 1, 3, 3))] == [
        (f.index, f.t, int(f.pixels[0, 0, 0]), f.box) for f in found
    ]
    assert ((6, 8, 3), np.uint8) == (found[0].pixels.shape, found[0].pixels.dtype)


def test_video(video) -> None:
    """Every frame, timed by the frame rate."""
    found = list(read_frames(presentation(video)))
    assert (10, 9, pytest.approx(0.45)) == (len(found), found[-1].index, found[-1].t)
    assert [pytest.approx(10 + 20 * i, abs=3) for i in range(10)] == [f.pixels.mean() for f in found]


def test_limit_spreads_over_the_video(video) -> None:
    """A limit takes frames from beginning to end, not the first ones."""
    assert [0, 4, 9] == [f.index for f in read_frames(presentation(video), limit=3)]


def test_box_file_of_a_video(video, tmp_path) -> None:
    """The n-th line belongs to the n-th frame; frames after the last line have no box."""
    faces = tmp_path / "x.face"
    faces.write_text("0 1 1 4 4\n1 0 0 0 0\n2 2 2 4 4\n")
    found = list(read_frames(presentation(video, box_file=faces, box_format="replay-faces")))
    assert [Box(1, 1, 5, 5), None, Box(2, 2, 6, 6), None] == [f.box for f in found[:4]]


@pytest.mark.parametrize(("name", "kind"), [("x.jpg", "picture"), ("x.avi", "picture or video")])
def test_unreadable(tmp_path, name, kind) -> None:
    """A file that is no picture or video is named."""
    path = tmp_path / name
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match=rf"{name}: expected a {kind}, got 19 bytes that"):
        list(read_frames(presentation(path)))


@pytest.mark.parametrize(
    ("count", "limit", "expected"), [(5, None, [0, 1, 2, 3, 4]), (5, 1, [0]), (4, 4, [0, 1, 2, 3])]
)
def test_spread(count, limit, expected) -> None:
    """All where there are few, ends included where there are many."""
    assert expected == spread(count, limit)


def test_limit_must_be_positive(video) -> None:
    """No frames is not a limit."""
    with pytest.raises(InputError, match="limit: expected at least 1 frame"):
        list(read_frames(presentation(video), limit=0))


def test_without_opencv(video, monkeypatch) -> None:
    """Without OpenCV the message names the command."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pictures and video need OpenCV: pip install 'ratta\[camera\]'"):
        list(read_frames(presentation(video)))


def half(path: Path) -> Path:
    """A picture that a broken copy cut short."""
    data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))[1].tobytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def test_a_file_that_cannot_be_read_is_skipped_and_named(tmp_path, caplog) -> None:
    """A half picture is not handed out, an empty one does not end the reading; strict reading ends there."""
    one, two = pictures(tmp_path, 2)
    (tmp_path / "2.png").write_bytes(b"")
    session = presentation(one, half(tmp_path / "1.jpg"), tmp_path / "2.png", two)
    skipped = []
    assert [0, 3] == [f.index for f in read_frames(session, on_skip=skipped.append)]
    assert [(1, 1.0, "1.jpg"), (2, 2.0, "2.png")] == [(s.index, s.t, s.path.name) for s in skipped]
    assert "without its end marker" in skipped[0].reason
    assert [0, 3] == [f.index for f in read_frames(session)]
    assert ["1.jpg", "2.png"] == [Path(r.getMessage().split(": ")[1]).name for r in caplog.records]
    with pytest.raises(SourceError, match="without its end marker"):
        list(read_frames(session, strict=True))


def test_nothing_to_read_is_an_error(tmp_path) -> None:
    """A session of unreadable pictures alone is not a session without frames."""
    with pytest.raises(SourceError, match="without its end marker"):
        list(read_frames(presentation(half(tmp_path / "1.jpg"), half(tmp_path / "2.jpg"))))


@pytest.mark.parametrize("claimed", [None, 4, 40])
def test_a_container_that_counts_wrong_does_not_decide(video, monkeypatch, claimed) -> None:
    """What is taken is spread over the frames that are there."""
    monkeypatch.setattr("ratta.media.video.believable", lambda _: claimed)
    assert [0, 4, 9] == [f.index for f in read_frames(presentation(video), limit=3)]


def test_a_video_that_never_changes_is_refused(tmp_path) -> None:
    """Where a decoder fails, all frames are the same memory, and it may be another video's."""
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 16))
    for _ in range(5):
        writer.write(np.full((16, 32, 3), 90, np.uint8))
    writer.release()
    with pytest.raises(SourceError, match=r"still.avi: expected a video, got frames that are equal to the last bit"):
        list(read_frames(presentation(path)))


def test_a_large_picture_is_scaled_down_with_its_box(tmp_path, monkeypatch) -> None:
    """A phone's picture of fifty million pixels is no reason to refuse a corpus."""
    monkeypatch.setattr("ratta.data.frames.MAX_PIXELS", 600)
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.full((40, 60, 3), 90, np.uint8))
    [frame] = read_frames(presentation(path, boxes=(Box(10, 20, 30, 40),)))
    assert ((20, 30), Box(5, 10, 15, 20)) == (frame.pixels.shape[:2], frame.box)
