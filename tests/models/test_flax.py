import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import empirical_ntk

flax = pytest.importorskip("flax")
from flax import linen, nnx  # noqa: E402

KEY = jax.random.key(5)
RNG = np.random.default_rng(2)
X = jnp.asarray(RNG.standard_normal((5, 3)))
IMAGES = jnp.asarray(RNG.standard_normal((4, 6, 5, 2)))


class LinenNet(linen.Module):
    """Batch statistics and dropout between two layers."""

    sizes: tuple[int, ...] = (6, 2)
    activation: object = jnp.tanh

    @linen.compact
    def __call__(self, x, train=True):
        h = self.activation(linen.Dense(self.sizes[0], param_dtype=float)(x))
        h = linen.BatchNorm(use_running_average=not train, param_dtype=float)(h)
        h = linen.Dropout(0.5, deterministic=not train)(h)
        return linen.Dense(self.sizes[1], param_dtype=float)(h)


class LinenCNN(linen.Module):
    """As in Flax's guide: the axis of the batch is kept when the rest is flattened."""

    @linen.compact
    def __call__(self, x):
        h = linen.relu(linen.Conv(4, (3, 3), strides=2, param_dtype=float)(x))
        h = linen.avg_pool(h, (2, 2))
        return linen.Dense(1, param_dtype=float)(h.reshape((h.shape[0], -1)))[:, 0]


