import time

import mpmath
import numpy as np
import pytest
import scipy.special

from spectralbias._core.gegenbauer import gegenbauer
from spectralbias.spectra import multiplicity, spherical_harmonics

# Degrees up to the limit of 5000 harmonics in dims 2, 3, 4, 5 and more.
CASES = [(0, 2), (7, 2), (0, 3), (1, 3), (6, 3), (120, 3), (5, 4), (69, 4), (8, 5), (6, 7), (5, 10), (3, 30), (2, 98)]


def points(num, dim, seed=0):
    """Random points, after both poles, points close to them, and points on the coordinate axes and planes."""
    x = np.random.default_rng(seed).standard_normal((num, dim))
    x[:7] = 0
    x[:4, -1] = 1, -1, 1, -1
    x[2:4, 0] = 1e-9, 1e-200
    x[4, 0] = x[5, 1] = x[6, -2] = 1
    x[6, -1] = 1
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def product_rule(dim, exact):
    """Points and weights of total 1, exact for polynomials on the sphere up to a degree.

    Gauss's rule for each height of (√(1 - t²) x', t), whose law is (1 - t²)^((d - 3)/2), over equal angles.
    """
    angle = 2 * np.pi * (np.arange(exact + 1) + 0.3) / (exact + 1)
    x, weights = np.stack([np.cos(angle), np.sin(angle)], axis=1), np.full(exact + 1, 1 / (exact + 1))
    for d in range(3, dim + 1):
        t, gauss = scipy.special.roots_gegenbauer(exact // 2 + 1, (d - 2) / 2)
        rings = np.sqrt(1 - t**2)[:, None, None] * x
        heights = np.broadcast_to(t[:, None, None], (*rings.shape[:2], 1))
        x = np.concatenate([rings, heights], axis=2).reshape(-1, d)
        weights = np.outer(gauss / gauss.sum(), weights).ravel()
    return x, weights


@pytest.mark.parametrize(
    ("degrees", "dim"),
    [
        ([0, 1, 2, 9, 400], 2),
        ([0, 1, 2, 3, 7], 3),
        ([48], 3),
        ([0, 1, 2, 3, 4, 5], 4),
        ([9], 4),
        ([0, 1, 2, 3], 5),
        ([0, 1, 2], 6),
        ([3], 6),
    ],
)
def test_they_are_orthonormal_by_a_rule_that_is_exact(degrees, dim):
    x, weights = product_rule(dim, 2 * max(degrees))
    y = spherical_harmonics(degrees, x)
    assert y.shape == (len(x), sum(multiplicity(k, dim) for k in degrees))
    np.testing.assert_allclose((y.T * weights) @ y, np.eye(y.shape[1]), rtol=0, atol=1e-12)


def equal_angles(num):
    """Fejér's rule on (0, π) for d(cos θ)/2, exact for polynomials of degree num - 1 in cos θ.

    Gauss's nodes are given by their cosines, which do not tell the points near the poles apart well enough.
    """
    angle = (np.arange(num) + 0.5) * np.pi / num
    m = np.arange(1, num // 2 + 1)
    phase = (np.outer(2 * np.arange(num) + 1, m) % (2 * num)) * np.pi / num
    return angle, (1 - 2 * np.cos(phase) @ (1 / (4 * m**2 - 1))) / num


@pytest.mark.parametrize(("degree", "other"), [(100, 98), (1000, 998), (2499, None)])
def test_they_are_orthonormal_at_the_highest_degrees(degree, other):
    # On the meridian φ = 0 the sines vanish and the cosines are √2 p_l(θ): each p_l has mean square 1, and those of one
    # order and two degrees of equal parity are orthogonal. (Orders are told apart by φ.)
    angle, weights = equal_angles(2 * degree + 2)
    half = angle < np.pi / 2  # p_l² is even
    x = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)[half]
    along = lambda k: spherical_harmonics(k, x)[:, [0, *range(1, 2 * k + 1, 2)]]  # noqa: E731
    values = along(degree)
    squares = 2 * weights[half] @ values**2
    np.testing.assert_allclose(squares, [1, *degree * [2]], rtol=0, atol=1e-12)
    if other is not None:
        products = 2 * weights[half] @ (values[:, : other + 1] * along(other))
        np.testing.assert_allclose(products, 0, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("degree", "dim"), CASES)
def test_addition_theorem_and_number(degree, dim):
    x = points(40, dim)
    y = spherical_harmonics(degree, x)
    count = multiplicity(degree, dim)
    assert y.shape == (40, count)
    expected = gegenbauer(degree, dim, np.clip(x @ x.T, -1, 1))
    np.testing.assert_allclose(y @ y.T / count, expected, rtol=0, atol=1e-11)


def legendre(degree, x, other):
    """P_k(⟨x, x'⟩) of two float64 vectors in 30 digits, cosine included: near 1 a cosine in float64 is not enough."""
    with mpmath.workdps(30):
        a, b = mpmath.matrix(x.tolist()), mpmath.matrix(other.tolist())
        t = mpmath.fsum(u * v for u, v in zip(a, b, strict=True)) / mpmath.norm(a) / mpmath.norm(b)
        below, value = mpmath.mpf(1), t
        for k in range(1, degree):
            below, value = value, ((2 * k + 1) * t * value - k * below) / (k + 1)
        return float(value)


@pytest.mark.parametrize("degree", [1000, 2499])
def test_addition_theorem_at_the_highest_degrees(degree):
    # The sine to the power 2499 underflows float64 over most of the sphere.
    x = points(12, 3, seed=1)
    y = spherical_harmonics(degree, x)
    assert np.all(np.isfinite(y))
    first, second = np.triu_indices(12)
    expected = [legendre(degree, x[i], x[j]) for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose((y @ y.T)[first, second] / (2 * degree + 1), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 40, 300])
def test_in_dim_three_they_are_the_usual_real_harmonics(degree):
    x = points(60, 3)[4:]  # away from the poles, where scipy's angle has no digits
    y = spherical_harmonics(degree, x)
    theta, phi = np.arccos(x[:, 2]), np.arctan2(x[:, 1], x[:, 0])
    usual = [scipy.special.sph_harm_y(degree, m, theta, phi) for m in range(degree + 1)]
    real = [usual[0].real, *(np.sqrt(2) * part for u in usual[1:] for part in (u.real, u.imag))]
    expected = np.sqrt(4 * np.pi) * np.stack(real, axis=1)
    signs = np.sign(np.sum(y * expected, axis=0))
    np.testing.assert_allclose(y, signs * expected, rtol=0, atol=1e-11)


def test_degree_one_is_linear_and_degree_two_has_no_trace():
    for dim in (2, 3, 5, 9):
        x = points(50, dim)
        np.testing.assert_allclose(
            np.linalg.svd(np.linalg.lstsq(x, spherical_harmonics(1, x))[0])[1], dim**0.5, rtol=1e-12
        )
    x = points(50, 4)
    rows, columns = np.triu_indices(4)
    fit = np.linalg.lstsq(x[:, rows] * x[:, columns], spherical_harmonics(2, x))[0]
    np.testing.assert_allclose(fit[rows == columns].sum(axis=0), 0, atol=1e-12)
    assert spherical_harmonics(1, np.eye(3, 5000)).shape == (3, 5000)


@pytest.mark.parametrize("dim", [3, 4, 6])
def test_at_the_poles_only_the_zonal_one_is_left(dim):
    for degree in (1, 2, 3):
        y = spherical_harmonics(degree, points(9, dim)[:2])
        np.testing.assert_allclose(y[:, 0], multiplicity(degree, dim) ** 0.5 * np.array([1, (-1) ** degree]))
        assert not np.any(y[:, 1:])


def test_values_that_underflow_elsewhere_keep_relative_accuracy():
    # Y_{k,k} ∝ sin^k θ cos kφ: 600 decades of it between these two points, one of them at φ = 0.
    k, sine = 200, np.array([1.0, 0.03])
    y = spherical_harmonics(k, np.stack([sine, 0 * sine, np.sqrt(1 - sine**2)], axis=1))[:, -2]
    with mpmath.workdps(40):
        # ∫ sin^(2k) θ d(cos θ)/2 = 4^k k!²/(2k + 1)!, halved for the cosine
        norm = mpmath.mpf(4) ** k * mpmath.factorial(k) ** 2 / mpmath.factorial(2 * k + 1)
        expected = [float(mpmath.sqrt(2 / norm) * mpmath.mpf(float(s)) ** k) for s in sine]
    assert expected[1] < 1e-300
    np.testing.assert_allclose(np.abs(y), expected, rtol=1e-11)


def test_several_degrees_stand_side_by_side_and_rows_are_independent():
    for dim in (2, 3, 4, 6):
        x = points(20, dim)
        together = spherical_harmonics([3, 0, 1, 2], x)
        apart = [spherical_harmonics(k, x) for k in (3, 0, 1, 2)]
        np.testing.assert_allclose(together, np.hstack(apart), rtol=0, atol=1e-14)
        np.testing.assert_allclose(spherical_harmonics(3, x[7:9]), apart[0][7:9], rtol=0, atol=1e-14)


def test_vectors_of_single_precision_are_points():
    x = points(20, 3)
    single = spherical_harmonics(4, x.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, spherical_harmonics(4, x), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.sum(single**2, axis=1), 9, rtol=1e-13)


@pytest.mark.parametrize(
    ("degree", "x", "words"),
    [
        (-1, np.eye(3), ("`degree`", "-1")),
        (1.5, np.eye(3), ("`degree`", "1.5")),
        (True, np.eye(3), ("`degree`", "True")),
        ([], np.eye(3), ("`degree`", "at least one")),
        ([1, -2], np.eye(3), ("`degree`", "-2")),
        (2500, np.eye(3), ("`degree` 2500", "5001", "5000", "degree_energies")),
        (1000, np.eye(10), ("`degree` 1000", "dim 10", "5000")),
        (2000, np.eye(2000), ("1e308",)),
        (1, np.ones((4, 1)), ("`x`", "(4, 1)")),
        (1, np.eye(3)[:0], ("`x`", "(0, 3)")),
        (1, np.ones(3), ("`x`", "rank 2")),
        (1, 1.00001 * np.eye(3), ("`x`", "unit sphere", "1.00001", "row 0", "divide")),
        (1, np.diag([1, 1, np.nan]), ("`x`", "not finite")),
    ],
)
def test_refused(degree, x, words, refuses):
    with refuses(*words):
        spherical_harmonics(degree, x)


def test_one_high_degree_on_the_circle_needs_no_lower_ones():
    x = np.array([[np.cos(1e-6), np.sin(1e-6)]])
    expected = np.sqrt(2) * np.array([[np.cos(1), np.sin(1)]])
    began = time.perf_counter()
    np.testing.assert_allclose(spherical_harmonics(1_000_000, x), expected, rtol=1e-9)
    assert time.perf_counter() - began < 1
