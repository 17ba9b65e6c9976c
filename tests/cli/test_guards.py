"""Every command that writes: what it reads is never written over, whatever it is called."""

import json
import os

import cv2
import numpy as np
import pytest

from ratta.bench import main as bench
from ratta.bundle import DEFAULT_MODEL, find_bundle
from ratta.cli import main


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "portrait.png"
    path.write_bytes(cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))[1].tobytes())
    return path


@pytest.fixture
def model(tmp_path):
    """A copy of the shipped model's folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in find_bundle(DEFAULT_MODEL).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(arguments, folder, capsys, *, run=main, message="would be overwritten"):
    before = everything(folder)
    assert run(list(map(str, arguments))) == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert error.count("\n") == 1
    assert before == everything(folder)


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_simulate(picture, tmp_path, capsys, how):
    """A sheet over its portrait; a folder in which a frame's name leads back to it."""
    refused(["simulate", "--image", picture, "--output", picture], tmp_path, capsys)
    (tmp_path / "out").mkdir()
    how(picture, tmp_path / "out" / "live-0003.png")
    refused(["simulate", "--image", picture, "--output", tmp_path / "out"], tmp_path, capsys)


def test_demo(model, tmp_path, capsys):
    """Results in the folder of the model that is shown."""
    refused(["demo", "--model", model, "--output", model], tmp_path, capsys)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sheet.png").symlink_to(model / "model.onnx")
    refused(["demo", "--model", model, "--output", tmp_path / "out"], tmp_path, capsys)


def test_calibrate(model, tmp_path, capsys):
    """A model over itself, over its data, over its card."""
    data = tmp_path / "data"
    data.mkdir()
    command = ["calibrate", model, "--data", "folder", data, "--output"]
    refused([*command, model], tmp_path, capsys)
    refused([*command, data], tmp_path, capsys)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "CARD.md").write_text("mine")
    refused([*command, tmp_path / "out", "--card", tmp_path / "out" / "CARD.md"], tmp_path, capsys)


def test_sweep_and_eval(tmp_path, capsys):
    """Results beside the file that asks for them, under its own name."""
    for command, name in (("sweep", "sweep.json"), ("sweep", "sweep.md")):
        (tmp_path / name).write_text(json.dumps({"model": DEFAULT_MODEL}) if name.endswith("json") else "x = 1")
        refused([command, tmp_path / name, "--output", tmp_path], tmp_path, capsys)


def test_bench(model, tmp_path, capsys):
    """A result over a calibration file, another result, a graph, the model."""
    for name in ("watts.json", "a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    for arguments, output in (
        (["--watts", tmp_path / "watts.json"], tmp_path / "watts.json"),
        (["--compare", tmp_path / "a.json", tmp_path / "b.json"], tmp_path / "b.json"),
        (["--model", model], model / "model.onnx"),
        (["--swap", model / "model.onnx"], model / "model.onnx"),
        (["--model", model], model / "affine.npz"),
    ):
        refused([*arguments, "--json", output], tmp_path, capsys, run=bench)


def test_export_and_wrap(model, tmp_path, capsys):
    """A checkpoint that is called as what comes of it; a network in the folder that is written."""
    refused(["export", model / "model.onnx", "--output", model], tmp_path, capsys)
    wrapping = ["wrap", model / "model.onnx", "--crop-scale", "1.5", "--licence", "x", "--output"]
    refused([*wrapping, model], tmp_path, capsys)


def test_train(picture, tmp_path, capsys):
    """Checkpoints in the folder of the portraits or of the teachers; a table over the experiment that asks for it."""
    pytest.importorskip("torch")
    (tmp_path / "teacher.pth").write_bytes(b"x")
    distil = ["train", "--portraits", tmp_path, "--teachers", tmp_path / "teacher.pth", "--output"]
    refused([*distil, tmp_path], tmp_path, capsys)


@pytest.mark.parametrize("option", ["--json", "--journal", "--output"])
def test_devices_and_pipes_are_left_alone(picture, tmp_path, capsys, option):
    """Also where they are called like a picture."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    (tmp_path / "folder.png").mkdir()
    for name, kind in (("pipe.png", "a pipe"), ("null.png", "a device"), ("folder.png", "a folder")):
        run = ["run", "--image", picture, option, tmp_path / name]
        refused(run, tmp_path, capsys, message=f"got {kind}")
    refused(["run", "--image", picture, option, picture / "x.png"], tmp_path, capsys, message="expected a folder")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--source", "p.png", "--json", ""],
        ["run", "--source", "p.png", "--model="],
        ["demo", "--camera", " "],
        ["simulate", "--image", "", "--output", "x.png"],
        ["verify", ""],
        ["info", "--model", ""],
        ["calibrate", "x", "--data", "folder", "", "--output", "y"],
    ],
)
def test_an_empty_argument_of_any_command(arguments, capsys, tmp_path, monkeypatch):
    """An unset variable is no default."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert "expected a value, got an empty one; is a variable unset?" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())