class NNXNet(nnx.Module):
    """The same as `LinenNet`."""

    def __init__(self, *, activation=jnp.tanh, rngs):
        self.first = nnx.Linear(3, 6, param_dtype=float, rngs=rngs)
        self.norm = nnx.BatchNorm(6, param_dtype=float, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(6, 2, param_dtype=float, rngs=rngs)
        self.activation = activation

    def __call__(self, x):
        return self.last(self.dropout(self.norm(self.activation(self.first(x)))))


def linen_net(**settings):
    module = LinenNet(**settings)
    variables = module.init(KEY, X, train=False)
    statistics = {"mean": jnp.full(6, 0.3), "var": jnp.full(6, 1.7)}
    return module, {**variables, "batch_stats": {"BatchNorm_0": statistics}}


def nnx_net(seed=0, **settings):
    module = NNXNet(rngs=nnx.Rngs(seed), **settings)
    module.norm.mean, module.norm.var = nnx.BatchStat(jnp.full(6, 0.3)), nnx.BatchStat(jnp.full(6, 1.7))
    module.eval()
    return module


def explicit(apply, params, x):
    """Θ (n, n, c, c) of a batched function by forward mode."""
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    j = np.asarray(jax.jacfwd(lambda theta: apply(unravel(theta), x))(flat))
    j = j.reshape(len(x), -1, flat.size)
    return np.einsum("iap,jbp->ijab", j, j)


def test_a_linen_module_is_the_module_at_one_input():
    module, variables = linen_net()
    model = models.from_flax(module, variables, train=False)
    np.testing.assert_allclose(jax.vmap(model)(X), module.apply(variables, X, train=False), rtol=1e-13)
    assert models.count_parameters(model) == (3 * 6 + 6) + 2 * 6 + (6 * 2 + 2)

    def apply(params, x):
        return module.apply({**variables, "params": params}, x, train=False)

    np.testing.assert_allclose(empirical_ntk(model, X), explicit(apply, variables["params"], X), rtol=1e-10, atol=1e-12)


def test_an_nnx_module_is_the_module_at_one_input():
    module = nnx_net()
    model = models.from_flax(module)
    np.testing.assert_allclose(jax.vmap(model)(X), module(X), rtol=1e-13)
    assert models.count_parameters(model) == (3 * 6 + 6) + 2 * 6 + (6 * 2 + 2)
    graph, params, others = nnx.split(module, nnx.Param, ...)

    def apply(params, x):
        return nnx.merge(graph, params, others)(x)

    np.testing.assert_allclose(empirical_ntk(model, X), explicit(apply, params, X), rtol=1e-10, atol=1e-12)


def test_a_convolutional_module_flattens_behind_the_batch():
    module = LinenCNN()
    variables = module.init(KEY, IMAGES)
    model = models.from_flax(module, variables)
    assert model(IMAGES[0]).shape == ()
    np.testing.assert_allclose(jax.vmap(model)(IMAGES), module.apply(variables, IMAGES), rtol=1e-13)
    expected = explicit(lambda p, x: module.apply({"params": p}, x), variables["params"], IMAGES)
    np.testing.assert_allclose(empirical_ntk(model, IMAGES), expected[:, :, 0, 0], rtol=1e-10)


def test_linen_and_nnx_with_the_same_weights_have_the_same_kernel():
    module, variables = linen_net()
    other = nnx_net(seed=1)
    params = variables["params"]
    for name, layer in (("Dense_0", other.first), ("Dense_1", other.last)):
        layer.kernel[...], layer.bias[...] = params[name]["kernel"], params[name]["bias"]
    one = empirical_ntk(models.from_flax(module, variables, train=False), X)
    np.testing.assert_allclose(empirical_ntk(models.from_flax(other), X), one, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("make", ["linen", "nnx"])
def test_a_second_model_from_an_equal_module_compiles_nothing(make):
    traced = []

    def spy(z):
        traced.append(z)
        return jnp.tanh(z)

    def model(factor):
        if make == "nnx":
            module = nnx_net(seed=factor, activation=spy)
            return models.from_flax(module)
        module, variables = linen_net(activation=spy)
        return models.from_flax(module, jax.tree.map(lambda leaf: factor * leaf, variables), train=False)

    first, second = model(1), model(2)
    one = empirical_ntk(first, X)
    count = len(traced)
    assert np.max(np.abs(empirical_ntk(second, X) - one)) > 0.01
    assert len(traced) == count > 0


def test_modules_may_hold_lists_and_arrays():
    module = linen.Sequential([linen.Dense(3, param_dtype=float), jnp.tanh])
    variables = module.init(KEY, X)
    again = linen.Sequential([linen.Dense(3, param_dtype=float), jnp.tanh])
    one, two = models.from_flax(module, variables), models.from_flax(again, variables)
    assert jax.tree.structure(one) == jax.tree.structure(two)
    np.testing.assert_allclose(jax.jit(lambda model, x: model(x))(one, X[0]), module.apply(variables, X)[0], rtol=1e-13)
    shift = models.from_flax(LinenNet(activation=np.ones(2)), variables)
    assert jax.tree.structure(shift) != jax.tree.structure(models.from_flax(LinenNet(activation=np.ones(2)), variables))


def test_the_nnx_module_is_copied():
    module = nnx_net()
    model = models.from_flax(module)
    before = model(X[0])
    module.first.kernel[...] = 2 * module.first.kernel[...]
    np.testing.assert_array_equal(model(X[0]), before)


def test_numbers_of_numpy_are_parameters_too():
    module, variables = linen_net()
    model = models.from_flax(module, jax.tree.map(np.asarray, variables), train=False)
    assert models.count_parameters(model) == 50


def test_training_mode_is_refused(refuses):
    module, variables = linen_net()
    for arguments in ({}, {"train": True}):
        with refuses("batch statistics", "`train=False`"):
            models.from_flax(module, variables, **arguments)(X[0])
    dropout = linen.Dropout(0.5, deterministic=False)
    with refuses("dropout", "`deterministic=True`"):
        models.from_flax(dropout, {"params": {}})(X[0])


def test_training_mode_of_nnx_is_refused(refuses):
    module = nnx_net()
    module.train()
    with refuses("`module.eval()`"):
        empirical_ntk(models.from_flax(module), X)
    dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    with refuses("dropout", "`module.eval()`"):
        models.from_flax(nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), dropout))(X[0])


def test_bad_arguments_are_refused(refuses):
    module, variables = linen_net()
    with refuses("`module`", "the class LinenNet", "instance"):
        models.from_flax(LinenNet, variables)
    with refuses("`module`", "an object of MLP", "`from_function`"):
        models.from_flax(models.MLP(3, 1, 2, 1, key=KEY))
    for wrong in (None, {"batch_stats": {}}, [1.0]):
        with refuses("`variables`", '"params"'):
            models.from_flax(module, wrong)
    with refuses("`variables`", "NNX"):
        models.from_flax(nnx_net(), variables)
    with refuses("`mask`", "hashable"):
        models.from_flax(module, variables, mask=jnp.ones(2))


def test_outputs_that_are_not_of_a_batch_are_refused(refuses):
    class Pair(linen.Module):
        whole: bool

        @linen.compact
        def __call__(self, x):
            h = linen.Dense(2)(x)
            return (h, h) if self.whole else h[0]

    variables = {"params": Pair(True).init(KEY, X)["params"]}
    with refuses("(1, c)", "tuple"):
        models.from_flax(Pair(True), variables)(X[0])
    with refuses("(1, c)", "(2,)"):
        models.from_flax(Pair(False), variables)(X[0])
