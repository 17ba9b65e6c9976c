"""A toy model whose every number can be reckoned by hand.

A crop is of one colour: red / 16 and green / 16 are its cut feature, its embedding, and (10 more) its hidden feature;
the logits are the hidden feature and 1. So the log-odds of a crop (spoof, live) are `live - spoof`.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ratta.adaptation.drift import DriftReference
from ratta.adaptation.gate import GateLimits
from ratta.adaptation.guard import Canaries
from ratta.adaptation.kept import Attempt, Kept
from ratta.adaptation.model import SourceModel
from ratta.adaptation.reference import Reference
from ratta.adaptation.update import Moments, Stem, StemReference
from ratta.errors import InputError
from ratta.records import Reading

SIZE = 4
SOURCE = {
    "features.12.gamma": np.ones(2, np.float32),
    "features.12.beta": np.zeros(2, np.float32),
    "classifier.0.weight": np.eye(2, dtype=np.float32),
    "classifier.0.bias": np.full(2, 10, np.float32),  # far up where hardswish is the identity
    "classifier.2.weight": np.eye(2, dtype=np.float32),
    "classifier.2.bias": np.ones(2, np.float32),
}
PROTOTYPES = np.array([[5.0, 2.0], [2.0, 5.0]])


class ToyTail:
    """Affine, linear, linear; as picky about shapes as the real one."""

    def __init__(self) -> None:
        self.source = {name: value.copy() for name, value in SOURCE.items()}

    def forward(self, cuts: np.ndarray, p: Any) -> SimpleNamespace:
        if cuts.ndim != 4 or cuts.shape[1:] != (2, 1, 1):
            raise InputError(f"tail.forward: expected (N, 2, 1, 1), got {cuts.shape}")
        x = cuts[:, :, 0, 0]
        embedding = x * p["features.12.gamma"] + p["features.12.beta"]
        hidden = embedding @ p["classifier.0.weight"].T + p["classifier.0.bias"]
        logits = hidden @ p["classifier.2.weight"].T + p["classifier.2.bias"]
        return SimpleNamespace(logits=logits, x=x, embedding=embedding, hidden=hidden, parameters=p)

    def backward(self, trace: Any, dlogits: np.ndarray, into: dict[str, Any] | None) -> dict[str, Any]:
        into = {} if into is None else into
        dhidden = dlogits @ trace.parameters["classifier.2.weight"]
        dembedding = dhidden @ trace.parameters["classifier.0.weight"]
        for name, value in (
            ("classifier.2.weight", dlogits.T @ trace.hidden),
            ("classifier.2.bias", dlogits.sum(0)),
            ("classifier.0.weight", dhidden.T @ trace.embedding),
            ("classifier.0.bias", dhidden.sum(0)),
            ("features.12.gamma", (dembedding * trace.x).sum(0)),
            ("features.12.beta", dembedding.sum(0)),
        ):
            into[name] = into.get(name, 0) + value
        return into

    def fold(self, parameters: Any) -> dict[str, np.ndarray]:
        return dict(parameters)


@dataclass
class ToyNetwork:
    """The graph with other weights in force; counts what it is asked."""

    weights: dict[str, np.ndarray]
    asked: int = 0

    def read(self, pixels: np.ndarray) -> Reading:
        self.asked += 1
        scale = self.weights.get("features.0.weight", np.ones((2, 3, 3, 3)))[:, 0, 0, 0]
        cut = pixels.mean((0, 1))[:2] / 16 * scale + self.weights.get("features.0.bias", np.zeros(2))
        trace = ToyTail().forward(cut.astype(np.float32)[None, :, None, None], {**SOURCE, **self.weights})
        [spoof, live] = trace.logits[0]
        return Reading(trace.logits[0], trace.embedding[0], cut.astype(np.float32)[:, None, None], float(live - spoof))


class Toy:
    """Model, reference, and frames for them."""

    def __init__(self) -> None:
        self.model = SourceModel(
            network=ToyNetwork({}),
            open_network=lambda weights: ToyNetwork(dict(weights)),
            stem=Stem(np.ones((2, 3, 3, 3), np.float32), np.zeros(2, np.float32), mean=(0, 0, 0), std=(1, 1, 1)),
            tail=ToyTail(),
            size=SIZE,
            temperature=1.0,
            bias=0.0,
            threshold_logit=0.0,
        )
        kinds = {"live": (2.0, 5.0), "print": (5.0, 2.0), "replay": (4.0, 3.0)}
        species = np.repeat(list(kinds), (20, 10, 9))
        self.reference = Reference(
            limits=GateLimits(live_above=2.0, spoof_below=-2.0, live_margin=0.5, spoof_margin=0.5, view_sd=0.5),
            prototypes=PROTOTYPES,
            variance=np.ones(2),
            precision=np.eye(2),
            hidden_prototypes=PROTOTYPES + 10,
            hidden_precision=np.eye(2),
            wide_median=1.0,
            stem=StemReference(PROTOTYPES.copy(), np.zeros((2, 2))),
            camera_mean=np.zeros(4),
            camera_variance=np.ones(4),
            fisher={name: np.ones_like(value) for name, value in SOURCE.items()},
            canaries=Canaries(np.array([kinds[s] for s in species], np.float16)[:, :, None, None], species),
            agreement=0.99,
            overturn_rate=0.01,
            drift=DriftReference(np.sort(np.random.default_rng(1).random((3, 50))), 1.0, 2.0, 3.0),
        )

    def kept(self, spoof: float, live: float) -> Kept:
        """A frame that the source answered, with its moments."""
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        pixels[:, :, 0], pixels[:, :, 1] = round(16 * spoof), round(16 * live)
        moments = Moments(np.array([spoof, live], np.float32), np.ones(2, np.float32))
        return Kept(pixels, 0.0, 0, {0: self.model.network.read(pixels)}, moments)

    def frame(self, *, is_live: bool, camera: float = 0.0) -> Kept:
        """A frame at its class's prototype, seen by a camera that adds as much to both features."""
        spoof, live = PROTOTYPES[int(is_live)] + camera
        return self.kept(spoof, live)

    def attempt(self, number: int, *frames: Kept, confirmed: bool | None = None) -> Attempt:
        return Attempt(number, max_frames=16, min_gap_s=0.0, confirmed=confirmed, frames=list(frames))


def run(work: Any) -> tuple[Any, list[Any]]:
    """Do all the work; give the result, and the steps that were announced."""
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return end.value, steps


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture(name="run")
def run_fixture() -> Any:
    return run
