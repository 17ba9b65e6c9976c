"""`ratta info`: what a model is, for people and for programs."""

import json

import pytest

import ratta
from ratta.cli import main


@pytest.fixture
def folder(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("ratta.cli.info.read_detector", lambda: b"1234")
    return tmp_path / "tiny"


def test_the_facts_as_json(folder, tiny_bundle, capsys):
    """Identity, contract, thresholds with their origin, verified files, versions."""
    assert main(["info", "--model", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"]["sha256"] == tiny_bundle.sha256
    assert facts["contract"]["crops"] == [{"size": 64, "scale": 1.5, "border": "shift", "resize": "area"}]
    assert facts["calibration"]["origin"] == "a test"
    assert sorted(facts["files"]) == ["CARD.md", "model.onnx"]
    assert facts["files"]["CARD.md"]["bytes"] == 0
    assert facts["detector"] == {"blazeface-short-range/blazeface.onnx": {"bytes": 4}}
    assert facts["installed"]["ratta"] == ratta.__version__
    assert facts["runtimes"]["numpy"] == "available"


def test_the_facts_for_people(folder, tiny_bundle, capsys):
    """The same under headings."""
    assert main(["info", "--model", str(folder)]) == 0
    out = capsys.readouterr().out
    for part in (
        "model\n",
        "contract\n",
        "files, verified\n",
        "a test",
        tiny_bundle.sha256,
        "input.mean              0.0, 0.0, 0.0",
        "crops.1                 size 64, scale 1.5, border shift, resize area",
        "outputs.classes         spoof, live",
    ):
        assert part in out


def test_the_card(folder, capsys):
    """As it lies in the folder."""
    assert main(["info", "--model", str(folder), "--card"]) == 0
    assert capsys.readouterr().out == "\n"


def test_an_altered_file_is_status_2(folder, capsys):
    """And the line names it."""
    (folder / "CARD.md").write_text("better than it is")
    assert main(["info", "--model", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "CARD.md: expected" in err
    assert "reinstall the model" in err
