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
