import math

import numpy as np
import pytest

from ratta.adaptation.update import MomentMatching, Moments, Prototypes, Stem, StemReference
from ratta.adaptation.update.early import common_change
from ratta.errors import InputError, StateError


def moments(mean, log_variance=(0.0,)):
    return Moments(np.array(mean, np.float32), np.exp(np.array(log_variance)).astype(np.float32))


def zeros(channels=1):
    return StemReference(np.zeros((2, channels)), np.zeros((2, channels)))


def matched(spoof, live, *, frames=1, **arguments):
    """Follow `frames` frames of either class from a source at zero, without shrinking."""
    matching = MomentMatching(zeros(len(spoof.mean)), **{"prior_frames": 0.0, **arguments})
    for _ in range(frames):
        matching.update(spoof, is_live=False)
        matching.update(live, is_live=True)
    return matching.correction()


def seeded_stem():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    return Stem(weight, bias, mean=(120, 110, 100), std=(58, 57, 60))


def convolved(stem, crop, weight, bias):
    """Convolve by the definition, in float64, wherever a kernel of stride 2 and padding 1 lies inside the crop."""
    x = (crop - np.array([120, 110, 100])) / np.array([58, 57, 60])
    side = range(2, len(crop) - 1, 2)
    patches = np.array([x[i - 1 : i + 2, j - 1 : j + 2].transpose(2, 0, 1) for i in side for j in side])
    return np.einsum("nikl,cikl->nc", patches, weight.astype(np.float64)) + bias


def test_the_correction_is_the_affine_update_of_the_formula():
    """`gamma' = gamma sigma / sigma'` and `beta' = beta + gamma (mu - mu') / sigma'` come out to 1e-12."""
    rng = np.random.default_rng(1)
    gamma, beta, mu, moved = rng.uniform(0.5, 2, 4), rng.normal(size=4), rng.normal(size=4), rng.normal(size=4)
    sigma, widened = rng.uniform(0.5, 2, 4), rng.uniform(0.7, 1.4, 4)
    target = sigma * widened
    source = StemReference(np.stack([beta, beta]), np.log(np.stack([gamma**2, gamma**2])))
    matching = MomentMatching(source, prior_frames=0.0)
    seen = Moments(gamma * (moved - mu) / sigma + beta, (gamma * widened) ** 2)
    for is_live in (False, True):
        matching.update(seen, is_live=is_live)
    correction = matching.correction()
    np.testing.assert_allclose(gamma * sigma / target, correction.scale * gamma, rtol=1e-12)
    expected = beta + gamma * (mu - moved) / target
    np.testing.assert_allclose(expected, correction.scale * beta + correction.shift, rtol=1e-12, atol=1e-12)


