"""What several tests share: the shipped engine, a face, and frames that hold it."""

import os
from dataclasses import replace
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.bundle import DEFAULT_MODEL, Calibration, find_bundle, read_bundle, write_bundle
from ratta.contract import Contract
from ratta.engine import Engine
from ratta.records import Box, Face

if find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # Always the same examples, and few; `make fuzz` asks for many, each time others.
    usual = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    many = int(os.environ.get("RATTA_FUZZ", "0"))
    settings.register_profile("plain", derandomize=True, max_examples=60, **usual)
    settings.register_profile("long", max_examples=many or 1, **usual)
    settings.load_profile("long" if many else "plain")


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
        contract=Contract.native(size=64, scales=(1.5,), std=1.0),
        calibration=Calibration(temperature=1.0, bias=0.0, live_threshold=0.6, spoof_threshold=0.4, origin="a test"),
        graph=b"",
        affine={},
        statistics={},
        card="",
    )


FACE = Box(200, 100, 400, 340)


@pytest.fixture(scope="session")
def simulated():
    """Eight simulated captures of the portrait before one camera: (crop, is_live, species), in turn."""
    pytest.importorskip("cv2")
    from ratta.camera.scenes import FACE as PORTRAIT_FACE
    from ratta.camera.scenes import PORTRAIT
    from ratta.media.picture import read_picture
    from ratta.simulate import Session, crop_face, cut_out

    person = cut_out(np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1]), PORTRAIT_FACE)
    found = []
    for seed, species in enumerate(("live", "print", "live", "replay") * 2):
        rng = np.random.default_rng(seed)
        session = Session(
            cutout=person, species=species, camera="phone-2019", rng=rng, height=176, width=176, face_px=60
        )
        shot = session.frame(0.0)
        found.append((crop_face(shot.rgb, shot.box, scale=2.7, size=128), species == "live", species))
    return found


@pytest.fixture(scope="session")
def played(simulated):
    """`played(seed, change)`: endless sessions (crops (frames, S, S, 3), is_live, species), each lit differently."""
    from ratta.simulate import change_crops

    def play(seed, *, change=None, frames=1):
        rng = np.random.default_rng(seed)
        for index in count():
            crop, is_live, species = simulated[index % len(simulated)]
            light = rng.uniform(0.93, 1.07, (frames, 1, 1, 1)) * crop + rng.normal(0, 2, (frames, *crop.shape))
            crops = light.clip(0, 255).astype(np.uint8)
            yield (crops if change is None else change_crops(crops, change, seed=index)), is_live, species

    return play


@pytest.fixture(scope="session")
def adaptable(tmp_path_factory, played):
    """Folder of the shipped model with a reference of the source from a few such sessions: enough to run, no more."""
    from ratta.calibration import read_sources, source_reference, with_statistics
    from ratta.inference import Network, OrtSession

    def samples(sessions):
        for index, (crops, is_live, species) in enumerate(sessions):
            yield crops[0], is_live, "" if is_live else species, "somebody", f"s{index}"

    bundle = read_bundle(find_bundle(DEFAULT_MODEL))
    bundle = replace(bundle, contract=Contract.native(size=128))
    network = Network(OrtSession(bundle.graph), bundle.contract)
    source, changed = (
        read_sources(network, samples(islice(sessions, count)))
        for sessions, count in ((played(1), 104), (played(2, change="cast-mild"), 52))
    )
    folder = tmp_path_factory.mktemp("adaptable")
    with_statistics(folder, bundle, source_reference(source, changed, bundle.calibration))
    return folder


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
