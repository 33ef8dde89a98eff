import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg, eigsh

from spectralbias import models
from spectralbias.kernels import NTKOperator, _plan, empirical_ntk

KEY = jax.random.key(11)
X = np.random.default_rng(4).standard_normal((7, 3))
SCALAR = models.MLP(3, "scalar", 6, 2, key=KEY)
VECTOR = models.MLP(3, 2, 6, 2, bias_std=0.7, antisymmetric=True, key=KEY)


def dense(jacobian, model):
    """Θ as an (nc, nc) matrix in the order sample, output."""
    j = jacobian(model, X)
    return np.einsum("iap,jbp->iajb", j, j).reshape(j.shape[0] * j.shape[1], -1)


@pytest.mark.parametrize("model", [SCALAR, VECTOR], ids=["scalar", "vector"])
@pytest.mark.parametrize("batch_size", [None, 3, 7])
def test_it_multiplies_like_the_dense_matrix(model, batch_size, jacobian):
    operator = NTKOperator(model, X, batch_size=batch_size)
    matrix = dense(jacobian, model)
    v = np.random.default_rng(0).standard_normal((7, *operator.outputs))
    product = operator.mv(v)
    assert product.shape == v.shape
    np.testing.assert_allclose(np.ravel(product), matrix @ v.ravel(), rtol=0, atol=1e-12 * np.abs(matrix).max())


