"""What several tests share: the shipped engine, a face, and frames that hold it."""

from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.bundle import Calibration, Contract, write_bundle


@pytest.fixture(scope="session")
def shipped():
    """The engine as users load it; tests that advance it reset it."""
    return ratta.load()


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
