"""Parts of the studies of Cao et al. against answers of independent origin."""

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
import scipy.integrate
import scipy.special

from spectralbias import kernels, models, problems, spectra
from spectralbias.papers import Outcome
from spectralbias.papers.cao import _bound, _figure_2, _figures_1_to_6, _lemma, _outside, _training

TINY = _training.Experiment(seeds=(0, 1), dim=5, num_samples=40, num_test=30, width=20, steps=12)


def test_the_network_is_trained_by_gradient_descent_from_zero():
    """Against explicit steps θ ← θ - η∇L with the gradient of the loss (1/2n) Σ (f - y)²."""
    problem, rate = _training.problem_of(TINY, 1), TINY.rate / TINY.output_scale**2
    with jax.enable_x64(False):
        model = models.cao_network(5, 20, output_scale=4.0, antisymmetric=True, key=_training.keys(1)[1])
        x, y = jnp.asarray(problem.x, jnp.float32), jnp.asarray(problem.y, jnp.float32)
        gradient = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum((jax.vmap(m)(x) - y) ** 2) / (2 * len(y))))
        for _ in range(TINY.steps):
            model = eqx.apply_updates(model, jax.tree.map(lambda g: -rate * g, gradient(model)))
        residual = np.asarray(jax.vmap(model)(x) - y, float)
    found = _training.learn(msgspec.structs.replace(TINY, seeds=()), 1)
    assert found.steps[-1] == TINY.steps
    assert np.allclose(found.train[0], -problem.y @ np.hstack(list(problem.basis.values())) / 40, atol=1e-6)
    assert np.allclose(found.train[-1], residual @ np.hstack(list(problem.basis.values())) / 40, atol=1e-5)


def test_the_prediction_is_gradient_descent_with_the_kernel():
    problem = _training.problem_of(TINY, 0)
    gram = np.asarray(kernels.cao_kernel().ntk(problem.x))
    r = -problem.y
    for _ in range(TINY.steps):
        r = r - TINY.rate * gram @ r / len(r)
    expected = r @ np.hstack(list(problem.basis.values())) / len(r)
    assert np.allclose(_training.learn(msgspec.structs.replace(TINY, seeds=()), 0).predicted[-1], expected, atol=1e-12)


def test_the_control_makes_degree_4_linear_and_leaves_the_target():
    plain = _training.look(TINY)
    encoded = _training.look(msgspec.structs.replace(TINY, encoded=True))
    assert plain["train"].shape == (2, len(plain["steps"]), 3)
    assert np.array_equal(plain["train"], np.abs(plain["train"]))
    for key in ("train", "test"):
        assert np.allclose(encoded[key][:, 0], plain[key][:, 0], atol=1e-6)
    assert np.all(encoded["learned"][:, 2] < 12)
    assert np.all(encoded["learned"][:, 2] < plain["learned"][:, 2])
    # The prediction reads the same coordinate: explicit gradient descent with its kernel.
    problem = _training.problem_of(TINY, 0)
    basis = np.hstack(list(problem.basis.values()))
    gram = np.asarray(kernels.cao_kernel().ntk(np.hstack([problem.x, 0.4 * basis[:, 2:]])))
    r = -problem.y
    for _ in range(TINY.steps):
        r = r - TINY.rate * gram @ r / len(r)
    assert np.allclose(encoded["predicted"][0, -1], np.abs(r @ basis / len(r)), atol=1e-12)


def test_what_is_not_learned_is_not_learned_later():
    learned = np.array([[1, 2, 3], [1, 2, np.inf], [1, np.inf, np.inf], [2, 1, np.inf], [1, np.inf, 5], [3, 3, 4]])
    ordered, undecided = _figures_1_to_6._order(learned)
    assert ordered.tolist() == [True, False, False, False, False, False]
    assert undecided.tolist() == [False, True, True, False, False, False]


