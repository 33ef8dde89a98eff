"""Infinite-width kernels of piecewise-linear activations against a recursion at 40 digits."""

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from spectralbias.kernels import cao_kernel, infinite_ntk

SLOPES = {"relu": (0.0, 1.0), "leaky_relu": (0.01, 1.0), "abs": (-1.0, 1.0)}
ANGLES = (1e-1, 1e-2, 1e-3, 1e-5, 1e-8)
CASES = [(depth, activation) for depth in (1, 2, 3, 10) for activation in SLOPES]


def expectations(sigma, negative, positive):
    """E σσ and E σ'σ' as sums over the four quadrants of (u, v), each an arc-cosine kernel."""
    scale = mpmath.sqrt(sigma[0][0] * sigma[1][1])
    if scale == 0:
        return mpmath.mpf(0), mpmath.mpf(0)
    cosine = max(mpmath.mpf(-1), min(mpmath.mpf(1), sigma[0][1] / scale))

    def quadrant(c):
        rest = mpmath.pi - mpmath.acos(c)
        return (mpmath.sqrt(1 - c * c) + rest * c) / (2 * mpmath.pi), rest / (2 * mpmath.pi)

    (same2, same1), (mixed2, mixed1) = quadrant(cosine), quadrant(-cosine)
    both, one = positive**2 + negative**2, 2 * positive * negative
    return scale * (both * same2 - one * mixed2), both * same1 + one * mixed1


def exact(x1, x2, depth, activation, weight, bias):
    """(Θ, Σ) of one pair at 60 digits, from whole 2 × 2 covariances."""
    with mpmath.workdps(60):
        negative, positive = map(mpmath.mpf, SLOPES[activation])
        points = [[mpmath.mpf(float(v)) for v in x] for x in (x1, x2)]
        weight, bias = mpmath.mpf(weight), mpmath.mpf(bias)
        sigma = [[weight * mpmath.fdot(p, q) / len(x1) + bias for q in points] for p in points]
        theta = sigma[0][1]
        diagonal = weight * (negative**2 + positive**2) / 2
        for _ in range(depth):
            second, first = expectations(sigma, negative, positive)
            off = weight * second + bias
            sigma = [[diagonal * sigma[0][0] + bias, off], [off, diagonal * sigma[1][1] + bias]]
            theta = off + weight * first * theta
        return float(theta), float(sigma[0][1])


@functools.cache
def pairs(dim):
    """Random pairs, then pairs at small angles from parallel and from opposite, of equal and of unequal norms."""
    rng = np.random.default_rng(dim)
    x1, x2 = [], []
    for _ in range(2):
        x1.append(rng.standard_normal(dim))
        x2.append(rng.standard_normal(dim))
    for end in (1.0, -1.0):
        for norm in (1.0, 1.7):
            for angle in (*ANGLES, 0.0):
                x, y = rng.standard_normal((2, dim))
                y -= (y @ x) / (x @ x) * x
                y *= np.linalg.norm(x) / np.linalg.norm(y)
                x1.append(x)
                x2.append(end * norm * (np.cos(angle) * x + np.sin(angle) * y) if angle else end * 2 * norm // 1.7 * x)
    return np.array(x1), np.array(x2)


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize(("depth", "activation"), CASES)
@pytest.mark.parametrize("dim", [3, 7])
def test_every_pair_has_ten_digits(dim, depth, activation, bias):
    x1, x2 = pairs(dim)
    weight = 1.8
    kernel = infinite_ntk(depth, activation, weight_variance=weight, bias_variance=bias)
    expected = np.array([exact(a, b, depth, activation, weight, bias) for a, b in zip(x1, x2, strict=True)])
    actual = [np.diag(function(x1, x2)) for function in (kernel.ntk, kernel.nngp)]
    np.testing.assert_allclose(actual[0], expected[:, 0], rtol=1e-10)
    np.testing.assert_allclose(actual[1], expected[:, 1], rtol=1e-10)
