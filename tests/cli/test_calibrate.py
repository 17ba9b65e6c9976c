"""`ratta calibrate --adapt`: from sessions and the same sessions before other cameras to a model that may adapt."""

import csv

import numpy as np
import pytest
from ratta.adaptation.reference import Reference

import ratta
from ratta.cli import main

cv2 = pytest.importorskip("cv2")


@pytest.fixture
def recordings(tmp_path, simulated):
    """`recordings(count)`: a manifest of so many sessions of one crop each, a face box in its middle.

    Without the one print that the shipped model takes for live: a gate lets nobody teach where classes overlap.
    """
    told = [one for index, one in enumerate(simulated) if index != 1]

    def make(count):
        names = "path label species subject session camera split x_min y_min x_max y_max".split()  # noqa: SIM905
        rng = np.random.default_rng(0)
        rows = []
        for index in range(count):
            crop, is_live, species = told[index % len(told)]
            seen = np.clip(crop + rng.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)
            wide = cv2.resize(seen, (270, 270), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / f"{index}.png"), wide[..., ::-1])
            label, species = ("live", "") if is_live else ("spoof", species)
            rows.append((f"{index}.png", label, species, f"p{index}", f"s{index}", "webcam", "dev", 85, 85, 185, 185))
        with (tmp_path / "list.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([names, *rows])
        return tmp_path / "list.csv"

    return make


def arguments(path, output):
    policies = ["--live", "eer", "--spoof", "eer", "--adapt"]
    return ["calibrate", "ratta-mnv3s-128", "--output", str(output), "--data", "manifest", str(path), *policies]


@pytest.mark.usefixtures("few_changes")
def test_a_model_calibrated_for_adaptation_adapts(recordings, tmp_path, capsys):
    """The reference is in the folder, tones too, and an engine takes it up."""
    assert 0 == main(arguments(recordings(160), tmp_path / "mine")), capsys.readouterr().err
    engine = ratta.load(tmp_path / "mine", adapt=True)
    assert engine.adapter is not None
    reference = Reference.from_arrays(engine.bundle.statistics)
    assert reference.tones is not None
    assert {"print", "replay"} == set(reference.tones.species.tolist())
    assert engine.idle(0.0)


def test_too_few_sessions_are_said(recordings, tmp_path, capsys):
    """A reference of a handful of sessions would promise what it cannot keep."""
    assert 2 == main(arguments(recordings(24), tmp_path / "mine"))
    assert "at least 50 sessions" in capsys.readouterr().err
