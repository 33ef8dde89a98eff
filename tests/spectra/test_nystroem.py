import math

import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import NTKOperator, cao_kernel, empirical_ntk
from spectralbias.spectra import ModesStatus, eigenmodes


def sphere(count, dim, seed):
    x = np.random.default_rng(seed).standard_normal((count, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def mercer(degree, dim):
    """μ_k of `cao_kernel` in closed form: ⟨x, x'⟩ κ₁ + 2 κ₂ by the Gamma functions of its two parts."""
    d = dim - 1
    g = math.gamma((d + 1) / 2)

    def first(k):
        odd = (g * math.gamma(k / 2) / (2 * math.pi * math.gamma((k + d + 1) / 2))) ** 2 if k % 2 else 0.0
        return 0.25 if k == 0 else odd

    def second(k):
        if k % 2:
            return 1 / (4 * (d + 1)) if k == 1 else 0.0
        return (d + 1) * (g * math.gamma((k - 1) / 2) / (4 * math.pi * math.gamma((k + d + 2) / 2))) ** 2

    below = degree * first(degree - 1) if degree else 0.0
    return (below + (degree + d - 1) * first(degree + 1)) / (2 * degree + d - 1) + 2 * second(degree)


def harmonics_count(degree, dim):
    return {0: 1, 1: dim, 2: (dim + 2) * (dim - 1) // 2, 4: 9 if dim == 3 else 55}[degree]


def legendre(degree, dim, t):
    """P_k with P_k(1) = 1 of the sphere in R^dim."""
    return {0: np.ones_like(t), 1: t, 2: (dim * t**2 - 1) / (dim - 1)}[degree]


def test_the_eigenvalues_that_are_compared_with_are_right():
    # The trace of the kernel on the sphere in R^3, κ(1) = 3/2, up to the tail of the sum.
    eigenvalues = [mercer(k, 3) for k in range(60)]
    assert eigenvalues[1] == pytest.approx(0.25, rel=1e-14)
    assert eigenvalues[0] == pytest.approx(7 / 16, rel=1e-14)
    assert sum((2 * k + 1) * mu for k, mu in enumerate(eigenvalues)) == pytest.approx(1.5, abs=0.01)


SIZES = (250, 500, 1000, 2000, 4000)


def slope(errors):
    return np.polyfit(np.log(SIZES), np.log(errors), 1)[0]


@pytest.mark.parametrize(
    ("dim", "degrees", "seeds"), [(3, (0, 1, 2, 4), (30, 24, 16, 8, 4)), (5, (0, 1, 2), (8, 8, 6, 4, 3))]
)
def test_random_points_converge_to_the_sphere_at_the_rate_of_monte_carlo(dim, degrees, seeds):
    kernel, new = cao_kernel(), sphere(100, dim, 1)
    true = {k: mercer(k, dim) for k in degrees}
    counts = [harmonics_count(k, dim) for k in degrees]
    ends = np.cumsum(counts)
    single, mean, function = [], [], []
    for n, repetitions in zip(SIZES, seeds, strict=True):
        found = []
        for seed in range(repetitions):
            x = sphere(n, dim, 1000 * n + seed)
            modes = eigenmodes(kernel.ntk(x), num_modes=int(ends[-1]))
            assert np.all(modes.converged)
            values = modes.extend(kernel.ntk(new, x))
            row = []
            for k, count, end in zip(degrees, counts, ends, strict=True):
                cluster = slice(end - count, end)
                relative = modes.eigenvalues[cluster] / true[k] - 1
                # Σ_j φ_j(x) φ_j(x') of a degree is N P_k(⟨x, x'⟩), whatever its basis.
                projector = values[:, cluster] @ values[:, cluster].T / count
                missed = 0.0 if k == 4 else np.mean((projector - legendre(k, dim, new @ new.T)) ** 2)
                row.append((np.mean(relative**2), np.mean(relative) ** 2, missed))
            found.append(row)
        squares = np.mean(found, axis=0).T
        single.append(squares[0])
        mean.append(squares[1])
        function.append(squares[2][:3])
    single, mean, function = np.sqrt(single), np.sqrt(mean), np.sqrt(function)
    # Single eigenvalues of the top three degrees that are more than one: n^(-1/2).
    assert np.all(np.abs([slope(errors) + 0.5 for errors in single.T[1:]]) < 0.1)
    # All eigenvalues of degrees 0, 1, 2 together.
    assert abs(slope(np.sqrt(single[:, :3] ** 2 @ counts[:3])) + 0.5) < 0.1
    # The extended eigenfunctions of degrees 0, 1, 2: n^(-1/2).
    assert np.all(np.abs([slope(errors) + 0.5 for errors in function.T]) < 0.1)
    # The mean of a degree's eigenvalues, degree 0 among them, is better, n^(-1): its first-order error is
    # μ (1/n) Σ_i (Σ_j φ_j(x_i)²/N - 1), and the addition theorem makes every term of the sum 0.
    assert np.all(np.abs([slope(errors) + 1 for errors in mean.T]) < 0.25)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_at_the_data_an_extended_mode_is_the_mode(method):
    x = sphere(60, 3, 0)
    theta = np.asarray(cao_kernel().ntk(x))
    modes = eigenmodes(theta, num_modes=12, method=method)
    np.testing.assert_allclose(modes.extend(theta), np.sqrt(60) * modes.eigenvectors, rtol=0, atol=1e-11)
    np.testing.assert_allclose(np.mean(modes.extend(theta) ** 2, axis=0), 1, rtol=1e-11)


def test_on_the_circle_a_mode_is_a_wave_between_the_data():
    angle = 2 * np.pi * np.arange(40) / 40
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    between = np.linspace(0, 2 * np.pi, 173)
    new = np.stack([np.cos(between), np.sin(between)], axis=1)
    kernel = cao_kernel()
    values = eigenmodes(kernel.ntk(x), num_modes=5).extend(kernel.ntk(new, x))
    # What is left is the frequency that 40 points mistake for this one, at μ_38/μ_2 of its height and below.
    np.testing.assert_allclose(values[:, 0] * np.sign(values[0, 0]), 1, rtol=0, atol=1e-3)
    for frequency, cluster in ((1, slice(1, 3)), (2, slice(3, 5))):
        # cos(k (a - b)) = cos cos + sin sin, in whatever rotation the eigensolver returns the pair.
        wave = 2 * np.cos(frequency * (between[:, None] - between))
        np.testing.assert_allclose(values[:, cluster] @ values[:, cluster].T, wave, rtol=0, atol=2e-2)


def test_vector_outputs():
    rng = np.random.default_rng(4)
    x, new = rng.standard_normal((9, 3)), rng.standard_normal((4, 3))
    model = models.MLP(3, 2, 32, 1, key=jnp.array([0, 1], jnp.uint32))
    theta, cross = np.asarray(empirical_ntk(model, x)), np.asarray(empirical_ntk(model, new, x))
    modes = eigenmodes(theta).top(10)
    values = modes.extend(cross)
    assert values.shape == (4, 2, 10)
    matrix = np.array([[cross[i, j, a, b] for j in range(9) for b in range(2)] for i in range(4) for a in range(2)])
    for i, vector in enumerate(modes.eigenvectors.T):
        expected = np.sqrt(9) * matrix @ vector / (9 * modes.eigenvalues[i])
        np.testing.assert_allclose(values[..., i].ravel(), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        modes.extend(theta), np.sqrt(9) * modes.eigenvectors.reshape(9, 2, 10), rtol=0, atol=1e-9
    )


def test_modes_that_are_rounding_errors_are_refused(refuses):
    # A linear model of three inputs: three modes, and zeros.
    x = np.random.default_rng(0).standard_normal((8, 3))
    theta = x @ x.T
    modes = eigenmodes(theta)
    with refuses("only the first 3 of 8 modes", "`modes.top(3)`"):
        modes.extend(theta)
    assert modes.top(3).extend(theta).shape == (8, 3)
    # A float32 Gram has fewer digits, and fewer modes that can be extended.
    x = sphere(200, 3, 0)
    theta = np.asarray(cao_kernel().ntk(x))
    full, rounded = eigenmodes(theta), eigenmodes(theta.astype(np.float32))
    count = int(np.sum(rounded.eigenvalues > rounded.resolution * rounded.eigenvalues[0]))
    assert 100 < count < 200
    with refuses(f"only the first {count} of 200 modes"):
        rounded.extend(theta)
    assert full.extend(theta).shape == (200, 200)
    with refuses("only the first 0 of 3"):
        eigenmodes(np.zeros((3, 3))).extend(np.zeros((1, 3)))


def test_top_modes_are_the_first():
    theta = np.diag([4.0, 3.0, 2.0, 1.0])
    modes = eigenmodes(theta)
    top = modes.top(2)
    np.testing.assert_array_equal(top.eigenvalues, modes.eigenvalues[:2])
    np.testing.assert_array_equal(top.eigenvectors, modes.eigenvectors[:, :2])
    np.testing.assert_array_equal(top.residual_norms, modes.residual_norms[:2])
    assert top.status is ModesStatus.truncated
    assert modes.top(4).status is ModesStatus.complete
    assert top.trace == modes.trace


def test_what_is_no_cross_gram_is_refused(refuses):
    modes = eigenmodes(np.eye(3))
    for shape in ((2, 4), (3,), (2, 3, 1, 1)):
        with refuses("`cross`", shape):
            modes.extend(np.zeros(shape))
    with refuses("`cross`", "not finite"):
        modes.extend(np.full((2, 3), np.nan))
    jacobian = np.random.default_rng(1).standard_normal((3, 2, 9))
    vector = eigenmodes(np.einsum("iap,jbp->ijab", jacobian, jacobian))
    with refuses("`cross`", "(m, 3, 2, 2)", "(4, 3, 2, 3)"):
        vector.extend(np.zeros((4, 3, 2, 3)))
    for count in (0, 4):
        with refuses("`count`", "between 1 and 3", count):
            modes.top(count)


def test_modes_of_an_operator_can_be_extended():
    x, new = sphere(30, 3, 2), sphere(5, 3, 3)
    model = models.MLP(3, "scalar", 16, 1, key=jnp.array([0, 2], jnp.uint32))
    operator, cross = NTKOperator(model, x), np.asarray(empirical_ntk(model, new, x))
    modes = eigenmodes(empirical_ntk(model, x)).top(3)
    found = eigenmodes(operator, num_modes=3).extend(cross)
    np.testing.assert_allclose(np.abs(found), np.abs(modes.extend(cross)), rtol=0, atol=1e-4)
