"""Models cut into stages: they compute what the model does, in as many stages as it has layers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from spectralbias import models
from spectralbias.regions._stages import evaluate, staged_model

W = np.random.default_rng(0).normal(size=(4, 4, 4))


def scanned(x):
    """Backwards, with slices, stacked outputs, a call with its own derivative, and a gradient that is stopped."""

    def step(h, w):
        z = w @ h
        return jax.nn.relu(z), jax.lax.stop_gradient(jnp.abs(z))

    h, stacked = jax.lax.scan(step, x, jnp.asarray(W), reverse=True)
    return h + jnp.sum(stacked * jnp.arange(4.0)[:, None], axis=0)


def masked(x):
    """A mask that is used two layers later."""
    z = W[0] @ x
    mask = z > 0
    h = W[1] @ jnp.where(mask, z, 0.0)
    return jnp.where(mask, jax.nn.relu(h), -h)


def side_by_side(x):
    """A kink of the input itself, two kinks of one depth behind it, and a variable that passes by all of them."""
    return jax.nn.relu(W[0] @ x) + jnp.clip(x, -1, 1) + jnp.abs(W[1] @ jax.nn.relu(W[2] @ x)) + 3 * x


@pytest.mark.parametrize(
    ("model", "layers"),
    [(scanned, [4, 4, 4, 4]), (masked, [4, 4]), (side_by_side, [8, 4 + 4, 4]), (lambda x: x + 1, [])],
    ids=["scanned", "masked", "side by side", "affine"],
)
def test_stages_compute_what_the_model_does(model, layers):
    staged, parameters = staged_model(model, (4,))
    assert np.diff(staged.layer_offsets).tolist() == layers
    assert len(staged.stages) == len(layers) + 1
    x = jr.normal(jr.key(0), (50, 4))
    columns, outputs = jax.vmap(lambda xi: evaluate(staged, parameters, xi))(x)
    assert np.abs(outputs - jax.vmap(model)(x)).max() < 1e-13
    assert columns.shape == (50, sum(layers))


def test_equal_layers_are_compiled_once():
    deep = models.MLP(2, "scalar", 8, 5, parameterization="torch", key=jr.key(0))
    staged, parameters = staged_model(deep, (2,))
    assert len(staged.stages) == 6
    assert len(set(staged.stages)) == 3
    assert [len(fixed) for fixed in parameters] == [2] * 6
    again, _ = staged_model(models.MLP(2, "scalar", 8, 5, parameterization="torch", key=jr.key(1)), (2,))
    assert again is staged

    def different(x):
        for low in (-1.0, -2.0):
            x = jnp.clip(W[0] @ x, low, 1.0)
        return W[1] @ jnp.clip(2.0 * (W[0] @ x), -2.0, 1.0)

    staged, _ = staged_model(different, (4,))
    assert len(set(staged.stages)) == 4
