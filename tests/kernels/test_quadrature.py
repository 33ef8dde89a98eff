import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from spectralbias import kernels
from spectralbias.kernels import QuadratureWarning
from spectralbias.kernels._closed_forms import ErfDual, GaussianDual, GELUDual, SineDual
from spectralbias.kernels._dual import dual
from spectralbias.kernels._hermite import hermite_functions, hermite_rule, traced_hermite_functions
from spectralbias.kernels._quadrature import Derivative, quadrature_dual

RNG = np.random.default_rng(7)
# (correlation, variance, variance), as large as the estimate speaks of.
PAIRS = [(0.3, 1.0, 2.0), (1.0, 1.0, 1.0), (-1.0, 4.0, 4.0), (0.999, 10.0, 10.0), (-0.7, 0.05, 10.0), (1.0, 0.1, 3.0)]
COVARIANCES = np.array([(r * np.sqrt(p * q), p, q) for r, p, q in PAIRS])


def smooth(seed):
    """Random smooth activations of four kinds, with the points beyond which they are straight, or flat."""
    a, b, c, d = np.random.default_rng(seed).uniform([0.3, -1, 0.3, -1], [1.2, 1, 1.2, 1])
    return [
        lambda z: jnp.tanh(a * z + b),
        lambda z: jax.nn.sigmoid(2 * a * z + b) - 0.5 * jax.nn.sigmoid(c * z + d),
        lambda z: jnp.sin(2 * a * z + b) * jnp.exp(-c * z**2 / 4),
        lambda z: jax.nn.softplus(2 * a * z) / (2 * a) + 0.2 * jnp.cos(c * z),
    ][seed % 4]


ROUGH = [
    jax.nn.elu,
    lambda z: jnp.abs(z) ** 1.5,
    lambda z: jnp.clip(z, -1, 1),
    lambda z: jnp.tanh(5 * z),
    lambda z: jnp.maximum(z, 0) + 0.1 * jnp.sin(3 * z),
    jax.nn.selu,
]
ACTIVATIONS = [smooth(seed) for seed in range(14)] + ROUGH


