"""Infinitely wide networks against the joint recursion of their outputs, step by step, and against wide networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

from spectralbias import kernels, models
from spectralbias.dynamics import PosteriorStatus, ensemble, nngp_posterior

RNG = np.random.default_rng(0)
N, M = 6, 4
X, X_TEST = RNG.standard_normal((N, 3)), RNG.standard_normal((M, 3))
TARGETS = {"scalar": RNG.standard_normal(N), "vector": RNG.standard_normal((N, 2))}
KERNELS = {
    "relu": kernels.infinite_ntk(2, bias_variance=0.3),
    "tanh": kernels.infinite_ntk(1, "tanh", bias_variance=0.5),
    "bowman": kernels.bowman_kernel("erf"),
    "cao": kernels.cao_kernel(),
    "encoded": kernels.encoded_kernel(kernels.infinite_ntk(1), models.encodings.PositionalEncoding(2)),
}
TIMES = [0.0, 0.4, 3.0, 40.0]
STEPS = [0, 1, 2, 9, 60]


class Features:
    """The two kernels of networks with few random features: Θ and K have no formula in common, and rank 5 and 7."""

    def __init__(self, seed=3):
        rng = np.random.default_rng(seed)
        self.matrices = rng.standard_normal((5, 3)), rng.standard_normal((7, 3))

    def _kernel(self, which, x1, x2):
        a, b = (np.cos(x @ self.matrices[which].T) for x in (x1, x1 if x2 is None else x2))
        return a @ b.T

    def ntk(self, x1, x2=None):
        return self._kernel(0, x1, x2)

    def nngp(self, x1, x2=None):
        return self._kernel(1, x1, x2)


def joint(kernel):
    """Θ of all points with the training points, K of all points, as float64."""
    both = np.concatenate([X, X_TEST])
    return np.asarray(kernel.ntk(both, X), float), np.asarray(kernel.nngp(both), float)


def propagate(theta, k, y, rate, momentum, steps):
    """Mean and covariance of (f, velocity) on all points, pushed through one step of heavy ball after the other.

    v ← β v + Θ(·, x) (f(x) - y)/n, f ← f - η v: an affine map z ← A z + b of the joint state.
    """
    size = len(k)
    step = np.zeros((size, size))
    step[:, :N] = theta / N
    eye = np.eye(size)
    matrix = np.block([[eye - rate * step, -rate * momentum * eye], [step, momentum * eye]])
    push = np.concatenate([rate * theta @ y / N, -theta @ y / N])
    mean = np.zeros((2 * size, *y.shape[1:]))
    covariance = scipy.linalg.block_diag(k, np.zeros((size, size)))
    means, covariances = [mean[:size]], [k]
    for _ in range(steps):
        mean, covariance = matrix @ mean + push, matrix @ covariance @ matrix.T
        means.append(mean[:size])
        covariances.append(covariance[:size, :size])
    return np.array(means), np.array(covariances)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("name", ["relu", "tanh", "features"])
def test_steps_equal_the_joint_recursion_of_mean_and_covariance(name, targets, momentum):
    kernel, y = KERNELS.get(name, Features()), TARGETS[targets]
    theta, k = joint(kernel)
    rate = 1.3 * N / np.linalg.eigvalsh(theta[:N])[-1]
    means, covariances = (values[STEPS] for values in propagate(theta, k, y, rate, momentum, STEPS[-1]))
    networks = ensemble(kernel, X, y, X_TEST)
    for seen, where in ((networks, slice(N, None)), (networks.on_training_points(), slice(N))):
        np.testing.assert_allclose(seen.mean_at(STEPS, rate, momentum), means[:, where], rtol=0, atol=1e-9)
        expected = covariances[:, where, where]
        np.testing.assert_allclose(seen.covariance_at(STEPS, rate, momentum), expected, rtol=0, atol=1e-9)
        variances = np.diagonal(expected, axis1=1, axis2=2)
        np.testing.assert_allclose(seen.variance_at(STEPS, rate, momentum), variances, rtol=0, atol=1e-9)
        # Another kernel at the start, or a flow in place of steps, would be seen.
        assert np.max(np.abs(seen.covariance_at(STEPS, rate, momentum)[-1] - expected[0])) > 0.01
        assert np.max(np.abs(seen.mean(rate * np.array(STEPS) / (1 - momentum)) - means[:, where])) > 0.01


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("name", ["bowman", "cao", "encoded", "features"])
def test_times_equal_the_matrix_exponential_and_the_differential_equation(name, targets):
    kernel, y = KERNELS.get(name, Features()), TARGETS[targets]
    theta, k = joint(kernel)
    flow = np.zeros((N + M, N + M))
    flow[:, :N] = -theta / N
    drift = theta @ y / N
    networks = ensemble(kernel, X, y, X_TEST)
    means, covariances = networks.mean(TIMES), networks.covariance(TIMES)
    for index, t in enumerate(TIMES):
        # The exponential of [[A, b], [0, 0]] holds both e^(At) and ∫ e^(As) b ds.
        columns = drift.reshape(N + M, -1)
        whole = np.zeros((N + M + columns.shape[1],) * 2)
        whole[: N + M, : N + M], whole[: N + M, N + M :] = flow, columns
        whole = scipy.linalg.expm(t * whole)
        decayed, moved = whole[: N + M, : N + M], whole[: N + M, N + M :]
        np.testing.assert_allclose(means[index].reshape(M, -1), moved[N:], rtol=0, atol=1e-9)
        np.testing.assert_allclose(covariances[index], (decayed @ k @ decayed.T)[N:, N:], rtol=0, atol=1e-9)
    # Lyapunov's equation P' = A P + P Aᵀ.
    solution = solve_ivp(
        lambda t, p: (flow @ p.reshape(k.shape) + p.reshape(k.shape) @ flow.T).ravel(), (0, 3), k.ravel(),
        method="DOP853", rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    expected = solution.y[:, -1].reshape(k.shape)[N:, N:]
    np.testing.assert_allclose(networks.covariance([3.0])[0], expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(networks.variance([3.0])[0], np.diag(expected), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", KERNELS)
def test_training_points_are_points_like_others(name):
    kernel, y = KERNELS[name], TARGETS["vector"]
    alone, among = ensemble(kernel, X, y), ensemble(kernel, X, y, np.concatenate([X_TEST, X]))
    times = [*TIMES, np.inf]
    np.testing.assert_allclose(alone.mean(times), among.mean(times)[:, M:], rtol=0, atol=1e-8)
    np.testing.assert_allclose(alone.covariance(times), among.covariance(times)[:, M:, M:], rtol=0, atol=1e-8)


def test_in_the_end_the_data_are_fitted_and_the_spread_is_elsewhere():
    networks = ensemble(KERNELS["relu"], X, TARGETS["vector"], X_TEST)
    theta, k = joint(KERNELS["relu"])
    back = np.linalg.solve(theta[:N], theta[N:].T).T
    np.testing.assert_allclose(networks.mean([np.inf])[0], back @ TARGETS["vector"], rtol=0, atol=1e-9)
    full = np.concatenate([-back, np.eye(M)], axis=1)
    np.testing.assert_allclose(networks.covariance([np.inf])[0], full @ k @ full.T, rtol=0, atol=1e-9)
    assert np.min(networks.variance([np.inf])) > 0.01
    seen = networks.on_training_points()
    np.testing.assert_allclose(seen.mean([np.inf])[0], TARGETS["vector"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(seen.variance([np.inf]), 0, atol=1e-10)


def test_what_a_kernel_of_low_rank_cannot_see_keeps_its_spread():
    # Θ has rank 5 on 6 points. The eigenvalue 0 comes out as a rounding error, by which nothing may be divided.
    networks, (theta, k) = ensemble(Features(), X, TARGETS["scalar"], X_TEST), joint(Features())
    values, vectors = np.linalg.eigh(theta[:N])
    lost = vectors[:, values < 1e-12 * values[-1]]
    assert lost.shape[1] == 1
    seen = networks.on_training_points()
    stays = lost @ lost.T
    np.testing.assert_allclose(seen.covariance([np.inf])[0], stays @ k[:N, :N] @ stays, rtol=0, atol=1e-9)
    np.testing.assert_allclose(seen.mean([np.inf])[0], TARGETS["scalar"] - stays @ TARGETS["scalar"], atol=1e-9)
    back = theta[N:] @ np.linalg.pinv(theta[:N], rcond=1e-10)
    np.testing.assert_allclose(networks.mean([np.inf])[0], back @ TARGETS["scalar"], rtol=0, atol=1e-9)


def test_antisymmetric_networks_have_no_spread():
    kernel, y = KERNELS["relu"], TARGETS["scalar"]
    both, alone = ensemble(kernel, X, y, X_TEST), ensemble(kernel, X, y, X_TEST, antisymmetric=True)
    np.testing.assert_array_equal(alone.mean(TIMES), both.mean(TIMES))
    np.testing.assert_array_equal(alone.mean_at(STEPS, 0.1), both.mean_at(STEPS, 0.1))
    assert not np.any(alone.covariance(TIMES))
    assert not np.any(alone.variance_at(STEPS, 0.1))
    assert not np.any(alone.on_training_points().variance(TIMES))
    assert np.min(both.variance(TIMES)) > 0.01

    class OnlyNTK:
        ntk = staticmethod(kernel.ntk)

    np.testing.assert_array_equal(ensemble(OnlyNTK(), X, y, X_TEST, antisymmetric=True).mean(TIMES), both.mean(TIMES))


def wide_networks(count, width, *, momentum):
    """Outputs (draws, steps, points) of two-layer ReLU networks trained by gradient descent, written out by hand."""
    both, y = jnp.asarray(np.concatenate([X, X_TEST])), jnp.asarray(TARGETS["scalar"])

    def forward(parameters, x):
        w, b, v, c = parameters
        hidden = jax.nn.relu(jnp.sqrt(2 / 3) * x @ w.T + jnp.sqrt(0.3) * b[None])
        return jnp.sqrt(2 / width) * hidden @ v + jnp.sqrt(0.3) * c

    def loss(parameters):
        return jnp.sum((forward(parameters, both[:N]) - y) ** 2) / (2 * N)

    @jax.jit
    @jax.vmap
    def run(key):
        keys = jax.random.split(key, 4)
        shapes = ((width, 3), (width,), (width,), ())
        start = tuple(jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True))

        def step(state, _):
            parameters, velocity = state
            velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, jax.grad(loss)(parameters))
            parameters = jax.tree.map(lambda p, v: p - 0.2 * v, parameters, velocity)
            return (parameters, velocity), forward(parameters, both)

        zero = jax.tree.map(jnp.zeros_like, start)
        return jnp.concatenate([forward(start, both)[None], jax.lax.scan(step, (start, zero), length=20)[1]])

    return np.concatenate([run(keys) for keys in jax.random.split(jax.random.key(0), (count // 100, 100))])


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_wide_networks_are_such_an_ensemble(momentum):
    # 800 networks of width 1024: standard errors are 3.5 % of a standard deviation and 5 % of a variance, and the width
    # matters less. Five of them are allowed: by chance one of the 195 numbers is outside in one of 10,000 tests.
    steps = [0, 5, 20]
    kernel = kernels.infinite_ntk(1, bias_variance=0.3)
    outputs = wide_networks(800, 1024, momentum=momentum)[:, steps]
    networks = ensemble(kernel, X, TARGETS["scalar"], np.concatenate([X, X_TEST]))
    mean, covariance = (ask(steps, 0.2, momentum) for ask in (networks.mean_at, networks.covariance_at))
    scale = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    floor = 0.02 * np.max(scale)  # of the width
    assert np.all(np.abs(outputs.mean(0) - mean) < 5 * scale / np.sqrt(800) + floor)
    found = np.stack([np.cov(outputs[:, i].T) for i in range(3)])
    spread = np.sqrt(covariance**2 + scale[:, :, None] ** 2 * scale[:, None] ** 2)
    assert np.all(np.abs(found - covariance) < 5 * spread / np.sqrt(800) + floor**2)
    # After 20 steps they are not as at the start, and far from the targets.
    assert np.max(np.abs(found[2] - covariance[0])) > 10 * floor
    assert np.max(np.abs(mean[2])) > 10 * floor


def test_shapes_and_sequences():
    networks = ensemble(KERNELS["cao"], [[1.0, 0.0], [0.0, 1.0]], [[0.0], [1.0]], [[1.0, 1.0]])
    assert networks.mean([1.0, 2.0]).shape == (2, 1, 1)
    assert networks.covariance([1.0, 2.0]).shape == (2, 1, 1)
    assert networks.variance([1.0, 2.0]).shape == (2, 1)
    assert networks.mean([]).shape == (0, 1, 1)


def test_single_precision_inputs_are_computed_in_double():
    with jax.enable_x64(False):
        x, y, x_test = (jnp.asarray(value, jnp.float32) for value in (X, TARGETS["scalar"], X_TEST))
        found = ensemble(kernels.infinite_ntk(2, bias_variance=0.3), x, y, x_test).covariance([np.inf])
    exact = (np.asarray(value, np.float64) for value in (x, y, x_test))
    expected = ensemble(KERNELS["relu"], *exact).covariance([np.inf])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


# The posterior


def textbook(k, y, noise):
    """Rasmussen and Williams 2006, algorithm 2.1."""
    lower = np.linalg.cholesky(k[:N, :N] + noise * np.eye(N))
    alpha = scipy.linalg.cho_solve((lower, True), y)
    v = scipy.linalg.solve_triangular(lower, k[:N, N:], lower=True)
    columns, weights = y.reshape(N, -1), alpha.reshape(N, -1)
    logs = -np.sum(columns * weights, axis=0) / 2 - np.sum(np.log(np.diag(lower))) - N / 2 * np.log(2 * np.pi)
    return k[N:, :N] @ alpha, k[N:, N:] - v.T @ v, np.sum(logs)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.5])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_the_posterior_equals_the_textbook(name, targets, noise):
    mean, covariance, likelihood = textbook(joint(KERNELS[name])[1], TARGETS[targets], noise)
    posterior = nngp_posterior(KERNELS[name], X, TARGETS[targets], X_TEST, noise=noise)
    assert posterior.status is PosteriorStatus.exact
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=0, atol=1e-8)
    np.testing.assert_allclose(posterior.variance, np.diag(covariance), rtol=0, atol=1e-8)
    assert posterior.log_marginal_likelihood == pytest.approx(likelihood, rel=1e-8)


def test_the_posterior_equals_that_of_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct

    class Linear:
        """A network without a hidden layer: K = x·x' + 1."""

        @staticmethod
        def nngp(x1, x2=None):
            return x1 @ (x1 if x2 is None else x2).T + 1

    theirs = GaussianProcessRegressor(DotProduct(1.0) * ConstantKernel(1.0), alpha=0.1, optimizer=None)
    theirs.fit(X, TARGETS["scalar"])
    mean, covariance = theirs.predict(X_TEST, return_cov=True)
    posterior = nngp_posterior(Linear(), X, TARGETS["scalar"], X_TEST, noise=0.1)
    np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=0, atol=1e-10)
    assert posterior.log_marginal_likelihood == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-10)


