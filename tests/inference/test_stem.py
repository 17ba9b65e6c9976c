import numpy as np
import pytest

from ratta.errors import BundleError, InputError
from ratta.inference.stem import BN_EPS, Stem


def test_moments_are_those_of_the_unfolded_convolution(net, crops):
    """Convolve the normalised crop with the weights before folding, by the definition; compare mean and variance."""
    x = crops[2] / np.array([58, 57, 60]) - 120 / np.array([58, 57, 60])
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (0, 1))[::2, ::2]
    y = np.einsum("hwcij,dcij->hwd", windows, net.state["features.0.0.weight"])
    moments = Stem(net.graph, net.affine).moments(crops[2])
    np.testing.assert_allclose(y.mean((0, 1)), moments.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1)), moments.variance, rtol=1e-4)


def test_moments_follow_the_light(net, crops):
    """A brighter crop has another mean, and the crop itself is left alone."""
    stem, before = Stem(net.graph, net.affine), crops.copy()
    dark, bright = stem.moments(crops[0]), stem.moments(crops[3])
    assert np.abs(dark.mean - bright.mean).max() > 0.1
    assert np.array_equal(before, crops)


def test_what_does_not_fit_is_refused(net):
    """A batch instead of a crop; a normalisation of another width, or one that folding has erased."""
    with pytest.raises(InputError, match="expected one crop"):
        Stem(net.graph, net.affine).moments(np.zeros((1, 64, 64, 3), np.uint8))
    for gamma in (np.ones(3), np.zeros(16)):
        with pytest.raises(BundleError, match=r"affine.features.0: expected gamma, none of it zero"):
            Stem(net.graph, {**net.affine, "features.0.gamma": gamma})


def test_the_epsilon_is_the_networks():
    """Torch's normalisation layers of this network add 1e-3 to the variance."""
    assert BN_EPS == 1e-3
