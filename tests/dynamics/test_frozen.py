import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from spectralbias import models
from spectralbias.dynamics import FrozenStatus, _frozen, frozen, frozen_residuals, gradient_flow, train
from spectralbias.kernels import NTKOperator, empirical_ntk
from spectralbias.spectra import eigenmodes

RNG = np.random.default_rng(0)
TIMES = [0.0, 0.3, 2.0, 50.0]
STEPS = [0, 1, 2, 7, 40]


def wishart(n, num_parameters, outputs=()):
    j = np.random.default_rng(1).standard_normal((n, *outputs, num_parameters))
    return np.einsum("iap,jbp->ijab", j, j) if outputs else j @ j.T


@pytest.mark.parametrize("outputs", [(), (2,)])
def test_residuals_equal_the_matrix_exponential(outputs):
    gram = wishart(5, 20, outputs)
    matrix = gram.transpose(0, 2, 1, 3).reshape(10, 10) if outputs else gram
    r0 = RNG.standard_normal((5, *outputs))
    expected = [(scipy.linalg.expm(-t * matrix / 5) @ r0.ravel()).reshape(r0.shape) for t in TIMES]
    for source in (gram, jnp.asarray(gram), eigenmodes(gram)):
        prediction = frozen(source, r0)
        assert prediction.status is FrozenStatus.exact
        np.testing.assert_allclose(prediction.residuals(TIMES), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(frozen_residuals(gram, r0, TIMES), expected, rtol=0, atol=1e-12)
    assert np.max(np.abs(frozen(1.1 * gram, r0).residuals(TIMES) - expected)) > 1e-3


def test_residuals_solve_the_differential_equation():
    gram, r0 = wishart(6, 4), RNG.standard_normal(6)
    solution = solve_ivp(lambda t, r: -gram @ r / 6, (0, 50), r0, method="DOP853", t_eval=TIMES, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(frozen(gram, r0).residuals(TIMES), solution.y.T, rtol=0, atol=1e-8)


@given(st.integers(0, 2**32 - 1), st.floats(0, 10), st.floats(0, 10))
def test_time_adds_up(seed, t1, t2):
    gram, r0 = wishart(4, 9), np.random.default_rng(seed).standard_normal(4)
    both = frozen(gram, r0).residuals([t1 + t2])[0]
    np.testing.assert_allclose(frozen(gram, frozen(gram, r0).residuals([t1])[0]).residuals([t2])[0], both, atol=1e-12)


def descend(matrix, r0, rate, momentum, steps):
    """Gradient descent on the parameters of f = J θ, with J Jᵀ = `matrix`; residuals at every step."""
    n = len(r0)
    j = np.linalg.cholesky(matrix)
    theta, velocity, residuals = np.zeros(n), np.zeros(n), [r0]
    for _ in range(steps):
        velocity = momentum * velocity + j.T @ residuals[-1] / n
        theta = theta - rate * velocity
        residuals.append(r0 + j @ theta)
    return np.array(residuals)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_residuals_at_steps_equal_gradient_descent_on_a_linear_model(momentum):
    gram, r0 = wishart(5, 20), RNG.standard_normal(5)
    rate = 1.5 * 5 / np.linalg.eigvalsh(gram)[-1]  # ηλ > 1 in the top mode: it oscillates
    expected = descend(gram, r0, rate, momentum, 40)[STEPS]
    prediction = frozen(gram, r0)
    np.testing.assert_allclose(prediction.residuals_at(STEPS, rate, momentum), expected, rtol=0, atol=1e-10)
    # Discrete steps are not the flow, and momentum is not its absence.
    assert np.max(np.abs(prediction.residuals(rate * np.array(STEPS) / (1 - momentum)) - expected)) > 0.05
    assert np.max(np.abs(prediction.residuals_at(STEPS, rate, 0.5) - expected)) > 0.05


NETWORKS = {
    "scalar": models.MLP(3, "scalar", 6, 2, bias_std=0.5, activation="tanh", key=jax.random.key(0)),
    "vector": models.MLP(3, 2, 6, 2, activation="tanh", key=jax.random.key(0)),
}
X, X_TEST = RNG.standard_normal((5, 3)), RNG.standard_normal((4, 3))


@pytest.fixture(params=NETWORKS)
def linearized(request, jacobian):
    """A network's frozen prediction, and the Jacobians and starts of its linearization."""
    model = NETWORKS[request.param]
    both = np.concatenate([X, X_TEST])
    f0 = np.asarray(jax.jit(jax.vmap(model))(jnp.asarray(both)))
    y = RNG.standard_normal(f0[:5].shape)
    j = jacobian(model, both)
    gram, cross = empirical_ntk(model, X), empirical_ntk(model, X_TEST, X)
    prediction = frozen(gram, f0[:5] - y, cross=cross, f0_test=f0[5:])
    shapes = f0[:5].shape, f0[5:].shape
    return prediction, j[:5].reshape(-1, j.shape[-1]), j[5:].reshape(-1, j.shape[-1]), f0, y, shapes, gram, cross


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_predictions_equal_descent_in_the_parameters_of_the_linearized_network(linearized, momentum):
    prediction, j, j_test, f0, y, shapes, gram, cross = linearized
    rate = 0.05
    theta, velocity, seen, tested = np.zeros(j.shape[1]), np.zeros(j.shape[1]), [], []
    for step in range(41):
        r = (f0[:5] - y).ravel() + j @ theta
        if step in STEPS:
            seen.append(r.reshape(shapes[0]))
            tested.append(f0[5:] + (j_test @ theta).reshape(shapes[1]))
        velocity = momentum * velocity + j.T @ r / 5
        theta = theta - rate * velocity
    np.testing.assert_allclose(prediction.residuals_at(STEPS, rate, momentum), seen, rtol=0, atol=1e-11)
    np.testing.assert_allclose(prediction.predictions_at(STEPS, rate, momentum), tested, rtol=0, atol=1e-11)
    # A kernel that is 5 % off on the test points is seen.
    wrong = frozen(gram, f0[:5] - y, cross=1.05 * cross, f0_test=f0[5:])
    assert np.max(np.abs(wrong.predictions_at(STEPS, rate, momentum) - tested)) > 1e-3


def test_predictions_equal_the_flow_in_the_parameters_of_the_linearized_network(linearized):
    prediction, j, j_test, f0, y, shapes, _, _ = linearized
    r0 = (f0[:5] - y).ravel()
    flow = solve_ivp(
        lambda t, theta: -j.T @ (r0 + j @ theta) / 5, (0, 2), np.zeros(j.shape[1]), method="DOP853",
        t_eval=[0.0, 0.3, 2.0], rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    tested = [f0[5:] + (j_test @ theta).reshape(shapes[1]) for theta in flow.y.T]
    np.testing.assert_allclose(prediction.predictions([0.0, 0.3, 2.0]), tested, rtol=0, atol=1e-8)
    # At t = ∞ it interpolates: f0 - Θ(x_test, x) Θ⁻¹ r(0).
    ridgeless = f0[5:].ravel() - j_test @ np.linalg.lstsq(j, r0, rcond=None)[0]
    np.testing.assert_allclose(prediction.limit_predictions().ravel(), ridgeless, rtol=0, atol=1e-8)
    np.testing.assert_allclose(prediction.predictions([0.3, np.inf])[1].ravel(), ridgeless, rtol=0, atol=1e-8)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_modes_without_eigenvalue_move_test_points_in_proportion_to_the_time(momentum):
    # Where λ = 0 the residual stays, and any cross kernel integrates it.
    prediction = frozen(np.diag([4.0, 0.0]), np.ones(2), cross=np.array([[1.0, 3.0]]), f0_test=np.zeros(1))
    travelled = [[(1 - np.exp(-2 * t)) / 2, t] for t in (0.5, 2.0)]
    expected = [[-(a + 3 * b) / 2] for a, b in travelled]
    np.testing.assert_allclose(prediction.predictions([0.5, 2.0]), expected, rtol=1e-12)
    r, moved, velocity, rows = np.ones(2), np.zeros(1), np.zeros(3), []
    for _ in range(4):
        velocity = momentum * velocity + np.array([4 * r[0], 0, r[0] + 3 * r[1]]) / 2
        r, moved = r - 0.1 * velocity[:2], moved - 0.1 * velocity[2:]
        rows.append(moved)
    np.testing.assert_allclose(prediction.predictions_at([1, 2, 3, 4], 0.1, momentum), rows, rtol=1e-12)


def test_truncated_modes_leave_the_remainder_where_it_is():
    gram, r0 = wishart(8, 20), RNG.standard_normal(8)
    modes = eigenmodes(gram, num_modes=3)
    prediction = frozen(modes, r0)
    assert prediction.status is FrozenStatus.truncated
    values, vectors = np.linalg.eigh(gram / 8)
    weights = np.array([np.where(np.arange(8) >= 5, np.exp(-t * values), 1.0) for t in TIMES])
    expected = (weights * (vectors.T @ r0)) @ vectors.T
    np.testing.assert_allclose(prediction.residuals(TIMES), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(prediction.limit(), vectors[:, :5] @ vectors[:, :5].T @ r0, atol=1e-12)


def krylov_setting(model=NETWORKS["scalar"]):
    x = np.random.default_rng(2).standard_normal((20, 3))
    operator = NTKOperator(model, x, batch_size=6)
    r0 = np.random.default_rng(3).standard_normal((20, *operator.outputs))
    return operator, empirical_ntk(model, x), r0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_full_krylov_space_equals_the_dense_modes(name):
    operator, gram, r0 = krylov_setting(NETWORKS[name])
    dense, krylov = frozen(gram, r0), frozen(operator, r0)
    assert krylov.status is FrozenStatus.krylov
    assert krylov.eigenvalues.size <= r0.size
    np.testing.assert_allclose(krylov.residuals(TIMES), dense.residuals(TIMES), rtol=0, atol=1e-8)
    steps = [0, 1, 30, 1000]
    np.testing.assert_allclose(krylov.residuals_at(steps, 0.1), dense.residuals_at(steps, 0.1), rtol=0, atol=1e-8)


def test_a_krylov_space_of_dimension_m_is_exact_for_m_minus_1_steps():
    # (1 - ηΘ/n)^s r(0) is a polynomial of degree s in Θ times r(0).
    operator, gram, r0 = krylov_setting()
    dense, krylov = frozen(gram, r0), frozen(operator, r0, krylov_dim=5)
    assert krylov.eigenvalues.shape == (5,)
    steps = [0, 1, 2, 3, 4]
    np.testing.assert_allclose(krylov.residuals_at(steps, 0.2), dense.residuals_at(steps, 0.2), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        krylov.residuals_at(steps, 0.2, 0.9), dense.residuals_at(steps, 0.2, 0.9), rtol=0, atol=1e-12
    )
    assert np.max(np.abs(krylov.residuals_at([300], 0.2) - dense.residuals_at([300], 0.2))) > 1e-4


def test_a_krylov_space_ends_where_the_residual_has_no_more_modes():
    x = np.eye(6)
    model = models.from_function(lambda p, xi: jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) * p @ xi, jnp.ones(6))
    r0 = np.array([1.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    krylov = frozen(NTKOperator(model, x), r0)
    np.testing.assert_allclose(np.sort(krylov.eigenvalues), [1 / 6, 9 / 6], rtol=1e-12)
    np.testing.assert_allclose(krylov.residuals([1.0])[0], r0 * np.exp(-(np.arange(1, 7) ** 2) / 6), atol=1e-12)


def test_large_grams_go_through_a_krylov_space(monkeypatch):
    gram, r0 = wishart(5, 20), RNG.standard_normal(5)
    dense = frozen(gram, r0).residuals(TIMES)
    monkeypatch.setattr(_frozen, "DENSE_LIMIT", 4)
    krylov = frozen(gram, r0)
    assert krylov.status is FrozenStatus.krylov
    np.testing.assert_allclose(krylov.residuals(TIMES), dense, rtol=0, atol=1e-10)


def test_nothing_is_left_to_learn_of_a_zero_residual():
    for source in (wishart(5, 9), krylov_setting()[0]):
        n = 5 if isinstance(source, np.ndarray) else 20
        prediction = frozen(source, np.zeros(n))
        np.testing.assert_array_equal(prediction.residuals(TIMES), np.zeros((4, n)))
        np.testing.assert_array_equal(prediction.limit(), np.zeros(n))


def test_the_limit_is_what_the_kernel_cannot_see():
    j, r0 = RNG.standard_normal((7, 3)), RNG.standard_normal(7)
    expected = r0 - j @ np.linalg.lstsq(j, r0, rcond=None)[0]
    prediction = frozen(j @ j.T, r0)
    np.testing.assert_allclose(prediction.limit(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(prediction.residuals([1e6, np.inf]), [expected] * 2, rtol=0, atol=1e-9)
    np.testing.assert_allclose(frozen(wishart(5, 20), r0[:5]).limit(), np.zeros(5), atol=1e-12)
    assert np.linalg.norm(expected) > 0.1


@pytest.mark.parametrize("outputs", [(), (2,)])
def test_the_limit_on_test_points_leaves_out_what_is_never_learned(outputs):
    # Fewer parameters than values: Θ is singular, and its zero eigenvalues are known up to rounding only.
    j, j_test = (RNG.standard_normal((n, *outputs, 4)) for n in (7, 3))
    gram, cross = (np.einsum("i...p,j...p->ij", a, j) if not outputs else np.einsum("iap,jbp->ijab", a, j)
                   for a in (j, j_test))  # fmt: skip
    r0, f0_test = RNG.standard_normal((7, *outputs)), RNG.standard_normal((3, *outputs))
    moved = j_test.reshape(-1, 4) @ np.linalg.lstsq(j.reshape(-1, 4), r0.ravel(), rcond=None)[0]
    prediction = frozen(gram, r0, cross=cross, f0_test=f0_test)
    expected = f0_test - moved.reshape(f0_test.shape)
    np.testing.assert_allclose(prediction.limit_predictions(), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(prediction.predictions([1e4])[0], expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(prediction.predictions_at([10_000], 0.1, 0.9)[0], expected, rtol=0, atol=1e-9)
    everything = prediction.coefficients / np.where(prediction.eigenvalues == 0, 1, prediction.eigenvalues)
    naive = f0_test - ((prediction.cross @ prediction.vectors) @ everything / 7).reshape(f0_test.shape)
    assert np.max(np.abs(naive - expected)) > 0.01


def linear_model(out_size, x):
    """p @ features: a model whose Θ does not move, its parameters, and its features."""
    features = jnp.asarray(np.random.default_rng(5).standard_normal((8, 3)))
    shape = (8,) if out_size == "scalar" else (out_size, 8)
    start = jnp.asarray(np.random.default_rng(6).standard_normal(shape))
    model = models.from_function(lambda p, xi: p @ jnp.tanh(features @ xi), start)
    return model, np.tanh(np.asarray(x) @ np.asarray(features).T)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("out_size", ["scalar", 2])
def test_training_a_linear_model_is_predicted_exactly(out_size, momentum):
    model, features = linear_model(out_size, X)
    gram, cross = features @ features.T, np.tanh(X_TEST @ np.random.default_rng(5).standard_normal((8, 3)).T)
    cross = cross @ features.T
    y = RNG.standard_normal((5,) if out_size == "scalar" else (5, 2))
    if out_size != "scalar":
        gram, cross = (np.einsum("ij,ab->ijab", matrix, np.eye(2)) for matrix in (gram, cross))
    f0, f0_test = (np.asarray(jax.vmap(model)(jnp.asarray(x))) for x in (X, X_TEST))
    rate = 1.2 * 5 / np.linalg.eigvalsh(features @ features.T)[-1]
    trajectory = train(
        model, X, y, learning_rate=rate, steps=300, optimizer="gd", optimizer_options={"momentum": momentum},
        probes={"test": lambda m, x, y, step: jax.vmap(m)(jnp.asarray(X_TEST))},
    )  # fmt: skip
    prediction = frozen(gram, f0 - y, cross=cross, f0_test=f0_test)
    residuals = prediction.residuals_at(trajectory.steps, rate, momentum)
    np.testing.assert_allclose(residuals, trajectory.residuals, rtol=0, atol=1e-10)
    predictions = prediction.predictions_at(trajectory.record_steps["test"], rate, momentum)
    np.testing.assert_allclose(predictions, trajectory.records["test"], rtol=0, atol=1e-10)
    # A kernel that is wrong by 1 % is seen.
    assert (
        np.max(np.abs(frozen(1.01 * gram, f0 - y).residuals_at([3], rate, momentum) - trajectory.residuals[3])) > 1e-4
    )


def test_what_does_not_fit_is_refused(refuses):
    gram, r0 = wishart(3, 9), np.ones(3)
    with refuses("`residual0`", "(3,)", "(4,)"):
        frozen(gram, np.ones(4))
    with refuses("`residual0`", "(3,)", "(2, 3)"):
        frozen(gram, np.ones((2, 3)))
    with refuses("`residual0`", "(3, 2)", "(2, 3)"):
        frozen(wishart(3, 9, (2,)), np.ones((2, 3)))
    with refuses("`residual0`", "not finite"):
        frozen(gram, np.array([1.0, np.nan, 1.0]))
    with refuses("`gram`", "(3, 2)"):
        frozen(gram[:, :2], r0)
    with refuses("`cross`", "(4, 2)"):
        frozen(gram, r0, cross=np.ones((4, 2)), f0_test=np.ones(4))
    with refuses("`f0_test`", "(1, 4)"):
        frozen(gram, r0, cross=np.ones((4, 3)), f0_test=np.ones((1, 4)))
    prediction = frozen(gram, r0, cross=np.ones((4, 3)))
    for ask in (prediction.predictions, lambda t: prediction.predictions_at(t, 0.1)):
        with refuses("`cross`", "`f0_test`"):
            ask([1.0])
    for steps in ([-1], [0.5]):
        with refuses("`steps`", "whole"):
            prediction.residuals_at(steps, 0.1)
    for times in ([np.nan], [-1.0], 1.0):
        with refuses("`times`", "(T,)", times):
            prediction.residuals(times)
    with refuses("`learning_rate`", "positive", -0.1):
        prediction.residuals_at([1], -0.1)
    for momentum in (1.0, -0.5):
        with refuses("`momentum`", momentum):
            prediction.residuals_at([1], 0.1, momentum)


@pytest.mark.parametrize("out_size", ["scalar", 2])
def test_the_flow_of_a_linear_model_is_predicted_exactly(out_size):
    model, features = linear_model(out_size, X)
    y = np.random.default_rng(7).standard_normal((5,) if out_size == "scalar" else (5, 2))
    gram = features @ features.T
    if out_size != "scalar":
        gram = np.einsum("ij,ab->ijab", gram, np.eye(2))
    trajectory = gradient_flow(model, X, y, TIMES)
    predicted = frozen(gram, trajectory.residuals[0]).residuals(TIMES)
    np.testing.assert_allclose(predicted, trajectory.residuals, rtol=0, atol=1e-9)
    assert np.max(np.abs(predicted[-1] - predicted[0])) > 0.1
