"""Gram matrices of infinite-width kernels: every way to compute them gives the same matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias.kernels import InfiniteKernel, cao_kernel, infinite_ntk
from spectralbias.kernels import _gram as gram_module
from spectralbias.kernels._covariance import Covariance
from spectralbias.kernels._pairs import pair_covariance
from spectralbias.kernels._profile import profile_polynomial

KERNELS = {
    "relu": infinite_ntk(2),
    "biases": infinite_ntk(2, "leaky_relu", weight_variance=1.5, bias_variance=0.2),
    "smooth": infinite_ntk(2, "erf", bias_variance=0.1),
    "cao": cao_kernel(),
}


def points(n, dim, seed=0):
    """Random points with copies, near copies, opposites and a zero vector among them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dim))
    x[1], x[2], x[3] = x[0], x[0] + 1e-7 * rng.standard_normal(dim), -2 * x[0]
    x[4] = 0
    return x


def pairwise(kernel, x1, x2):
    """The kernel of every pair by its own geometry, without a matrix product."""
    x1, x2 = jnp.asarray(x1.T)[:, :, None], jnp.asarray(x2.T)[:, None, :]
    return jax.jit(lambda a, b: kernel._pair(pair_covariance(a, b), len(a))[0])(x1, x2)


@pytest.mark.parametrize(("name", "dim"), [(name, 5) for name in KERNELS] + [("relu", 2), ("biases", 2)])
def test_entries_are_those_of_single_pairs(name, dim):
    kernel = KERNELS[name]
    x1, x2 = points(8, dim), points(6, dim, seed=0)[::-1]
    np.testing.assert_allclose(kernel.ntk(x1, x2), pairwise(kernel, x1, x2), rtol=2e-12, atol=1e-15)
    np.testing.assert_allclose(kernel.ntk(x1), pairwise(kernel, x1, x1), rtol=2e-12, atol=1e-15)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["relu", "biases"]))