def test_a_camera_of_both_classes_is_taken_back_to_the_source_moments():
    """Pixels through the corrected stem have the source camera's mean and variance."""
    stem, rng = seeded_stem(), np.random.default_rng(2)
    source = rng.integers(60, 160, (2, 18, 18, 3)).astype(np.uint8)
    darker = (source * 0.5 + 20).round().astype(np.uint8)
    before, after = [[stem.moments(crop) for crop in crops] for crops in (source, darker)]
    pooled = StemReference.from_development([before[0], before[0]], [False, True])
    matching = MomentMatching(pooled, prior_frames=0.0, max_log_variance=9.0)
    for is_live in (False, True):
        matching.update(after[0], is_live=is_live)
    folded = stem.fold(matching.correction())
    z = convolved(stem, darker[0], folded["features.0.weight"], folded["features.0.bias"])
    np.testing.assert_allclose(before[0].mean, z.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(before[0].variance, z.var(0), rtol=1e-4)


@pytest.mark.parametrize("side", [17, 18])
def test_moments_are_those_of_the_convolution(side):
    """Against the convolution by its definition, for odd and even crops."""
    stem, crop = seeded_stem(), np.random.default_rng(3).integers(0, 256, (side, side, 3)).astype(np.uint8)
    z, seen = convolved(stem, crop, stem.weight, stem.bias), stem.moments(crop)
    np.testing.assert_allclose(z.mean(0), seen.mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z.var(0), seen.variance, rtol=1e-4)


def test_no_correction_folds_to_no_weights():
    """So that the source's file is used as it is, bit for bit."""
    assert {} == seeded_stem().fold(None)


@pytest.mark.parametrize("is_live", [False, True])
def test_one_class_alone_gives_nothing(is_live):
    """A thousand frames of one class leave the identity, exactly."""
    matching = MomentMatching(StemReference(np.full((2, 3), 0.7), np.zeros((2, 3))))
    for _ in range(1000):
        matching.update(moments([9.0, -9.0, 3.0], [1.0, 1.0, 1.0]), is_live=is_live)
    correction = matching.correction()
    assert [1.0, 1.0, 1.0] == correction.scale.tolist()
    assert [0.0, 0.0, 0.0] == correction.shift.tolist()


def test_only_what_both_classes_share_is_corrected():
    """Per channel: the smaller change where they agree, nothing where they do not."""
    correction = matched(moments([1.0, -3.0, 2.0], [0] * 3), moments([2.0, -1.0, -2.0], [0] * 3))
    assert [-1.0, 1.0, 0.0] == correction.shift.tolist()
    assert [1.0, 1.0, 1.0] == correction.scale.tolist()
    assert [0.0, 0.0] == common_change(np.array([0.0, 5.0]), np.array([5.0, 0.0])).tolist()


def test_the_poorer_class_weighs():
    """8 spoof frames against 100 live ones: half of a change of 2; 24 of them: three quarters."""
    matching = MomentMatching(zeros(), prior_frames=8.0)
    for _ in range(100):
        matching.update(moments([2.0]), is_live=True)
    shifts = []
    for spoof in range(24):
        matching.update(moments([2.0]), is_live=False)
        if spoof in (7, 23):
            shifts.append(float(matching.correction().shift[0]))
    np.testing.assert_allclose([-1.0, -1.5], shifts, rtol=1e-12)


def test_a_flood_moves_no_channel_beyond_what_the_other_class_asks():
    """Live frames at 50, spoof frames at 1: the correction stays 1 however long the flood."""
    matching = MomentMatching(zeros(), prior_frames=0.0)
    matching.update(moments([1.0]), is_live=False)
    for _ in range(500):
        matching.update(moments([50.0]), is_live=True)
    assert -1.0 == matching.correction().shift[0]


@pytest.mark.parametrize(("sign", "expected"), [(1, math.exp(-0.7)), (-1, math.exp(0.7))])
def test_log_variance_is_clipped(sign, expected):
    """A change of 5 in the logarithm is corrected as one of 1.4."""
    seen = moments([0.0], [5.0 * sign])
    assert math.isclose(expected, matched(seen, seen).scale[0], rel_tol=1e-12)


def test_the_average_is_plain_first_and_exponential_later():
    """Values 1 and 3 average to 2; with rate 0.5 a third of 6 then gives 4."""
    matching = MomentMatching(zeros(), rate=0.5, prior_frames=0.0)
    for value in (1.0, 3.0, 6.0):
        for is_live in (False, True):
            matching.update(moments([value]), is_live=is_live)
    assert -4.0 == matching.correction().shift[0]


def test_a_correction_is_reckoned_from_the_source_each_time():
    """Asking twice gives the same and moves nothing."""
    matching = MomentMatching(zeros())
    for is_live in (False, True):
        matching.update(moments([2.0], [0.5]), is_live=is_live)
    _, state = matching.export_state()
    first, second = matching.correction(), matching.correction()
    first.scale[:] = 7.0
    assert second.scale.tolist() == matching.correction().scale.tolist()
    assert state["change"].tolist() == matching.export_state()[1]["change"].tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_moments_without_a_number_are_refused_and_leave_no_trace(value):
    """Neither the count nor the averages move."""
    matching = MomentMatching(zeros())
    with pytest.raises(InputError, match="finite moments"):
        matching.update(moments([value]), is_live=True)
    values, arrays = matching.export_state()
    assert ({"frames.spoof": 0, "frames.live": 0}, 0.0) == (values, np.abs(arrays["change"]).max())


def test_moments_survive_a_round_trip():
    """The restored one gives the same correction now and after another frame."""
    one, other, rng = MomentMatching(zeros(3)), MomentMatching(zeros(3)), np.random.default_rng(4)
    for index in range(20):
        one.update(moments(rng.normal(1, 0.1, 3), rng.normal(0.5, 0.1, 3)), is_live=index % 3 > 0)
    other.restore_state(*one.export_state())
    for matching in (one, other):
        matching.update(moments([1.0, 2.0, 3.0], [0.0, 0.1, 0.2]), is_live=True)
    assert one.correction().shift.tolist() == other.correction().shift.tolist()
    assert one.correction().scale.tolist() == other.correction().scale.tolist()


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ({}, np.zeros((2, 2, 1))),
        ({"frames.spoof": -1, "frames.live": 0}, np.zeros((2, 2, 1))),
        ({"frames.spoof": True, "frames.live": 0}, np.zeros((2, 2, 1))),
        ({"frames.spoof": 1, "frames.live": 1, "more": 1}, np.zeros((2, 2, 1))),
        ({"frames.spoof": 1, "frames.live": 1}, np.zeros((2, 2, 2))),
        ({"frames.spoof": 1, "frames.live": 1}, np.full((2, 2, 1), np.nan)),
        ({"frames.spoof": 1, "frames.live": 1}, np.full((2, 2, 1), "x")),
        ({"frames.spoof": 1, "frames.live": 1}, None),
    ],
)
def test_a_moments_state_that_does_not_fit_changes_nothing(values, change):
    """Counts, shape, kind and finiteness are asked before anything is taken over."""
    matching = MomentMatching(zeros())
    matching.update(moments([1.0]), is_live=True)
    with pytest.raises(StateError, match="moments state"):
        matching.restore_state(values, {} if change is None else {"change": change})
    assert {"frames.spoof": 0, "frames.live": 1} == matching.export_state()[0]


