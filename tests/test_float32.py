"""The key cases in float32, the dtype in which most people train.

Each answer is that of float64: from NumPy, or from the same formula tested in float64 elsewhere.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import dynamics, models, spectra
from spectralbias.kernels import NTKOperator, arc_cosine, cao_kernel, empirical_ntk, infinite_ntk

pytestmark = pytest.mark.usefixtures("compiled_as_for_a_user")

RNG = np.random.default_rng(0)
X, X_TEST, Y = RNG.standard_normal((8, 3)), RNG.standard_normal((5, 3)), RNG.standard_normal(8)


@pytest.fixture(autouse=True)
def _float32():
    with jax.enable_x64(False):
        yield


def network(out_size="scalar", **settings):
    return models.MLP(3, out_size, 6, 2, bias_std=0.4, key=jax.random.key(0), **settings)


def relative(actual, expected):
    expected = np.asarray(expected, np.float64)
    return np.max(np.abs(np.asarray(actual, np.float64) - expected)) / np.max(np.abs(expected))


def test_models_are_float32():
    model = network(antisymmetric=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(model)} == {jnp.dtype(jnp.float32)}
    f = jax.jit(jax.vmap(model))(jnp.asarray(X))
    assert f.dtype == jnp.float32
    assert np.max(np.abs(f)) < 1e-6
    encoding = models.encodings.PositionalEncoding(6)
    x = np.float32(X[0])
    angles = np.outer(np.pi * 2.0 ** np.arange(6), x.astype(float)).ravel()
    # An angle of 2⁵ π x is rounded to 6e-8 of itself.
    np.testing.assert_allclose(encoding(jnp.asarray(x)), np.concatenate([np.sin(angles), np.cos(angles)]), atol=3e-5)


@pytest.mark.parametrize("settings", [{}, {"out_size": 2, "antisymmetric": True}, {"activation": "tanh"}])
def test_empirical_kernels(settings, jacobian):
    model = network(**settings)
    j = jacobian(model, jnp.asarray(np.concatenate([X, X_TEST]), jnp.float32)).astype(np.float64)
    expected = np.einsum("iap,jbp->ijab", j[:8], j[8:])
    expected = expected[:, :, 0, 0] if model.out_size == "scalar" else expected
    for method in ("structured", "jacobian"):
        theta = empirical_ntk(model, X, X_TEST, method=method)
        assert theta.dtype == jnp.float32
        assert relative(theta, expected) < 3e-6


def test_kernels_of_tied_words_and_of_a_scan(jacobian):
    def apply(p, words):
        h, _ = jax.lax.scan(lambda h, u: (jnp.tanh(p["w"] @ h + u + p["b"]), None), jnp.zeros(3), p["table"][words])
        return p["table"] @ h

    draws = {"table": RNG.standard_normal((5, 3)), "w": RNG.standard_normal((3, 3)), "b": RNG.standard_normal(3)}
    model = models.from_function(apply, jax.tree.map(jnp.asarray, draws))
    words = RNG.integers(0, 5, (6, 4))
    j = jacobian(model, jnp.asarray(words)).astype(np.float64)
    expected = np.einsum("iap,jbp->ijab", j, j)
    theta = empirical_ntk(model, words, method="structured")
    assert theta.dtype == jnp.float32
    assert relative(theta, expected) < 3e-6
    operator = NTKOperator(model, words, batch_size=4)
    v = RNG.standard_normal((6, 5))
    assert operator.mv(v).dtype == jnp.float32
    assert relative(operator.mv(v), np.einsum("ijab,jb->ia", expected, v)) < 1e-5


def test_operators_and_modes():
    model = network()
    gram = np.asarray(empirical_ntk(model, X), np.float64)
    operator = NTKOperator(model, X, batch_size=3)
    product = operator.mv(Y)
    assert product.dtype == jnp.float32
    assert relative(product, gram @ Y) < 1e-5
    modes = spectra.eigenmodes(empirical_ntk(model, X))
    assert modes.precision == "float64 of a float32 Gram"
    assert modes.eigenvalues.dtype == np.float64
    np.testing.assert_allclose(modes.eigenvalues, np.linalg.eigvalsh(gram)[::-1] / 8, rtol=0, atol=1e-7)
    top = spectra.eigenmodes(operator, num_modes=3)
    assert top.precision == "float64 of a float32 operator"
    np.testing.assert_allclose(top.eigenvalues, modes.eigenvalues[:3], rtol=1e-5)


def test_infinite_kernels():
    golden = np.load(Path(__file__).parent / "data" / "infinite_kernels.npz")
    theta = infinite_ntk(3, weight_variance=1.5, bias_variance=0.25).ntk(golden["x1"], golden["x2"])
    assert theta.dtype == jnp.float32
    # Identical, nearly parallel and opposite points are among them.
    np.testing.assert_allclose(theta, golden["ntk_3"], rtol=3e-6)


def test_profiles_are_exact_to_float32_at_given_cosines():
    t = np.float32(np.linspace(-1, 1, 101))
    wide = t.astype(np.float64)
    expected = (3 * wide * (np.pi - np.arccos(wide)) + 2 * np.sqrt(1 - wide**2)) / (2 * np.pi)
    profile = cao_kernel().profile(t, dim=10)
    assert profile.dtype == jnp.float32
    np.testing.assert_allclose(profile, expected, rtol=0, atol=3e-7)
    np.testing.assert_allclose(arc_cosine(t, 0), (np.pi - np.arccos(wide)) / (2 * np.pi), rtol=0, atol=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_follows_the_frozen_kernel(momentum):
    start = np.array([0.5, -1.0, 2.0])
    model = models.from_function(lambda p, x: x @ p, jnp.asarray(start, jnp.float32))
    trajectory = dynamics.train(
        model, X, Y, learning_rate=0.1, steps=300, optimizer_options={"momentum": momentum} if momentum else None
    )
    assert trajectory.residuals.dtype == np.float32
    expected = dynamics.frozen(X @ X.T, X @ start - Y).residuals_at(trajectory.steps, 0.1, momentum)
    np.testing.assert_allclose(trajectory.residuals, expected, rtol=0, atol=1e-5)


def test_a_krylov_space_of_a_float32_operator():
    model = network()
    prediction = dynamics.frozen(NTKOperator(model, X), Y)
    dense = dynamics.frozen(empirical_ntk(model, X), Y)
    times = np.array([0.0, 1.0, 10.0])
    np.testing.assert_allclose(prediction.residuals(times), dense.residuals(times), rtol=0, atol=1e-4)


def test_training_an_mlp_tracks_float64():
    x, y = np.float32(X), np.float32(Y)
    model = network(activation="tanh")
    settings = {"learning_rate": 0.05, "steps": 50, "record": (0, 50)}
    single = dynamics.train(model, x, y, **settings)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda p: jnp.asarray(np.asarray(p, np.float64)) if isinstance(p, jax.Array) else p, model)
        double = dynamics.train(wide, x, y, **settings)
        assert double.residuals.dtype == np.float64
    np.testing.assert_allclose(single.residuals, double.residuals, rtol=0, atol=1e-5)
