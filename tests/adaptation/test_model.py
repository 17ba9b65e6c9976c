import math
from dataclasses import replace

import numpy as np
import pytest

from ratta.adaptation.guard import SOURCE, Snapshot
from ratta.adaptation.model import SourceModel
from ratta.adaptation.update import Correction, Stem
from ratta.assembly import OneCrop
from ratta.errors import InputError
from ratta.inference import Network, OrtSession
from ratta.inference.backward import Tail
from ratta.inference.graph import patched, read_graph


@pytest.fixture(scope="module")
def model(shipped) -> SourceModel:
    """The shipped model, made of what its bundle holds."""
    bundle = shipped.bundle
    graph, calibration = read_graph(bundle.graph), bundle.calibration
    weight = graph.weight("features.0.weight", (None, 3, 3, 3))
    bias = graph.weight("features.0.bias", (len(weight),))
    stem = Stem(weight, bias, mean=(0, 0, 0), std=(1, 1, 1))  # the graph's weights take raw pixels

    def open_network(weights):
        session = OrtSession(patched(bundle.graph, weights))
        return OneCrop(Network(session, bundle.contract, temperature=calibration.temperature, bias=calibration.bias))

    return SourceModel(
        network=open_network({}),
        open_network=open_network,
        stem=stem,
        tail=Tail(bundle.graph, bundle.affine),
        size=bundle.contract.size,
        temperature=calibration.temperature,
        bias=calibration.bias,
        threshold_logit=0.0,
    )


@pytest.fixture(scope="module")
def probe(model) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (model.size, model.size, 3), dtype=np.uint8)


def late_of(model: SourceModel) -> dict[str, np.ndarray]:
    """A head that leans towards live by one logit more."""
    bias = model.tail.source["classifier.2.bias"].copy()
    bias += (-0.5, 0.5)
    return {"classifier.2.bias": bias}


def test_the_source_opens_as_itself(model, probe):
    """With nothing in force every bit of the answer is the source's."""
    reading, source = model.open(SOURCE, probe).read(probe), model.network.read(probe)
    assert source.live_logit == reading.live_logit
    assert np.array_equal(source.embedding, reading.embedding)


def test_a_late_change_is_in_force(model, probe):
    """One logit more is 1 / temperature in log-odds; the cut stays as it was."""
    reading, source = model.open(Snapshot(late=late_of(model)), probe).read(probe), model.network.read(probe)
    assert pytest.approx(1 / model.temperature, abs=1e-4) == reading.live_logit - source.live_logit
    assert np.array_equal(source.cut, reading.cut)


def test_an_early_correction_is_in_force(model, probe):
    """A correction that takes back a change of light brings the first layer's answer to the source's.

    Half the contrast around mid-grey halves every channel's distance from what mid-grey gives; doubling that distance
    is the exact answer, but for the frame's padded edge and rounding to whole levels.
    """
    even = (probe // 2 * 2).astype(np.uint8)
    dull = (64 + even // 2).astype(np.uint8)
    grey = model.stem.moments(np.full_like(even, 128)).mean.astype(np.float64)
    undo = Correction(scale=np.full(len(grey), 2.0), shift=-grey)
    source = model.network.read(even).embedding
    network = model.open(Snapshot(early=undo), dull)
    before = np.linalg.norm(model.network.read(dull).embedding - source)
    assert np.linalg.norm(network.read(dull).embedding - source) < 0.2 * before


def test_a_network_that_does_not_answer_as_it_must_is_dropped(model, probe):
    """One that opened with other weights than asked for, and one that answers with no number."""
    deaf = replace(model, open_network=lambda weights: model.network)
    with pytest.raises(InputError, match="it is dropped"):
        deaf.open(Snapshot(late=late_of(model)), probe)
    numb = Snapshot(late={"classifier.2.bias": np.array([0.0, math.nan], np.float32)})
    with pytest.raises(InputError, match="it is dropped"):
        model.open(numb, probe)
    loud = Snapshot(late={"classifier.2.bias": np.array([0.0, math.inf], np.float32)})
    with pytest.raises(InputError, match="it is dropped"):
        model.open(loud, probe)


def test_opening_leaves_the_source_as_it_was(model, probe):
    """Parameters and answers of the source are the same bits before and after."""
    parameters = {name: value.copy() for name, value in model.tail.source.items()}
    before = model.network.read(probe).live_logit
    model.open(Snapshot(late=late_of(model)), probe)
    assert before == model.network.read(probe).live_logit
    assert all(np.array_equal(value, model.tail.source[name]) for name, value in parameters.items())
