"""Make the files that ncnn and LiteRT need: ratta's network with float input, converted with their own tools.

Weights are random: they do not change the time. Needs torch here, `pnnx` (pip install pnnx) for ncnn, and `onnx2tf`
(pip install onnx2tf) for LiteRT, each of which may live in an environment of its own::

    python bench/peers_convert.py OUT --pnnx VENV/bin/pnnx --onnx2tf VENV/bin/onnx2tf
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ratta.train.network import MobileNetV3Small

SIZE = 128


class Logits(nn.Module):
    """The network with nothing but its logits as output."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MobileNetV3Small().eval()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x).logits
        return logits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pnnx", default="pnnx")
    parser.add_argument("--onnx2tf", default="onnx2tf")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(Logits(), (torch.zeros(1, 3, SIZE, SIZE),), str(folder / "network.onnx"), dynamo=False)
        # onnx2tf compares its result on a picture, which it would download if it did not lie there.
        pictures = np.random.default_rng(0).random((20, SIZE, SIZE, 3), np.float32)
        np.save(folder / f"calibration_image_sample_data_20x{SIZE}x{SIZE}x3_float32.npy", pictures)
        shape = f"inputshape=[1,3,{SIZE},{SIZE}]"
        made = [
            _convert([arguments.pnnx, "network.onnx", shape, "fp16=0"], folder),
            _convert([arguments.onnx2tf, "-i", "network.onnx", "-o", "tflite"], folder),
        ]
        for pattern, target in (("*.ncnn.param", "model.ncnn.param"), ("*.ncnn.bin", "model.ncnn.bin")):
            _keep(sorted(folder.glob(pattern)), arguments.out / target)
        _keep(sorted(folder.glob("tflite/*float32.tflite")), arguments.out / "model.tflite")
    return 0 if all(made) else 1


def _convert(command: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except OSError as error:
        print(f"SKIPPED {command[0]}: {error.strerror}", file=sys.stderr)
        return False
    if done.returncode:
        print(f"FAILED {command[0]}: {(done.stderr or done.stdout)[-500:]}", file=sys.stderr)
    return done.returncode == 0


def _keep(found: list[Path], target: Path) -> None:
    if found:
        shutil.copyfile(found[0], target)
        print(target.name)


if __name__ == "__main__":
    sys.exit(main())
