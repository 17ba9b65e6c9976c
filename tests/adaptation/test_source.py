import io

import numpy as np
import pytest

from ratta.adaptation.drift import DriftReference, DriftSample
from ratta.adaptation.source import DIRECTIONS, SourceReference, Space
from ratta.errors import InputError

COVARIANCE = np.diag([4.0, 1.0, 0.25])
OLD = {
    "prototypes": np.array([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]),
    "embedding_precision": np.linalg.inv(COVARIANCE),
    "drift.source": np.zeros((3, 50)),  # three statistics, as version 0.5.0 had
}


def through_a_file(arrays):
    """Save and load as a bundle does: without pickles."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


def calibrated() -> SourceReference:
    samples = [DriftSample(1.0 + i, i / 60) for i in range(60)]
    return SourceReference(
        Space.of_covariance(np.array([1.0, 2.0, 3.0]), COVARIANCE),
        np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]),
        DriftReference.from_samples(samples, samples),
    )


def test_a_projection_by_hand():
    """`basis (e - mean)`, for one embedding and for several, in float64."""
    space = Space(np.array([1.0, 2.0], np.float32), np.array([[2.0, 0.0], [1.0, 1.0]], np.float32))
    assert [4.0, 4.0] == space.project(np.array([3.0, 4.0], np.float32)).tolist()
    both = space.project(np.array([[3.0, 4.0], [1.0, 2.0]], np.float32))
    assert ([[4.0, 4.0], [0.0, 0.0]], np.float64) == (both.tolist(), both.dtype)
    assert (2, 2) == (space.directions, space.width)


def test_the_space_of_a_covariance_is_whitened():
    """Embeddings of that covariance have the identity as the covariance of `z`, in the order of their spread."""
    space = Space.of_covariance(np.zeros(3), COVARIANCE)
    basis = space.basis.astype(float)
    np.testing.assert_allclose(basis @ COVARIANCE @ basis.T, np.eye(3), atol=1e-6)
    assert ([0.5, 1.0, 2.0], True) == (np.abs(basis).max(axis=1).tolist(), space.whitened)


def test_the_leading_directions_are_kept():
    """Of three at most two, and of a singular covariance those that vary."""
    assert [0.5, 1.0] == np.abs(Space.of_covariance(np.zeros(3), COVARIANCE, most=2).basis).max(axis=1).tolist()
    assert 2 == Space.of_covariance(np.zeros(3), np.diag([1.0, 0.0, 2.0])).directions
    assert DIRECTIONS == Space.of_covariance(np.zeros(80), np.eye(80)).directions


def test_the_space_of_a_network_of_which_nothing_is_known():
    """Few dimensions are taken as they are; many are projected, orthonormally and always alike."""
    assert np.eye(5).tolist() == Space.unknown(5).basis.tolist()
    wide = Space.unknown(100)
    assert (DIRECTIONS, 100, False) == (wide.directions, wide.width, wide.whitened)
    np.testing.assert_allclose(wide.basis @ wide.basis.T, np.eye(DIRECTIONS), atol=1e-5)
    assert wide.basis.tobytes() == Space.unknown(100).basis.tobytes()


def test_projecting_leaves_the_embedding_alone():
    """It may be read-only, and the same embedding gives the same `z`."""
    embedding = np.arange(100, dtype=np.float32)
    before = embedding.copy()
    embedding.setflags(write=False)
    space = Space.unknown(100)
    assert space.project(embedding).tobytes() == space.project(embedding).tobytes()
    assert before.tolist() == embedding.tolist()


@pytest.mark.parametrize(
    ("mean", "basis"),
    [
        (np.zeros(3), np.eye(2)),
        (np.zeros(2), np.zeros(2)),
        (np.zeros((1, 2)), np.eye(2)),
        (np.array([0.0, np.nan]), np.eye(2)),
        (np.zeros(2), np.array([[1.0, np.inf], [0.0, 1.0]])),
    ],
)
def test_a_space_that_does_not_fit_is_refused(mean, basis):
    """Shapes and numbers are checked where they come in."""
    with pytest.raises(InputError, match="space: expected"):
        Space(mean.astype(np.float32), basis.astype(np.float32))


def test_a_reference_survives_a_file():
    """What a bundle stores is what was calibrated."""
    reference = calibrated()
    back = SourceReference.from_arrays(through_a_file(reference.to_arrays()), width=3)
    assert reference.space.basis.tobytes() == back.space.basis.tobytes()
    assert reference.space.mean.tobytes() == back.space.mean.tobytes()
    assert (reference.prototypes.tolist(), np.float64) == (back.prototypes.tolist(), back.prototypes.dtype)
    assert reference.drift.source.tobytes() == back.drift.source.tobytes()
    assert back.space.whitened


def test_a_bundle_without_statistics_can_have_anchors():
    """Nothing is known but the width; nothing is stored of it either."""
    reference = SourceReference.from_arrays({}, width=7)
    assert (7, False, None, None) == (
        reference.space.width,
        reference.space.whitened,
        reference.prototypes,
        reference.drift,
    )
    assert {} == reference.to_arrays()


def test_a_bundle_of_version_0_5_0_still_loads():
    """Its precision gives the space, about the live prototype; its drift statistics were of another kind."""
    reference = SourceReference.from_arrays(through_a_file(OLD), width=3)
    basis = reference.space.basis.astype(float)
    np.testing.assert_allclose(basis @ COVARIANCE @ basis.T, np.eye(3), atol=1e-5)
    assert [3.0, 0.0, 0.0] == reference.space.mean.tolist()
    np.testing.assert_allclose(np.abs(reference.prototypes), [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-6)
    assert (None, True) == (reference.drift, reference.space.whitened)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("space.mean"),
        lambda a: a.pop("space.prototypes"),
        lambda a: a.pop("drift.bounds"),
        lambda a: a.update({"space.mean": np.zeros(4)}),
        lambda a: a.update({"space.basis": np.zeros(3)}),
        lambda a: a.update({"space.basis": np.full((3, 3), np.nan)}),
        lambda a: a.update({"space.basis": np.array(["a"] * 3)}),
        lambda a: a.update({"space.prototypes": np.zeros((3, 3))}),
        lambda a: a.update({"space.prototypes": np.full((2, 3), np.inf)}),
        lambda a: a.update({"drift.bounds": np.array([3.0, 2.0, 1.0])}),
    ],
)
def test_altered_arrays_are_refused(change):
    """Wrong shapes and values are input errors, never another library's exception."""
    arrays = calibrated().to_arrays()
    change(arrays)
    with pytest.raises(InputError, match="expected"):
        SourceReference.from_arrays(arrays, width=3)


@pytest.mark.parametrize(
    "change",
    [
        {"prototypes": np.zeros((3, 3))},
        {"prototypes": np.zeros((2, 4))},
        {"prototypes": np.zeros(3)},
        {"prototypes": np.full((2, 3), np.nan)},
        {"embedding_precision": np.zeros((3, 3))},
        {"embedding_precision": np.zeros((3, 2))},
        {"embedding_precision": np.full((3, 3), np.nan)},
        {"embedding_precision": np.eye(4)},
    ],
)
def test_altered_arrays_of_version_0_5_0_are_refused(change):
    """The same for a bundle of the version before."""
    with pytest.raises(InputError, match="expected"):
        SourceReference.from_arrays(OLD | change, width=3)


def test_a_reference_of_another_network_is_refused():
    """The width of the embedding must be the network's."""
    for arrays in (calibrated().to_arrays(), OLD):
        with pytest.raises(InputError, match="embeddings of 5 numbers, got one for 3"):
            SourceReference.from_arrays(arrays, width=5)


def test_drift_needs_prototypes():
    """Without them no distance can be measured."""
    with pytest.raises(InputError, match="prototypes beside the drift statistics"):
        SourceReference(Space.unknown(3), None, calibrated().drift)
