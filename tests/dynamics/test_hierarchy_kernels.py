"""The kernels of the hierarchy: against explicit second and third derivatives, closed forms, and the true flow.

The recursion K^(r+1) = ⟨∇K^r, ∇f⟩ is nested in the library; here Hessians and third derivatives are formed in one flat
vector of parameters, and beyond K⁴ every kernel is the difference of the one below along a flow solved by SciPy.
"""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from spectralbias import dynamics, kernels, models

KEY = jax.random.key(3)


def unit_inputs(n, dim, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


X = unit_inputs(3, 3)


def draws(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def tied(p, x):
    """One matrix that is used twice, a scale that enters through its exponential."""
    return jnp.exp(p["scale"]) * jnp.sum(jnp.tanh(p["w"] @ x) * jnp.sin(p["w"] @ x[::-1]))


def convolution(p, x):
    h = jax.lax.conv_general_dilated(x[None, None], p["kernel"], (1,), "VALID")[0]
    return jnp.sum(jnp.tanh(h).mean(axis=1) * p["out"])


MODELS = {
    "one layer": lambda: models.huang_yau_network(3, 5, 1, activation="tanh", key=KEY),
    "two layers": lambda: models.huang_yau_network(3, 4, 2, activation="softplus", key=KEY),
    "biases": lambda: models.MLP(3, "scalar", 4, 2, activation="sin", bias_std=0.5, key=KEY),
    "tied": lambda: models.from_function(tied, {"w": draws(4, 3), "scale": jnp.asarray(0.3)}),
    "convolution": lambda: models.from_function(convolution, {"kernel": draws(3, 1, 2), "out": draws(3, seed=2)}),
}


def flat(model):
    """θ as one vector, and the model at any θ."""
    parameters, rest = models.partition(model)
    theta, unravel = ravel_pytree(parameters)
    return theta, lambda t: models.combine(unravel(t), rest)


def explicit_kernels(model, x, pick=lambda f: f):
    """K², K³, K⁴ of the spec's section 2 from ∇f (n, P), ∇²f (n, P, P) and ∇³f (n, P, P, P)."""
    theta, at = flat(model)

    def f(t):
        return pick(jax.vmap(at(t))(jnp.asarray(x)))

    first = jax.jacrev(f)
    second = jax.hessian(f)
    g, hessian, third = (np.asarray(jax.jit(one)(theta)) for one in (first, second, jax.jacfwd(second)))
    h = np.einsum("apq,bq->abp", hessian, g)  # h_αβ = ∇²f_α ∇f_β
    k3 = np.einsum("bp,acp->abc", g, h) + np.einsum("ap,bcp->abc", g, h)
    cubic = np.einsum("apqr,bp,cq,dr->abcd", third, g, g, g, optimize=True)
    k4 = cubic + cubic.transpose(1, 0, 2, 3)  # ∇³f_β[α, γ, δ] has β first
    k4 += np.einsum("bdp,acp->abcd", h, h) + np.einsum("adp,bcp->abcd", h, h)
    k4 += np.einsum("abp,cdp->abcd", h, h) + np.einsum("bap,cdp->abcd", h, h)
    return (g @ g.T, k3, k4), h


def assert_close(found, expected, tolerance=1e-10):
    expected = np.asarray(expected)
    scale = np.abs(expected).max()
    assert np.shape(found) == expected.shape
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", MODELS)
def test_they_are_what_second_and_third_derivatives_make(name):
    model = MODELS[name]()
    found = dynamics.hierarchy_kernels(model, X, 4)
    expected, h = explicit_kernels(model, X)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    # Symmetric in the first two arguments only: the last two of K⁴ do not commute.
    gap = np.einsum("abp,cdp->abcd", h + h.transpose(1, 0, 2), h - h.transpose(1, 0, 2))
    assert_close(found[2] - found[2].transpose(0, 1, 3, 2), gap, 1e-9)
    assert np.abs(gap).max() > 0.01 * np.abs(found[2]).max()
    assert np.abs(found[1] - found[1].transpose(0, 2, 1)).max() > 0.01 * np.abs(found[1]).max()
    for one in found:
        np.testing.assert_allclose(one, np.swapaxes(one, 0, 1), rtol=0, atol=1e-12 * np.abs(one).max())


# ---- along the true flow


def flow(model, x, y, times):
    """θ(t) of θ̇ = -∇L by SciPy, from t = 0 forwards and backwards."""
    theta, at = flat(model)

    @jax.jit
    def downhill(t):
        return -jax.grad(lambda p: jnp.sum((jax.vmap(at(p))(jnp.asarray(x)) - y) ** 2) / (2 * len(y)))(t)

    settings = {"method": "DOP853", "rtol": 1e-13, "atol": 1e-15}
    found = {}
    for sign in (1, -1):
        end = sign * max(times)
        solved = solve_ivp(
            lambda _, p: np.asarray(downhill(p)), (0, end), np.asarray(theta),
            t_eval=[sign * t for t in times], **settings,
        )  # fmt: skip
        found |= {sign * t: at(jnp.asarray(p)) for t, p in zip(times, solved.y.T, strict=True)}
    return found


def derivative(values, steps):
    """Richardson's extrapolation of central differences with steps h, h/2, h/4: error of sixth order."""
    rows = [(values[h] - values[-h]) / (2 * h) for h in steps]  # smallest h first
    for power in (4, 16):
        rows = [(power * fine - coarse) / (power - 1) for fine, coarse in itertools.pairwise(rows)]
    return rows[0]


@pytest.mark.parametrize(
    ("name", "order"), [("one layer", 6), ("two layers", 4), ("biases", 4), ("tied", 4), ("convolution", 4)]
)
def test_every_kernel_drives_the_one_below_along_the_true_flow(name, order):
    """∂_t K^r = -(1/n) Σ K^(r+1) r: with r = n e_i at the start, minus the i-th slice of the next tensor."""
    model, n = MODELS[name](), len(X)
    start = dynamics.hierarchy_kernels(model, X, order)
    f0 = np.asarray(jax.vmap(model)(X))
    steps = [0.00125, 0.0025, 0.005]
    for i in range(n):
        seen = flow(model, X, f0 - n * np.eye(n)[i], steps)
        towers = {t: dynamics.hierarchy_kernels(moved, X, order) for t, moved in seen.items()}
        outputs = {t: np.asarray(jax.vmap(moved)(X)) for t, moved in seen.items()}
        assert_close(derivative(outputs, steps), -start[0][:, i], 1e-9)
        for r in range(2, order):
            values = {t: np.asarray(tower[r - 2]) for t, tower in towers.items()}
            assert_close(derivative(values, steps), -start[r - 1][..., i], 1e-9)


def test_the_rate_of_the_kernel_along_training():
    model, y = MODELS["two layers"](), np.array([1.0, -0.5, 2.0])
    steps = [0.00125, 0.0025, 0.005]
    thetas = {t: np.asarray(kernels.empirical_ntk(moved, X)) for t, moved in flow(model, X, y, steps).items()}
    r = np.asarray(jax.vmap(model)(X)) - y
    assert_close(-dynamics.kernel_derivative(model, X, r) / len(y), derivative(thetas, steps), 1e-9)


# ---- closed forms and identities of every order


def closed_third(w, a, x, activation, slope, curvature):
    """K³ of one hidden layer, unit by unit: section 2 of the spec."""
    s, d, c = (function(x @ w) for function in (activation, slope, curvature))  # (n, m)
    inner = x @ x.T

    def summed(weight, one, two, three, *pair):
        letters = "abc"
        inside = letters[pair[0]] + letters[pair[1]]
        return np.einsum(f"i,ai,bi,ci,{inside}->abc", weight, one, two, three, inner, optimize=True)

    total = summed(a, d, s, d, 0, 2) + summed(a, s, d, d, 1, 2) + 2 * summed(a, d, d, s, 0, 1)
    twice = np.einsum("i,ai,bi,ci,ab,ac->abc", a**3, c, d, d, inner, inner, optimize=True)
    twice += np.einsum("i,ai,bi,ci,ab,bc->abc", a**3, d, c, d, inner, inner, optimize=True)
    return (total + twice) / w.shape[1] ** 1.5


def test_the_closed_form_of_one_hidden_layer():
    model = models.huang_yau_network(4, 50, 1, activation="tanh", weight_std=1.4, output_std=0.8, key=KEY)
    w, a = (np.asarray(layer.weight) for layer in model.layers)

    def slope(z):
        return 1 / np.cosh(z) ** 2

    expected = closed_third(w, a[:, 0], unit_inputs(5, 4), np.tanh, slope, lambda z: -2 * np.tanh(z) * slope(z))
    assert_close(dynamics.hierarchy_kernels(model, unit_inputs(5, 4), 3)[1], expected, 1e-12)


def test_a_hidden_layer_is_a_sum_over_its_units():
    """K^r = m^(-r/2) Σ_i K^r[unit i]: why K^r is m^(1-r/2) times the mean of m independent terms at the start."""
    order, width = 5, 5
    model = MODELS["one layer"]()
    unit = models.huang_yau_network(3, 1, 1, activation="tanh", key=KEY)
    w, a = (layer.weight for layer in model.layers)
    total = None
    for i in range(width):
        one = eqx.tree_at(lambda m: (m.layers[0].weight, m.layers[1].weight), unit, (w[:, i : i + 1], a[i : i + 1]))
        found = dynamics.hierarchy_kernels(one, X, order)
        total = found if total is None else tuple(x + y for x, y in zip(total, found, strict=True))
    for r, (whole, parts) in enumerate(zip(dynamics.hierarchy_kernels(model, X, order), total, strict=True), 2):
        assert_close(whole, parts / width ** (r / 2), 1e-12)


def test_parity_of_the_output_weights():
    """a → -a takes K^r to (-1)^r K^r."""
    model = MODELS["one layer"]()
    mirrored = eqx.tree_at(lambda m: m.layers[-1].weight, model, -model.layers[-1].weight)
    for r, (one, other) in enumerate(
        zip(dynamics.hierarchy_kernels(model, X, 6), dynamics.hierarchy_kernels(mirrored, X, 6), strict=True), 2
    ):
        assert_close(other, (-1) ** r * np.asarray(one), 1e-13)


def test_scaling_of_the_output():
    """K^r[c f] = c^r K^r[f]."""
    small, large = (
        models.MLP(3, "scalar", 5, 1, activation="tanh", output_scale=scale, key=KEY) for scale in (1.0, 1.7)
    )
    for r, (one, other) in enumerate(
        zip(dynamics.hierarchy_kernels(small, X, 5), dynamics.hierarchy_kernels(large, X, 5), strict=True), 2
    ):
        assert_close(other, 1.7**r * np.asarray(one), 1e-12)


@pytest.mark.parametrize("made", ["of the network", "of any model"])
def test_two_opposite_copies(made):
    """f = (g(θ₁) - g(θ₂))/√2 at θ₁ = θ₂: K² stays, K³ and K⁵ vanish, K⁴ is halved; K^r carries 2^(1 - r/2)."""
    single = MODELS["one layer"]()
    if made == "of the network":
        double = models.huang_yau_network(3, 5, 1, activation="tanh", antisymmetric=True, key=KEY)
    else:
        double = models.antisymmetric(single)
    pairs = zip(dynamics.hierarchy_kernels(single, X, 5), dynamics.hierarchy_kernels(double, X, 5), strict=True)
    for r, (one, two) in enumerate(pairs, 2):
        one = np.asarray(one)
        expected = 2 ** (1 - r / 2) * one if r % 2 == 0 else np.zeros_like(one)
        np.testing.assert_allclose(two, expected, rtol=0, atol=1e-13 * np.abs(one).max())


def test_the_hierarchy_of_a_linear_network_closes():
    """σ(z) = z, one hidden layer, one unit input: K^(r+2) = (4/m) K^r for all r ≥ 1."""
    width = 7
    model = models.huang_yau_network(3, width, 1, activation="identity", key=KEY)
    x = unit_inputs(1, 3)
    chain = [float(model(jnp.asarray(x[0])))]
    chain += [float(kernel.ravel()[0]) for kernel in dynamics.hierarchy_kernels(model, x, 6)]
    for lower, upper in zip(chain, chain[2:], strict=False):
        assert upper == pytest.approx(4 / width * lower, rel=1e-13)
    assert len(chain) == 6


def test_a_linear_model_has_no_third_kernel():
    model = models.from_function(lambda p, x: p @ jnp.sin(x), draws(3))
    second, third, fourth = dynamics.hierarchy_kernels(model, X, 4)
    assert_close(second, np.sin(X) @ np.sin(X).T, 1e-14)
    assert not np.any(third)
    assert not np.any(fourth)


# ---- entries, blocks, contractions


@functools.cache
def dense(name, order):
    return dynamics.hierarchy_kernels(MODELS[name](), X, order)


@pytest.mark.parametrize("name", ["one layer", "two layers", "tied", "convolution"])
def test_entries_are_those_of_the_tensors(name):
    order = 5 if name == "one layer" else 4
    rng = np.random.default_rng(0)
    for r, tensor in enumerate(dense(name, order), 2):
        rows = rng.integers(0, 3, (6, r))
        found = dynamics.hierarchy_entries(MODELS[name](), X, rows)
        assert_close(found, np.asarray(tensor)[tuple(rows.T)])


def test_a_block_is_cut_out_of_the_tensors():
    x = unit_inputs(5, 3, seed=4)
    model = MODELS["two layers"]()
    parts = [np.array([4, 0]), np.array([1, 2, 3]), np.array([3]), np.array([0, 2])]
    found = dynamics.hierarchy_kernels(model, [x[part] for part in parts], 4)
    for r, (block, tensor) in enumerate(zip(found, dynamics.hierarchy_kernels(model, x, 4), strict=True), 2):
        assert_close(block, np.asarray(tensor)[np.ix_(*parts[:r])])


@pytest.mark.parametrize("name", MODELS)
def test_contractions_are_those_of_the_tensors(name):
    order = 6 if name == "one layer" else 4
    model, tensors = MODELS[name](), dense(name, order)
    vectors = np.random.default_rng(0).standard_normal((4, 3))
    for count in range(1, order - 1):
        expected = np.asarray(tensors[count])
        for v in vectors[:count]:
            expected = np.einsum("abc...,c->ab...", expected, v)
        assert_close(dynamics.kernel_derivative(model, X, *vectors[:count]), expected)
    # The order of the vectors matters, as that of the arguments does.
    if order == 4:
        swapped = dynamics.kernel_derivative(model, X, vectors[1], vectors[0])
        assert np.abs(swapped - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["two layers", "convolution"])
def test_rows_of_test_points(name):
    model, x_test = MODELS[name](), unit_inputs(2, 3, seed=7)
    points = np.concatenate([X, x_test])
    tensors = dynamics.hierarchy_kernels(model, [points, X, X, X], 4)
    v, w = np.random.default_rng(0).standard_normal((2, 3))
    assert_close(dynamics.kernel_derivative(model, X, v, x_test=x_test), np.einsum("abc,c->ab", tensors[1], v))
    found = dynamics.kernel_derivative(model, X, v, w, x_test=x_test)
    assert_close(found, np.einsum("abcd,c,d->ab", tensors[2], v, w))


@pytest.mark.parametrize("output", [0, 1])
def test_one_output_of_several(output):
    model = models.MLP(3, 2, 4, 1, activation="tanh", bias_std=0.4, key=KEY)
    expected, _ = explicit_kernels(model, X, lambda f: f[:, output])
    found = dynamics.hierarchy_kernels(model, X, 4, output=output)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    assert_close(found[0], kernels.empirical_ntk(model, X)[:, :, output, output])
    v = np.array([1.0, -2.0, 0.5])
    assert_close(dynamics.kernel_derivative(model, X, v, output=output), expected[1] @ v)
    rows = [[0, 1, 2, 2], [2, 1, 0, 1]]
    assert_close(dynamics.hierarchy_entries(model, X, rows, output=output), expected[2][tuple(np.transpose(rows))])


def test_a_model_of_equinox_and_inputs_that_are_images():
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(1, 2, 2, key=KEY),
            eqx.nn.Lambda(jnp.tanh),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(8, "scalar", key=KEY),
        ]
    )
    x = np.random.default_rng(0).standard_normal((3, 1, 3, 3))
    expected, _ = explicit_kernels(model, x)
    for one, other in zip(dynamics.hierarchy_kernels(model, x, 4), expected, strict=True):
        assert_close(one, other)
    v, w = np.random.default_rng(1).standard_normal((2, 3))
    found = dynamics.kernel_derivative(model, x, v, w)
    assert_close(found, np.einsum("abcd,c,d->ab", expected[2], v, w))


