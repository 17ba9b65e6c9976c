"""`ratta export` and `ratta calibrate`: from a checkpoint to a model folder that loads without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ratta.bundle import read_bundle
from ratta.calibration import read_parts
from ratta.cli import main
from ratta.inference import Network, OrtSession

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("pydantic")
cv2 = pytest.importorskip("cv2")

LOADS = """
import sys
for name in ("torch", "onnx", "cv2", "pydantic", "optuna"):
    sys.modules[name] = None
import numpy as np
import ratta
engine = ratta.load(sys.argv[1])
print(engine.bundle.name, engine.score(np.zeros((64, 64, 3), np.uint8)).reason)
"""


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A network that calls bright crops live, as a labelled run would save it."""
    from ratta.train.network import MobileNetV3Small
    from ratta.train.teachers import save_network

    torch.manual_seed(0)
    network = MobileNetV3Small().train()
    with torch.no_grad():  # normalisations that have seen something: the logits are then more than rounding
        for _ in range(8):
            network(torch.rand(8, 3, 64, 64))
        network.classifier[-1].weight.mul_(20)
    network.eval()
    state = save_network(network, size=64, crop_scale=1.5, seed=0)
    assert "mobilenet-v3-small" == state["network"]
    torch.save(state, tmp_path / "best.pt")
    return tmp_path / "best.pt"


@pytest.fixture
def recordings(tmp_path) -> Path:
    """Four people with a face box, live and printed, one picture each: warm and textured."""
    rng = np.random.default_rng(0)
    lines = ["path,label,species,subject,session,camera,split,x_min,y_min,x_max,y_max"]
    for person in range(4):
        for kind in ("live", "spoof"):
            noise = rng.integers(-40, 40, (160, 160, 1)) if kind == "live" else rng.integers(-20, 60, (160, 160, 3))
            name = f"{person}-{kind}.png"
            cv2.imwrite(str(tmp_path / name), (np.array([110, 130, 170]) + noise).clip(0, 255).astype(np.uint8))
            species = "print" if kind == "spoof" else ""
            lines.append(f"{name},{kind},{species},p{person},{name},webcam,dev,40,40,120,120")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "list.csv"


def turn_round(checkpoint: Path) -> None:
    """Swap the two logits."""
    state = torch.load(checkpoint, weights_only=True)
    for name in ("classifier.2.weight", "classifier.2.bias"):
        state["ema"][name] = state["ema"][name].flip(0)
    torch.save(state, checkpoint)


def test_from_checkpoint_to_a_model_that_loads(checkpoint, recordings, tmp_path, capsys) -> None:
    """Parity, size and time are said; the calibrated folder loads where torch, onnx and OpenCV are absent."""
    exported, model = tmp_path / "exported", tmp_path / "mine"
    assert 0 == main(["export", str(checkpoint), "--output", str(exported), "--count", "4"])
    out = capsys.readouterr().out
    assert "964,066 parameters" in out
    assert "ONNX Runtime on 4 crops" in out
    assert "n/a" not in out
    facts = json.loads((exported / "facts.json").read_text())
    assert (64, 1.5, 4) == (facts["input"]["size"], facts["crop_scale"], facts["export_crops"])
    arguments = ["calibrate", str(exported), "--output", str(model), "--data", "manifest", str(recordings)]
    arguments += ["--live-policy", "eer", "--spoof-policy", "eer"]
    status = main(arguments)
    if status == 2:  # random weights call one class live or the other; the wrong way round is refused
        assert "expected larger margins for live" in capsys.readouterr().err
        assert not (model / "bundle.json").exists()
        turn_round(checkpoint)
        assert 0 == main(["export", str(checkpoint), "--output", str(exported), "--count", "4"])
        assert 0 == main(arguments)
    out = capsys.readouterr().out
    bundle = read_bundle(model)
    assert ("mine", 64, 1.5) == (bundle.name, bundle.contract.size, *bundle.contract.scales)
    assert "manifest, split dev; 8 crops of 4 subjects; live eer, spoof eer" == bundle.calibration.origin
    assert "## Calibration of this copy" in bundle.card
    assert 576 == bundle.statistics["space.mean"].size
    assert "AUC of the network on these 8 crops of 4 people" in out
    found = subprocess.run([sys.executable, "-c", LOADS, str(model)], capture_output=True, text=True, check=False)
    assert ("", 0) == (found.stderr, found.returncode)
    assert found.stdout.startswith("mine ")


def test_the_other_networks_become_models_too(tmp_path, capsys) -> None:
    """It has no tail to train, and becomes a model folder like any other."""
    from ratta.train.network import MobileNetV2
    from ratta.train.teachers import save_network

    torch.save(save_network(MobileNetV2(), size=32), tmp_path / "best.pt")
    assert 0 == main(["export", str(tmp_path / "best.pt"), "--output", str(tmp_path / "x"), "--count", "2"])
    assert "2,226,434 parameters" in capsys.readouterr().out
    parts = read_parts(str(tmp_path / "x"))
    assert (("logits", "embedding"), {}) == (parts.contract.outputs.names, parts.affine)
    network = Network(OrtSession(parts.graph), parts.contract)
    assert (1280,) == network.read((np.zeros((32, 32, 3), np.uint8),)).embedding.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "none.pt", "--output", "x"], "none.pt: expected a checkpoint"),
        (["calibrate", "none", "--output", "x", "--data", "folder", "y"], "model: expected a folder with bundle.json"),
        (["calibrate", "ratta-mnv3s-128", "--output", "x", "--data", "tape", "y"], "--data: expected one of simulated"),
        (["calibrate", "ratta-mnv3s-128", "--output", "x", "--data", "folder", "y"], "expected the folder y with"),
    ],
)
def test_what_does_not_fit(arguments, message, capsys, tmp_path, monkeypatch) -> None:
    """Errors of one line, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert 2 == main(arguments)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
