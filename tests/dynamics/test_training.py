import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.dynamics import Probe, Trainer, TrainingStatus, _trainer, drift, frozen, log_spaced, optimizer, train
from spectralbias.kernels import empirical_ntk

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, Y, START = RNG.standard_normal((9, 4)), RNG.standard_normal(9), RNG.standard_normal(4)


def _product(p, x):
    return x @ p


def linear(start=START):
    return models.from_function(_product, jnp.asarray(start))


def network(out_size="scalar", **settings):
    return models.MLP(3, out_size, 6, 2, key=KEY, **settings)


# ---- what gradient descent computes --------------------------------------------------------------------------------


def test_gradient_descent_on_a_linear_model_is_its_closed_form():
    step = np.eye(9) - 0.2 * X @ X.T / 9
    trajectory = train(linear(), X, Y, learning_rate=0.2, steps=500)
    assert tuple(trajectory.steps) == log_spaced(500)
    np.testing.assert_allclose(trajectory.times, 0.2 * trajectory.steps)
    expected = np.stack([np.linalg.matrix_power(step, s) @ (X @ START - Y) for s in trajectory.steps])
    np.testing.assert_allclose(trajectory.residuals, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(trajectory.loss, np.sum(expected**2, axis=1) / 18, rtol=1e-10)
    np.testing.assert_allclose(X @ np.asarray(trajectory.model.params) - Y, trajectory.residuals[-1], atol=1e-13)
    assert trajectory.status is TrainingStatus.finished


@pytest.mark.parametrize("momentum", [0.5, 0.95])
def test_momentum_is_the_heavy_ball_of_the_prediction(momentum):
    settings = {"learning_rate": 0.1, "steps": 200, "optimizer_options": {"momentum": momentum}}
    trajectory = train(linear(), X, Y, **settings)
    prediction = frozen(X @ X.T, X @ START - Y)
    expected = prediction.residuals_at(trajectory.steps, 0.1, momentum)
    np.testing.assert_allclose(trajectory.residuals, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(trajectory.times, 0.1 * trajectory.steps / (1 - momentum))
    assert np.max(np.abs(prediction.residuals_at(trajectory.steps, 0.1) - expected)) > 0.01


def plain_loop(model, x, y, rate, steps):
    """Gradient descent on (1/2n) Σ r² by hand; residuals at every step."""

    def residual(m):
        return jax.vmap(m)(jnp.asarray(x)) - y

    def loss(m):
        return jnp.sum(residual(m) ** 2) / (2 * len(x))

    gradient, residual = eqx.filter_jit(eqx.filter_grad(loss)), eqx.filter_jit(residual)
    residuals = [np.asarray(residual(model))]
    for _ in range(steps):
        model = eqx.apply_updates(model, jax.tree.map(lambda g: -rate * g, gradient(model)))
        residuals.append(np.asarray(residual(model)))
    return np.array(residuals)


@pytest.mark.parametrize("out_size", ["scalar", 2])
def test_blocks_of_samples_equal_a_plain_loop(out_size, monkeypatch):
    # 37 samples in blocks of 13 (two of them padded), against one gradient of all.
    monkeypatch.setitem(_trainer.BLOCK_BYTES, jax.default_backend(), 1)
    model = network(out_size, bias_std=0.3, activation="tanh", antisymmetric=out_size == 2)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((37, 3)), rng.standard_normal((37, 2) if out_size == 2 else 37)
    chosen = optimizer("gd", 0.3)
    assert Trainer(model, x, y, chosen, batch_size=None, key=KEY).block == 13
    trajectory = train(model, x, y, learning_rate=0.3, steps=8, record=range(9))
    np.testing.assert_allclose(trajectory.residuals, plain_loop(model, x, y, 0.3, 8), rtol=0, atol=1e-11)


def test_fixed_arrays_are_not_trained():
    encoding = models.encodings.FourierFeatures(3, 3, 0.5, key=KEY)
    model = network(encoding=encoding)
    trained = train(model, X[:, :3], Y, learning_rate=0.1, steps=3).model
    np.testing.assert_array_equal(trained.encoding.frequencies.value, encoding.frequencies.value)
    assert np.max(np.abs(trained.layers[0].weight - model.layers[0].weight)) > 1e-4


# ---- mini-batches --------------------------------------------------------------------------------------------------


def visits(batch_size, steps, key=KEY):
    """How often each of 12 samples was in a batch: with one-hot inputs a visit multiplies its residual by 1 - η/b."""
    trajectory = train(
        linear(np.ones(12)), np.eye(12), np.zeros(12), learning_rate=0.5, steps=steps, record=range(steps + 1),
        batch_size=batch_size, key=key,
    )  # fmt: skip
    counts = np.log(trajectory.residuals) / np.log(1 - 0.5 / batch_size)
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    return np.round(counts).astype(int)


def test_an_epoch_visits_each_sample_once():
    counts = visits(4, 9)
    for step in range(10):
        assert counts[step].sum() == 4 * step
        assert set(counts[step]) <= {step // 3, step // 3 + 1}
    # Another order in every epoch.
    orders = np.diff(counts, axis=0).reshape(3, 3, 12)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])


def test_a_batch_size_that_does_not_divide_leaves_the_rest_of_an_epoch_out():
    counts = visits(5, 6)
    for step in range(7):
        assert counts[step].sum() == 5 * step
    for epoch in range(3):
        assert np.max(counts[2 * epoch + 2] - counts[2 * epoch]) == 1


def test_the_key_decides_the_batches():
    again = visits(4, 9)
    np.testing.assert_array_equal(visits(4, 9), again)
    assert not np.array_equal(visits(4, 9, jax.random.key(1)), again)


def test_batches_of_everything_are_full_batches():
    settings = {"learning_rate": 0.1, "steps": 5, "record": range(6)}
    full = train(linear(), X, Y, **settings).residuals
    np.testing.assert_allclose(train(linear(), X, Y, batch_size=9, **settings).residuals, full, rtol=0, atol=1e-13)


# ---- recording -----------------------------------------------------------------------------------------------------


def test_probes_see_the_model_at_their_own_steps():
    def outputs(model, x, y, step):
        return {"f": jax.vmap(model)(x), "step": step, "y": y}

    trajectory = train(
        linear(), X, Y, learning_rate=0.1, steps=10, record=(0, 3, 10),
        probes={"default": outputs, "own": Probe(outputs, (1, 3, 7)), "never": Probe(outputs, ())},
    )  # fmt: skip
    every = train(linear(), X, Y, learning_rate=0.1, steps=10, record=range(11)).residuals
    assert trajectory.records["default"]["f"].shape == (3, 9)
    np.testing.assert_array_equal(trajectory.record_steps["default"], [0, 3, 10])
    np.testing.assert_allclose(trajectory.records["default"]["f"] - Y, trajectory.residuals, atol=1e-14)
    np.testing.assert_array_equal(trajectory.record_steps["own"], [1, 3, 7])
    np.testing.assert_array_equal(trajectory.records["own"]["step"], [1, 3, 7])
    np.testing.assert_array_equal(trajectory.records["own"]["y"], np.stack(3 * [Y]))
    np.testing.assert_allclose(trajectory.records["own"]["f"] - Y, every[[1, 3, 7]], atol=1e-14)
    np.testing.assert_allclose(trajectory.residuals, every[[0, 3, 10]], atol=1e-14)
    assert trajectory.records["never"] is None
    assert trajectory.record_steps["never"].size == 0


def test_drift_is_the_relative_change_of_the_kernel(jacobian):
    model = network(2, activation="tanh")
    x, y = X[:, :3], RNG.standard_normal((9, 2))
    points = x[:4]

    def gram(m):
        j = jacobian(m, points)
        return np.einsum("iap,jap->ij", j, j) / 2

    start = empirical_ntk(model, points, outputs="mean")
    probes = {"drift": Probe(drift(start, points), (0, 20))}
    trajectory = train(model, x, y, learning_rate=0.2, steps=20, record=(0, 20), probes=probes)
    expected = np.linalg.norm(gram(trajectory.model) - gram(model)) / np.linalg.norm(gram(model))
    np.testing.assert_allclose(trajectory.records["drift"], [0, expected], rtol=1e-9, atol=1e-15)
    assert expected > 0.01
    # A linear model has none.
    probes = {"drift": drift(X @ X.T, X)}
    still = train(linear(), X, Y, learning_rate=0.2, steps=20, record=(0, 20), probes=probes)
    np.testing.assert_allclose(still.records["drift"], [0, 0], atol=1e-14)


def test_a_training_that_diverges_stops_and_keeps_its_records():
    limit = 2 * 9 / np.linalg.eigvalsh(X @ X.T)[-1]
    stable = train(linear(), X, Y, learning_rate=0.98 * limit, steps=1000, record=(0, 1000))
    assert stable.status is TrainingStatus.finished
    assert stable.loss[-1] < stable.loss[0]
    counted = Probe(lambda model, x, y, step: step)
    trajectory = train(linear(), X, Y, learning_rate=2 * limit, steps=1000, probes={"step": counted})
    assert trajectory.status is TrainingStatus.diverged
    assert trajectory.steps[-1] < 1000
    assert len(trajectory.loss) == len(trajectory.residuals) == len(trajectory.steps)
    assert not trajectory.loss[-1] < 1e6 * trajectory.loss[0]
    assert np.all(trajectory.loss[:-1] < 1e6 * trajectory.loss[0])
    np.testing.assert_array_equal(trajectory.records["step"], trajectory.steps[:-1])


# ---- going on from a checkpoint ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 4])
def test_going_on_from_any_state_gives_the_same_bits(batch_size):
    def run(state, chunk_steps=5):
        trainer = Trainer(
            network(activation="tanh"), X[:, :3], Y, optimizer("adam", 0.01), batch_size=batch_size, key=KEY
        )
        state = trainer.initial if state is None else state
        probes = {"first": Probe(lambda model, x, y, step: model(x[0]), (2, 11, 17))}
        record = (0, 1, 4, 5, 13, 17)
        return list(trainer.chunks(state, steps=17, record=record, probes=probes, chunk_steps=chunk_steps))

    whole = run(None)
    assert [chunk.start for chunk in whole] == [0, 5, 10, 15]
    assert [list(chunk.steps) for chunk in whole] == [[0, 1, 4, 5], [], [13], [17]]
    assert [chunk.status for chunk in whole] == 3 * [TrainingStatus.running] + [TrainingStatus.finished]
    assert [list(chunk.records["first"][0]) for chunk in whole] == [[2], [], [11], [17]]

    def stored(state):
        """The state as it comes back from disk."""
        return jax.tree.map(lambda leaf: jnp.asarray(np.array(leaf)), state)

    for done in range(1, 4):
        rest = run(stored(whole[done - 1].state))
        assert [chunk.start for chunk in rest] == [chunk.start for chunk in whole[done:]]
        for one, two in zip(rest, whole[done:], strict=True):
            np.testing.assert_array_equal(one.residuals, two.residuals)
            np.testing.assert_array_equal(one.records["first"][1], two.records["first"][1])
            for leaf1, leaf2 in zip(jax.tree.leaves(one.state), jax.tree.leaves(two.state), strict=True):
                np.testing.assert_array_equal(leaf1, leaf2)
    # Nor does it matter how often a training is interrupted.
    single = run(None, chunk_steps=17)
    np.testing.assert_array_equal(single[0].residuals, np.concatenate([chunk.residuals for chunk in whole]))


# ---- optimizers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y": Y[:, None]}, ("(9,)", "(9, 1)", "broadcast", "scalar")),
        ({"y": Y[:8]}, ("`x`", "`y`", "9", "8")),
        ({"y": np.stack([Y, Y], 1)}, ("(9,)", "(9, 2)")),
        ({"y": np.where(np.arange(9) == 3, np.nan, Y)}, ("`y`", "nan", "(3,)")),
        ({"x": X * np.inf}, ("`x`", "not finite")),
        ({"learning_rate": 0.0}, ("`learning_rate`", "0")),
        ({"steps": 0}, ("`steps`", "0")),
        ({"steps": 0, "record": (0,)}, ("`steps`", "0")),
        ({"record": (1, 2)}, ("`record`", "0 included")),
        ({"record": (0, 4)}, ("`record`", "between 0 and 3")),
        ({"record": (0, 1.5)}, ("`record`", "whole")),
        ({"batch_size": 0}, ("`batch_size`", "n = 9", "0")),
        ({"batch_size": 10}, ("`batch_size`", "n = 9", "10")),
        ({"optimizer": "adma"}, ("optimizer", "`adma`", "`adam`")),
        ({"optimizer": "adam", "optimizer_options": {"beta": 0.9}}, ("beta", "`adam`")),
    ],
)
def test_bad_arguments_are_refused(changed, words, refuses):
    arguments = {"x": X, "y": Y, "learning_rate": 0.1, "steps": 3, **changed}
    with refuses(*words):
        train(linear(), **arguments)


def test_a_model_without_parameters_and_outputs_that_would_broadcast_are_refused(refuses):
    with refuses("no parameters"):
        train(lambda x: jnp.sum(x), X, Y, learning_rate=0.1, steps=3)
    with refuses("(9, 1)", "(9,)", "broadcast"):
        train(network(1), X[:, :3], Y, learning_rate=0.1, steps=3)
