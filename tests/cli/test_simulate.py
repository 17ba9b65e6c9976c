"""`ratta simulate`: frames, a video or a sheet of one portrait before a simulated camera."""

import cv2
import pytest

from ratta.cli import main
from ratta.records import Box

SMALL = ["--box", "170", "68", "284", "182", "--frames", "2"]


def test_a_folder_gets_frames_and_the_same_seed_gives_the_same(tmp_path):
    """Numbered, 640x480, reproducible."""
    for name in ("a", "b"):
        assert main(["simulate", *SMALL, "--species", "print", "--output", str(tmp_path / name)]) == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["print-0000.png", "print-0001.png"]
    assert cv2.imread(str(tmp_path / "a" / "print-0001.png")).shape == (480, 640, 3)
    assert (tmp_path / "a" / "print-0001.png").read_bytes() == (tmp_path / "b" / "print-0001.png").read_bytes()


def test_a_video_and_a_sheet(tmp_path):
    """The output's name says which."""
    main(["simulate", *SMALL, "--output", str(tmp_path / "v.mp4")])
    assert cv2.VideoCapture(str(tmp_path / "v.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2
    main(["simulate", *SMALL, "--output", str(tmp_path / "s.png")])
    assert cv2.imread(str(tmp_path / "s.png")).shape == (240, 1600, 3)


def test_the_face_is_found_when_no_box_is_given(portrait):
    """By the shipped detector; it overlaps the face."""
    from ratta.cli.simulate import find_face

    assert find_face(portrait).iou(Box(170, 68, 284, 182)) > 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "x.txt"], "output: expected a folder, a video"),
        (["--output", "x", "--camera", "box-brownie"], "expected one of flagship"),
        (["--output", "x", "--frames", "0"], "expected at least 1"),
        (["--output", "x", "--image", "no.jpg"], "expected a readable picture"),
        (["--output", "x", "--box", "5", "5", "1", "9"], "expected x_min < x_max"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    """And nothing is written."""
    monkeypatch.chdir(tmp_path)
    box = [] if "--box" in arguments else SMALL[:5]
    assert main(["simulate", *box, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_a_face_is_refused(tmp_path, capsys):
    """Unless a box says where it is."""
    cv2.imwrite(str(tmp_path / "p.png"), cv2.UMat(480, 640, cv2.CV_8UC3).get() * 0)
    assert main(["simulate", "--image", str(tmp_path / "p.png"), "--output", str(tmp_path / "o")]) == 2
    assert "no face was found; pass --box" in capsys.readouterr().err
