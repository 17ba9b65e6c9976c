"""Calibration: readings, temperature and thresholds."""

import numpy as np
import pytest

from ratta.calibration import SourceReadings, calibrate, fit_temperature, read_sources
from ratta.contract import Contract
from ratta.errors import DataError
from ratta.inference import Network


def readings(n=400, *, gap=2.0, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    is_live = np.arange(n) % 2 == 0
    species = np.where(is_live, "", np.where(np.arange(n) % 4 == 1, "print", "replay"))
    truth = rng.normal(np.where(is_live, gap / 2, -gap / 2), 1.0)
    return SourceReadings(
        margins=truth * scale,
        embeddings=rng.normal(is_live[:, None], 1.0, (n, 576)).astype(np.float32),
        is_live=is_live,
        species=species,
        subjects=np.array([f"s{i % 10}" for i in range(n)]),
        sessions=np.array([f"v{i // 4}" for i in range(n)]),
    )


def test_temperature_is_recovered():
    """Two unit Gaussians at +-gap/2 have log-odds gap * x, so margins of scale * x have temperature scale / gap."""
    source = readings(20000, gap=2.0, scale=3.0)
    temperature, bias = fit_temperature(source.margins, source.is_live, source.species)
    assert temperature == pytest.approx(3.0 / 2.0, rel=0.05)
    assert bias == pytest.approx(0.0, abs=0.05)


def test_thresholds_keep_their_policies():
    """On the development set the live threshold lets 5 % of attacks pass, the spoof threshold loses 2 % of live."""
    source = readings(4000)
    made = calibrate(source, origin="made by a test")
    scores = 1 / (1 + np.exp(-(source.margins / made.temperature + made.bias)))
    attacks = source.species == "print", source.species == "replay"
    assert max(np.mean(scores[a] >= made.live_threshold) for a in attacks) == pytest.approx(0.05, abs=0.002)
    assert np.mean(scores[source.is_live] < made.spoof_threshold) == pytest.approx(0.02, abs=0.002)
    assert "4000 crops of 10 subjects" in made.origin


def test_a_separated_set_gets_one_threshold_between():
    """Without overlap both thresholds meet between the classes, away from certainty."""
    made = calibrate(readings(gap=40.0), origin="made by a test")
    assert made.live_threshold == made.spoof_threshold
    assert 0.02 <= made.live_threshold <= 0.98


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_live": np.ones(400, bool)}, "live faces and attacks"),
        ({"margins": np.full(400, np.nan)}, "finite"),
        ({"species": np.array(["print"])}, "one length"),
    ],
)
def test_readings_are_checked(change, message):
    """One class alone, numbers that are none and arrays that do not match are errors."""
    good = readings()
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(DataError, match=message):
        SourceReadings(**(fields | change))


def test_a_swapped_class_order_is_found():
    """A network whose larger margins mean attack cannot be calibrated into a working one by accident."""
    source = readings(gap=-2.0)
    with pytest.raises(DataError, match="class order"):
        fit_temperature(source.margins, source.is_live, source.species)


def test_reading_sources_runs_the_graph():
    """Each labelled crop becomes one row."""

    class Graph:
        inputs, outputs = ("pixels",), ("logits", "embedding", "cut")

        def run(self, feeds):
            level = float(feeds["pixels"].mean())
            return np.array([[0.0, level]]), np.zeros((1, 576), np.float32), np.zeros((1, 96, 1, 1), np.float32)

    crops = [(np.full((32, 32, 3), v, np.uint8), v > 100, "" if v > 100 else "print", "a", "s") for v in (50, 150)]
    network = Network(Graph(), Contract.native(size=32))
    assert read_sources(network, crops).margins.tolist() == [50.0, 150.0]
    with pytest.raises(DataError, match="got none"):
        read_sources(network, [])