def test_grams_are_symmetric_positive_and_follow_permutations(seed, name):
    kernel, x = KERNELS[name], points(12, 5, seed)
    order = np.random.default_rng(seed).permutation(12)
    gram = np.asarray(kernel.ntk(x))
    np.testing.assert_allclose(gram, gram.T, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(kernel.ntk(x[order]), gram[np.ix_(order, order)], rtol=1e-12, atol=1e-15)
    assert np.linalg.eigvalsh(gram)[0] > -1e-14 * np.trace(gram)


def test_one_argument_is_two_equal_arguments():
    x = points(9, 6)
    for kernel in KERNELS.values():
        np.testing.assert_array_equal(kernel.ntk(x), kernel.ntk(x, x.copy()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("depth", "activation"), [(1, "relu"), (3, "leaky_relu"), (10, "relu"), (10, "abs")])
def test_the_polynomials_are_the_kernel(depth, activation, dtype):
    kernel = infinite_ntk(depth, activation, weight_variance=1.9)
    cosine = np.random.default_rng(0).uniform(-1, 1, 1000)
    s = np.sqrt(1 - np.abs(cosine))
    pairs = Covariance.of_products(cosine, np.ones(1000), np.ones(1000))
    expected = jax.jit(lambda pairs: kernel._pair(pairs, 8))(pairs)
    for which in (0, 1):
        polynomial = profile_polynomial(kernel, which, 8, 1.0, dtype)
        assert polynomial.degree <= (15 if dtype == "float32" else 30)
        assert polynomial.coefficients.dtype == dtype
        sides = np.polynomial.polynomial.polyval(2 * s - 1, polynomial.coefficients.T)
        values = np.where(cosine < 0, sides[1] * s**polynomial.zero, sides[0])
        error = np.max(np.abs(values - expected[which])) / polynomial.diagonal[0]
        # The error at the nodes is the error between them.
        assert error < 1.5 * polynomial.error + (1e-7 if dtype == "float32" else 4e-15)
        assert polynomial.error < (5e-7 if dtype == "float32" else 2e-14)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_every_kernel_takes_the_polynomials_on_inputs_of_one_norm(activation, monkeypatch):
    x = np.random.default_rng(0).standard_normal((30, 8))
    x *= 3 / np.linalg.norm(x, axis=1, keepdims=True)
    kernel = infinite_ntk(3, activation, bias_variance=1.0)
    monkeypatch.setattr(gram_module, "_dense", None)
    np.testing.assert_allclose(kernel.ntk(x), pairwise(kernel, x, x), rtol=1e-12)


def test_a_function_that_no_short_polynomial_fits_goes_through_the_recursion():
    # A small bias: nearly a cusp at opposite points.
    x = np.random.default_rng(0).standard_normal((10, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    kernel = infinite_ntk(1, bias_variance=1e-4)
    assert profile_polynomial(kernel, 0, 8, 1.0, "float64") is None
    np.testing.assert_allclose(kernel.ntk(x), pairwise(kernel, x, x), rtol=1e-12)


def test_any_number_of_near_pairs_is_right():
    # 60 clusters of 3, and 90 points on one line through 0 with their opposites.
    rng = np.random.default_rng(0)
    clusters = np.repeat(rng.standard_normal((60, 6)), 3, axis=0) + 1e-6 * rng.standard_normal((180, 6))
    line = rng.uniform(-2, 2, (90, 1)) * rng.standard_normal(6) + 1e-9 * rng.standard_normal((90, 6))
    x = np.concatenate([clusters, line])[rng.permutation(270)]
    for kernel in (KERNELS["relu"], KERNELS["biases"]):
        gram = np.asarray(kernel.ntk(x))
        scale = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
        assert np.max(np.abs(gram - pairwise(kernel, x, x)) / scale) < 1e-13


@pytest.mark.parametrize("name", ["relu", "biases"])
def test_transformations_change_nothing(name):
    kernel, x1, x2 = KERNELS[name], jnp.asarray(points(7, 6)), jnp.asarray(points(6, 6, seed=1))
    np.testing.assert_allclose(jax.jit(kernel.ntk)(x1, x2), kernel.ntk(x1, x2), rtol=1e-12, atol=1e-15)
    batches = jnp.stack([x1, x1[::-1]])
    np.testing.assert_allclose(jax.vmap(kernel.ntk)(batches)[1], kernel.ntk(x1[::-1]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "n2"), [("relu", None), ("relu", 7), ("biases", None)])
def test_tiles_are_the_whole(name, n2, monkeypatch, tmp_path):
    kernel = KERNELS[name]
    x1 = points(11, 6).astype(np.float32)
    x2 = None if n2 is None else points(n2, 6, seed=1).astype(np.float32)
    whole = np.asarray(kernel.ntk(x1, x2))
    monkeypatch.setattr(gram_module, "TILE", 4)
    out = np.memmap(tmp_path / "gram", np.float32, "w+", shape=whole.shape)
    assert kernel.ntk(x1, x2, out=out) is out
    np.testing.assert_allclose(out, whole, rtol=2e-6, atol=1e-6)
    monkeypatch.setattr(gram_module, "ONE_PASS", 16)
    large = kernel.ntk(x1, x2)
    assert isinstance(large, jax.Array)
    np.testing.assert_array_equal(large, out)


def test_half_precision_is_computed_in_float32():
    x = jnp.asarray(points(6, 5), jnp.bfloat16)
    gram = KERNELS["relu"].ntk(x)
    assert gram.dtype == jnp.float32
    np.testing.assert_array_equal(gram, KERNELS["relu"].ntk(x.astype(jnp.float32)))
    mixed = KERNELS["relu"].ntk(x, np.ones((2, 5)))
    assert mixed.dtype == jnp.float64


def test_the_method_is_named():
    assert KERNELS["relu"].method == KERNELS["smooth"].method == KERNELS["cao"].method == "closed form"
    assert infinite_ntk(1, "tanh").method == "quadrature"
    assert isinstance(KERNELS["cao"], InfiniteKernel)


def test_bad_inputs_are_refused(refuses):
    x = points(5, 3)
    for kernel in KERNELS.values():
        with refuses("`x1`", "(n, dim)", "(3,)"):
            kernel.ntk(x[0])
        with refuses("`x2`", "(n, dim)", "(0, 3)"):
            kernel.ntk(x, x[:0])
        with refuses("(5, 3)", "(5, 2)"):
            kernel.ntk(x, x[:, :2])
        with refuses("`x1`", "floating-point", "int64", "astype"):
            kernel.nngp(np.eye(3, dtype=int))
        with refuses("`x1`", "array of numbers"):
            kernel.ntk([[0.0], [1.0, 2.0]])
        for value in (np.nan, np.inf):
            bad = x.copy()
            bad[2, 1] = value
            with refuses("`x1`", "not finite"):
                kernel.ntk(bad)
            with refuses("`x2`", "not finite"):
                kernel.nngp(x, bad)
        with refuses("overflow", "float32"):
            kernel.ntk(np.full((2, 3), 1e30, np.float32))
        with refuses("`cosine`", "[-1, 1]", "1.1"):
            kernel.profile(1.1, dim=3)


def test_bad_outputs_are_refused(refuses):
    x, kernel = points(5, 3), KERNELS["relu"]
    with refuses("`out`", "(5, 5)", "(5, 4)"):
        kernel.ntk(x, out=np.empty((5, 4)))
    with refuses("`out`", "float64", "float32"):
        kernel.ntk(x, out=np.empty((5, 5), np.float32))
    frozen = np.empty((5, 5))
    frozen.flags.writeable = False
    with refuses("`out`", "writable"):
        kernel.ntk(x, out=frozen)
    with refuses("`out`", "NumPy array"):
        kernel.ntk(x, out=jnp.empty((5, 5)))
    with refuses("`out`", "jax.jit"):
        jax.jit(lambda x: kernel.ntk(x, out=np.empty((5, 5))))(jnp.asarray(x))
