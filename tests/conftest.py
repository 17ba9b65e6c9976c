"""What several tests share: the shipped engine, a face, and frames that hold it."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.bundle import Calibration, Contract, write_bundle
from ratta.engine import Engine
from ratta.records import Box, Face


@pytest.fixture(scope="session")
def shipped():
    """The engine as users load it; tests that advance it reset it."""
    return ratta.load(runtime="onnxruntime" if find_spec("onnxruntime") else "numpy")


@pytest.fixture(scope="session")
def portrait():
    """NASA's public-domain portrait of Eileen Collins, (512, 512, 3) BGR, as the package ships it."""
    cv2 = pytest.importorskip("cv2")
    return cv2.imread(str(Path(ratta.__file__).parent / "camera" / "assets" / "astronaut.jpg"))


@pytest.fixture
def textured():
    """A frame without a face that passes every check of light and sharpness: warm, textured, (480, 640, 3) BGR."""
    rng = np.random.default_rng(7)
    noise = rng.integers(-40, 40, (480, 640, 1))
    return (np.array([110, 130, 170]) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def tiny_bundle(tmp_path):
    """A bundle around a graph that nobody runs."""
    return write_bundle(
        tmp_path / "tiny",
        name="tiny",
        version="1",
        licence="Apache-2.0",
        contract=Contract(size=64, crop_scale=1.5, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        calibration=Calibration(temperature=1.0, bias=0.0, live_threshold=0.6, spoof_threshold=0.4, origin="a test"),
        graph=b"",
        affine={},
        statistics={},
        card="",
    )


FACE = Box(200, 100, 400, 340)


class BrightIsLive:
    """A graph whose margin follows the brightness of the crop."""

    inputs = ("pixels",)
    outputs = ("logits", "embedding", "cut")

    def run(self, feeds):
        margin = 4.0 if feeds["pixels"].mean() > 120 else -4.0
        return (
            np.array([[0.0, margin]], np.float32),
            np.zeros((1, 576), np.float32),
            np.zeros((1, 96, 4, 4), np.float32),
        )


class FaceInTexture:
    """Finds a face in every frame that has some contrast."""

    def detect(self, frame, *, color="bgr"):
        return (Face(FACE, 0.9),) if frame.std() > 5 else ()


@pytest.fixture
def engine(tiny_bundle):
    return Engine(tiny_bundle, BrightIsLive(), detector=FaceInTexture())


@pytest.fixture
def frames(textured):
    """`frames(kind, count)`: that many frames of a live face, a spoof or no face, each a little different."""

    def make(kind, count):
        still = {"live": textured, "spoof": (textured * 0.6).astype(np.uint8), "none": np.full_like(textured, 90)}[kind]
        return [np.roll(still, i, axis=1) + np.uint8(i % 2) for i in range(count)]

    return make