def test_a_repetition_that_ends_too_early_is_no_evidence():
    numbers = dict(_training.look(msgspec.structs.replace(TINY, seeds=tuple(range(10)), steps=6)))
    numbers["learned"] = np.tile([1.0, 2.0, np.inf], (10, 1))
    verdict = _figures_1_to_6.judge_order(numbers)
    assert verdict.outcome is Outcome.inconclusive
    assert "in 0 of 10 repetitions, and undecided in 10" in verdict.sentence
    numbers["learned"] = np.tile([2.0, 1.0, np.inf], (10, 1))
    assert _figures_1_to_6.judge_order(numbers).outcome is Outcome.fails


def test_the_constant_of_the_lemma_must_not_grow_with_the_cut():
    numbers = _lemma.measure(_lemma.Sampling(dim=5, counts=(100, 200, 400, 800)))
    assert numbers["functions"].tolist() == [6, 20, 50]
    assert numbers["squares"].tolist() == [5, 14, 30]
    x = problems.Sphere(5).sample(800, key=_training.keys(3)[1])[:200]
    functions = spectra.spherical_harmonics((0, 1, 2), x)
    expected = np.max(np.abs(functions.T @ functions / 200 - np.eye(20)))
    assert numbers["deviations"][3, 1, 1] == pytest.approx(expected, rel=1e-12)
    # The same law in n, and a constant that shrinks or grows from cut to cut.
    spread = np.linspace(1, 1.1, 10)[:, None, None]
    for factors, outcome in (((1, 0.5, 0.3), Outcome.holds), ((1, 1.5, 2), Outcome.fails)):
        deviations = spread * numbers["scale"] * np.array(factors)[:, None]
        assert _lemma.judge({**numbers, "deviations": deviations}).outcome is outcome


def test_lines_through_geometric_decay_have_its_rate():
    steps = np.arange(60)
    rates = np.array([[0.2, 0.05]])
    amplitudes = 3 * np.exp(-rates[:, None, :] * steps[:, None])
    found, straightness = _figure_2._lines(steps, amplitudes)
    assert np.allclose(found, rates, rtol=1e-9)
    assert np.allclose(straightness, 1)


@pytest.mark.parametrize("target", ["cosines", "powers"])
def test_even_targets_have_the_degrees_that_are_looked_at(target):
    function = _training.function_of(target, 10)
    assert np.allclose(function(np.linspace(0, 1, 50)), function(np.linspace(0, -1, 50)))
    density = scipy.special.gamma(5) / np.sqrt(np.pi) / scipy.special.gamma(4.5)
    for degree in (0, 2, 4):

        def integrand(t, degree=degree):
            return function(np.array([t]))[0] * float(spectra.gegenbauer(degree, 10, t)) * (1 - t**2) ** 3.5

        amplitude = density * scipy.integrate.quad(integrand, -1, 1)[0] * np.sqrt(spectra.multiplicity(degree, 10))
        assert abs(amplitude) > 0.3, (degree, amplitude)


@pytest.mark.parametrize("degree", [2, 4, 10])
def test_the_coefficients_of_the_step(degree):
    """a_k² over a_2² from the closed form of the study, against quadrature."""
    dim = _bound.Bound().dim

    def square(k):
        weight = lambda t: float(spectra.gegenbauer(k, dim, t)) * (1 - t**2) ** ((dim - 3) / 2)  # noqa: E731
        return spectra.multiplicity(k, dim) * scipy.integrate.quad(weight, _bound.STEP_AT, 1, epsabs=1e-13)[0] ** 2

    eigenvalues = spectra.sphere_spectrum(kernels.cao_kernel(), dim, degree).eigenvalues
    sums = _outside.norm_by_degree(dim)
    index = degree // 2 - 1
    term = sums[1][index] - (sums[1][index - 1] if index else 0)
    assert sums[0][index] == degree
    assert term == pytest.approx(square(degree) / eigenvalues[degree] / (square(2) / eigenvalues[2]), rel=1e-8)


def test_the_cut_of_the_bound_is_between_eigenvalues():
    degrees, eigenvalues, following = _bound._retained(_bound.Bound(dim=10))
    assert degrees == [0, 1, 2]
    assert len(eigenvalues) == 1 + 10 + 54
    assert following == pytest.approx(5.6e-5, rel=0.01)
    assert eigenvalues[1] == pytest.approx(3 / 40)