def test_the_reference_takes_only_frames_that_the_gate_admitted():
    """Frames without a label do not count; both classes must be there."""
    frames = [moments([1.0]), moments([3.0]), moments([100.0]), moments([5.0])]
    assert [[2.0], [5.0]] == StemReference.from_development(frames, [False, False, None, True]).mean.tolist()
    with pytest.raises(InputError, match="both classes"):
        StemReference.from_development(frames, [None, None, None, True])


@pytest.mark.parametrize(
    "make",
    [
        lambda: MomentMatching(zeros(), rate=0.0),
        lambda: MomentMatching(zeros(), rate=math.nan),
        lambda: MomentMatching(zeros(), max_log_variance=0.0),
        lambda: MomentMatching(zeros(), prior_frames=-1.0),
        lambda: StemReference(np.zeros((1, 2)), np.zeros((1, 2))),
        lambda: StemReference(np.zeros((2, 2)), np.full((2, 2), np.nan)),
        lambda: Stem(np.zeros((4, 1, 3, 3)), np.zeros(4), mean=(0, 0, 0), std=(1, 1, 1)),
        lambda: Prototypes(np.eye(2), leash=1.0),
        lambda: Prototypes(np.eye(2), rate=0.0),
        lambda: Prototypes(np.eye(2), max_shift=math.inf),
        lambda: Prototypes(np.zeros((2, 2))),
        lambda: Prototypes(np.eye(3)),
    ],
)
def test_parameters_out_of_range_are_refused_at_once(make):
    """Every constructor says what it expected."""
    with pytest.raises(InputError, match="expected"):
        make()


def test_prototypes_move_by_the_average_and_stop_at_the_leash():
    """A hundred frames at 90 degrees: one percent a frame, until the cosine would go below 0.95."""
    prototypes = Prototypes(np.eye(2))
    assert prototypes.update(np.array([0.0, 1.0]), is_live=False)
    np.testing.assert_allclose([[0.99, 0.01], [0.0, 1.0]], prototypes.now, rtol=1e-12)
    allowed = [prototypes.update(np.array([0.0, 1.0]), is_live=False) for _ in range(100)]
    spoof = prototypes.now[0]
    assert allowed == sorted(allowed, reverse=True)
    assert not allowed[-1]
    assert 0.95 <= spoof[0] / np.linalg.norm(spoof) < 0.955
    assert [0.0, 1.0] == prototypes.now[1].tolist()


@pytest.mark.parametrize("value", [math.nan, -100.0])
def test_an_embedding_beyond_the_leash_moves_nothing(value):
    """Neither no number nor one far away is followed; and `now` is a copy."""
    prototypes = Prototypes(np.eye(2))
    assert not prototypes.update(np.array([value, 1.0]), is_live=False)
    prototypes.now[:] = 7.0
    assert np.eye(2).tolist() == prototypes.now.tolist()


def head():
    """A head of width 2 whose margin is the hidden feature's second entry less its first, plus 0.5."""
    return {
        "classifier.0.weight": np.eye(2),
        "classifier.0.bias": np.full(2, 5.0),  # beyond 3 hardswish is the identity
        "classifier.2.weight": np.eye(2),
        "classifier.2.bias": np.array([0.0, 0.5]),
    }


def test_the_shift_gives_the_midpoint_its_score_back():
    """Both classes move by (0, 0.2): the margin rises by 0.2, and is taken down by as much."""
    source = np.array([[3.0, 1.0], [1.0, 3.0]])
    prototypes = Prototypes(source, rate=1.0)
    assert 0.0 == prototypes.shift(head())
    for is_live in (False, True):
        assert prototypes.update(source[int(is_live)] + np.array([0.0, 0.2]), is_live=is_live)
    assert math.isclose(-0.2, prototypes.shift(head()), rel_tol=1e-9)
    prototypes.reset()
    assert 0.0 == prototypes.shift(head())


@pytest.mark.parametrize("is_live", [False, True])
def test_prototypes_of_one_class_alone_shift_nothing(is_live):
    """However far one class has gone, the other must have gone that way too."""
    source = np.array([[3.0, 1.0], [1.0, 3.0]])
    prototypes = Prototypes(source, rate=1.0)
    assert prototypes.update(source[int(is_live)] * 1.3, is_live=is_live)
    assert 0.0 == prototypes.shift(head())


def test_the_shift_is_bounded():
    """Far along its own direction the leash allows any length; the shift does not follow."""
    source = np.array([[1.0, 3.0], [1.0, 3.0]])
    prototypes = Prototypes(source, rate=1.0, max_shift=0.5)
    for is_live in (False, True):
        prototypes.update(100 * source[0], is_live=is_live)
    assert -0.5 == prototypes.shift(head())
