"""`ratta demo`: it plays, says what happened also when the model errs, and leaves its results."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import ratta
from ratta.camera.day import PHASES, Moment
from ratta.camera.playback import Scene
from ratta.camera.scenes import demo_scenes
from ratta.cli import main
from ratta.cli.day import NOT_ADAPTABLE, day_summary
from ratta.errors import BundleError
from ratta.records import Verdict


@pytest.fixture(autouse=True)
def scripted(monkeypatch, engine, frames):
    """Two quick scenes for the scripted engine, the second of which it gets wrong."""

    def scenes(*, seed):
        assert seed == 8
        timed = {kind: [(i / 10, f) for i, f in enumerate(frames(kind, 30))] for kind in ("live", "spoof")}
        return (
            Scene("A live face", "about", Verdict.LIVE, timed["live"]),
            Scene("A dark face", "about", Verdict.LIVE, timed["spoof"]),
        )

    monkeypatch.setattr("ratta.cli.demo.load", lambda model, **_: engine)
    monkeypatch.setattr("ratta.camera.scenes.demo_scenes", scenes)
    monkeypatch.setattr("ratta.cli.day.simulate_day", lambda contract, *, seed: iter(()))


def test_it_says_what_happened(tmp_path, capsys):
    """One mark per frame, a row per session, and the miss as plainly as the hit."""
    assert main(["demo", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"  A live face                {'█' * 13}  LIVE\n" in out
    assert f"  A dark face                {'▁' * 13}  SPOOF\n" in out
    assert "1 of 2 sessions ended as they should (a dark face: spoof, expected live)" in out
    row = next(line for line in out.splitlines() if line.startswith("  A dark face") and "stable" in line)
    assert row.split()[3:8] == ["spoof", "stable", "0.02", "13", "1.2"]
    assert row.endswith("expected live")


def test_it_leaves_a_page_a_sheet_and_the_decisions(tmp_path):
    """All in the folder that was asked for."""
    main(["demo", "--output", str(tmp_path / "o")])
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["decisions.jsonl", "demo.html", "sheet.png"]
    lines = [json.loads(line) for line in (tmp_path / "o" / "decisions.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["A live face"] * 13 + ["A dark face"] * 13
    assert "1 of 2 sessions ended as they should" in (tmp_path / "o" / "demo.html").read_text()


def test_a_window_without_a_display_is_one_line_and_status_2(monkeypatch, capsys):
    """The camera is not even opened."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["demo", "--camera", "0"]) == 2
    assert "window: expected a display" in capsys.readouterr().err


def test_the_scenes_are_what_they_say():
    """Live, print, screen and no face; each frame (480, 640, 3) BGR; the same seed gives the same frames."""
    scenes = demo_scenes(seed=3, seconds=0.1)
    first = [next(iter(scene.frames)) for scene in scenes]
    again = next(iter(demo_scenes(seed=3, seconds=0.1)[0].frames))
    assert [scene.expected for scene in scenes] == [Verdict.LIVE, Verdict.SPOOF, Verdict.SPOOF, Verdict.REFUSED]
    assert [(t, frame.shape, frame.dtype) for t, frame in first] == [(0.0, (480, 640, 3), np.uint8)] * 4
    assert (first[0][1] == again[1]).all()
    blue, _, red = first[0][1][200:300, 270:370].mean(axis=(0, 1))
    assert red > blue


def test_without_an_embedding_it_says_that_there_is_nothing_to_show(tmp_path, capsys, monkeypatch):
    """One line, in the terminal and on the page."""

    def refuse(*_):
        raise BundleError("no embedding")

    monkeypatch.setattr("ratta.cli.demo.make_adapter", refuse)
    main(["demo", "--output", str(tmp_path)])
    assert f"  {NOT_ADAPTABLE}\n" in capsys.readouterr().out
    assert NOT_ADAPTABLE in (tmp_path / "demo.html").read_text()


def test_a_day_is_played_told_and_drawn(tmp_path, capsys, monkeypatch, adaptable, played):
    """A mark an attempt and a row a phase, a chart on the page, and the sentences say what the adapter did."""
    phases = tuple(replace(one, attempts=3) for one in PHASES)
    seen = [(species, crops) for crops, _, species in islice(played(5, frames=1), 16)]

    def simulated(contract, *, seed):
        for phase in phases:
            for index in range(3):
                species, crops = [one for one in seen if one[0] in phase.species][index]
                yield phase, species, [(crops[0],)]

    adapting = ratta.load(adaptable)
    monkeypatch.setattr("ratta.cli.demo.load", lambda model, **_: adapting)
    monkeypatch.setattr("ratta.cli.day.simulate_day", simulated)
    main(["demo", "--output", str(tmp_path)])
    out, page = capsys.readouterr().out, (tmp_path / "demo.html").read_text()
    rows = [line for line in out.splitlines() if line.startswith(f"  {PHASES[0].name}")]
    assert 3 == len(rows[0].split()[-1])
    assert "3" == rows[1].split()[len(PHASES[0].name.split())]
    assert "Of 3 further unlocks the source accepts" in page
    assert "Of 3 simulated prints and screens the source accepts" in out
    assert 9 == page.count("<title>attempt ")


def test_the_summary_says_what_happened_and_nothing_else():
    """Counts of the source beside counts of the adapted engine, by class; a day without moments was not played."""
    usual = {"score": 0.9, "source_score": 0.9, "drift": 1.0, "band": "adapt", "learnt": 20, "spent_ms": 60.0}
    shown = [
        (PHASES[0], "live", True, True),
        (PHASES[1], "live", True, False),
        (PHASES[1], "live", True, True),
        (PHASES[2], "print", True, False),
        (PHASES[2], "replay", False, False),
    ]
    moments = [
        Moment(phase=phase, species=species, accepted_by_source=source, accepted=adapted, elapsed_s=60.0, **usual)
        for phase, species, source, adapted in shown
    ]
    assert (
        "20 live sessions were learnt. Of 2 further unlocks the source accepts 2, the adapted engine 1. "
        "Of 2 simulated prints and screens the source accepts 1, the adapted engine 0. "
        "Learning took 60 ms of 1 minutes, 0.100 %."
    ) == day_summary(moments)
    assert NOT_ADAPTABLE == day_summary([])
