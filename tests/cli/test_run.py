"""`ratta run`: every kind of source, its lines, its copies and its exit status."""

import json
import math
import os

import cv2
import numpy as np
import pytest

from ratta.bundle import DEFAULT_MODEL, find_bundle
from ratta.cli import main
from ratta.cli.lines import JsonLines, decision_entry
from ratta.cli.run import policy_with
from ratta.decision import Policy
from ratta.errors import OutputError
from ratta.records import Box, Decision, Reason, Verdict

KEYS = [
    "index",
    "name",
    "t",
    "verdict",
    "live_score",
    "session_score",
    "reason",
    "detail",
    "box",
    "scored_frames",
    "final",
]


@pytest.fixture(autouse=True)
def scripted(monkeypatch, engine):
    """Answer with the scripted engine instead of the shipped one."""
    monkeypatch.setattr("ratta.cli.run.load", lambda model, **_: engine)


@pytest.fixture
def picture(tmp_path, frames):
    def write(kind, name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, frames(kind, 1)[0])[1].tobytes())
        return str(path)

    return write


@pytest.fixture
def video(tmp_path, frames):
    def write(kind, count=30):
        path = tmp_path / f"{kind}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 480))
        for frame in frames(kind, count):
            writer.write(frame)
        writer.release()
        return str(path)

    return write


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        (
            "live",
            1,
            "LIVE        0.98  p.png  single frame\n"
            "one picture is no attempt, so this is status 1; record a video, or use the camera\n",
        ),
        ("spoof", 1, "SPOOF       0.02  p.png  single frame\n"),
        ("none", 1, "REFUSED        -  p.png  no face\n"),
    ],
)
def test_a_picture(picture, capsys, kind, status, line):
    """One line; a single picture shows one moment, as a print does, so it is never status 0."""
    assert main(["run", "--image", picture(kind, "p.png")]) == status
    assert capsys.readouterr().out == line


def test_a_folder_is_live_only_if_every_picture_is(picture, tmp_path, capsys):
    """One line each and a sum."""
    picture("live", "f/1.png")
    picture("live", "f/2.png")
    assert main(["run", "--source", str(tmp_path / "f")]) == 0
    picture("spoof", "f/10.png")
    assert main(["run", "--source", str(tmp_path / "f")]) == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "LIVE        0.98  1.png  single frame",
        "LIVE        0.98  2.png  single frame",
        "SPOOF       0.02  10.png  single frame",
        "3 pictures: 2 live, 1 spoof",
    ]


def test_a_bad_picture_in_a_folder_is_refused_and_the_rest_answered(picture, tmp_path, capsys):
    """One bad file does not end a long run, and does not pass either."""
    picture("live", "f/1.png")
    picture("live", "f/3.png")
    (tmp_path / "f" / "2.jpg").write_bytes(b"")
    assert main(["run", "--source", str(tmp_path / "f"), "--json", str(tmp_path / "d.jsonl")]) == 1
    assert capsys.readouterr().out.endswith("3 pictures: 2 live, 1 refused\n")
    entry = read_lines(tmp_path / "d.jsonl")[1]
    assert (entry["name"], entry["verdict"], entry["reason"]) == ("2.jpg", "refused", "unusable input")
    assert "expected a picture, got an empty file" in entry["detail"]


