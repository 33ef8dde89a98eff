import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg, eigsh

from spectralbias import models
from spectralbias.kernels import NTKOperator

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
