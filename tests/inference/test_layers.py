import numpy as np
import pytest

from ratta.inference import layers

RNG = np.random.default_rng(0)


def correlated(x, weight, stride, pads):
    """Convolve by the definition, one output at a time; weight (K, K, C, D)."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    size = weight.shape[0]
    rows, columns = (x.shape[1] - size) // stride + 1, (x.shape[2] - size) // stride + 1
    y = np.empty((len(x), rows, columns, weight.shape[3]))
    for r in range(rows):
        for c in range(columns):
            patch = x[:, r * stride : r * stride + size, c * stride : c * stride + size]
            y[:, r, c] = np.tensordot(patch, weight, 3)
    return y


GEOMETRIES = [
    (3, 1, (1, 1, 1, 1)),
    (5, 1, (2, 2, 2, 2)),
    (3, 2, (1, 1, 1, 1)),
    (5, 2, (1, 1, 2, 2)),
    (3, 2, (0, 1, 2, 1)),
]


@pytest.mark.parametrize(("size", "stride", "pads"), GEOMETRIES)
def test_a_dense_convolution_follows_the_definition(size, stride, pads):
    """Sum over the window and all channels, plus bias, with zeros around the map."""
    x, weight, bias = RNG.normal(size=(2, 8, 6, 3)), RNG.normal(size=(size, size, 3, 4)), RNG.normal(size=4)
    expected = correlated(x, weight, stride, pads) + bias
    np.testing.assert_allclose(expected, layers.dense(x, weight, bias, stride=stride, pads=pads), atol=1e-12)


@pytest.mark.parametrize("channels", [5, 200])
@pytest.mark.parametrize(("size", "stride", "pads"), GEOMETRIES)
def test_a_depthwise_convolution_is_a_dense_one_with_a_diagonal_kernel(size, stride, pads, channels):
    """Each channel meets its own kernel only; few and many channels take different ways to the same numbers."""
    x, kernel, bias = (
        RNG.normal(size=(2, 6, 8, channels)),
        RNG.normal(size=(size, size, channels)),
        RNG.normal(size=channels),
    )
    expected = correlated(x, kernel[..., None] * np.eye(channels), stride, pads) + bias
    np.testing.assert_allclose(expected, layers.depthwise(x, kernel, bias, stride=stride, pads=pads), atol=1e-12)


def test_a_pointwise_convolution_mixes_channels_only():
    """Two channels, one pixel: 1 * 3 + 2 * 4 + 0.5."""
    y = layers.pointwise(np.array([[[[1.0, 2.0]]]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    assert y.tolist() == [[[[11.5]]]]


def test_layers_keep_float32():
    """No constant lifts a layer to float64."""
    x, kernel, bias = np.ones((1, 4, 4, 3), np.float32), np.ones((3, 3, 3), np.float32), np.ones(3, np.float32)
    results = [
        layers.depthwise(x, kernel, bias, pads=(1, 1, 1, 1)),
        layers.dense(x, kernel[..., None], bias[:1]),
        layers.global_average(x),
        layers.relu(x),
        layers.hardsigmoid(x),
        layers.hardswish(x),
    ]
    assert {result.dtype for result in results} == {np.dtype(np.float32)}


def test_layers_leave_their_input_alone():
    """Without `out`, nothing is written over."""
    x = RNG.normal(size=(1, 4, 4, 3))
    before = x.copy()
    layers.hardswish(x)
    layers.relu(x)
    layers.hardsigmoid(x)
    layers.pointwise(x, np.ones((3, 2)), np.ones(2))
    assert np.array_equal(before, x)


@pytest.mark.parametrize("function", [layers.relu, layers.hardsigmoid, layers.hardswish])
def test_an_activation_may_write_over_its_input(function):
    """With `out=x` the result is the same, and lies where the input lay."""
    x = RNG.normal(size=(1, 4, 4, 3)) * 4
    expected = function(x.copy())
    assert function(x, out=x) is x
    assert np.array_equal(expected, x)


def test_activations_at_their_knees():
    """The hard sigmoid bends at -3 and 3, and the hard swish is x times it."""
    x = np.array([-6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0])
    assert layers.relu(x).tolist() == [0, 0, 0, 0, 1.5, 3, 6]
    assert layers.hardsigmoid(x).tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert layers.hardswish(x).tolist() == [0, 0, -0.375, 0, 1.125, 3, 6]


def test_pooling():
    """Largest value of each window, with a border that never wins; mean over all pixels."""
    x = -np.arange(1.0, 10).reshape(1, 3, 3, 1)
    assert layers.max_pool(x, 2, stride=2, pads=(0, 0, 1, 1))[0, ..., 0].tolist() == [[-1, -3], [-7, -9]]
    assert layers.global_average(x).tolist() == [[-5]]
