import math

import numpy as np
import pytest
import scipy.special

from spectralbias import spectra
from spectralbias._core.gegenbauer import gegenbauer_sequence, multiplicities
from spectralbias.spectra import gegenbauer, multiplicity

T = np.linspace(-1, 1, 31)


@pytest.mark.parametrize(("degree", "dim"), [(0, 3), (1, 2), (5, 3), (4, 10), (12, 7)])
def test_the_l2_normalization_has_mean_square_one(degree, dim):
    rule = scipy.special.roots_chebyt if dim == 2 else lambda n: scipy.special.roots_gegenbauer(n, (dim - 2) / 2)
    nodes, weights = rule(30)
    values = gegenbauer(degree, dim, nodes, normalization="l2")
    assert np.sum(weights * values**2) / weights.sum() == pytest.approx(1, abs=1e-12)
    assert gegenbauer(degree, dim, 1.0, normalization="l2") ** 2 == pytest.approx(multiplicity(degree, dim))


def test_the_value_normalization_is_one_at_one():
    assert gegenbauer(7, 5, 1.0) == pytest.approx(1, abs=1e-14)
    np.testing.assert_array_equal(gegenbauer(3, 5, T), gegenbauer(3, 5, T, normalization="value"))


@pytest.mark.parametrize("dim", [2, 3, 10])
def test_every_degree_is_scipys(dim):
    t = T[:30].reshape(2, 3, 5)
    alpha = (dim - 2) / 2
    for k, in_passing in zip(range(7), gegenbauer_sequence(dim, t), strict=False):
        expected = (
            np.cos(k * np.arccos(t))
            if dim == 2
            else scipy.special.eval_gegenbauer(k, alpha, t) / scipy.special.eval_gegenbauer(k, alpha, 1.0)
        )
        np.testing.assert_allclose(gegenbauer(k, dim, t), expected, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(in_passing, gegenbauer(k, dim, t))


@pytest.mark.parametrize("dim", [2, 3, 4, 11, 200])
def test_multiplicities_in_one_pass(dim):
    assert multiplicities(30, dim) == tuple(multiplicity(k, dim) for k in range(31))
    assert multiplicities(0, dim) == (1,)


def test_multiplicities_of_any_size_are_exact_ints():
    # Homogeneous polynomials of degree k: C(k + dim - 1, k) = Σ_j N(k - 2j), as 1, r², r⁴, … times harmonics.
    for degree, dim in [(9, 4), (10, 10), (40, 1000), (401, 300)]:
        total = sum(multiplicity(k, dim) for k in range(degree % 2, degree + 1, 2))
        assert total == math.comb(degree + dim - 1, degree)
    assert isinstance(multiplicity(1000, 1000), int)
    assert multiplicity(1000, 1000) > 10**500


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gegenbauer(2, 3, 0.5, normalization="sum"), ("`normalization`", '"value"', "sum")),
        (lambda: gegenbauer(-1, 3, 0.5), ("`degree`", "-1")),
        (lambda: gegenbauer(2.5, 3, 0.5), ("`degree`", "whole", "2.5")),
        (lambda: multiplicity(2.0, 3), ("`degree`", "whole", "2.0")),
        (lambda: gegenbauer(2, 3, [0.5, -1.5]), ("`t`", "[-1, 1]", "-1.5")),
        (lambda: gegenbauer(2, 3, np.nan), ("`t`", "finite")),
        (lambda: gegenbauer(2, 1, 0.5, normalization="l2"), ("`dim`", "got 1")),
        (lambda: gegenbauer(1000, 1000, 0.5, normalization="l2"), ("1000", "1e308")),
        (lambda: multiplicity(-2, 3), ("`degree`", "-2")),
        (lambda: multiplicity(2, 0), ("`dim`", "got 0")),
    ],
)
def test_refused(call, words, refuses):
    with refuses(*words):
        call()


def test_the_names_are_public():
    assert {"gegenbauer", "multiplicity"} <= set(dir(spectra))
