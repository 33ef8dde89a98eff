"""What the studies share: inputs, networks, and networks beside their truncated hierarchies."""

import functools
from typing import Any, NamedTuple

import numpy as np

from ... import dynamics, kernels, models, problems
from .._study import Settings

# Of the hierarchy's time in a negative control.
SLOW = 0.99
# Times are the horizon over 2^6 … 2^0.
OCTAVES = 6
# Orders above this are looked at in fewer repetitions.
LOW_ORDERS = 4


def double_precision():
    """Corrections of finite width are computed in float64, whatever the user's JAX is set to."""
    import jax

    return jax.enable_x64(True)


def keys(seed: int):
    """Keys of the inputs and of the initial weights."""
    import jax

    return jax.random.split(jax.random.key(seed))


def inputs(num_samples: int, seed: int, dim: int) -> np.ndarray:
    """Independent uniform points of the sphere."""
    return problems.Sphere(dim).sample(num_samples, key=keys(seed)[0])


def start_residual(num_samples: int, seed: int) -> np.ndarray:
    """r_0 of a random direction, with mean square 1."""
    r = np.random.default_rng([seed, 1]).standard_normal(num_samples)
    return r * np.sqrt(num_samples) / np.linalg.norm(r)


def network(
    width: int, seed: int, *, dim: int, depth: int = 1, activation: str = "tanh", antisymmetric: bool = False
) -> Any:
    """The network of the paper."""
    with double_precision():
        return models.huang_yau_network(
            dim, width, depth, activation=activation, antisymmetric=antisymmetric, key=keys(seed)[1]
        )


@functools.cache
def _outputs() -> Any:
    import equinox as eqx
    import jax

    return eqx.filter_jit(lambda model, x: jax.vmap(model)(x))


def outputs(model: Any, x: np.ndarray) -> np.ndarray:
    """f at these inputs."""
    with double_precision():
        return np.asarray(_outputs()(model, x))


def ntk(model: Any, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """K²."""
    with double_precision():
        return np.asarray(kernels.empirical_ntk(model, x1, x2))


def last_octaves(widths: np.ndarray, octaves: float = 3.0) -> np.ndarray:
    """Which widths lie within so many factors of 2 of the largest."""
    return np.asarray(widths) * 2**octaves >= np.max(widths)


class Truncation(Settings, frozen=True, kw_only=True):
    """Networks under gradient flow, beside the hierarchy truncated at several orders.

    Attributes:
        widths: m.
        orders: p.
        high_seeds: how many of the repetitions are done for the orders above 4.
        num_samples: n.
        num_test: further points, on which nothing is trained.
        dim: d.
        activation: of the network.
        horizon: T; the times are T/64, T/32, … T.
        nearing: the targets come nearer to the start as m^(-nearing); 0: r_0 has mean square 1 at every width.
        slow_clock: the hierarchy's time runs 1 % slow: a negative control.
    """

    seeds: tuple[int, ...] = tuple(range(64))
    widths: tuple[int, ...] = (256, 2048)
    orders: tuple[int, ...] = (2, 3, 4, 5)
    high_seeds: int = 10
    num_samples: int = 4
    num_test: int = 4
    dim: int = 6
    activation: str = "tanh"
    horizon: float = 4.0
    nearing: float = 0.0
    slow_clock: bool = False

    @property
    def times(self) -> np.ndarray:
        """T/64 … T."""
        return self.horizon * 2.0 ** np.arange(-OCTAVES, 1)

    @property
    def key(self) -> tuple:
        """What the numbers of one network depend on."""
        return self.num_samples, self.num_test, self.dim, self.activation, self.horizon, self.nearing


class Case(NamedTuple):
    """A network at its start, its data, and the size of r_0."""

    model: Any
    x: np.ndarray
    x_test: np.ndarray
    y: np.ndarray
    size: float
    times: np.ndarray


class Truth(NamedTuple):
    """Gradient flow: residuals (T, n); f on the test points and K² at the end; K² at the start."""

    residuals: np.ndarray
    test: np.ndarray
    ntk: np.ndarray
    start_ntk: np.ndarray


class Truncated(NamedTuple):
    """The hierarchy at t and at 0.99 t: residuals (2, T, n), f on the test points (2, T, n_test), K² (2, T, n, n)."""

    residuals: np.ndarray
    test: np.ndarray
    ntk: np.ndarray


def case(key: tuple, width: int, seed: int) -> Case:
    """The targets are f - r_0 with a given r_0: its size then does not vary from draw to draw."""
    num_samples, num_test, dim, activation, horizon, nearing = key
    points = inputs(num_samples + num_test, seed, dim)
    model = network(width, seed, dim=dim, activation=activation)
    x, x_test = points[:num_samples], points[num_samples:]
    size = float(width) ** -nearing
    y = outputs(model, x) - size * start_residual(num_samples, seed)
    return Case(model, x, x_test, y, size, horizon * 2.0 ** np.arange(-OCTAVES, 1))


@functools.lru_cache(maxsize=4096)
def truth(key: tuple, width: int, seed: int) -> Truth:
    """One training, far more precise than the error of any truncation."""
    c = case(key, width, seed)
    run = dynamics.gradient_flow(c.model, c.x, c.y, np.concatenate([[0.0], c.times]), rtol=1e-13, atol=1e-15)
    return Truth(run.residuals[1:], outputs(run.model, c.x_test), ntk(run.model, c.x), ntk(c.model, c.x))


@functools.lru_cache(maxsize=16384)
def truncated(key: tuple, width: int, seed: int, order: int) -> Truncated:
    """The hierarchy of one order from the start of that training."""
    c = case(key, width, seed)
    at = np.concatenate([[0.0], np.sort(np.concatenate([SLOW * c.times, c.times]))])
    found = dynamics.hierarchy(
        c.model, c.x, c.y, at, order=order, x_test=c.x_test, method="closed" if order == 2 else "tensor",
        keep_ntk=True, rtol=1e-12,
    )  # fmt: skip
    both = [slice(2, None, 2), slice(1, None, 2)]
    assert found.test_predictions is not None
    assert found.ntk is not None
    return Truncated(*(np.stack([a[s] for s in both]) for a in (found.residuals, found.test_predictions, found.ntk)))


def root_mean_square(values: np.ndarray, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    """Over points."""
    return np.asarray(np.sqrt(np.mean(values**2, axis=axis)))
