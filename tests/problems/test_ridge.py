import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from spectralbias import problems

KEY = jax.random.key(11)


def test_the_target_depends_on_one_direction_and_the_basis_on_the_same():
    problem = problems.ridge(lambda t: t**4 + np.cos(3 * t), dim=4, num_samples=200, num_test=100, key=KEY)
    assert list(problem.basis) == list(problem.basis_test) == ["degree 1", "degree 2", "degree 4"]
    assert problem.measure == problems.Sphere(4)
    direction = np.linalg.lstsq(problem.x, problem.basis["degree 1"][:, 0])[0] / 2  # φ₁ = √4 ⟨ζ, x⟩
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-12)
    for x, y, basis in ((problem.x, problem.y, problem.basis), (problem.x_test, problem.y_test, problem.basis_test)):
        t = x @ direction
        np.testing.assert_allclose(y, t**4 + np.cos(3 * t), atol=1e-12)
        for k in (1, 2, 4):  # in dim 4, P_k(cos a) = sin((k+1)a)/((k+1) sin a), and N = (k+1)²
            angle = np.arccos(t)
            np.testing.assert_allclose(basis[f"degree {k}"][:, 0], np.sin((k + 1) * angle) / np.sin(angle), atol=1e-10)


def test_a_step_has_its_closed_form_coefficients():
    # ∫ sign(t) √3 t dt/2 = √3/2 on S², and 0 for even degrees; 5 standard errors of 20,000 points.
    problem = problems.ridge(np.sign, dim=3, degrees=(1, 2, 3), num_samples=20_000, num_test=0, key=KEY)
    products = np.hstack(list(problem.basis.values())) * problem.y[:, None]
    third = np.sqrt(7) * (scipy.special.eval_legendre(4, 0) - scipy.special.eval_legendre(2, 0)) / -7
    error = 5 * products.std(axis=0) / np.sqrt(len(products))
    assert np.all(np.abs(products.mean(axis=0) - [3**0.5 / 2, 0, third]) < error)


def test_functions_of_jax_and_other_measures():
    measure = problems.PiecewiseSphere(5)
    problem = problems.ridge(lambda t: jnp.asarray(t) ** 2, measure=measure, degrees=[0], num_samples=50, key=KEY)
    assert problem.y.dtype == np.float64
    assert problem.measure == measure
    assert problem.x.shape == (50, 5)
    same = problems.harmonics(measure=measure, num_samples=50, key=KEY)
    np.testing.assert_array_equal(problem.x, same.x)
    assert problems.ridge(np.sign, num_samples=9, key=KEY).x.shape == (9, 10)


def test_draws_depend_on_the_key_alone():
    draw = lambda key: problems.ridge(np.sign, dim=3, num_samples=20, key=key)  # noqa: E731
    np.testing.assert_array_equal(draw(KEY).y_test, draw(jax.random.key(11)).y_test)
    assert not np.array_equal(draw(KEY).x, draw(jax.random.key(1)).x)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (3.0, {}, ("`function`", "3.0")),
        (lambda t: t[:, None], {}, ("`function`", "(50,)", "(50, 1)")),
        (lambda t: 1.0, {}, ("`function`", "()")),
        (lambda t: np.where(t > 0, np.nan, 1), {}, ("`function`", "not finite")),
        (lambda t: t + 1j, {}, ("`function`", "complex")),
        (lambda t: 0 * t, {}, ("constant",)),
        (np.sign, {"degrees": ()}, ("degrees", "at least one")),
        (np.sign, {"dim": 1}, ("dim", "got 1")),
        (np.sign, {"dim": 3, "measure": problems.Sphere(4)}, ("`dim` is 3", "`measure` is 4")),
        (np.sign, {"measure": 4}, ("`measure`", "Sphere(10)", "4")),
        (np.sign, {"num_samples": 1}, ("num_samples", "got 1")),
    ],
)
def test_refused(function, arguments, words, refuses, annotations_unchecked):
    with annotations_unchecked(), refuses(*words):
        problems.ridge(function, **({"num_samples": 50, "key": KEY} | arguments))
