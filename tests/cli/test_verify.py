"""`ratta run --journal` and `ratta verify`: the same journal again, bit for bit, or the difference is named."""

import json
import math

import cv2
import numpy as np
import pytest

from ratta.adaptation.records import Event
from ratta.cli import main
from ratta.cli.journal import Comparison, Journal
from ratta.records import Box, Decision, Reason, Verdict

PLAYED = ("live", "print") * 2


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Four attempts of 1.3 s before a simulated camera, one still each, shaken and with its own grain."""
    from ratta.camera.scenes import FACE, PORTRAIT
    from ratta.media.picture import read_picture
    from ratta.simulate import simulate_frames

    portrait = np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1])
    path = tmp_path_factory.mktemp("day") / "day.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 480))
    rng = np.random.default_rng(0)
    for seed, species in enumerate(PLAYED):
        [(_, rgb)] = simulate_frames(portrait, species=species, camera="phone-2019", frames=1, seed=seed, box=FACE)
        for i in range(13):
            noisy = np.roll(rgb[..., ::-1], i % 3, axis=1) + rng.normal(0, 2, rgb.shape)
            writer.write(noisy.clip(0, 255).astype(np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def journal(video, adaptable, tmp_path_factory):
    """Of a run that adapts over the whole video, on a machine whose work takes 0 to 3 ms a piece, never the same."""
    path = tmp_path_factory.mktemp("journal") / "run.jsonl"
    ticks = np.random.default_rng(4).uniform(0, 3, 100_000).cumsum()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ratta.cli.journal._milliseconds", iter(ticks.tolist()).__next__)
        main(["run", "--source", str(video), "--model", str(adaptable), "--adapt", "--stream", "--journal", str(path)])
    return path


def changed(journal, tmp_path, change):
    """A copy in which `change(lines)` was made."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    change(lines)
    path = tmp_path / "changed.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_the_same_run_is_equal(journal, capsys):
    """Status 0; attempts were studied, so that there was something to be equal."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    events = [line["event"]["kind"] for line in lines if "event" in line]
    assert events.count("drift") >= 2
    assert sum("billed" in line for line in lines) > 5  # the runs that loading timed, and work
    assert main(["verify", str(journal)]) == 0
    assert f"equal: 52 decisions and {len(events)} events, bit for bit\n" == capsys.readouterr().out


def test_a_changed_score_is_named(journal, tmp_path, capsys):
    """The last bit of one score is enough: status 1, and the line says where, what was expected and what came."""

    def change(lines):
        [line] = [one for one in lines if one.get("decision", {}).get("index") == 20]
        line["decision"]["live_score"] = math.nextafter(line["decision"]["live_score"], 1.0)

    assert main(["verify", changed(journal, tmp_path, change)]) == 1
    out = capsys.readouterr().out
    assert "after 20 equal decisions: decision.live_score: expected 0." in out


def test_a_changed_bill_changes_what_is_admitted(journal, tmp_path, capsys):
    """The budget is billed as then: after a first piece that cost a thousand seconds, the next is not admitted."""

    def change(lines):
        first = next(index for index, line in enumerate(lines) if "decision" in line)  # before it, loading was billed
        next(line for line in lines[first:] if "billed" in line)["billed"] = 1e6

    assert main(["verify", changed(journal, tmp_path, change)]) == 1
    assert "expected a piece of work for" in capsys.readouterr().out


@pytest.mark.parametrize(("cut", "message"), [(-1, "expected the end of the journal, got"), (None, "got the end of")])
def test_a_journal_of_another_length_is_different(journal, tmp_path, capsys, cut, message):
    """One line less or one more."""

    def change(lines):
        lines.append(lines[-1]) if cut is None else lines.pop()

    assert main(["verify", changed(journal, tmp_path, change)]) == 1
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sha256": "00" * 32}, "expected the pinned SHA-256"),
        ({"source": "0"}, "whose frames are gone"),
        ({"source": "nowhere.avi"}, "got a path where nothing is"),
        ({"pace": 1}, "settings: expected"),
        ({"fps": "fast"}, "settings: expected"),
    ],
)
def test_what_cannot_be_verified_is_an_error(journal, tmp_path, capsys, settings, message):
    """Another model, a camera, a source that has gone, settings of another version: status 2 and one line."""
    path = changed(journal, tmp_path, lambda lines: lines[0]["settings"].update(settings))
    assert main(["verify", path]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["", "{}\n", "no JSON\n", "[" * 200_000 + "\n", '{"journal": ' + "[" * 200_000 + "\n"]
)
def test_a_file_that_is_no_journal_is_an_error(tmp_path, capsys, content):
    """The line says how to make one."""
    (tmp_path / "j").write_text(content)
    assert main(["verify", str(tmp_path / "j")]) == 2
    assert "make one with ratta run --journal" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "expected a readable journal" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--shadow"], ["--confirm", "live"]])
def test_what_belongs_to_adaptation_needs_it(video, capsys, arguments):
    """A shadow of nothing, and a confirmation that nobody hears, are errors that say so."""
    assert main(["run", "--source", str(video), *arguments]) == 2
    assert "expected --adapt with it" in capsys.readouterr().err


def test_a_clock_bills_each_piece_once():
    """Asked before and after; the difference is written, and a comparison gives the same difference to the bit."""
    written, ticks = [], iter([5.1, 7.3, 100.0, 100.7])
    recorder = Journal(written.append, milliseconds=lambda: next(ticks))
    bills = [-recorder.clock() + recorder.clock() for _ in range(2)]
    assert [{"billed": 7.3 - 5.1}, {"billed": 100.7 - 100.0}] == written
    comparison = Comparison(iter([json.dumps(line) + "\n" for line in written]))
    assert bills == [-comparison.clock() + comparison.clock() for _ in range(2)]
    comparison.finish()
    assert "" == comparison.difference


def test_lines_lose_nothing():
    """Floats come back bit for bit, undefined numbers by name, whatever type they had."""
    written = []
    recorder = Journal(written.append)
    recorder.event(Event(0.1 + 0.2, "trial", "why", {"d": np.float32(0.1), "n": np.int64(3), "x": math.inf}))
    decision = Decision(
        verdict=Verdict.LIVE,
        live_score=math.nan,
        session_score=1 / 3,
        reason=Reason.STABLE,
        detail="",
        t=1e-300,
        box=Box(1, 2, 3 + 2**-40, 4),
        scored_frames=3,
        final=True,
        adapted=True,
        band="adapt",
    )
    recorder.decision(decision, index=4)
    event, seen = (json.loads(json.dumps(line, allow_nan=False)) for line in written)
    assert {"d": float(np.float32(0.1)), "n": 3, "x": "inf"} == event["event"]["numbers"]
    assert (0.1 + 0.2, 1 / 3, 1e-300) == (event["event"]["t"], seen["decision"]["session_score"], seen["decision"]["t"])
    assert ("nan", 3 + 2**-40, "live", "adapt") == (
        seen["decision"]["live_score"],
        seen["decision"]["box"]["x_max"],
        seen["decision"]["verdict"],
        seen["decision"]["band"],
    )
