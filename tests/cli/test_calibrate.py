"""`ratta calibrate`: a model calibrated on sessions, and a camera profile of live sessions."""

import csv
import json

import numpy as np
import pytest

import ratta
from ratta.cli import main

cv2 = pytest.importorskip("cv2")
pytest.importorskip("pydantic")

COLUMNS = "path label species subject session camera split x_min y_min x_max y_max".split()  # noqa: SIM905


@pytest.fixture
def recordings(tmp_path, simulated):
    """`recordings(count, only=None)`: a manifest of so many sessions of one crop each, a face box in its middle."""

    def make(count, *, only=None, people=None):
        told = [one for one in simulated if only is None or one[2] == only]
        rng, rows = np.random.default_rng(0), []
        for index in range(count):
            crop, is_live, species = told[index % len(told)]
            seen = np.clip(crop + rng.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)
            wide = cv2.resize(seen, (270, 270), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / f"{index}.png"), wide[..., ::-1])
            label, species = ("live", "") if is_live else ("spoof", species)
            person = f"p{index % (people or count)}"
            rows.append((f"{index}.png", label, species, person, f"s{index}", "webcam", "dev", 85, 85, 185, 185))
        with (tmp_path / "list.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        return tmp_path / "list.csv"

    return make


def calibrate(path, output):
    policies = ["--live-policy", "eer", "--spoof-policy", "eer"]
    return main(["calibrate", "ratta-mnv3s-128", "--output", str(output), "--data", "manifest", str(path), *policies])


def profile(path, output, *options):
    return main(["calibrate", "ratta-mnv3s-128", "--output", str(output), "--live", str(path), *options])


def test_a_calibrated_model_tells_a_changed_camera(recordings, tmp_path, capsys):
    """From 100 sessions on its statistics hold drift, and an engine begins in band IN."""
    assert 0 == calibrate(recordings(160), tmp_path / "mine"), capsys.readouterr().err
    engine = ratta.load(tmp_path / "mine", adapt=True)
    assert {"space.basis", "space.mean", "space.prototypes", "drift.source", "drift.bounds"} == set(
        engine.bundle.statistics
    )
    assert "in" == engine.adapter.band


def test_too_few_sessions_for_drift_are_said(recordings, tmp_path, capsys):
    """The model is whole; adaptation takes every camera for changed."""
    assert 0 == calibrate(recordings(24), tmp_path / "mine"), capsys.readouterr().err
    assert "fewer than 100 sessions" in capsys.readouterr().out
    assert "adapt" == ratta.load(tmp_path / "mine", adapt=True).adapter.band


def test_a_profile_of_live_sessions_is_loaded_and_only_denies(recordings, tmp_path, capsys, textured):
    """The report names sessions, people and what is denied on people left out; the engine denies what is unlike."""
    assert 0 == profile(recordings(20, only="live", people=5), tmp_path / "door"), capsys.readouterr().err
    out = capsys.readouterr().out
    assert "20 live sessions of 5 people" in out
    assert "of the person left out" in out
    made_from = json.loads((tmp_path / "door" / "profile.json").read_text())["made_from"]
    assert (20, 5, "person") == (made_from["sessions"], made_from["people"], made_from["left_out"])
    plain, profiled = ratta.load(), ratta.load(profile=tmp_path / "door")
    box = (200, 100, 400, 340)
    answers = [engine.step(textured, t=0.0, box=box) for engine in (plain, profiled)]
    assert answers[1].live_score <= answers[0].live_score
    assert profiled.adapter.denying
    assert not profiled.adapter.learning


def test_attacks_among_live_sessions_are_an_error(recordings, tmp_path, capsys):
    """A profile of attacks would deny living people; nothing is written."""
    assert 2 == profile(recordings(16), tmp_path / "door")
    assert "live sessions and nothing else" in capsys.readouterr().err
    assert not (tmp_path / "door").exists()


def test_too_few_live_sessions_are_an_error(recordings, tmp_path, capsys):
    """Nine are not ten."""
    assert 2 == profile(recordings(9, only="live"), tmp_path / "door")
    assert "at least 10 live sessions, got 9" in capsys.readouterr().err


def labelled(path, output, *options):
    return main(["calibrate", "ratta-mnv3s-128", "--output", str(output), "--data", str(path), *options])


def test_labelled_sessions_make_a_profile_or_say_why_not(recordings, tmp_path, capsys):
    """Error rates on people left out stand in the report; what is written loads, else nothing is there."""
    status = labelled(recordings(42, people=7), tmp_path / "door", "--policy", "bpcer=0.1")
    out, err = capsys.readouterr()
    assert "7 people, each judged by a head made of the others" in out
    assert "policy bpcer=0.1" in out
    assert status in (0, 1)
    assert (status == 0) == (tmp_path / "door" / "profile.json").exists()
    if status == 0:
        assert "head.weight" in np.load(tmp_path / "door" / "profile.npz")
        ratta.load(profile=tmp_path / "door")
    else:
        assert "nothing written: " in err


def test_labelled_sessions_without_attacks_are_refused(recordings, tmp_path, capsys):
    """The sentence says what to do."""
    assert 2 == labelled(recordings(12, only="live"), tmp_path / "door")
    assert "record the missing class, or use --live" in capsys.readouterr().err
    assert 2 == labelled(recordings(20, people=1), tmp_path / "door")
    assert "3 or more people" in capsys.readouterr().err
