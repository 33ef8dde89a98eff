import jax
import numpy as np
import pytest
import scipy.special

from spectralbias import problems
from spectralbias.problems._harmonics import zonal_harmonic


@pytest.mark.parametrize("dim", [2, 3, 10, 500])
def test_points_lie_on_the_sphere(dim, key):
    problem = problems.harmonics(dim=dim, degrees=(1,), key=key)
    assert problem.x.shape == problem.x_test.shape == (1000, dim)
    assert problem.x.dtype == np.float64
    assert problem.measure == problems.Sphere(dim)
    for x in (problem.x, problem.x_test):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=0, atol=1e-15)


def test_points_are_uniform(key):
    # First two moments of the uniform measure: E x = 0, E x xᵀ = I/dim; 5 standard errors of the mean.
    x = problems.harmonics(dim=4, num_samples=40_000, num_test=0, key=key).x
    products = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
    for sample, mean in ((x, np.zeros(4)), (products, np.eye(4).ravel() / 4)):
        error = 5 * sample.std(axis=0) / np.sqrt(len(x))
        assert np.all(np.abs(sample.mean(axis=0) - mean) < error)


@pytest.mark.parametrize("dim", [2, 3, 5, 10, 50])
def test_zonal_harmonics_are_orthonormal(dim):
    # The cosine with a fixed direction has density ∝ (1 - t²)^((dim - 3)/2): Gauss's rule is exact.
    nodes, weights = scipy.special.roots_gegenbauer(20, (dim - 2) / 2)
    values = np.stack([zonal_harmonic(degree, dim, nodes) for degree in range(8)])
    gram = (values * weights) @ values.T / weights.sum()
    np.testing.assert_allclose(gram, np.eye(8), atol=1e-12)


def test_basis_is_orthonormal_on_samples(key):
    problem = problems.harmonics(dim=6, degrees=(0, 1, 2, 3), num_samples=50_000, num_test=0, key=key)
    functions = np.hstack(list(problem.basis.values()))
    products = np.einsum("ni,nj->nij", functions, functions)
    error = 5 * products.std(axis=0) / np.sqrt(len(products))  # 5 standard errors; exact for degree 0
    assert np.all(np.abs(products.mean(axis=0) - np.eye(4)) <= error + 1e-12)


def test_target_is_the_weighted_sum_of_its_basis(key):
    problem = problems.harmonics(dim=5, degrees=(3, 1), amplitudes=(2.0, -0.5), num_samples=30, num_test=20, key=key)
    assert list(problem.basis) == list(problem.basis_test) == ["degree 3", "degree 1"]
    for y, basis, n in ((problem.y, problem.basis, 30), (problem.y_test, problem.basis_test, 20)):
        assert basis["degree 3"].shape == (n, 1)
        np.testing.assert_allclose(y, (2 * basis["degree 3"] - 0.5 * basis["degree 1"])[:, 0], atol=1e-14)


def test_amplitudes_are_one_by_default(key):
    problem = problems.harmonics(num_samples=30, key=key)
    assert list(problem.basis) == ["degree 1", "degree 2", "degree 4"]
    np.testing.assert_allclose(problem.y, sum(phi[:, 0] for phi in problem.basis.values()), atol=1e-13)