def composite_gauss(ends):
    """A Gauss-Legendre rule on pieces, of 16 points each, and of mass 1 with the normal density."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    middle, half = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
    z = (middle[:, None] + half[:, None] * nodes).ravel()
    return z, (half[:, None] * weights).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def reference(function, product, square1, square2):
    """E f(u)f(v) by composite Gauss-Legendre rules in both variables, with pieces that end at the kinks 0 and ±1."""
    kinks = np.array([-1.0, 0.0, 1.0])
    z1, w1 = composite_gauss(
        np.sort(np.concatenate([np.linspace(-11, 11, 45), np.clip(kinks / np.sqrt(square1), -11, 11)]))
    )
    slope = product / square1
    rest = np.sqrt(max(square2 - product * slope, 0))
    if rest < 1e-6:  # all of v is determined by u
        ends = np.concatenate([np.linspace(-11, 11, 89), kinks / np.sqrt(square1), kinks / np.sqrt(square2)])
        z1, w1 = composite_gauss(np.sort(np.clip(ends, -11, 11)))
        u = np.sqrt(square1) * z1
        return float(np.sum(w1 * np.asarray(function(u)) * np.asarray(function(slope * u))))
    u = np.sqrt(square1) * z1
    # The pieces in the second variable end at the kinks of f(slope · u + rest · z2), which move with u.
    moved = np.clip((kinks[None, :] - slope * u[:, None]) / rest, -11, 11)
    ends = np.sort(np.concatenate([np.broadcast_to(np.linspace(-11, 11, 23), (len(u), 23)), moved], axis=1), axis=1)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    middle, half = (ends[:, 1:] + ends[:, :-1]) / 2, np.diff(ends, axis=1) / 2
    z2 = middle[..., None] + half[..., None] * nodes
    w2 = half[..., None] * weights * np.exp(-(z2**2) / 2) / np.sqrt(2 * np.pi)
    inner = np.sum(w2 * np.asarray(function(slope * u[:, None, None] + rest * z2)), axis=(1, 2))
    return float(np.sum(w1 * np.asarray(function(u)) * inner))


def relative_errors(it, function):
    """The errors of both moments at all pairs, relative as the estimate is."""
    actual = np.asarray(jax.jit(it.moments)(*COVARIANCES.T))
    errors = []
    for which, f in enumerate((jax.jit(function), jax.jit(Derivative(function)))):
        squares = {q: reference(f, q, q, q) for q in np.unique(COVARIANCES[:, 1:])}
        for column, (product, one, two) in enumerate(COVARIANCES):
            scale = squares[one] ** 0.5 * squares[two] ** 0.5
            errors.append(abs(actual[which, column] - reference(f, product, one, two)) / scale)
    return np.array(errors)


@pytest.mark.parametrize("index", range(20))
def test_the_estimate_bounds_the_error(index):
    function = ACTIVATIONS[index]
    it = quadrature_dual(function)
    error = relative_errors(it, function).max()
    # What remains of the reference is its own rounding, 2e-14 or so.
    assert error <= it.error + 2e-14
    # Nor is it empty: not more than 1e4 times what is left, where that is not rounding.
    assert it.error <= max(1e4 * error, 1e-12)


@pytest.mark.parametrize("closed", [ErfDual(), SineDual(cosine=False), GaussianDual(), GELUDual()])
def test_quadrature_equals_the_closed_forms(closed):
    functions = {
        ErfDual: jax.scipy.special.erf,
        SineDual: jnp.sin,
        GaussianDual: lambda z: jnp.exp(-(z**2) / 2),
        GELUDual: lambda z: jax.nn.gelu(z, approximate=False),
    }
    it = quadrature_dual(functions[type(closed)])
    actual, expected = it.moments(*COVARIANCES.T), closed.moments(*COVARIANCES.T)
    scales = [np.sqrt(np.prod([closed.moments(q, q, q)[k] for q in COVARIANCES.T[1:]], axis=0)) for k in (0, 1)]
    assert np.max(np.abs(np.subtract(actual, expected)) / scales) <= it.error
    assert it.error < 1e-9
    np.testing.assert_allclose(it.second_moment(COVARIANCES[:, 1]), closed.second_moment(COVARIANCES[:, 1]), rtol=1e-9)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "silu", "softplus"])
def test_smooth_named_activations_have_small_errors_and_no_warning(name):
    it = dual(name)
    assert it.method == "quadrature"
    assert it.error < 1e-10


@pytest.mark.parametrize("function", ["elu", jax.nn.selu, lambda z: jnp.clip(z, -1, 1)])
def test_rough_activations_give_a_warning_in_one_line_with_the_error(function):
    with pytest.warns(QuadratureWarning, match="not smooth enough") as caught:
        it = dual(function)
    (warning,) = caught
    assert "\n" not in str(warning.message)
    assert f"{it.error:.1e}" in str(warning.message)
    assert it.error > 1e-4
    with pytest.warns(QuadratureWarning):
        kernels.infinite_ntk(1, function)


def test_the_estimate_grows_with_the_variance_and_can_be_asked_for_any():
    it = dual("tanh")
    errors = [it.error_at(q, q) for q in (0.1, 10.0, 100.0)]
    assert errors[0] < 1e-12
    assert errors[1] <= it.error
    assert errors[2] > 1e-3
    # At a variance of 100 against E tanh² by SciPy's adaptive quadrature.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scipy.integrate.quad(
            lambda z: np.tanh(10 * z) ** 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), -12, 12, points=[0], limit=200
        )[0]
    assert abs(float(it.second_moment(jnp.asarray(100.0))) - expected) <= errors[2] * expected


def test_the_number_of_terms_does_not_depend_on_the_other_variances():
    # Small variances end their series early; together with a large one they do not.
    it = dual("tanh")
    product, square = np.array([0.05, 0.3, 5.0]), np.array([0.1, 1.0, 9.0])
    together = jax.jit(it.moments)(product, square, square)
    alone = [jax.jit(it.moments)(p[None], q[None], q[None]) for p, q in zip(product, square, strict=True)]
    for which in (0, 1):
        np.testing.assert_allclose(together[which], [float(a[which][0]) for a in alone], rtol=1e-14)


def test_derivatives_of_the_moments_equal_differences():
    it, step = dual("tanh"), 1e-5
    point = np.array([0.4, 0.8, 1.3])
    jacobian = np.array(jax.jit(jax.jacrev(lambda q: jnp.stack(it.moments(*q))))(point))
    moments = jax.jit(lambda q: jnp.stack(it.moments(*q)))
    differences = [(moments(point + step * e) - moments(point - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(jacobian, np.transpose(differences), rtol=0, atol=1e-9)
    np.testing.assert_allclose(jacobian[0, 0], moments(point)[1], rtol=1e-12)


def test_float32_is_as_good_as_float32(annotations_unchecked):
    x = RNG.standard_normal((6, 4))
    exact = np.asarray(kernels.infinite_ntk(3, "tanh", weight_variance=1.5, bias_variance=0.1).ntk(x))
    with annotations_unchecked(), jax.enable_x64(False):
        it = quadrature_dual(jnp.tanh)
        assert 1e-7 < it.error < 1e-4
        single = kernels.infinite_ntk(3, "tanh", weight_variance=1.5, bias_variance=0.1).ntk(x.astype(np.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=0, atol=2e-6)


@pytest.mark.parametrize("points", [4, 48, 768, 3072])
def test_gauss_hermite_rules_integrate_powers_exactly(points):
    nodes, factors = hermite_rule(points)
    psi = hermite_functions(nodes, 4)
    weights = factors * psi[0]
    for degree in range(0, 2 * min(points, 6), 2):
        expected = scipy.special.factorial2(degree - 1) if degree else 1.0
        assert float(np.sum(weights * nodes**degree)) == pytest.approx(expected, rel=1e-13)
    products = (factors * psi[1:]) @ (psi[1:] / psi[0]).T
    np.testing.assert_allclose(products, np.eye(3), rtol=0, atol=1e-13)


def test_traced_hermite_functions_equal_the_others():
    nodes = hermite_rule(48)[0]
    np.testing.assert_allclose(
        traced_hermite_functions(jnp.asarray(nodes), 16), hermite_functions(nodes, 16), rtol=1e-12, atol=1e-15
    )


def test_inputs_beyond_the_range_of_the_estimate_give_a_warning():
    x = RNG.standard_normal((4, 3))
    kernel = kernels.infinite_ntk(2, "tanh", weight_variance=1.0)
    assert kernel.error == dual("tanh").error
    kernel.ntk(x)  # no warning, which would be an error here
    with pytest.warns(QuadratureWarning, match="scale the inputs") as caught:
        kernel.ntk(30 * x)
    assert "\n" not in str(caught[0].message)
    with pytest.warns(QuadratureWarning, match="tanh"):
        kernels.bowman_kernel("tanh").ntk(x, 30 * x)
    # Softplus grows layer by layer; its later layers count too.
    with pytest.warns(QuadratureWarning, match="softplus"):
        kernels.infinite_ntk(8, "softplus", weight_variance=4.0).nngp(x)
    # Closed forms know no range, and where values are traced there is nothing to look at.
    assert kernels.infinite_ntk(2, "erf").error == kernels.infinite_ntk(2).error == 0
    kernels.infinite_ntk(2, "erf").ntk(100 * x)
    jax.jit(kernel.ntk)(30 * x)
