import numpy as np
import pytest

from ratta.adaptation.drift import DriftReference, DriftSample
from ratta.errors import InputError

SOURCE = [DriftSample(10.0 + i, float(i)) for i in range(100)]


def test_bounds_are_percentiles_of_the_envelope_with_the_source():
    """The declared camera changes, not the source alone, say what is too far."""
    envelope = [DriftSample(200.0 + i, 0.0) for i in range(100)]
    reference = DriftReference.from_samples(SOURCE, envelope)
    assert (reference.trust_below, reference.refuse_above, reference.extreme_above) == (290.0, 298.0, 299.0)


def test_ranks_count_what_is_below_and_half_of_what_is_equal():
    """Below all, a tie with one, above all, of 100."""
    reference = DriftReference.from_samples(SOURCE, SOURCE)
    assert [0.5 / 101, (50 + 0.5 + 0.5) / 101] == reference.ranks(DriftSample(-1.0, 50.0)).tolist()
    assert [(50 + 0.5 + 0.5) / 101, 100.5 / 101] == reference.ranks(DriftSample(60.0, 1000.0)).tolist()


def test_mean_rank_of_the_reference_itself_is_one_half():
    """Ties and smoothing favour neither side."""
    samples = [DriftSample(1.0 + i % 3, float(i % 2)) for i in range(90)]
    reference = DriftReference.from_samples(samples, samples)
    means = np.mean([reference.ranks(sample) for sample in samples], axis=0)
    np.testing.assert_allclose(means, 0.5, rtol=1e-12)


def test_arrays_round_trip():
    """What a bundle stores is what was calibrated."""
    reference = DriftReference.from_samples(SOURCE, SOURCE)
    again = DriftReference.from_arrays(reference.to_arrays())
    np.testing.assert_array_equal(reference.source, again.source)
    assert (reference.trust_below, reference.extreme_above) == (again.trust_below, again.extreme_above)


@pytest.mark.parametrize(
    ("source", "envelope"),
    [(SOURCE[:49], SOURCE), (SOURCE, SOURCE[:49]), ([*SOURCE, DriftSample(np.nan, 1.0)], SOURCE)],
)
def test_too_few_or_broken_sessions_are_refused(source, envelope):
    """A reference that promises nothing is not made."""
    with pytest.raises(InputError):
        DriftReference.from_samples(source, envelope)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("drift.bounds"),
        lambda a: a.update({"drift.bounds": np.array([3.0, 2.0, 4.0])}),
        lambda a: a.update({"drift.bounds": np.array([1.0, 2.0])}),
        lambda a: a.update({"drift.source": a["drift.source"][:, ::-1]}),
        lambda a: a.update({"drift.source": a["drift.source"][:1]}),
    ],
)
def test_altered_arrays_are_refused(change):
    """Missing, unordered or unsorted arrays are errors at load."""
    arrays = DriftReference.from_samples(SOURCE, SOURCE).to_arrays()
    change(arrays)
    with pytest.raises(InputError):
        DriftReference.from_arrays(arrays)
