import functools
import math
import warnings
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.polynomial import Chebyshev, Hermite, HermiteE, Laguerre, Legendre, Polynomial

from spectralbias import models
from spectralbias._core.names import ACTIVATIONS
from spectralbias.kernels import QuadratureWarning
from spectralbias.kernels._dual import dual

CLOSED = ("abs", "cos", "erf", "gaussian", "gelu", "identity", "leaky_relu", "relu", "sin")

# (σ, E σ(v) of v ~ N(m, s)) of each activation and of its derivative.
FUNCTIONS = {
    "erf": (
        (mp.erf, lambda m, s: mp.erf(m / mp.sqrt(1 + 2 * s))),
        (
            lambda z: 2 * mp.exp(-(z**2)) / mp.sqrt(mp.pi),
            lambda m, s: 2 * mp.exp(-(m**2) / (1 + 2 * s)) / mp.sqrt(mp.pi * (1 + 2 * s)),
        ),
    ),
    "sin": ((mp.sin, lambda m, s: mp.exp(-s / 2) * mp.sin(m)), (mp.cos, lambda m, s: mp.exp(-s / 2) * mp.cos(m))),
    "cos": (
        (mp.cos, lambda m, s: mp.exp(-s / 2) * mp.cos(m)),
        (lambda z: -mp.sin(z), lambda m, s: -mp.exp(-s / 2) * mp.sin(m)),
    ),
    "gaussian": (
        (lambda z: mp.exp(-(z**2) / 2), lambda m, s: mp.exp(-(m**2) / (2 * (1 + s))) / mp.sqrt(1 + s)),
        (
            lambda z: -z * mp.exp(-(z**2) / 2),
            lambda m, s: -m * mp.exp(-(m**2) / (2 * (1 + s))) / (1 + s) ** 1.5,
        ),
    ),
    "gelu": (
        (
            lambda z: z * mp.ncdf(z),
            lambda m, s: m * mp.ncdf(m / mp.sqrt(1 + s)) + s / mp.sqrt(1 + s) * mp.npdf(m / mp.sqrt(1 + s)),
        ),
        (
            lambda z: mp.ncdf(z) + z * mp.npdf(z),
            lambda m, s: mp.ncdf(m / mp.sqrt(1 + s)) + m * mp.npdf(m / mp.sqrt(1 + s)) / (1 + s) ** 1.5,
        ),
    ),
}

COVARIANCES = [
    (0.3, 1.0, 2.0),
    (-1.2, 2.0, 1.0),
    (0.0, 1.5, 0.5),
    (1 - 1e-12, 1.0, 1.0),
    (-3 * (1 - 1e-10), 3.0, 3.0),
    (0.999e-6, 1e-6, 1e-6),
    (-5e-4, 1e-6, 1.0),
    (1e3 * (1 - 1e-9), 1e3, 1e3),
    (-1e3 * (1 - 1e-7), 1e3, 1e3),
    (-20.0, 1.0, 1e3),
]


def expectation(function, inner, product, square1, square2):
    """E f(u) f(v) as an integral over u of f(u) E[f(v) | u], by the trapezoidal rule at 30 digits."""
    with mp.workdps(30):
        c, q1, q2 = (mp.mpf(value) for value in (product, square1, square2))
        rest = q2 - c**2 / q1
        # Exponentially convergent: the functions vary over 1, or 1/√q1 in units of the standard deviation.
        step = 1 / (8 * mp.sqrt(1 + q1 / 4))
        count = int(12 / step)
        total = mp.mpf(0)
        for i in range(-count, count + 1):
            z = i * step
            u = mp.sqrt(q1) * z
            total += mp.npdf(z) * function(u) * inner(c / q1 * u, rest)
        return float(step * total)


