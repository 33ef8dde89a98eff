"""Kernels on grids: against gradient descent done step by step with an explicit Gram, and the networks' own kernel."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import dynamics, kernels, models, problems
from spectralbias.forecast._candidates import features
from spectralbias.forecast._learners import centered, dense_learner, krylov_learner, wave_learner
from spectralbias.forecast._network_kernel import population
from spectralbias.forecast._probe import first_steps
from spectralbias.forecast._recommend import _reduced, tabulated

ENCODINGS = {
    "positional": models.encodings.PositionalEncoding(2),
    "gaussian": models.encodings.FourierFeatures(2, 16, 0.7, key=jax.random.key(3)),
}


def _descent(theta, target, steps, rate):
    """f on the grid after some steps, one at a time."""
    y, n = target.training, len(target.training)
    f, found = np.zeros((theta.shape[0], y.shape[1])), [np.zeros((theta.shape[0], y.shape[1]))]
    for _ in range(max(steps)):
        residual = f[target.trains.ravel()] - y
        f = f - rate * theta @ residual / n
        found.append(f)
    return np.array([found[step] for step in steps]).reshape(len(steps), *target.values.shape)


def _theta(encoding, target):
    x = problems.coordinates(target.shape)
    kernel = kernels.encoded_kernel(kernels.infinite_ntk(2, bias_variance=0.01), encoding)
    return np.asarray(kernel.ntk(x, x[target.trains.ravel()]))


def _of_differences(encoding, axes):
    kernel = kernels.encoded_kernel(kernels.infinite_ntk(2, bias_variance=0.01), encoding)
    return np.asarray(kernel.stationary(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)))


@pytest.mark.parametrize("kind", ["dense", "waves", "krylov"])
def test_learners_are_gradient_descent(kind):
    """Each against the recursion f ← f - η Θ(·, x) r/n with Θ from the encoded inputs."""
    target = centered(np.random.default_rng(0).random((8, 12, 2)))
    encoding = ENCODINGS["positional" if kind == "waves" else "gaussian"]
    theta = _theta(encoding, target)
    if kind == "dense":
        learner = dense_learner(theta, target)
    elif kind == "waves":
        learner = wave_learner(_of_differences(encoding, [2 * np.arange(n) / n for n in target.shape]), target)
    else:
        learner = krylov_learner(lambda axes: _of_differences(encoding, axes), target, (2 / 8, 2 / 12), 24)
    rate = 1 / np.linalg.eigvalsh(theta[target.trains.ravel()] / 24)[-1]
    assert learner.largest == pytest.approx(1 / rate, rel=1e-9)
    expected = _descent(theta, target, [0, 1, 7, 200], rate)
    np.testing.assert_allclose(learner.predictions([0, 1, 7, 200], rate), expected, atol=1e-8)
    errors = learner.errors([1, 200], rate)
    for row, picture in zip(errors, expected[[1, 3]], strict=True):
        left = np.mean((picture - target.values) ** 2, axis=-1)
        np.testing.assert_allclose(row, [left[target.trains].mean(), left[~target.trains].mean()], rtol=1e-6)


@pytest.mark.parametrize("parameterization", ["ntk", "torch"])
def test_population_has_the_networks_own_kernel(parameterization):
    """A network with the first rows of the drawn weights, scaled for its number of inputs."""
    drawn = population(
        width=16, depth=2, activation="gelu", parameterization=parameterization, bias_std=0.3, num_features=40,
        keys=[jax.random.key(5)],
    )  # fmt: skip
    encoding, x = ENCODINGS["positional"], problems.coordinates((4, 6))
    inputs = features(encoding, x)
    np.testing.assert_allclose(np.sort(inputs, axis=1), np.sort(jax.vmap(encoding)(jnp.asarray(x)), axis=1), atol=1e-12)
    shape = models.MLP(
        8, "scalar", 16, 2, activation="gelu", parameterization=parameterization, bias_std=0.3, key=jax.random.key(0)
    )
    first, ratio = drawn.networks[0].layers[0], np.sqrt(40 / 8) if parameterization == "torch" else 1.0
    layer = eqx.tree_at(
        lambda one: (one.weight, one.bias), shape.layers[0], (first.weight[:8] * ratio, first.bias * ratio)
    )
    model = eqx.tree_at(lambda one: one.layers, shape, (layer, *drawn.networks[0].layers[1:]))
    found = drawn.kernel(0, inputs, np.arange(24) < 7)
    np.testing.assert_allclose(found, kernels.empirical_ntk(model, inputs, inputs[:7]), rtol=2e-5)
    assert float(jnp.std(layer.weight)) == pytest.approx(float(jnp.std(shape.layers[0].weight)), rel=0.25)


def test_first_steps_are_those_of_training(compiled_as_for_a_user):
    """Adam on a population's network, against `dynamics.train` of the same antisymmetric network."""
    drawn = population(
        width=16, depth=2, activation="relu", parameterization="torch", bias_std=0.1, num_features=8,
        keys=[jax.random.key(5)],
    )  # fmt: skip
    x = problems.coordinates((6, 6))
    inputs, trains, y = features(ENCODINGS["positional"], x), np.arange(36) % 2 == 0, np.sin(x @ [[3.0], [1.0]])
    found = first_steps(drawn, inputs, trains, y, 1e-2, np.array([1, 5, 20]))
    model = models.MLP(8, "scalar", 16, 2, parameterization="torch", antisymmetric=True, key=jax.random.key(0))
    layers = drawn.networks[0].layers
    model = eqx.tree_at(lambda one: (one.layers, one.mirror), model, (layers, layers))
    outside = {"out": lambda m, x, y, s: np.mean((np.asarray(jax.vmap(m)(jnp.asarray(inputs))) - y_all)[~trains] ** 2)}
    y_all = y[:, 0]
    run = dynamics.train(
        model, inputs[trains], y_all[trains], optimizer="adam", learning_rate=1e-2, steps=20, record=[0, 1, 5, 20],
        probes=outside,
    )  # fmt: skip
    np.testing.assert_allclose(found[:, 0], 2 * run.loss[1:], rtol=1e-4)
    np.testing.assert_allclose(found[:, 1], run.records["out"][1:], rtol=1e-4)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_tabulated_kernel(name):
    """The table in the angle, against the kernel on encoded inputs."""
    kernel, encoding = kernels.infinite_ntk(3, bias_variance=0.25), ENCODINGS[name]
    x = np.random.default_rng(1).uniform(-1, 1, (40, 2))
    inputs = np.asarray(jax.vmap(encoding)(jnp.asarray(x)))
    cosines = inputs @ inputs.T * 2 / inputs.shape[1]
    expected = kernels.encoded_kernel(kernel, encoding).ntk(x)
    # Near the angle 0 the cosine itself has lost half of its digits: there, 1e-8 in it are 1e-4 in the angle.
    np.testing.assert_allclose(tabulated(kernel)(cosines), expected, rtol=1e-6)


def test_reduction_keeps_means_and_says_what_is_lost():
    """Means over 2 × 2 blocks, and the variance within them."""
    values = np.random.default_rng(2).random((16, 16, 1))
    part, lost = _reduced(centered(values), 64)
    blocks = values.reshape(8, 2, 8, 2).transpose(0, 2, 1, 3).reshape(8, 8, 4)
    np.testing.assert_allclose(part.values[..., 0] + part.mean, blocks.mean(axis=-1), atol=1e-12)
    assert lost == pytest.approx(blocks.var(axis=-1).mean())
    assert _reduced(centered(values), 256)[1] == 0