@pytest.mark.parametrize("targets", TARGETS)
def test_training_the_last_layer_only_samples_the_posterior(targets):
    # Then Θ = K. Networks that start at a draw from the prior end at a draw from the posterior; with all layers, not.
    class LastLayer:
        ntk = nngp = staticmethod(KERNELS["relu"].nngp)

    posterior = nngp_posterior(KERNELS["relu"], X, TARGETS[targets], X_TEST)
    networks = ensemble(LastLayer(), X, TARGETS[targets], X_TEST)
    np.testing.assert_allclose(networks.mean([np.inf])[0], posterior.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(networks.covariance([np.inf])[0], posterior.covariance, rtol=0, atol=1e-9)
    everything = ensemble(KERNELS["relu"], X, TARGETS[targets], X_TEST)
    assert np.max(np.abs(everything.covariance([np.inf])[0] - posterior.covariance)) > 0.01


def test_a_singular_prior_says_so():
    x = np.concatenate([X, X[:1]])  # one point twice
    y = np.append(TARGETS["scalar"], TARGETS["scalar"][0])
    posterior = nngp_posterior(KERNELS["relu"], x, y, X_TEST)
    assert posterior.status is PosteriorStatus.singular
    assert "noise" in posterior.status.value
    assert np.isnan(posterior.log_marginal_likelihood)
    once = nngp_posterior(KERNELS["relu"], X, TARGETS["scalar"], X_TEST)
    np.testing.assert_allclose(posterior.mean, once.mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(posterior.covariance, once.covariance, rtol=0, atol=1e-8)
    noisy = nngp_posterior(KERNELS["relu"], x, y, X_TEST, noise=1e-6)
    assert noisy.status is PosteriorStatus.exact
    np.testing.assert_allclose(noisy.mean, once.mean, rtol=0, atol=1e-4)


def test_what_cannot_be_used_is_refused(refuses):
    kernel, y = KERNELS["relu"], TARGETS["scalar"]
    gram = np.asarray(kernel.ntk(X))

    class OnlyNTK:
        ntk = staticmethod(kernel.ntk)

    class Bad(Features):
        def ntk(self, x1, x2=None):
            return -self._kernel(0, x1, x2)

        def nngp(self, x1, x2=None):
            return np.ones(3)

    class NotANumber(Features):
        def ntk(self, x1, x2=None):
            return np.full((len(x1), len(x1)), np.nan)

    with refuses("`kernel`", "`.ntk(x1, x2)`", "`.nngp(x1, x2)`", "infinite_ntk", "ndarray"):
        ensemble(gram, X, y, X_TEST)
    with refuses("`.nngp(x1, x2)`", "OnlyNTK"):
        ensemble(OnlyNTK(), X, y, X_TEST)
    with refuses("`.nngp(x1, x2)`", "OnlyNTK"):
        nngp_posterior(OnlyNTK(), X, y, X_TEST)
    with refuses("`kernel.ntk`", "no covariance", "-"):
        ensemble(Bad(), X, y, X_TEST)
    with refuses("`kernel.nngp`", "(6, 6)", "(3,)"):
        nngp_posterior(Bad(), X, y, X_TEST)
    with refuses("`kernel.ntk`", "not finite"):
        ensemble(NotANumber(), X, y)
    for what in (ensemble, nngp_posterior):
        with refuses("`x` and `y`", 6, 5):
            what(kernel, X, y[:5], X_TEST)
        with refuses("`y`", "not finite"):
            what(kernel, X, y * np.nan, X_TEST)
        with refuses("`x`", "(n, dim)", "(6,)"):
            what(kernel, X[:, 0], y, X_TEST)
        with refuses("`y`", "rank 1 or 2"):
            what(kernel, X, y[:, None, None], X_TEST)
        with refuses("`x_test`", "(m, 3)", "(4, 2)"):
            what(kernel, X, y, X_TEST[:, :2])
        with refuses("`x_test`", "(m, 3)", "(0, 3)"):
            what(kernel, X, y, X_TEST[:0])
    for noise in (-0.1, np.nan):
        with refuses("`noise`", noise):
            nngp_posterior(kernel, X, y, X_TEST, noise=noise)
    networks = ensemble(kernel, X, y, X_TEST)
    with refuses("`times`", "(T,)"):
        networks.mean([-1.0])
    with refuses("`steps`", "whole"):
        networks.covariance_at([1.5], 0.1)
    with refuses("`momentum`", 1.0):
        networks.variance_at([1], 0.1, 1.0)
