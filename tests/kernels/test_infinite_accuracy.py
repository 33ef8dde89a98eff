"""Infinite-width kernels of piecewise-linear activations against the layers' recursion at 60 digits.

The recursion itself loses 16 to 24 digits at angles of 1e-8, which leaves more than the 30 that are needed.
"""

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from spectralbias.kernels import cao_kernel, infinite_ntk
from spectralbias.kernels._pairs import pair_covariance

pytestmark = pytest.mark.usefixtures("compiled_as_for_a_user")

SLOPES = {"relu": (0.0, 1.0), "leaky_relu": (0.01, 1.0), "abs": (-1.0, 1.0)}
ANGLES = (1e-1, 1e-2, 1e-3, 1e-5, 1e-8, 0.0)


def expectations(sigma, negative, positive):
    """E σσ and E σ'σ' as sums over the four quadrants of (u, v), each an arc-cosine kernel."""
    scale = mpmath.sqrt(sigma[0][0] * sigma[1][1])
    cosine = max(mpmath.mpf(-1), min(mpmath.mpf(1), sigma[0][1] / scale))

    def quadrant(c):
        supplement = mpmath.pi - mpmath.acos(c)
        return (mpmath.sqrt(1 - c * c) + supplement * c) / (2 * mpmath.pi), supplement / (2 * mpmath.pi)

    (same2, same1), (mixed2, mixed1) = quadrant(cosine), quadrant(-cosine)
    both, one = positive**2 + negative**2, 2 * positive * negative
    return scale * (both * same2 - one * mixed2), both * same1 + one * mixed1


def exact(x1, x2, depth, activation, weight, bias):
    """(Θ, Σ) of one pair, from whole 2 × 2 covariances; call it in a context of 60 digits."""
    negative, positive = map(mpmath.mpf, SLOPES[activation])
    points = [[mpmath.mpf(v) for v in x] for x in (x1, x2)]
    weight, bias = mpmath.mpf(weight), mpmath.mpf(bias)
    sigma = [[weight * mpmath.fdot(p, q) / len(x1) + bias for q in points] for p in points]
    theta = sigma[0][1]
    diagonal = weight * (negative**2 + positive**2) / 2
    for _ in range(depth):
        second, first = expectations(sigma, negative, positive)
        off = weight * second + bias
        sigma = [[diagonal * sigma[0][0] + bias, off], [off, diagonal * sigma[1][1] + bias]]
        theta = off + weight * first * theta
    return theta, sigma[0][1]


def table(x1, x2, *settings):
    """The kernels of pairs of rows, (2, n)."""
    with mpmath.workdps(60):
        rows = [exact(a.tolist(), b.tolist(), *settings) for a, b in zip(x1, x2, strict=True)]
        return np.array([[float(value) for value in row] for row in rows]).T


@functools.cache
def pairs(dim):
    """Two random pairs, then pairs at small angles from parallel and from opposite, of equal and of other norms."""
    rng = np.random.default_rng(dim)
    x1, x2 = list(rng.standard_normal((2, dim))), list(rng.standard_normal((2, dim)))
    for end in (1.0, -1.0):
        for norm in (1.0, 1.7, 1e3):
            for angle in ANGLES:
                x, y = rng.standard_normal((2, dim))
                y -= (y @ x) / (x @ x) * x
                y *= np.linalg.norm(x) / np.linalg.norm(y)
                x1.append(x)
                # A multiple by a power of 2 is parallel to the last digit.
                near = norm * (np.cos(angle) * x + np.sin(angle) * y)
                x2.append(end * near if angle else end * 2.0 ** round(np.log2(norm)) * x)
    return np.array(x1), np.array(x2)


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 10])
def test_every_pair_has_ten_digits(depth, activation, bias):
    x1, x2 = pairs(4)
    kernel = infinite_ntk(depth, activation, weight_variance=1.8, bias_variance=bias)
    pair = jax.jit(lambda a, b: kernel._pair(pair_covariance(a, b), 4))
    np.testing.assert_allclose(pair(x1.T, x2.T), table(x1, x2, depth, activation, 1.8, bias), rtol=1e-10)


# Few coordinates, many, and one norm; the polynomials and, where norms differ and there are biases, the recursion.
@pytest.mark.parametrize(
    ("dim", "depth", "activation", "bias", "unit"),
    [
        (7, 1, "relu", 0.0, False),
        (7, 2, "leaky_relu", 0.3, False),
        (3, 1, "relu", 0.0, False),
        (7, 3, "abs", 0.3, True),
    ],
)
def test_so_have_the_entries_of_a_gram(dim, depth, activation, bias, unit):
    x1, x2 = pairs(dim)
    if unit:
        x1, x2 = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (x1, x2))
    kernel = infinite_ntk(depth, activation, weight_variance=1.8, bias_variance=bias)
    expected = table(x1, x2, depth, activation, 1.8, bias)
    both = np.concatenate([x1, x2])
    for function, values in ((kernel.ntk, expected[0]), (kernel.nngp, expected[1])):
        np.testing.assert_allclose(np.diag(function(x1, x2)), values, rtol=1e-10)
        np.testing.assert_allclose(np.diag(function(both), len(x1)), values, rtol=1e-10)


