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
