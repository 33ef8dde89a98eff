import jax
import numpy as np
import pytest
import scipy.special

from spectralbias import problems
from spectralbias.spectra import _degree_energy as tiling
from spectralbias.spectra import degree_energies, degree_projection, multiplicity

RNG = np.random.default_rng(0)


def uniform(num, dim, seed=0):
    x = np.random.default_rng(seed).standard_normal((num, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def circle_part(degree, angle, coefficients):
    a, b = coefficients[degree]
    return a * np.cos(degree * angle) + b * np.sin(degree * angle)


def test_on_the_circle_it_is_the_part_of_a_fourier_series():
    coefficients = RNG.standard_normal((8, 2))
    angle = 2 * np.pi * np.arange(40) / 40  # equal angles are a quadrature of equal weights
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    f = sum(circle_part(k, angle, coefficients) for k in range(8))
    fresh = np.linspace(0, 6, 11)
    at = np.stack([np.cos(fresh), np.sin(fresh)], axis=1)
    for k in range(8):
        np.testing.assert_allclose(degree_projection(k, x, f), circle_part(k, angle, coefficients), atol=1e-13)
        np.testing.assert_allclose(degree_projection(k, x, f, at=at), circle_part(k, fresh, coefficients), atol=1e-13)
    np.testing.assert_allclose(degree_projection(9, x, f), 0, atol=1e-13)


def test_on_the_sphere_with_quadrature_weights_it_splits_a_polynomial_into_its_degrees():
    # In dim 3: xyz is of degree 3, x² - 1/3 of degree 2, z³ = (z³ - 3z/5) + 3z/5.
    t, gauss = np.polynomial.legendre.leggauss(6)
    angle = 2 * np.pi * np.arange(12) / 12
    ring = np.sqrt(1 - t**2)[:, None]
    x = np.stack([ring * np.cos(angle), ring * np.sin(angle), t[:, None] + 0 * angle], axis=2).reshape(-1, 3)
    weights = np.repeat(gauss / 2 / 12, 12) * len(x)

    def parts(p):
        a, b, c = p.T
        return {0: 1 / 3 + 0 * a, 1: 0.6 * c - a, 2: a**2 - 1 / 3, 3: c**3 - 0.6 * c + 2 * a * b * c, 4: 0 * a}

    f = sum(parts(x).values())
    at = uniform(15, 3)
    both = np.stack([f, -2 * f], axis=1)
    for k, expected in parts(at).items():
        found = degree_projection(k, x, both, at=at, weights=weights)
        np.testing.assert_allclose(found, np.stack([expected, -2 * expected], axis=1), rtol=0, atol=1e-13)


def explicit(degree, dim, t):
    """N P_k(t), with SciPy's polynomials."""
    alpha = (dim - 2) / 2
    ratio = scipy.special.eval_gegenbauer(degree, alpha, t) / scipy.special.eval_gegenbauer(degree, alpha, 1.0)
    return multiplicity(degree, dim) * ratio


@pytest.mark.parametrize("side", [7, 16, 256])
def test_tiles_of_any_size_give_the_same_sums(side, monkeypatch):
    monkeypatch.setattr(tiling, "TILE_PAIRS", side**2)
    x, at, f, w = uniform(45, 5), uniform(20, 5, 1), RNG.standard_normal((45, 2)), RNG.uniform(0.5, 2, 45)
    kernel = explicit(3, 5, np.clip(at @ x.T, -1, 1))
    np.testing.assert_allclose(degree_projection(3, x, f, at=at), kernel @ f / 45, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        degree_projection(3, x, f[:, 0], at=at, weights=w), kernel @ (w * f[:, 0]) / 45, rtol=0, atol=1e-12
    )
    pairs = [explicit(k, 5, np.clip(x @ x.T, -1, 1)) * (1 - np.eye(45)) / (45 * 44) for k in (4, 0, 2)]
    weighted = w[:, None] * f
    np.testing.assert_allclose(
        degree_energies((4, 0, 2), x, f, weights=w),
        [np.trace(weighted.T @ matrix @ weighted) for matrix in pairs],
        rtol=0,
        atol=1e-12,
    )
    np.testing.assert_allclose(degree_energies(4, x, f), [np.trace(f.T @ pairs[0] @ f)], rtol=0, atol=1e-12)


def target(x):
    """Degrees 0 to 3 in dim 4, with energies 1/4, 1/4, 1/4 · 1/24 … computed below."""
    return 0.5 + x[:, 0] + 3 * x[:, 1] * x[:, 2] + 4 * x[:, 0] * x[:, 2] * x[:, 3]


# E x_i² = 1/4, E x_i² x_j² = 1/(4 · 6), E x_i² x_j² x_k² = 1/(4 · 6 · 8): moments of the uniform measure in dim 4.
ENERGIES = np.array([0.25, 1 / 4, 9 / 24, 16 / 192, 0.0])


def over_draws(measure, weighted, draws=600, num=40):
    found = []
    for seed in range(draws):
        x = measure.sample(num, key=jax.random.key(seed))
        weights = 1 / measure.density(x) if weighted else None
        found.append(degree_energies(range(5), x, target(x), weights=weights))
    return np.array(found)


def test_over_draws_the_mean_is_the_energy():
    found = over_draws(problems.Sphere(4), weighted=False)
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - ENERGIES) < 4 * error)
    # With the diagonal it would be larger by N σ²/n: the test sees that for each degree but the lowest.
    bias = np.array([multiplicity(k, 4) for k in range(5)]) * ENERGIES.sum() / 40
    assert np.all((8 * error < bias)[1:])


