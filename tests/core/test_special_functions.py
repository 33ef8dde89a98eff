import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from spectralbias._core.gegenbauer import gegenbauer, multiplicity

T = np.linspace(-1, 1, 41)


@pytest.mark.parametrize("dim", [3, 4, 10, 25])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 8, 13])
def test_gegenbauer_equals_scipys_divided_by_its_value_at_one(degree, dim):
    alpha = (dim - 2) / 2
    expected = scipy.special.eval_gegenbauer(degree, alpha, T) / scipy.special.eval_gegenbauer(degree, alpha, 1.0)
    np.testing.assert_allclose(gegenbauer(degree, dim, T), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 40])
def test_on_the_circle_it_is_a_cosine_and_on_the_sphere_a_legendre_polynomial(degree):
    angles = np.linspace(0, np.pi, 50)
    np.testing.assert_allclose(gegenbauer(degree, 2, np.cos(angles)), np.cos(degree * angles), rtol=0, atol=1e-12)
    np.testing.assert_allclose(gegenbauer(degree, 3, T), scipy.special.eval_legendre(degree, T), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("degree", "dim"), [(7, 2), (60, 2), (60, 3), (25, 10), (120, 10), (9, 100)])
def test_gegenbauer_equals_a_hypergeometric_function_at_150_digits(degree, dim):
    t = [-1.0, -0.97, -0.5, 0.0, 0.1, 0.9, 0.999, 1.0]
    with mpmath.workdps(150):
        a, b, c = -degree, degree + dim - 2, mpmath.mpf(dim - 1) / 2
        expected = [
            float(
                mpmath.fsum(
                    mpmath.rf(a, j) * mpmath.rf(b, j) / mpmath.rf(c, j) * ((1 - mpmath.mpf(s)) / 2) ** j / mpmath.fac(j)
                    for j in range(degree + 1)
                )
            )
            for s in t
        ]
    np.testing.assert_allclose(gegenbauer(degree, dim, t), expected, rtol=0, atol=1e-12)


@given(st.integers(0, 30), st.integers(2, 40), st.floats(-1, 1))
def test_gegenbauer_is_one_at_one_has_its_parity_and_is_bounded(degree, dim, t):
    assert gegenbauer(degree, dim, 1.0) == pytest.approx(1.0, abs=1e-12)
    assert abs(gegenbauer(degree, dim, t)) <= 1 + 1e-12
    assert gegenbauer(degree, dim, -t) == pytest.approx((-1) ** degree * gegenbauer(degree, dim, t), abs=1e-12)


def test_shapes_are_kept_and_the_argument_is_not_changed():
    t = np.full((2, 3), 0.3)
    for degree in range(4):
        assert gegenbauer(degree, 5, t).shape == (2, 3)
        assert gegenbauer(degree, 5, 0.3).shape == ()
    assert np.all(t == 0.3)


@pytest.mark.parametrize("dim", [3, 4, 10])
def test_degrees_are_orthogonal_and_their_squares_are_one_over_the_multiplicity(dim):
    t, weights = scipy.special.roots_gegenbauer(20, (dim - 2) / 2)
    weights = weights / weights.sum()
    values = np.stack([gegenbauer(k, dim, t) for k in range(9)])
    expected = np.diag([1 / multiplicity(k, dim) for k in range(9)])
    np.testing.assert_allclose((values * weights) @ values.T, expected, rtol=0, atol=1e-13)


def test_multiplicities_are_the_known_ones():
    assert [multiplicity(k, 2) for k in range(5)] == [1, 2, 2, 2, 2]
    assert [multiplicity(k, 3) for k in range(6)] == [2 * k + 1 for k in range(6)]
    assert [multiplicity(k, 4) for k in range(6)] == [(k + 1) ** 2 for k in range(6)]
    assert [multiplicity(k, 10) for k in (0, 1, 2, 4)] == [1, 10, 54, 660]
    assert [multiplicity(2, dim) for dim in range(2, 9)] == [dim * (dim + 1) // 2 - 1 for dim in range(2, 9)]


@pytest.mark.parametrize(("degree", "dim"), [(1, 5), (6, 7), (30, 10), (200, 300)])
def test_multiplicity_equals_the_formula_of_cao_et_al_exactly(degree, dim):
    d = dim - 1  # their S^d
    assert multiplicity(degree, dim) == Fraction(2 * degree + d - 1, degree) * math.comb(degree + d - 2, d - 1)


@pytest.mark.parametrize(("degree", "dim"), [(5, 2), (3, 3), (3, 4), (2, 5), (1, 12)])
def test_the_gram_of_a_degree_has_rank_equal_to_its_multiplicity(degree, dim):
    x = np.random.default_rng(0).standard_normal((60, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(gegenbauer(degree, dim, np.clip(x @ x.T, -1, 1)))
    assert np.sum(eigenvalues > 1e-9) == multiplicity(degree, dim)
    assert np.all(eigenvalues > -1e-12)


@pytest.mark.parametrize(
    ("degree", "dim", "words"), [(-1, 3, ("`degree`", "-1")), (2, 1, ("`dim`", "1")), (0, 0, ("`dim`", "0"))]
)
def test_what_is_no_degree_and_no_sphere_is_refused(degree, dim, words, refuses):
    with refuses(*words):
        gegenbauer(degree, dim, 0.5)
    with refuses(*words):
        multiplicity(degree, dim)
