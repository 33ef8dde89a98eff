import equinox as eqx
import jax
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import InfiniteKernel, bowman_kernel, empirical_ntk
from spectralbias.kernels._dual import dual

X = np.random.default_rng(3).standard_normal((6, 3))
UNIT = X / np.linalg.norm(X, axis=1, keepdims=True)


def test_relu_is_the_closed_form_of_the_paper():
    x, y = X[:3], X[3:]
    product = x @ y.T + 1
    scale = np.sqrt(1 + np.sum(x**2, axis=1))[:, None] * np.sqrt(1 + np.sum(y**2, axis=1))[None, :]
    angle = np.arccos(product / scale)
    rest = np.pi - angle
    expected = product * rest / (2 * np.pi) + scale * (np.sin(angle) + rest * np.cos(angle)) / (2 * np.pi) + 1
    np.testing.assert_allclose(bowman_kernel().ntk(x, y), expected, rtol=1e-13)
    np.testing.assert_allclose(np.diag(bowman_kernel().ntk(UNIT)), 3, rtol=1e-13)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "tanh"])
def test_it_is_the_three_parts_of_the_parameters(activation):
    square = np.sum(X**2, axis=1) + 1
    product = X @ X.T + 1
    second, first = dual(activation).moments(product, square[:, None], square[None, :])
    off = ~np.eye(6, dtype=bool)
    kernel = bowman_kernel(activation)
    assert isinstance(kernel, InfiniteKernel)
    assert kernel.method == dual(activation).method
    np.testing.assert_allclose(
        np.asarray(kernel.ntk(X))[off], np.asarray(product * first + second + 1)[off], rtol=1e-12
    )
    np.testing.assert_allclose(np.asarray(kernel.nngp(X))[off], np.asarray(second + 1)[off], rtol=1e-12)


def test_the_profile_is_the_kernel_on_the_unit_sphere():
    for activation in ("relu", "erf"):
        kernel = bowman_kernel(activation)
        profile = np.asarray(kernel.profile(np.clip(UNIT @ UNIT.T, -1, 1), dim=3))
        off = ~np.eye(6, dtype=bool)
        np.testing.assert_allclose(profile[off], np.asarray(kernel.ntk(UNIT))[off], rtol=1e-12)


# Log-errors of 16 seeds scatter by 0.4, their mean by 0.1; a slope over five widths, each twice the last, by
# 0.1/(log 2 √10) = 0.05: 0.1 is two of them. Seeds are fixed.
WIDTHS = (64, 128, 256, 512, 1024)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_networks_approach_the_kernel_as_one_over_the_root_of_their_width(activation):
    limit = np.asarray(bowman_kernel(activation).ntk(X))
    draw = eqx.filter_jit(lambda width, key: models.bowman_network(3, width, activation=activation, key=key))
    errors = []
    for width in WIDTHS:
        grams = [np.asarray(empirical_ntk(draw(width, jax.random.key(seed)), X)) for seed in range(16)]
        errors.append(np.mean([np.log(np.linalg.norm(g - limit) / np.linalg.norm(limit)) for g in grams]))
    slope = np.polyfit(np.log(WIDTHS), errors, 1)[0]
    assert abs(slope + 0.5) < 0.1
    assert errors[-1] < np.log(0.06)


def test_bad_arguments_are_refused(refuses):
    with refuses("activation", "`tan`", "`tanh`"):
        bowman_kernel("tan")
    with refuses("elementwise", "softmax"):
        bowman_kernel(jax.nn.softmax)