def test_scipys_solvers_take_it(jacobian):
    operator = NTKOperator(VECTOR, X, batch_size=4).as_linear_operator()
    assert isinstance(operator, LinearOperator)
    assert operator.shape == (14, 14)
    matrix = dense(jacobian, VECTOR)
    top = eigsh(operator, k=4, which="LA", v0=np.ones(14))[0]
    np.testing.assert_allclose(np.sort(top), np.linalg.eigvalsh(matrix)[-4:], rtol=1e-10)
    columns = np.random.default_rng(1).standard_normal((14, 3))
    np.testing.assert_allclose(operator @ columns, matrix @ columns, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(operator.T @ columns[:, 0], matrix @ columns[:, 0], rtol=1e-10, atol=1e-10)
    ridge = 0.1 * np.trace(matrix) / 14
    solution, failed = cg(operator + LinearOperator((14, 14), matvec=lambda v: ridge * v), columns[:, 0], rtol=1e-12)
    assert not failed
    np.testing.assert_allclose(solution, np.linalg.solve(matrix + ridge * np.eye(14), columns[:, 0]), rtol=1e-8)


def test_a_model_that_is_undefined_at_zero_is_never_asked_there():
    # Batches are filled up, and 0/0 times a weight of 0 would still be NaN.
    model = models.from_function(lambda p, x: p @ (x / jnp.linalg.norm(x)), jnp.ones(3))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    product = NTKOperator(model, X, batch_size=4).mv(np.ones(7))
    np.testing.assert_allclose(product, (unit @ unit.T).sum(axis=1), rtol=1e-12)


def test_whole_numbers_as_inputs_do_not_round_the_vector():
    model = models.from_function(lambda p, i: p[i[0]], jnp.arange(4.0))
    product = NTKOperator(model, np.array([[1], [3], [1]])).mv(np.array([0.5, 0.25, 0.75]))
    np.testing.assert_allclose(product, [1.25, 0.25, 1.25])


def convolutional():
    filters, last = jax.random.normal(KEY, (4, 2, 3, 3)), jax.random.normal(KEY, (2, 4))

    def apply(p, x):
        h = jnp.tanh(jax.lax.conv(x[None], p["filters"], (2, 1), "SAME")[0] + p["shift"][:, None, None])
        return p["last"] @ h.mean((1, 2))

    model = models.from_function(apply, {"filters": filters, "shift": jnp.ones(4), "last": last})
    return model, np.random.default_rng(2).standard_normal((5, 2, 5, 4))


def tied_words():
    table, mix = jax.random.normal(KEY, (6, 3)), jax.random.normal(KEY, (3, 3))

    def apply(p, words):
        h = jnp.tanh(p["table"][words] @ p["mix"] + p["shift"][None])
        return (h.mean(0) + p["once"][words[0]]) @ p["table"].T

    parameters = {"table": table, "mix": mix, "shift": jnp.ones(3), "once": 2 * table}
    return models.from_function(apply, parameters), np.random.default_rng(3).integers(0, 6, (5, 4))


@pytest.mark.parametrize("kept", [True, False], ids=["kept factors", "one vjp and one jvp"])
@pytest.mark.parametrize("make", [convolutional, tied_words])
def test_kept_factors_and_derivatives_multiply_alike(make, kept, jacobian, monkeypatch):
    model, x = make()
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", 2**30 if kept else 0)
    operator = NTKOperator(model, x, batch_size=3)
    assert (operator.factors is not None) == kept
    j = jacobian(model, jnp.asarray(x))
    v = np.random.default_rng(0).standard_normal((5, *operator.outputs))
    expected = np.einsum("iap,jbp,jb->ia", j, j, v, optimize=True)
    np.testing.assert_allclose(operator.mv(v), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("budget", [0, 2**30])
def test_a_part_of_the_parameters_is_the_kernel_of_that_part(budget, monkeypatch):
    def first(model):
        return model.layers[0]

    theta = np.asarray(empirical_ntk(VECTOR, X, parameters=first))
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", budget)
    v = np.random.default_rng(0).standard_normal((7, 2))
    product = NTKOperator(VECTOR, X, parameters=first, batch_size=4).mv(v)
    np.testing.assert_allclose(product, np.einsum("ijab,jb->ia", theta, v), rtol=0, atol=1e-12 * np.abs(theta).max())
    unused = models.from_function(lambda p, x: p["a"] @ x, {"a": jnp.ones(3), "b": jnp.ones(2)})
    assert not np.any(NTKOperator(unused, X, parameters=lambda m: m.params["b"]).mv(np.ones(7)))


@pytest.mark.parametrize("budget", [0, 2**30])
def test_lineax_solves_with_it(budget, jacobian, monkeypatch):
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", budget)
    operator = NTKOperator(VECTOR, X, batch_size=4)
    matrix = dense(jacobian, VECTOR)
    ridge = 0.1 * np.trace(matrix) / 14
    y = np.random.default_rng(1).standard_normal((7, 2))
    np.testing.assert_allclose(operator.as_lineax().mv(jnp.asarray(y)), operator.mv(y), rtol=1e-12)
    solver = lineax.CG(rtol=1e-12, atol=1e-12)
    found = lineax.linear_solve(operator.as_lineax(ridge=ridge), jnp.asarray(y), solver).value
    expected = np.linalg.solve(matrix + ridge * np.eye(14), y.ravel())
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-8)


def test_a_negative_ridge_is_refused(refuses):
    with refuses("`ridge`", -1.0):
        NTKOperator(SCALAR, X).as_lineax(ridge=-1.0)


@pytest.mark.parametrize("budget", [0, 2**30])
def test_it_works_inside_jit(budget, jacobian, monkeypatch):
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", budget)
    matrix = dense(jacobian, SCALAR)
    v = np.random.default_rng(0).standard_normal(7)
    built_inside = eqx.filter_jit(lambda model, v: NTKOperator(model, X, batch_size=4).mv(v))(SCALAR, v)
    handed_over = eqx.filter_jit(lambda operator, v: operator.mv(v))(NTKOperator(SCALAR, X, batch_size=4), v)
    for product in (built_inside, handed_over):
        np.testing.assert_allclose(product, matrix @ v, rtol=0, atol=1e-12 * np.abs(matrix).max())


def test_another_model_is_another_operator():
    other = eqx.tree_at(lambda m: m.layers[0].weight, SCALAR, 2 * SCALAR.layers[0].weight)
    v = np.ones(7)
    assert np.linalg.norm(NTKOperator(SCALAR, X).mv(v) - NTKOperator(other, X).mv(v)) > 0.1


def test_bad_arguments_are_refused(refuses):
    for batch_size in (0, -3):
        with refuses("`batch_size`", batch_size):
            NTKOperator(SCALAR, X, batch_size=batch_size)
    for shape in ((6,), (7, 1), (1, 7)):
        with refuses("`v`", "(7,)", shape):
            NTKOperator(SCALAR, X).mv(np.ones(shape))
    with refuses("`v`", "(7, 2)", "(7,)"):
        NTKOperator(VECTOR, X).mv(np.ones(7))
    with refuses("`x`", "(3,)"):
        NTKOperator(SCALAR, X[0])
    with refuses("`x`", "not finite"):
        NTKOperator(SCALAR, X * np.inf)
    with refuses("no parameters"):
        NTKOperator(lambda x: jnp.sum(x), X)