def test_kernels_in_float32():
    x = jnp.asarray(X, jnp.float32)
    model = jax.tree.map(lambda p: p.astype(jnp.float32), MODELS["two layers"]())
    exact = dense("two layers", 4)
    for one, other in zip(dynamics.hierarchy_kernels(model, x, 4), exact, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
    found = dynamics.kernel_derivative(model, x, [1.0, -2.0, 0.5])
    assert found.dtype == np.float32
    expected = np.asarray(exact[1]) @ [1.0, -2.0, 0.5]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# ---- refusals


def test_bad_orders_and_inputs(refuses):
    model = MODELS["one layer"]()
    for order in (1, 0, -3, 2.5, True):
        with refuses("order", order):
            dynamics.hierarchy_kernels(model, X, order)
    bad = X.copy()
    bad[1, 2] = np.nan
    for call in (
        lambda: dynamics.hierarchy_kernels(model, bad, 3),
        lambda: dynamics.hierarchy_entries(model, bad, [[0, 1, 2]]),
        lambda: dynamics.kernel_derivative(model, bad, np.ones(3)),
        lambda: dynamics.kernel_derivative(model, X, np.ones(3), x_test=bad),
    ):
        with refuses("not finite"):
            call()
    with refuses("3 arrays", "got 2"):
        dynamics.hierarchy_kernels(model, [X, X], 3)
    with refuses("one shape", "(3,)", "(2,)"):
        dynamics.hierarchy_kernels(model, [X, X, X[:, :2]], 3)
    with refuses("entries", "hierarchy_entries", "kernel_derivative"):
        dynamics.hierarchy_kernels(model, unit_inputs(200, 3), 4)


def test_several_outputs_and_no_choice(refuses):
    model, scalar = models.MLP(3, 2, 4, 1, activation="tanh", key=KEY), MODELS["one layer"]()
    calls = (
        lambda model, output: dynamics.hierarchy_kernels(model, X, 3, output=output),
        lambda model, output: dynamics.hierarchy_entries(model, X, [[0, 1, 2]], output=output),
        lambda model, output: dynamics.kernel_derivative(model, X, np.ones(3), output=output),
    )
    for call in calls:
        with refuses("2 outputs", "output=0"):
            call(model, None)
        with refuses("output", "between 0 and 1", 2):
            call(model, 2)
        for output in (-1, 0.5, True):
            with refuses("output", "whole", output):
                call(model, output)
        with refuses("this model has one"):
            call(scalar, 0)


def test_bad_indices_and_vectors(refuses):
    model = MODELS["one layer"]()
    for indices in ([[0, 1, 3]], [[-1, 0]], [[0.0, 1.0]], [0, 1], [[0]]):
        with refuses("indices"):
            dynamics.hierarchy_entries(model, X, indices)
    with refuses("one to four vectors", "got 0"):
        dynamics.kernel_derivative(model, X)
    with refuses("one to four vectors", "got 5"):
        dynamics.kernel_derivative(model, X, *[np.ones(3)] * 5)
    with refuses("3 inputs", "got 4"):
        dynamics.kernel_derivative(model, X, np.ones(4))
    with refuses("vectors", "inf"):
        dynamics.kernel_derivative(model, X, [1.0, np.inf, 0.0])
    with refuses("vectors", "rank 1"):
        dynamics.kernel_derivative(model, X, np.ones((3, 1)))


def test_a_module_of_pytorch_is_refused(refuses):
    torch = pytest.importorskip("torch")
    model = models.from_torch(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)))
    with refuses("PyTorch"):
        dynamics.hierarchy_kernels(model, X, 3)