def test_cao_kernel_has_the_digits_of_a_network_of_one_layer():
    x1, x2 = pairs(7)
    # Σ of weight variance 2 and dim 1 is 2 κ₂, and ⟨x, x'⟩ κ₁ = (Θ - Σ)/4.
    with mpmath.workdps(60):
        rows = [exact(a.tolist(), b.tolist(), 1, "relu", 2, 0) for a, b in zip(x1, x2, strict=True)]
        expected = [[float((t - s) * 7 / 4 + s * 7 / 2), float(s * 7 / 2)] for t, s in rows]
    for function, values in zip((cao_kernel().ntk, cao_kernel().nngp), np.array(expected).T, strict=True):
        np.testing.assert_allclose(np.diag(function(x1, x2)), values, rtol=1e-10)


@pytest.mark.parametrize(("depth", "bias"), [(3, 0.0), (10, 0.0), (3, 0.3)])
def test_float32_entries_are_right_to_1e6_of_their_diagonals(depth, bias):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 10)).astype(np.float32)
    x[:20] = x[-20:] + np.float32(10.0) ** rng.uniform(-7, -1, (20, 1)).astype(np.float32) * x[20:40]
    x[20:30] = -x[30:40] * np.float32(1.3)
    kernel = infinite_ntk(depth, bias_variance=bias)
    for name in ("ntk", "nngp"):
        actual = np.asarray(getattr(kernel, name)(x))
        assert actual.dtype == np.float32
        expected = np.asarray(getattr(kernel, name)(x.astype(np.float64)))
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        assert np.max(np.abs(actual - expected) / scale) < 1e-6
        # Near-identical points by their distance in feature space, which is what regression sees.
        assert np.max(np.abs(np.diag(actual) / np.diag(expected) - 1)) < 1e-6


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("dim", [3, 6])
def test_gradients_are_those_of_the_recursion(dim, bias):
    """Against differences at 60 digits; at random pairs, near ones, and where a cusp counts as 0."""
    rng = np.random.default_rng(0)
    x1 = rng.standard_normal((5, dim))
    x2 = x1 * np.array([1.0, -1.0, 1.0, 1.0, -1.3])[:, None] + np.array([1.0, 1e-2, 1e-3, 1e-6, 1e-3])[
        :, None
    ] * rng.standard_normal((5, dim))
    kernel = infinite_ntk(2, bias_variance=bias)
    for which, function in enumerate((kernel.ntk, kernel.nngp)):
        gradient = jax.jit(jax.grad(lambda x, function=function: jnp.trace(function(x, jnp.asarray(x2)))))
        expected = np.zeros_like(x1)
        with mpmath.workdps(60):
            step = mpmath.mpf(10) ** -20
            for i, k in np.ndindex(*x1.shape):
                one = [mpmath.mpf(v) for v in x1[i].tolist()]
                ends = []
                for sign in (1, -1):
                    moved = [*one[:k], one[k] + sign * step, *one[k + 1 :]]
                    ends.append(exact(moved, x2[i].tolist(), 2, "relu", 2, bias)[which])
                expected[i, k] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(gradient(jnp.asarray(x1)), expected, rtol=0, atol=3e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("dim", [2, 6])
def test_gradients_are_finite_at_cusps_and_zero_vectors(dim, bias, dtype):
    x = np.random.default_rng(0).standard_normal((6, dim)).astype(dtype)
    x[1], x[2], x[3], x[4] = x[0], -x[0], 0, 0
    kernel = infinite_ntk(2, bias_variance=bias)
    for arguments in ((x,), (x, x[::-1])):
        gradient = jax.grad(lambda *x: jnp.sum(kernel.ntk(*x)))(*map(jnp.asarray, arguments))
        assert gradient.dtype == dtype
        assert np.all(np.isfinite(gradient))
    # On the diagonal Θ = c ‖x‖² without biases; with them the constant is added.
    one = jnp.asarray(x[:1])
    slope = jax.grad(lambda x: kernel.ntk(x)[0, 0])(one)
    np.testing.assert_allclose(slope, 2 * one * 3 * 2 / dim, rtol=1e-6 if dtype == "float32" else 1e-14)
