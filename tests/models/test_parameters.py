import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.models import Fixed, combine, count_parameters, partition


class Odd(eqx.Module):
    trained: jax.Array
    fixed: Fixed
    nested: list
    counter: jax.Array
    rate: float
    name: str = eqx.field(static=True)


@pytest.fixture
def odd():
    return Odd(
        jnp.ones(3), Fixed(jnp.ones(5)), [jnp.zeros((2, 2)), Fixed(jnp.ones(7)), None], jnp.arange(4), 0.5, "odd"
    )


def test_parameters_are_floating_point_arrays_that_are_not_fixed(odd):
    parameters, rest = partition(odd)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(parameters)) == [(2, 2), (3,)]
    assert rest.trained is None
    assert rest.fixed.value.shape == (5,)
    assert rest.counter.shape == (4,)
    assert rest.rate == 0.5
    assert count_parameters(odd) == 3 + 4


def test_the_two_halves_make_the_whole(odd):
    whole = combine(*partition(odd))
    assert jax.tree.structure(whole) == jax.tree.structure(odd)
    assert all(a is b for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(odd), strict=True))


@pytest.mark.parametrize("antisymmetric", [False, True])
@pytest.mark.parametrize("bias_std", [0.0, 0.5])
def test_counts_of_a_network(antisymmetric, bias_std):
    model = models.MLP(3, 2, 6, 2, bias_std=bias_std, antisymmetric=antisymmetric, key=jax.random.key(0))
    weights, biases = 3 * 6 + 6 * 6 + 6 * 2, 6 + 6 + 2
    assert count_parameters(model) == (1 + antisymmetric) * (weights + (bias_std > 0) * biases)


def test_the_random_frequencies_of_an_encoding_are_not_counted():
    encoding = models.encodings.FourierFeatures(2, 3, 1.0, key=jax.random.key(0))
    assert count_parameters(encoding) == 0
    model = models.coordinate_network(2, 3, width=6, depth=1, encoding=encoding, key=jax.random.key(1))
    assert count_parameters(model) == (6 * 6 + 6) + (6 * 3 + 3)


def test_any_function_is_a_model():
    parameters = {"scale": jnp.asarray(2.0), "shift": jnp.ones(3)}
    model = models.from_function(lambda p, x: p["scale"] * jnp.sum(x + p["shift"]), parameters)
    assert float(model(jnp.arange(3.0))) == 12.0
    assert count_parameters(model) == 4
    np.testing.assert_array_equal(jax.tree.leaves(partition(model)[0])[1], np.ones(3))
