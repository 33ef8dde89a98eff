"""LeNet-5 against plain NumPy, and its kernel against explicit Jacobians."""

import equinox as eqx
import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.signal import correlate

from spectralbias import models
from spectralbias.kernels import empirical_ntk, explain_ntk

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(8).random((4, 1, 32, 32))


def pooled(z):
    """ReLU, and the maximum of every square of 2 x 2."""
    z = np.maximum(z, 0)
    return np.max([z[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)


def convolved(layer, h):
    weight, bias = np.asarray(layer.weight), np.asarray(layer.bias)
    return np.stack([correlate(h, filters, "valid")[0] + b for filters, b in zip(weight, bias, strict=True)])


def in_numpy(model, x):
    h = pooled(convolved(model.first, x))
    h = sum(pooled(convolved(layer, h)) for layer in model.second).reshape(-1)
    *hidden, last = model.dense
    for layer in hidden:
        h = np.maximum(h @ np.asarray(layer.weight) + np.asarray(layer.bias), 0)
    return h @ np.asarray(last.weight) + np.asarray(last.bias)


@pytest.mark.parametrize(("in_channels", "num_outputs"), [(1, 10), (3, 2)])
def test_it_is_the_network_of_the_paper(in_channels, num_outputs):
    model = models.lenet5(in_channels=in_channels, num_outputs=num_outputs, key=KEY)
    x = np.random.default_rng(0).random((3, in_channels, 32, 32))
    np.testing.assert_allclose(jax.vmap(model)(x), [in_numpy(model, one) for one in x], rtol=1e-10)


def test_its_parameters():
    model = models.lenet5(key=KEY)
    convolutions = (1 * 25 + 1) * 6 + 2 * (6 * 25 + 1) * 16
    assert models.count_parameters(model) == convolutions + 401 * 120 + 121 * 84 + 85 * 10 == 64_122
    layers = [model.first, *model.second, *model.dense]
    for layer, fan_in in zip(layers, (25, 150, 150, 400, 120, 84), strict=True):
        for part in (np.asarray(layer.weight), np.asarray(layer.bias)):
            assert np.max(np.abs(part)) <= fan_in**-0.5
            # Of U(-a, a) the variance is a²/3 and that of its square 4a⁴/45.
            assert np.mean(part**2) == pytest.approx(1 / (3 * fan_in), rel=5 * np.sqrt(4 / 5 / part.size))
    assert not np.any(np.asarray(model.second[0].weight) == np.asarray(model.second[1].weight))
    assert not np.array_equal(model.first.weight, models.lenet5(key=jax.random.key(4)).first.weight)


@pytest.mark.parametrize("num_outputs", [10, "scalar"])
def test_its_kernel_needs_no_jacobian_of_a_convolution(num_outputs):
    model = models.lenet5(num_outputs=num_outputs, key=KEY)
    flat, unravel = ravel_pytree(model)
    explicit = np.asarray(jax.jit(jax.jacrev(lambda theta: jax.vmap(unravel(theta))(IMAGES)))(flat))
    explicit = explicit.reshape(len(IMAGES), -1, len(flat))
    expected = np.einsum("iap,jbp->ijab", explicit, explicit, optimize=True)
    theta = np.asarray(empirical_ntk(model, IMAGES, method="structured"))
    np.testing.assert_allclose(theta, expected.reshape(theta.shape), rtol=0, atol=1e-10 * np.max(expected))
    rules = [row.rule for row in explain_ntk(model, IMAGES).rows]
    assert rules[::2] == 3 * ["convolution"] + 3 * ["matrix product"]
    assert all(rule.startswith("bias of") for rule in rules[1::2])


def test_the_kernel_of_one_output_is_that_of_a_network_with_one_output():
    model, one = models.lenet5(key=KEY), models.lenet5(num_outputs="scalar", key=KEY)
    last = model.dense[2]
    dense = (*model.dense[:2], models.Linear(last.weight[:, :1], last.bias[:1], 1.0, 1.0))
    one = eqx.tree_at(lambda m: (m.first, m.second, m.dense), one, (model.first, model.second, dense))
    of_logit_0 = models.from_function(lambda m, x: m(x)[0], model)
    np.testing.assert_allclose(empirical_ntk(one, IMAGES), empirical_ntk(of_logit_0, IMAGES), rtol=1e-12)
    np.testing.assert_allclose(
        empirical_ntk(one, IMAGES), np.asarray(empirical_ntk(model, IMAGES))[:, :, 0, 0], rtol=1e-12
    )


def test_bad_numbers(refuses):
    for bad in (0, 1.5, True):
        with refuses("num_outputs", bad):
            models.lenet5(num_outputs=bad, key=KEY)
    with refuses("in_channels", "0"):
        models.lenet5(in_channels=0, key=KEY)
    with refuses("num_outputs", "scalar", "vector"):
        models.lenet5(num_outputs="vector", key=KEY)
