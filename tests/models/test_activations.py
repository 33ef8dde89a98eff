import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from spectralbias import models
from spectralbias._core.names import ACTIVATIONS

FORMULAS = {
    "abs": np.abs,
    "cos": np.cos,
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "erf": scipy.special.erf,
    "gaussian": lambda z: np.exp(-(z**2) / 2),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "identity": lambda z: z,
    "leaky_relu": lambda z: np.where(z > 0, z, z / 100),
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": scipy.special.expit,
    "silu": lambda z: z * scipy.special.expit(z),
    "sin": np.sin,
    "softplus": lambda z: np.logaddexp(0, z),
    "tanh": lambda z: -1j * np.tan(1j * z),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_name_is_the_function_it_says(name):
    z = np.concatenate([np.linspace(-6, 6, 41), [1e-9, -1e-9]])
    np.testing.assert_allclose(models.activation(name)(jnp.asarray(z)), FORMULAS[name](z).real, rtol=1e-13, atol=1e-15)


def test_there_is_a_formula_for_every_name():
    assert set(FORMULAS) == set(ACTIVATIONS)


def test_a_function_is_taken_as_it_is_and_an_unknown_name_is_refused(refuses):
    assert models.activation(jnp.cbrt) is jnp.cbrt
    with refuses("activation", "`gleu`", "did you mean", "`gelu`"):
        models.activation("gleu")
    with refuses("activation", "3"):
        models.activation(3)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (jax.nn.softmax, ("softmax", "other entries")),
        (jnp.cumsum, ("cumsum", "other entries")),
        (jnp.sort, ("sort", "other entries")),
        (lambda z: z[::-1], ("other entries",)),
        (lambda z: z - jnp.mean(z), ("other entries",)),
        (jnp.sum, ("sum", "shape (4,)", "shape ()")),
        (lambda z: 1.0, ("shape (4,)", "shape ()")),
        (lambda z: z + 1j, ("complex",)),
        (lambda z: z > 0, ("bool",)),
        (jnp.sqrt, ("sqrt", "nan", "-1.3")),
        (lambda z: z if z > 0 else 0, ("fails", "Error")),
        (np.tanh, ("tanh", "fails", "TracerArrayConversionError")),
        (lambda z, slope: slope * z, ("fails", "slope")),
    ],
)
def test_a_function_that_is_not_elementwise_is_refused(refuses, function, words):
    with refuses("`activation`", "elementwise", *words):
        models.activation(function)
    with refuses("`activation`", "elementwise", *words):
        models.MLP(2, 1, 4, 1, activation=function, key=jax.random.key(0))


def test_a_function_is_looked_at_once_also_under_a_transformation():
    calls = []

    def function(z):
        calls.append(z.shape)
        return z**3

    jax.jit(lambda z: models.activation(function)(z))(jnp.ones(2))
    count = len(calls)
    models.activation(function)
    assert len(calls) == count
    # A function with arrays has no hash; it is looked at each time.
    slope = functools.partial(jnp.multiply, jnp.ones(()))
    assert models.activation(slope) is slope


SERIES = [np.polynomial.Polynomial, np.polynomial.Chebyshev, np.polynomial.Hermite]
SERIES += [np.polynomial.HermiteE, np.polynomial.Laguerre, np.polynomial.Legendre]


@pytest.mark.parametrize("kind", SERIES)
def test_a_series_of_numpy_becomes_a_function(kind):
    series = kind([1, -2, 0.5, 3], domain=[-2, 3])
    z = np.linspace(-3, 3, 7)
    function = models.activation(series)
    np.testing.assert_allclose(jax.jit(function)(z), series(z), rtol=1e-13)
    assert hash(function) == hash(models.activation(series.copy()))
    assert function(jnp.ones(2, jnp.float32)).dtype == jnp.float32
    model = models.MLP(2, "scalar", 5, 1, activation=series, key=jax.random.key(0))
    assert jax.jit(jax.vmap(model))(jnp.ones((3, 2))).shape == (3,)


def test_a_series_with_nan_is_refused(refuses):
    with refuses("polynomial", "nan"):
        models.activation(np.polynomial.Polynomial([0, np.nan]))


def test_functions_of_jax_have_the_names_of_their_doubles():
    assert {name: models.activation_name(models.activation(name)) for name in ACTIVATIONS} == {
        n: n for n in ACTIVATIONS
    }
    for function, name in ((jax.nn.identity, "identity"), (jax.nn.swish, "silu"), (jax.lax.erf, "erf")):
        assert models.activation_name(function) == name
    assert models.activation_name(functools.partial(jax.nn.gelu, approximate=False)) == "gelu"
    assert models.activation_name(jax.nn.gelu) is None
    assert models.activation_name(jnp.exp) is None
