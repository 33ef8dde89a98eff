import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import empirical_ntk

KEY = jax.random.key(2)


@pytest.mark.parametrize("theta", [1.0, 0.2])
def test_cao_network_is_the_papers_in_one_learning_rate(theta):
    dim, width = 10, 4000
    model = models.cao_network(dim, width, output_scale=theta, key=KEY)
    w, v = (np.asarray(layer.weight) for layer in model.layers)
    assert w.shape == (dim, width)
    assert v.shape == (width, 1)
    assert models.count_parameters(model) == dim * width + width
    x = np.random.default_rng(0).standard_normal((5, dim))
    # The paper: θ √m W_2 σ(W_1 x) with W_1 = w/√m and W_2 = v/√m.
    w1, w2 = w / np.sqrt(width), v / np.sqrt(width)
    expected = theta * np.sqrt(width) * (np.maximum(x @ w1, 0) @ w2)[:, 0]
    np.testing.assert_allclose(jax.jit(jax.vmap(model))(x), expected, rtol=1e-12)
    # Var W_1 = 2/m and Var W_2 = 1/m; the standard error of a variance over N entries is √(2/N) of it.
    assert np.var(w1) * width == pytest.approx(2.0, rel=5 * np.sqrt(2 / w.size))
    assert np.var(w2) * width == pytest.approx(1.0, rel=5 * np.sqrt(2 / v.size))


def test_antisymmetric_cao_network_starts_at_zero():
    model = models.cao_network(3, 6, antisymmetric=True, key=KEY)
    assert np.all(np.asarray(jax.jit(jax.vmap(model))(jnp.eye(3))) == 0)


def test_bowman_network_is_the_papers():
    dim, width = 4, 5000
    model = models.bowman_network(dim, width, activation="tanh", antisymmetric=False, key=KEY)
    inner, outer = model.layers
    w, b, a, b0 = (np.asarray(part) for part in (inner.weight, inner.bias, outer.weight, outer.bias))
    assert models.count_parameters(model) == dim * width + 2 * width + 1
    x = np.random.default_rng(0).standard_normal((5, dim))
    expected = (np.tanh(x @ w + b) @ a)[:, 0] / np.sqrt(width) + b0
    np.testing.assert_allclose(jax.jit(jax.vmap(model))(x), expected, rtol=1e-12)
    # The standard error of a variance over N entries is √(2/N) of it.
    for part in (w, b, a):
        assert np.var(part) == pytest.approx(1.0, rel=5 * np.sqrt(2 / part.size))
        assert abs(np.mean(part)) < 5 / np.sqrt(part.size)


def test_bowman_network_starts_at_zero_with_the_kernel_of_one_copy():
    x = np.random.default_rng(0).standard_normal((4, 3))
    double, single = (
        models.bowman_network(3, 20, activation="softplus", antisymmetric=antisymmetric, key=KEY)
        for antisymmetric in (True, False)
    )
    assert np.all(np.asarray(jax.jit(jax.vmap(double))(x)) == 0)
    assert models.count_parameters(double) == 2 * models.count_parameters(single)
    np.testing.assert_allclose(empirical_ntk(double, x), empirical_ntk(single, x), rtol=1e-12)


def test_coordinate_network_is_an_mlp_behind_an_encoding():
    encoding = models.encodings.PositionalEncoding(1)
    model = models.coordinate_network(3, 2, width=6, depth=2, encoding=encoding, key=KEY)
    same = models.MLP(3, 2, 6, 2, encoding=encoding, parameterization="torch", key=KEY)
    x = jnp.array([0.2, -0.7, 0.4])
    np.testing.assert_array_equal(model(x), same(x))
    other = models.coordinate_network(3, "scalar", width=6, depth=2, parameterization="ntk", activation="sin", key=KEY)
    np.testing.assert_array_equal(other(x), models.MLP(3, "scalar", 6, 2, activation="sin", key=KEY)(x))


def huang_yau_signals(model, x, activation, slope):
    """x_l and b_l of every layer as the paper defines them, for one input: lists of H + 1 vectors."""
    weights = [np.asarray(layer.weight).T for layer in model.layers]
    width = weights[0].shape[0]
    signals, slopes = [x], []
    for weight in weights[:-1]:
        z = weight @ signals[-1]
        signals.append(activation(z) / np.sqrt(width))
        slopes.append(slope(z))
    back = weights[-1][0]  # a
    backward = [np.ones(1)]
    for level in reversed(range(len(slopes))):
        b = slopes[level] * back / np.sqrt(width)
        backward.insert(0, b)
        back = weights[level].T @ b
    return signals, backward


@pytest.mark.parametrize(("depth", "stds"), [(1, (1.0, 1.0)), (3, (1.3, 0.7))])
def test_huang_yau_network_and_the_parts_of_its_kernel_are_the_papers(depth, stds):
    dim, width, n = 5, 300, 4
    model = models.huang_yau_network(
        dim, width, depth, activation="tanh", weight_std=stds[0], output_std=stds[1], key=KEY
    )
    assert models.count_parameters(model) == dim * width + (depth - 1) * width**2 + width
    assert model.depth == depth
    x = np.random.default_rng(0).standard_normal((n, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    seen = [huang_yau_signals(model, one, np.tanh, lambda z: 1 / np.cosh(z) ** 2) for one in x]
    f = [float(np.asarray(model.layers[-1].weight)[:, 0] @ signals[-1]) for signals, _ in seen]
    np.testing.assert_allclose(jax.vmap(model)(x), f, rtol=1e-12)
    total = 0
    for level in range(depth + 1):
        left = np.array([[b1[level] @ b2[level] for _, b2 in seen] for _, b1 in seen])
        right = np.array([[s1[level] @ s2[level] for s2, _ in seen] for s1, _ in seen])
        part = empirical_ntk(model, x, parameters=lambda m, level=level: m.layers[level])
        np.testing.assert_allclose(part, left * right, rtol=1e-12, atol=1e-12)
        assert np.abs(part).max() > 0.05
        total = total + np.asarray(part)
    np.testing.assert_allclose(total, empirical_ntk(model, x), rtol=1e-12)
    # The standard error of a variance over N entries is √(2/N) of it.
    for index, layer in enumerate(model.layers):
        weight = np.asarray(layer.weight)
        expected = stds[1] if index == depth else stds[0]
        assert np.var(weight) == pytest.approx(expected**2, rel=5 * np.sqrt(2 / weight.size))
        assert layer.bias is None


def test_antisymmetric_huang_yau_network():
    x = np.random.default_rng(0).standard_normal((4, 3))
    double, single = (
        models.huang_yau_network(3, 20, 2, activation="softplus", antisymmetric=antisymmetric, key=KEY)
        for antisymmetric in (True, False)
    )
    assert np.all(np.asarray(jax.jit(jax.vmap(double))(x)) == 0)
    np.testing.assert_allclose(empirical_ntk(double, x), empirical_ntk(single, x), rtol=1e-12)


def test_huang_yau_network_refuses(refuses):
    for name in ("weight_std", "output_std"):
        with refuses(name, "-1"):
            models.huang_yau_network(3, 4, 1, activation="tanh", **{name: -1.0}, key=KEY)
    with refuses("depth"):
        models.huang_yau_network(3, 4, 0, activation="tanh", key=KEY)