def test_with_weights_that_holds_for_another_measure():
    measure = problems.PiecewiseSphere(4, (0.3, 0.7), edges=(0.2,), direction=(1.0, 1.0, 0.0, -1.0))
    found = over_draws(measure, weighted=True)
    assert np.all(np.abs(found.mean(axis=0) - ENERGIES) < 4 * found.std(axis=0) / np.sqrt(len(found)))
    plain = over_draws(measure, weighted=False, draws=200)
    assert np.any(np.abs(plain.mean(axis=0) - ENERGIES) > 8 * plain.std(axis=0) / np.sqrt(len(plain)))


def test_noise_scatters_as_said():
    # Values independent of the points: the variance is exactly 2 N σ⁴/(n (n - 1)), here with σ² = 4.
    n, degrees = 30, (1, 2, 4)
    rng = np.random.default_rng(5)
    found = np.array([degree_energies(degrees, uniform(n, 3, s), 2 * rng.standard_normal(n)) for s in range(1500)])
    expected = [4 * np.sqrt(2 * multiplicity(k, 3) / (n * (n - 1))) for k in degrees]
    np.testing.assert_allclose(found.std(axis=0), expected, rtol=0.12)  # a deviation of 1500 heavy-tailed values
    assert np.all(np.abs(found.mean(axis=0)) < 4 * found.std(axis=0) / np.sqrt(1500))


def test_a_zonal_harmonic_at_dim_10_has_its_energy_in_its_degree():
    problem = problems.harmonics(
        degrees=(1, 2, 4), amplitudes=(1, 3, 5), num_samples=3000, num_test=0, key=jax.random.key(0)
    )
    found = degree_energies((1, 2, 3, 4), problem.x, problem.y)
    scatter = 35 * np.sqrt([20, 108, 420, 1320]) / 3000 + 2 * np.sqrt(35 * np.array([1, 9, 0, 25]) / 3000)
    assert np.all(np.abs(found - [1, 9, 0, 25]) < 3 * scatter)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: degree_energies(-1, np.eye(3), np.ones(3)), ("`degrees`", "-1")),
        (lambda: degree_energies((), np.eye(3), np.ones(3)), ("`degrees`", "at least one")),
        (lambda: degree_energies(1, np.eye(3), np.ones(4)), ("`x`", "`values`", "3 and 4")),
        (lambda: degree_energies(1, np.eye(3), np.ones((3, 1, 1))), ("`values`", "(3, 1, 1)")),
        (lambda: degree_energies(1, np.eye(3), [1, np.nan, 1]), ("`values`", "not finite")),
        (lambda: degree_energies(1, np.eye(3), np.ones(3), weights=np.ones(2)), ("`weights`", "3 and 2")),
        (lambda: degree_energies(1, np.eye(3)[:1], np.ones(1)), ("`x`", "2 points", "got 1")),
        (lambda: degree_energies(1, 2 * np.eye(3), np.ones(3)), ("`x`", "unit sphere", "2")),
        (lambda: degree_energies(1000, np.eye(1000), np.ones(1000)), ("1e308",)),
        (lambda: degree_projection(1.5, np.eye(3), np.ones(3)), ("`degree`", "1.5")),
        (lambda: degree_projection(1, np.eye(3), np.ones(3), at=np.eye(4)), ("`at`", "dim = 3", "(4, 4)")),
        (lambda: degree_projection(1, np.eye(3), np.ones(3), at=0.5 * np.eye(3)), ("`at`", "unit sphere", "0.5")),
    ],
)
def test_refused(call, words, refuses):
    with refuses(*words):
        call()
