"""Kernels of networks with any activation, through `infinite_ntk`."""

import functools
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import HermiteE

from spectralbias import models
from spectralbias.kernels import empirical_ntk, infinite_ntk

DATA = Path(__file__).parent.parent / "data"
GOLDEN = json.loads((DATA / "infinite_kernels.json").read_text())["entries"]
ACTIVATIONS = {
    "leaky_relu(0.2)": functools.partial(jax.nn.leaky_relu, negative_slope=0.2),
    "gelu(exact)": "gelu",
    "gaussian exp(-x^2)": lambda z: jnp.exp(-(z**2)),
}
X = np.random.default_rng(1).standard_normal((5, 3))


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda e: f"{e['activation']}-{e['depth']}-{e['bias_variance']}")
def test_it_equals_the_golden_values(entry):
    golden = np.load(DATA / "infinite_kernels.npz")
    x1, x2 = golden["x1"], golden["x2"]
    activation = ACTIVATIONS.get(entry["activation"], entry["activation"])
    kernel = infinite_ntk(
        entry["depth"], activation, weight_variance=entry["weight_variance"], bias_variance=entry["bias_variance"]
    )
    assert kernel.method == ("quadrature" if "gaussian" in entry["activation"] else "closed form")
    # Pairs of identical, nearly parallel and opposite points: the source itself is good to 1e-8.
    special = np.zeros((6, 4), bool)
    special[[0, 1, 2], [0, 1, 2]] = True
    for actual, name in ((kernel.ntk(x1, x2), "ntk"), (kernel.nngp(x1, x2), "nngp")):
        expected = golden[f"{name}_{entry['index']}"]
        np.testing.assert_allclose(np.asarray(actual)[~special], expected[~special], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(np.asarray(actual)[special], expected[special], rtol=0, atol=6e-8)


def test_the_golden_file_has_four_entries_of_each_of_eight_activations():
    names = [entry["activation"] for entry in GOLDEN]
    assert len(set(names)) == 8
    assert all(names.count(name) == 4 for name in names)


def recursion(function, derivative, x1, x2, depth, weight, bias):
    """Θ of one pair: layer by layer on the 2 × 2 covariance, by trapezoidal rules in two independent variables."""
    z = np.linspace(-9, 9, 301)
    density = np.exp(-(z**2) / 2)
    density = np.outer(density, density) / density.sum() ** 2
    sigma = weight * np.array([[x1 @ x1, x1 @ x2], [x1 @ x2, x2 @ x2]]) / len(x1) + bias
    theta = sigma[0, 1]
    for _ in range(depth):
        (a, c), (_, b) = sigma
        u = np.sqrt(a) * z[:, None] + 0 * z
        v = c / np.sqrt(a) * z[:, None] + np.sqrt(max(b - c**2 / a, 0)) * z
        products = [[np.sum(density * function(p) * function(q)) for q in (u, v)] for p in (u, v)]
        first = np.sum(density * derivative(u) * derivative(v))
        sigma = weight * np.array(products) + bias
        theta = sigma[0, 1] + weight * first * theta
    return theta


SMOOTH = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z))),
    "sin": (np.sin, np.cos),
}


@pytest.mark.parametrize(
    ("name", "depth", "weight", "bias"),
    [("tanh", 1, 1.0, 0.0), ("tanh", 10, 1.5, 0.05), ("softplus", 3, 0.6, 0.1), ("sin", 10, 1.5, 0.05)],
)
def test_it_equals_the_recursion_by_another_quadrature(name, depth, weight, bias):
    pairs = [(X[0], X[1]), (X[2], X[2]), (X[3], X[3] + 1e-3 * X[4]), (X[0], -X[0])]
    kernel = infinite_ntk(depth, name, weight_variance=weight, bias_variance=bias)
    for x1, x2 in pairs:
        expected = recursion(*SMOOTH[name], x1, x2, depth, weight, bias)
        scale = np.sqrt(float(kernel.ntk(x1[None])[0, 0]) * float(kernel.ntk(x2[None])[0, 0]))
        # 3e-14 of a layer's error times the depth, and its growth where weight · E σ'² is above 1.
        assert abs(float(kernel.ntk(x1[None], x2[None])[0, 0]) - expected) < 1e-11 * scale


# Log-errors of 16 seeds scatter by 0.4, their mean by 0.1; a slope over five widths, each twice the last, by
# 0.1/(log 2 √10) = 0.05: 0.1 is two of them. Seeds are fixed.
WIDTHS = (64, 128, 256, 512, 1024)
QUADRATIC = HermiteE([0.2, 0.8, 0.3])


@pytest.mark.parametrize("activation", ["tanh", "gelu", QUADRATIC], ids=str)
def test_networks_approach_the_limit_as_one_over_the_root_of_their_width(activation):
    kernel = infinite_ntk(2, activation, weight_variance=1.2, bias_variance=0.2)
    limit = np.asarray(kernel.ntk(X))
    draw = eqx.filter_jit(
        lambda width, key: models.MLP(
            3, "scalar", width, 2, activation=activation, weight_std=1.2**0.5, bias_std=0.2**0.5, key=key
        )
    )
    errors = []
    for width in WIDTHS:
        grams = [np.asarray(empirical_ntk(draw(width, jax.random.key(seed)), X)) for seed in range(16)]
        errors.append(np.mean([np.log(np.linalg.norm(g - limit) / np.linalg.norm(limit)) for g in grams]))
    slope = np.polyfit(np.log(WIDTHS), errors, 1)[0]
    assert abs(slope + 0.5) < 0.1
    assert errors[-1] < np.log(0.1)


@pytest.mark.parametrize("activation", ["tanh", "gelu", HermiteE([0, 1, 1])], ids=str)
def test_kernels_are_symmetric_and_positive_also_with_equal_opposite_and_zero_inputs(activation):
    x = np.concatenate([X, -X[:1], X[:1], np.zeros((1, 3))])
    kernel = infinite_ntk(2, activation, weight_variance=1.5, bias_variance=0.1)
    gram = np.asarray(kernel.ntk(x))
    np.testing.assert_allclose(gram, gram.T, rtol=1e-13)
    assert np.linalg.eigvalsh(gram)[0] > -1e-12 * np.trace(gram)
    np.testing.assert_allclose(gram[:, 0], gram[:, 6], rtol=1e-12)
    gradient = jax.jit(jax.grad(lambda y: jnp.sum(kernel.ntk(y))))(jnp.asarray(x))
    assert np.all(np.isfinite(gradient))