def test_degree_one_is_a_linear_function_and_degree_two_a_quadratic_form(key):
    # φ₁ = √dim ⟨ζ, x⟩, and φ₂ = √N (dim ⟨ζ, x⟩² - 1)/(dim - 1) with N = (dim + 2)(dim - 1)/2: for dim = 4 a
    # form with eigenvalues 3, -1, -1, -1, since on the sphere 1 = ‖x‖².
    problem = problems.harmonics(dim=4, degrees=(1, 2), num_samples=100, key=key)
    x, basis = problem.x, problem.basis
    direction, *_ = np.linalg.lstsq(x, basis["degree 1"][:, 0])
    np.testing.assert_allclose(np.linalg.norm(direction), 2, rtol=1e-12)
    np.testing.assert_allclose(problem.x_test @ direction, problem.basis_test["degree 1"][:, 0], atol=1e-12)

    rows, columns = np.triu_indices(4)
    coefficients, *_ = np.linalg.lstsq(x[:, rows] * x[:, columns], basis["degree 2"][:, 0])
    form = np.zeros((4, 4))
    form[rows, columns] = coefficients
    form = (form + form.T) / 2
    np.testing.assert_allclose(np.linalg.eigvalsh(form), [-1, -1, -1, 3], atol=1e-11)
    fresh = np.einsum("ni,ij,nj->n", problem.x_test, form, problem.x_test)
    np.testing.assert_allclose(fresh, problem.basis_test["degree 2"][:, 0], atol=1e-11)


def test_draws_depend_on_the_key_alone(key):
    draw = lambda k: problems.harmonics(dim=3, num_samples=20, key=k)  # noqa: E731
    first, again, other = draw(key), draw(key), draw(jax.random.key(8))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y_test, again.y_test)
    assert not np.any(first.x == other.x)
    assert not np.any(first.x == first.x_test[:20])
    np.testing.assert_array_equal(first.y, draw(jax.random.PRNGKey(7)).y)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            np.testing.assert_array_equal(first.y, draw(jax.random.key(7)).y)


def test_a_measure_changes_nothing_about_uniform_draws(key):
    problem = problems.harmonics(dim=3, num_samples=20, num_test=10, key=key)
    train, test, _ = np.random.default_rng(np.asarray(jax.random.key_data(key))).spawn(3)
    for x, stream in ((problem.x, train), (problem.x_test, test)):
        normal = stream.standard_normal((len(x), 3))
        np.testing.assert_array_equal(x, normal / np.linalg.norm(normal, axis=1, keepdims=True))
    given = problems.harmonics(measure=problems.Sphere(3), num_samples=20, num_test=10, key=key)
    np.testing.assert_array_equal(given.y_test, problem.y_test)


def test_no_test_points(key):
    problem = problems.harmonics(num_test=0, num_samples=5, key=key)
    assert problem.x_test is None
    assert problem.y_test is None
    assert problem.basis_test is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"degrees": (1, -2)}, ("degrees", "-2")),
        ({"degrees": (1, 2, 1)}, ("degrees", "twice", "[1, 2, 1]")),
        ({"degrees": ()}, ("degrees", "at least one")),
        ({"degrees": (1000,), "dim": 1000}, ("1000", "1e308")),
        ({"degrees": (0,)}, ("constant",)),
        ({"dim": 1}, ("dim", "at least 2", "got 1")),
        ({"dim": 10, "measure": problems.Sphere(3)}, ("`dim` is 10", "`measure` is 3")),
        ({"amplitudes": (1.0, 2.0)}, ("amplitudes", "3 `degrees`", "got 2")),
        ({"amplitudes": (0.0, 0.0, 0.0)}, ("amplitudes", "all 0")),
        ({"amplitudes": (1.0, float("nan"), 0.0)}, ("amplitudes", "not finite")),
        ({"num_samples": 1}, ("num_samples", "at least 2", "got 1")),
        ({"num_test": -1}, ("num_test", "at least 0", "got -1")),
        ({"key": jax.random.split(jax.random.key(0), 3)}, ("key", "shape (3,)", "jax.random.key(0)")),
    ],
)
def test_refused(arguments, words, key, refuses):
    with refuses(*words):
        problems.harmonics(**({"key": key} | arguments))


@pytest.mark.parametrize("arguments", [{"key": None}, {"key": 0}, {"degrees": 3}, {"degrees": (1.5,)}, {"dim": True}])
def test_wrong_types_are_refused(arguments, key):
    # An InputError, or a TypeError where annotations are enforced.
    with pytest.raises((ValueError, TypeError)):
        problems.harmonics(**({"key": key} | arguments))