@functools.cache
def expected_moments(name):
    return np.array([[expectation(*f, *covariance) for covariance in COVARIANCES] for f in FUNCTIONS[name]])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_closed_forms_equal_integrals_at_30_digits(name):
    actual = dual(name).moments(*np.array(COVARIANCES).T)
    # The integral itself has 30 digits of its largest values; with opposite signs 1e-209 is left of them.
    np.testing.assert_allclose(actual, expected_moments(name), rtol=1e-13, atol=1e-27)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_closed_forms_in_float32_keep_the_digits_of_float32(name):
    covariances = np.array([(0.3, 1.0, 2.0), (-1.2, 2.0, 1.0), (0.5, 0.5, 0.5), (999.9375, 1e3, 1e3)], np.float32)
    expected = np.array([[expectation(*f, *map(float, row)) for row in covariances] for f in FUNCTIONS[name]])
    actual = dual(name).moments(*covariances.T)
    assert actual[0].dtype == actual[1].dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-6)


def power_moment(i, j, product, square1, square2):
    """E u^i v^j of Gaussians, exactly for fractions, by Stein's lemma."""
    if i < 0 or j < 0:
        return Fraction(0)
    if i == 0:
        return square2 * (j - 1) * power_moment(0, j - 2, product, square1, square2) if j else Fraction(1)
    lower = (i - 1) * square1 * power_moment(i - 2, j, product, square1, square2) if i > 1 else 0
    return lower + (product * j * power_moment(i - 1, j - 1, product, square1, square2) if j else 0)


POLYNOMIALS = [
    Polynomial([1, -2, 0, 3]),
    Polynomial([0, 0, 1]),
    Polynomial([2.0]),
    Polynomial([0, 1, 2], domain=[0, 2], window=[-1, 1]),
    HermiteE([0, 0, 0, 0, 0, 1]),
    HermiteE([1, 2, 0, -1, 0.5], domain=[-2, 2]),
    Hermite([1, 0, -1, 2]),
    Chebyshev([0, 0, 0, 1, 1]),
    Laguerre([1, -1, 2]),
    Legendre([0.5, 0, 2, 1]),
]


@pytest.mark.parametrize("series", POLYNOMIALS, ids=str)
def test_polynomials_equal_exact_fractions(series):
    # Scaled to whole coefficients, which numpy converts to powers exactly.
    powers = (64 * series).convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef
    coefficients = [Fraction(float(round(2**20 * c))) / 2**26 for c in powers]
    slopes = [k * c for k, c in enumerate(coefficients)][1:]
    covariances = [
        (0.375, 1.0, 2.0),
        (-1.25, 2.0, 1.0),
        (1.0, 1.0, 1.0),
        (2.0**-20, 2.0**-20, 2.0**-19),
        (-900.0, 1e3, 1e3),
    ]
    actual = np.asarray(dual(series).moments(*np.array(covariances).T))
    for which, part in enumerate((coefficients, slopes)):
        for column, covariance in enumerate(covariances):
            q = [Fraction(value) for value in covariance]

            def total(*q, part=part):
                terms = [a * b * power_moment(i, j, *q) for i, a in enumerate(part) for j, b in enumerate(part)]
                return float(sum(terms, Fraction(0)))

            scale = np.sqrt(total(q[1], q[1], q[1]) * total(q[2], q[2], q[2]))
            assert abs(actual[which, column] - total(*q)) <= 1e-13 * scale


def test_hermite_polynomials_of_high_degree_are_orthogonal():
    # E He_n(u) He_n(v) = n! ρⁿ: powers would lose all digits.
    second, first = dual(HermiteE([0] * 20 + [1])).moments(0.5, 1.0, 1.0)
    assert float(second) == pytest.approx(math.factorial(20) / 2**20, rel=1e-14)
    assert float(first) == pytest.approx(20 * math.factorial(20) / 2**19, rel=1e-14)


