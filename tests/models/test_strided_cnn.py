"""The strided convolutional network against plain NumPy, and its kernel against explicit Jacobians."""

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.signal import correlate

from spectralbias import models
from spectralbias.kernels import empirical_ntk

KEY = jax.random.key(4)


def in_numpy(model, x):
    """The outputs, and the number of ReLUs."""
    h, units = x, 0
    for layer in model.convolutions:
        weight, bias = np.asarray(layer.weight), np.asarray(layer.bias)
        everywhere = [correlate(h, filters, "valid")[0] + b for filters, b in zip(weight, bias, strict=True)]
        h = np.maximum(np.stack(everywhere)[:, ::2, ::2], 0)
        units += h.size
    h = h.reshape(-1)
    *hidden, last = model.dense
    for layer in hidden:
        h = np.maximum(h @ np.asarray(layer.weight) + np.asarray(layer.bias), 0)
        units += h.size
    return h @ np.asarray(last.weight) + np.asarray(last.bias), units


@pytest.mark.parametrize(("shape", "units"), [((1, 28, 28), 8352), ((3, 32, 32), 11_456)])
def test_it_is_the_network_of_the_paper(shape, units):
    model = models.strided_cnn(input_shape=shape, key=KEY)
    x = np.random.default_rng(0).random((2, *shape))
    found = [in_numpy(model, one) for one in x]
    np.testing.assert_allclose(jax.vmap(model)(x), [f for f, _ in found], rtol=1e-10)
    assert {count for _, count in found} == {units}


def test_its_parameters():
    model = models.strided_cnn(key=KEY)
    expected = 10 * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 96 + (4 * 96 + 1) * 256 + 257 * 10
    assert models.count_parameters(model) == expected
    layers = [*model.convolutions, *model.dense]
    for layer, fan_in in zip(layers, (9, 288, 576, 384, 256), strict=True):
        for part in (np.asarray(layer.weight), np.asarray(layer.bias)):
            assert np.max(np.abs(part)) <= fan_in**-0.5
            # Of U(-a, a) the variance is a²/3 and that of its square 4a⁴/45.
            assert np.mean(part**2) == pytest.approx(1 / (3 * fan_in), rel=5 * np.sqrt(4 / 5 / part.size))
    assert not np.array_equal(layers[1].weight, models.strided_cnn(key=jax.random.key(5)).convolutions[1].weight)


@pytest.mark.parametrize("num_outputs", [3, "scalar"])
def test_its_kernel_is_that_of_explicit_gradients(num_outputs):
    model = models.strided_cnn(input_shape=(2, 9, 8), num_outputs=num_outputs, channels=(4, 5), width=6, key=KEY)
    x = np.random.default_rng(1).standard_normal((3, 2, 9, 8))
    flat, unravel = ravel_pytree(model)
    explicit = np.asarray(jax.jit(jax.jacrev(lambda theta: jax.vmap(unravel(theta))(x)))(flat)).reshape(
        3, -1, len(flat)
    )
    theta = np.asarray(empirical_ntk(model, x, method="structured"))
    expected = np.einsum("iap,jbp->ijab", explicit, explicit).reshape(theta.shape)
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-10 * np.max(expected))


def test_bad_numbers(refuses):
    with refuses("num_outputs", "0"):
        models.strided_cnn(num_outputs=0, key=KEY)
    with refuses("num_outputs", "scalar", "one"):
        models.strided_cnn(num_outputs="one", key=KEY)
    with refuses("8 x 20", "15"):
        models.strided_cnn(input_shape=(1, 8, 20), key=KEY)
    with refuses("input_shape", "(28, 28)"):
        models.strided_cnn(input_shape=(28, 28), key=KEY)
    with refuses("channels", "0"):
        models.strided_cnn(channels=(0, 3), key=KEY)
    with refuses("width", "0"):
        models.strided_cnn(width=0, key=KEY)
    assert models.strided_cnn(input_shape=(1, 15, 15), key=KEY)(jax.numpy.ones((1, 15, 15))).shape == (10,)