def test_pictures_that_are_not_read_are_never_passed_over(picture, tmp_path, capsys):
    """One live JPEG among HEIC files is not "every picture live"; strictly, the first of them is an error."""
    picture("live", "f/1.png")
    picture("live", "f/3.png")
    (tmp_path / "f" / "2.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    (tmp_path / "f" / "notes.txt").write_text("x")
    assert main(["run", "--source", str(tmp_path / "f")]) == 1
    out = capsys.readouterr().out
    assert "got HEIC, which does not decode here; convert it to JPEG" in out
    assert out.endswith("left out, no pictures: 1 .txt\n3 pictures: 2 live, 1 refused\n")
    assert main(["run", "--source", str(tmp_path / "f"), "--strict"]) == 2


def test_a_folder_of_one_picture_is_no_attempt_either(picture, tmp_path):
    """It shows one moment, as a print does."""
    picture("live", "f/1.png")
    assert main(["run", "--source", str(tmp_path / "f")]) == 1


def test_a_name_cannot_forge_a_line(picture, tmp_path, capsys):
    """Neither a line break nor an escape sequence of a file's name reaches the terminal."""
    picture("none", "f/a\nLIVE       1.00  boss.png")
    picture("none", "f/\x1b[2Jred.png")
    (tmp_path / "f" / "b\nLIVE.jpg").write_bytes(b"")
    main(["run", "--source", str(tmp_path / "f")])
    out = capsys.readouterr().out
    assert ["REFUSED"] * 3 + ["3"] == [line.split()[0] for line in out.splitlines()]
    assert "\x1b" not in out


@pytest.mark.parametrize("option", ["--json", "--journal", "--output"])
@pytest.mark.parametrize("how", ["itself", "hard", "symbolic"])
def test_what_is_read_is_never_written_over(picture, tmp_path, capsys, option, how):
    """Whatever it is called; in a folder too, and the model's files."""
    source = picture("live", "f/1.png")
    output = {"itself": tmp_path / "f" / "1.png"}.get(how, tmp_path / "other.png")
    if how != "itself":
        {"hard": os.link, "symbolic": os.symlink}[how](source, output)
    before = output.read_bytes()
    assert main(["run", "--image", source, option, str(output)]) == 2
    if option != "--output":
        assert main(["run", "--source", str(tmp_path / "f"), option, str(output)]) == 2
        manifest = find_bundle(DEFAULT_MODEL) / "bundle.json"
        assert main(["run", "--source", source, option, str(manifest)]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert before == output.read_bytes()


def test_links_in_an_output_folder_do_not_lead_back(picture, tmp_path):
    """A folder of links to the pictures that are read would overwrite them one by one."""
    source = picture("live", "f/1.png")
    before = (tmp_path / "f" / "1.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.png").symlink_to(source)
    assert main(["run", "--source", str(tmp_path / "f"), "--output", str(tmp_path / "out")]) == 2
    assert main(["run", "--source", str(tmp_path / "f"), "--output", str(tmp_path / "new"), "--json",
                 str(tmp_path / "new" / "1.png")]) == 2  # fmt: skip
    assert (before, False) == ((tmp_path / "f" / "1.png").read_bytes(), (tmp_path / "new").exists())


@pytest.mark.parametrize("place", ["clip.mp4", ".", "p.png", "nowhere"])
def test_a_camera_is_no_file_and_no_folder(picture, tmp_path, monkeypatch, capsys, place):
    """An option that names a camera opens nothing else."""
    picture("live", "p.png")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--camera", place]) == 2
    assert "--camera: expected a camera's number, its device or a URL, got" in capsys.readouterr().err


def test_the_help_begins_with_the_statuses(capsys):
    """Before anything else is explained."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    about = capsys.readouterr().out.split("\n\n", 1)[1]
    assert about.startswith("exit status:\n  0    live: the session")


def test_a_bad_picture_alone_is_an_error(tmp_path, capsys):
    """Status 2 and one line."""
    (tmp_path / "p.jpg").write_bytes(b"")
    assert main(["run", "--image", str(tmp_path / "p.jpg")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("ratta run: ")


@pytest.mark.parametrize(("kind", "status"), [("live", 0), ("spoof", 1)])
def test_a_video_is_one_attempt_that_ends_with_its_final_verdict(video, tmp_path, capsys, kind, status):
    """Thirteen frames of thirty are enough; the first line tells each change of verdict."""
    assert main(["run", "--source", video(kind), "--json", str(tmp_path / "d.jsonl")]) == status
    lines = read_lines(tmp_path / "d.jsonl")
    assert [line["final"] for line in lines] == [False] * 12 + [True]
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["UNCERTAIN", kind.upper(), f"{kind.upper()}:"]
    assert out[-1].endswith("13 of 13 frames scored, 1.2 s")


def test_a_video_that_ends_too_early_is_uncertain(video, capsys):
    """A verdict that never became final does not count."""
    assert main(["run", "--source", video("live", 11)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("UNCERTAIN: gathering evidence")
    assert last.endswith("ended before the verdict was final")


def test_a_video_without_a_face_is_refused(video, capsys):
    """The last line says why."""
    assert main(["run", "--source", video("none", 5)]) == 1
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("REFUSED: no face, session score -, 0 of 5 frames scored")
    )


def test_stream_answers_every_frame(video, tmp_path):
    """To the end, and by the verdict at the end."""
    path = tmp_path / "d.jsonl"
    assert main(["run", "--source", video("live"), "--stream", "--json", str(path)]) == 0
    lines = read_lines(path)
    assert (len(lines), any(line["final"] for line in lines)) == (30, False)


def test_every_line_has_the_same_keys_and_strict_json(picture, video, tmp_path):
    """Undefined numbers are null, boxes four numbers or null."""
    paths = [tmp_path / f"{i}.jsonl" for i in range(3)]
    main(["run", "--source", picture("live", "p.png"), "--json", str(paths[0])])
    main(["run", "--source", picture("none", "q.png"), "--json", str(paths[1])])
    main(["run", "--source", video("live"), "--json", str(paths[2])])
    lines = [line for path in paths for line in read_lines(path)]
    assert all(list(line) == KEYS for line in lines)
    assert lines[0]["box"] == [200.0, 100.0, 400.0, 340.0]
    assert (lines[0]["t"], lines[0]["session_score"], lines[0]["detail"]) == (None, None, "one picture, not a session")
    assert (lines[1]["live_score"], lines[1]["box"], lines[1]["reason"]) == (None, None, "no face")
    assert [line["t"] for line in lines[2:5]] == [0.0, 0.1, 0.2]


def test_json_on_stdout_leaves_nothing_else_there(video, capsys):
    """What people read goes to stderr."""
    assert main(["run", "--source", video("live"), "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert len([json.loads(line) for line in out.splitlines()]) == 13
    assert "LIVE: stable" in err


def test_annotated_copies(picture, video, tmp_path):
    """A picture for a picture, a video for a video."""
    main(["run", "--source", picture("live", "p.png"), "--output", str(tmp_path / "o.png")])
    assert cv2.imread(str(tmp_path / "o.png")).shape == (480, 640, 3)
    main(["run", "--source", video("spoof"), "--output", str(tmp_path / "o.mp4")])
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 13


def test_an_rgb_source_is_drawn_in_its_own_colors(picture, tmp_path, textured):
    """--color rgb swaps the channels back for the copy."""
    path = tmp_path / "p.png"
    path.write_bytes(cv2.imencode(".png", textured[..., ::-1])[1].tobytes())
    assert main(["run", "--image", str(path), "--color", "rgb", "--output", str(tmp_path / "o.png")]) == 1
    assert (cv2.imread(str(tmp_path / "o.png"))[200, 10] == textured[200, 10]).all()


def test_an_interrupted_run_leaves_whole_lines_and_a_whole_video(video, tmp_path, monkeypatch, capsys):
    """Ctrl-C at the sixth frame: status 130, five lines, a video that plays."""
    source, seen = video("live"), iter(range(100))

    def interrupt(*_, **__):
        if next(seen) == 5:
            raise KeyboardInterrupt
        return np.zeros((480, 640, 3), np.uint8)

    monkeypatch.setattr("ratta.cli.run.annotate", interrupt)
    paths = tmp_path / "d.jsonl", tmp_path / "o.mp4"
    assert main(["run", "--source", source, "--json", str(paths[0]), "--output", str(paths[1])]) == 130
    assert len(read_lines(paths[0])) == 6
    assert cv2.VideoCapture(str(paths[1])).get(cv2.CAP_PROP_FRAME_COUNT) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "nowhere.mp4"], "got a path where nothing is"),
        (["--camera", "97"], "camera 97: expected a camera"),
        (["--image", "p.png", "--output", "o.mp4"], "output: expected a picture"),
        (["--image", "p.png", "--json", "p.png/d.jsonl"], "expected a folder to write in"),
    ],
)
def test_a_wrong_argument_is_one_line_and_status_2(picture, tmp_path, monkeypatch, capsys, arguments, message):
    """The line says what was expected."""
    picture("live", "p.png")
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_threshold_replaces_the_models_and_never_lies_below_its_spoof_threshold(tmp_path, tiny_bundle, monkeypatch):
    """The spoof threshold of the calibration (0.4) gives way to a lower live threshold."""
    folder = str(tmp_path / "tiny")
    assert policy_with(folder, None) is None
    assert policy_with(folder, 0.9) == Policy(live_threshold=0.9, spoof_threshold=0.4)
    assert policy_with(folder, 0.2) == Policy(live_threshold=0.2, spoof_threshold=0.2)


@pytest.mark.parametrize("threshold", ["0", "1", "-1", "nan", "7"])
def test_a_threshold_that_is_no_score_is_refused(threshold, capsys):
    """It lies between 0 and 1."""
    assert main(["run", "--image", "x.jpg", "--threshold", threshold]) == 2
    assert "threshold: expected a score between 0 and 1" in capsys.readouterr().err


def test_an_entry_holds_everything_and_no_nan():
    """By hand."""
    decision = Decision(
        verdict=Verdict.SPOOF,
        live_score=math.nan,
        session_score=0.25,
        reason=Reason.STABLE,
        detail="d",
        t=1.5,
        box=Box(1, 2, 3.456, 4),
        scored_frames=3,
        final=True,
    )
    assert decision_entry(decision, index=4, name="n") == {
        "index": 4,
        "name": "n",
        "t": 1.5,
        "verdict": "spoof",
        "live_score": None,
        "session_score": 0.25,
        "reason": "stable",
        "detail": "d",
        "box": [1.0, 2.0, 3.46, 4.0],
        "scored_frames": 3,
        "final": True,
    }


def test_a_box_is_told_in_pixels_of_the_file(tmp_path, textured, monkeypatch):
    """A picture that was scaled down on the way gives the box where it lies in the file."""
    monkeypatch.setattr("ratta.camera.sources.MAX_PIXELS", 640 * 480)
    path = tmp_path / "p.png"
    path.write_bytes(cv2.imencode(".png", cv2.resize(textured, (1280, 960)))[1].tobytes())
    main(["run", "--image", str(path), "--json", str(tmp_path / "d.jsonl")])
    [line] = read_lines(tmp_path / "d.jsonl")
    assert line["box"] == [pytest.approx(edge) for edge in (400, 200, 800, 680)]


def test_lines_go_nowhere_unless_asked(tmp_path, capsys):
    """Without a path nothing is written; a bad path is an error of ours."""
    with JsonLines(None) as lines:
        lines.write({"a": 1})
    assert capsys.readouterr().out == ""
    with pytest.raises(OutputError, match="expected a writable file"):
        JsonLines(str(tmp_path))