@pytest.mark.parametrize("activation", [*FUNCTIONS, POLYNOMIALS[0], POLYNOMIALS[4]], ids=str)
def test_closed_forms_agree_with_one_another(activation):
    it = dual(activation)
    product, square1, square2 = np.array(COVARIANCES)[:6].T
    second, first = it.moments(product, square1, square2)
    # ∂/∂c E σσ = E σ'σ', also at identical points.
    derivative = jax.jit(jax.vmap(jax.grad(lambda c, p, q: it.moments(c, p, q)[0])))
    np.testing.assert_allclose(derivative(product, square1, square2), first, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(it.moments(product, square2, square1), (second, first), rtol=1e-14)
    np.testing.assert_allclose(it.second_moment(square1), it.moments(square1, square1, square1)[0], rtol=1e-14)
    same = derivative(square1, square1, square1)
    np.testing.assert_allclose(same, it.moments(square1, square1, square1)[1], rtol=1e-12, atol=1e-15)
    grid = it.moments(np.zeros((3, 2)), np.ones((3, 1)), np.ones((1, 2)))
    assert grid[0].shape == grid[1].shape == (3, 2)


@pytest.mark.parametrize("activation", [*CLOSED, "tanh", POLYNOMIALS[0]], ids=str)
def test_nothing_is_nan_at_zero_variance(activation):
    it = dual(activation)
    covariances = np.array([(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)])
    rows = jax.jit(jax.vmap(lambda q: (it.moments(*q), jax.jacfwd(lambda q: it.moments(*q))(q))))(covariances)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(rows))
    function = models.activation(activation)
    assert float(rows[0][0][0]) == pytest.approx(float(function(jnp.zeros(1))[0]) ** 2, abs=1e-15)


def test_names_with_a_closed_form_use_it():
    assert {name for name in ACTIVATIONS if name != "elu" and dual(name).method == "closed form"} == set(CLOSED)
    assert dual(np.polynomial.HermiteE([0, 1, 1])).method == "closed form"
    for name in CLOSED:
        assert dual(models.activation(name)) is dual(name)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (jax.nn.relu, "relu"),
        (jnp.sin, "sin"),
        (jax.scipy.special.erf, "erf"),
        (jax.lax.cos, "cos"),
        (jnp.absolute, "abs"),
        (functools.partial(jax.nn.gelu, approximate=False), "gelu"),
    ],
)
def test_functions_of_jax_are_known_by_identity(function, name):
    assert dual(function) is dual(name)


@pytest.mark.parametrize(
    ("function", "slopes"),
    [
        (lambda z: jnp.maximum(z, 0), (0.0, 1.0)),
        (lambda z: jnp.where(z > 0, z, 0), (0.0, 1.0)),
        (lambda z: z * (z > 0), (0.0, 1.0)),
        (lambda z: (z + jnp.abs(z)) / 2, (0.0, 1.0)),
        (functools.partial(jax.nn.leaky_relu, negative_slope=0.2), (0.2, 1.0)),
        (lambda z: jnp.where(z > 0, 2 * z, -0.5 * z), (-0.5, 2.0)),
        (jax.nn.relu6, None),
        (lambda z: jnp.maximum(z, 0) + 1, None),
        (jax.nn.softplus, None),
        (jax.nn.gelu, None),
    ],
)
def test_functions_that_are_linear_on_either_side_of_0_are_known_by_their_values(function, slopes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuadratureWarning)
        it = dual(function)
    if slopes is None:
        assert it.method == "quadrature"
    else:
        assert (it.negative_slope, it.positive_slope) == pytest.approx(slopes, rel=1e-15)


def test_what_is_no_activation_is_refused(refuses):
    with refuses("activation", "`tanhh`", "`tanh`"):
        dual("tanhh")
    with refuses("elementwise", "softmax", "other entries"):
        dual(jax.nn.softmax)
    with refuses("polynomial", "nan"):
        dual(np.polynomial.Polynomial([0, float("nan")]))
    with refuses("finite", "value", "inf"):
        dual(lambda z: jnp.sinh(z) * jnp.exp(z**2))
