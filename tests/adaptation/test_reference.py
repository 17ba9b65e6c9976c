import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ratta.adaptation.drift import DriftReference
from ratta.adaptation.gate import GateLimits
from ratta.adaptation.guard import Canaries
from ratta.adaptation.reference import Reference
from ratta.adaptation.update import StemReference
from ratta.errors import InputError

WIDTH, HIDDEN, CHANNELS = 4, 3, 5


@pytest.fixture
def reference() -> Reference:
    """Numbers that float16 holds exactly, so that every array survives unchanged."""
    wide, narrow = np.arange(2.0 * WIDTH).reshape(2, WIDTH), np.arange(2.0 * HIDDEN).reshape(2, HIDDEN)
    return Reference(
        limits=GateLimits(live_above=2.0, spoof_below=-3.0, live_margin=0.5, spoof_margin=0.7, view_sd=0.3),
        prototypes=wide,
        variance=np.full(WIDTH, 0.5),
        precision=2 * np.eye(WIDTH),
        hidden_prototypes=narrow,
        hidden_precision=4 * np.eye(HIDDEN),
        wide_median=1.5,
        stem=StemReference(np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 2))),
        camera_mean=np.arange(CHANNELS, dtype=np.float64),
        camera_variance=np.ones(CHANNELS),
        fisher={"classifier.2.bias": np.array([0.5, 1.5], np.float32)},
        canaries=Canaries(np.ones((2, 2, 1, 1), np.float16), np.array(["live", "print"])),
        agreement=0.99,
        overturn_rate=0.01,
        drift=DriftReference(np.sort(np.random.default_rng(1).random((3, 50))), 1.0, 2.0, 3.0),
    )


def through_a_file(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Save and load as a bundle does: without pickles."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


def test_a_reference_survives_a_file(reference: Reference):
    """Every number comes back, in the precision that is worked with."""
    back = Reference.from_arrays(through_a_file(reference.to_arrays()))
    assert reference.limits == back.limits
    assert (1.5, 0.99, 0.01) == (back.wide_median, back.agreement, back.overturn_rate)
    for name in ("prototypes", "variance", "precision", "hidden_prototypes", "hidden_precision", "camera_mean"):
        assert (np.float64, getattr(reference, name).tolist()) == (
            getattr(back, name).dtype,
            getattr(back, name).tolist(),
        )
    assert reference.camera_variance.tolist() == back.camera_variance.tolist()
    assert reference.stem.mean.tolist() == back.stem.mean.tolist()
    assert reference.stem.log_variance.tolist() == back.stem.log_variance.tolist()
    assert {"classifier.2.bias": [0.5, 1.5]} == {name: value.tolist() for name, value in back.fisher.items()}
    assert reference.canaries.species.tolist() == back.canaries.species.tolist()
    assert reference.canaries.cuts.tolist() == back.canaries.cuts.tolist()
    assert reference.drift.source.tolist() == back.drift.source.tolist()
    assert (1.0, 2.0, 3.0) == (back.drift.trust_below, back.drift.refuse_above, back.drift.extreme_above)


def test_a_second_journey_loses_nothing_more(reference: Reference):
    """What float32 and float16 round is rounded once."""
    rough = replace(
        reference, prototypes=reference.prototypes / 3, fisher={"classifier.2.bias": np.array([1 / 3, 5 / 3])}
    )
    once = Reference.from_arrays(rough.to_arrays()).to_arrays()
    twice = Reference.from_arrays(once).to_arrays()
    assert all(np.array_equal(once[name], twice[name]) for name in once)


def test_what_the_rooms_are_given(reference: Reference):
    """Distances by hand: two steps from a prototype, times the square root of the precision."""
    nearness = reference.deep.nearness(
        reference.prototypes[1] + (2, 0, 0, 0), reference.hidden_prototypes[0] + (0, 2, 0)
    )
    assert pytest.approx((2 * math.sqrt(2), 4.0)) == (nearness.wide, nearness.narrow)
    assert reference.deep.wide_median == 1.5
    assert reference.statistics.mean is reference.camera_mean
    assert reference.statistics.prototypes is reference.prototypes


def test_every_array_is_needed(reference: Reference):
    """Each one that is missing is named; Fisher information alone may have any names."""
    arrays = reference.to_arrays()
    for name in arrays:
        if not name.startswith("fisher."):
            with pytest.raises(InputError, match=rf"'{name}'.*calibrate the model again"):
                Reference.from_arrays({other: value for other, value in arrays.items() if other != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guard", np.array([1.0, 0.9])),
        ("guard", np.array(1.0)),
        ("guard", np.array([1.0, 1.0, 0.1])),
        ("guard", np.array([1.0, 0.9, math.nan])),
        ("gate", np.array([2.0, -3.0])),
        ("gate", np.ones((5, 2))),
        ("gate", np.array([-3.0, 2.0, 0.5, 0.5, 0.3])),
        ("prototypes", np.ones((2, WIDTH + 1))),
        ("prototypes", np.ones((3, WIDTH))),
        ("prototypes", np.full((2, WIDTH), math.nan)),
        ("embedding_var", np.ones(WIDTH + 1)),
        ("embedding_precision", np.eye(WIDTH + 1)),
        ("hidden_precision", np.eye(HIDDEN + 1)),
        ("camera_variance", np.ones(CHANNELS + 1)),
        ("camera_mean", np.array(1.0)),
        ("stem_mean", np.ones((2, 3))),
        ("canary_species", np.array(["live", "live"])),
        ("drift.bounds", np.array([3.0, 2.0, 1.0])),
        ("embedding_var", np.array(["a"] * WIDTH)),
    ],
)
def test_an_array_that_does_not_fit_is_refused(reference: Reference, name: str, value: np.ndarray):
    """Wrong shapes and values are input errors that say what to do, never another library's exception."""
    with pytest.raises(InputError, match=r"reference: .*calibrate"):
        Reference.from_arrays(reference.to_arrays() | {name: value})


@pytest.mark.parametrize("rates", [{"agreement": 1.0}, {"overturn_rate": 0.0}])
def test_a_rate_of_nothing_or_everything_is_refused(reference: Reference, rates: dict[str, float]):
    """Such rates would make an exact test forbid everything, or nothing."""
    with pytest.raises(InputError, match=r"rates within \(0, 1\)"):
        replace(reference, **rates)
