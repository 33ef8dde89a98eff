import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectralbias import models
from spectralbias._core.names import OPTIMIZERS
from spectralbias.dynamics import optimizer, train

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 2))


def _affine(p, x):
    return x @ p["w"] + p["b"]


MODEL = models.from_function(_affine, {"w": jnp.asarray(RNG.standard_normal((3, 2))), "b": jnp.ones(2)})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_name_takes_two_steps(name):
    trajectory = train(MODEL, X, Y, learning_rate=1e-3, steps=2, optimizer=name, record=(0, 2))
    assert np.all(np.isfinite(trajectory.residuals))
    for leaf in trajectory.model.params.values():
        assert np.all(np.isfinite(leaf))
        assert leaf.dtype == jnp.float64
    assert np.max(np.abs(trajectory.residuals[1] - trajectory.residuals[0])) > 1e-9
    np.testing.assert_array_equal(trajectory.times, trajectory.steps * (1e-3 if name in ("gd", "sgd") else 1.0))


@pytest.mark.parametrize("defaults", [False, True])
def test_adam_equals_its_formula(defaults):
    """With the defaults of PyTorch: 0.9, 0.999, 1e-8 outside the root."""
    steps, rate = 5, 0.1
    b1, b2 = (0.9, 0.999) if defaults else (0.8, 0.95)
    options = {} if defaults else {"b1": b1, "b2": b2, "eps": 1e-8}
    settings = {"learning_rate": rate, "steps": steps, "record": range(steps + 1)}
    trajectory = train(MODEL, X, Y, optimizer="adam", optimizer_options=options, **settings)
    p = {k: np.array(v) for k, v in MODEL.params.items()}
    m, v = ({k: np.zeros_like(q) for k, q in p.items()} for _ in range(2))
    for t in range(1, steps + 1):
        r = X @ p["w"] + p["b"] - Y
        for k, g in {"w": X.T @ r / 5, "b": r.sum(axis=0) / 5}.items():
            m[k], v[k] = b1 * m[k] + (1 - b1) * g, b2 * v[k] + (1 - b2) * g**2
            p[k] = p[k] - rate * (m[k] / (1 - b1**t)) / (np.sqrt(v[k] / (1 - b2**t)) + 1e-8)
        np.testing.assert_allclose(trajectory.residuals[t], X @ p["w"] + p["b"] - Y, rtol=0, atol=1e-9)


def test_only_gradient_descent_with_or_without_heavy_ball_has_a_known_momentum():
    assert optimizer("gd", 0.1).momentum == 0.0
    assert optimizer("sgd", 0.1).momentum == 0.0
    assert optimizer("gd", 0.1, {"momentum": 0.9}).momentum == 0.9
    assert optimizer("sgd", 0.1, {"momentum": None}).momentum == 0.0
    assert optimizer("gd", 0.1, {"momentum": 0.9, "nesterov": True}).momentum is None
    assert optimizer("adam", 0.1).momentum is None


def test_the_same_arguments_give_the_same_object():
    options = {"b1": 0.8, "b2": 0.9}
    assert optimizer("adam", 0.1, options) is optimizer("adam", 0.1, dict(reversed(options.items())))
    assert optimizer("adam", 0.1, options) is not optimizer("adam", 0.2, options)
    assert optimizer("adam", 0.1).learning_rate == 0.1


def test_an_optimizer_that_optax_does_not_have_is_refused(refuses, monkeypatch):
    monkeypatch.delattr(optax, "adan")
    with refuses("`adan`", "Optax", optax.__version__):
        optimizer("adan", 0.123)
    with refuses("`learning_rate`", "nan"):
        optimizer("adam", float("nan"))
    with refuses("`sgd`", "momentums"):
        optimizer("sgd", 0.1, {"momentums": 0.9})
