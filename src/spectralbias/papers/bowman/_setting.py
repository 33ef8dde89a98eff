"""What the studies share: the sphere S² as a quadrature rule, targets, and trainings with a record of the kernel."""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ... import dynamics, kernels, models, problems, spectra
from .._study import Settings

if TYPE_CHECKING:
    from ...dynamics import Trajectory

DIM = 3
SMOOTH = ("tanh", "softplus")


def double_precision():
    """Identities are closed in float64, whatever the user's JAX is set to."""
    import jax

    return jax.enable_x64(True)


def single_precision():
    """Networks of which only the residual is looked at are trained in float32."""
    import jax

    return jax.enable_x64(False)


def keys(seed: int):
    """Keys of the inputs and of the initial weights."""
    import jax

    return jax.random.split(jax.random.key(seed))


class Population(NamedTuple):
    """Points with the weights of a probability measure."""

    x: np.ndarray
    weights: np.ndarray

    def norm(self, values: np.ndarray) -> np.ndarray:
        """‖·‖ in L² of the measure, of functions (…, m)."""
        return np.asarray(np.sqrt(values**2 @ self.weights))

    def coefficients(self, values: np.ndarray, functions: np.ndarray) -> np.ndarray:
        """⟨values, φ_j⟩ of functions (…, m) and φ (m, k)."""
        return values * self.weights @ functions


@functools.cache
def sphere_rule(latitudes: int) -> Population:
    """The uniform measure of S²: integrals of polynomials up to degree 2 latitudes - 1 are exact.

    Gauss–Legendre points in the height, with 2 latitudes equidistant points on each circle.
    """
    height, weights = np.polynomial.legendre.leggauss(latitudes)
    angle = np.pi * np.arange(2 * latitudes) / latitudes
    radius = np.sqrt(1 - height**2)
    x = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), np.outer(height, 0 * angle + 1)], 2)
    return Population(x.reshape(-1, 3), np.repeat(weights / (4 * latitudes), 2 * latitudes))


def inputs(num_samples: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Independent uniform points of the sphere."""
    return problems.Sphere(dim).sample(num_samples, key=keys(seed)[0])


def target(x: np.ndarray, seed: int, degrees: tuple[int, ...], amplitudes: tuple[float, ...] = ()) -> np.ndarray:
    """Σ_k a_k Y_k(x) with a random harmonic Y_k of unit norm of each degree; all a_k are 1 by default."""
    generator, y = np.random.default_rng([seed, 1]), np.zeros(len(x))
    for degree, amplitude in zip(degrees, amplitudes or (1.0,) * len(degrees), strict=True):
        functions = spectra.spherical_harmonics(degree, x)
        direction = generator.standard_normal(functions.shape[1])
        y += amplitude * functions @ (direction / np.linalg.norm(direction))
    return y


def network(activation: str, width: int, seed: int, dim: int = DIM) -> Any:
    """The network of the paper, of two opposite copies of this width; f = 0 at first."""
    return models.bowman_network(dim, width, activation=activation, key=keys(seed)[1])


@functools.cache
def kernel(activation: str) -> Any:
    """K^∞."""
    with double_precision():
        return kernels.bowman_kernel(activation)


@functools.cache
def sphere_eigenvalues(activation: str, max_degree: int, dim: int = DIM) -> np.ndarray:
    """σ of each degree up to this one, on the sphere."""
    with double_precision():
        spectrum = spectra.sphere_spectrum(kernel(activation), dim, max_degree)
    return np.asarray(spectrum.eigenvalues, float)


def gram(activation: str, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """K^∞(x1, x2) in float64."""
    with double_precision():
        return np.asarray(kernel(activation).ntk(x1, x2))


class Flow(Settings, frozen=True, kw_only=True):
    """Gradient flow of networks on S², with a record of what their kernels do.

    Attributes:
        activations: of the networks; the theorems are for smooth ones, ReLU is shown beside.
        num_samples: n.
        latitudes: of the rule for the uniform measure, which has twice their square points.
        width: m, of each of the two opposite copies.
        horizon: T.
        records: number of times at which the identity is looked at.
        relu_step: fixed step of the solver for ReLU, whose gradient jumps.
        on_train: look at the training points in place of the sphere.
        kernel_factor: of the real kernel's action in the deviation; anything but 1 is a negative control.
    """

    activations: tuple[str, ...] = (*SMOOTH, "relu")
    num_samples: int = 50
    latitudes: int = 5
    width: int = 128
    horizon: float = 8.0
    records: int = 33
    relu_step: float = 0.1
    on_train: bool = False
    kernel_factor: float = 1.0

    @property
    def key(self) -> tuple:
        """What a training depends on."""
        return self.num_samples, self.latitudes, self.width, self.horizon, self.records, self.relu_step, self.on_train


DEGREES = (1, 2, 3)


@functools.lru_cache(maxsize=256)
def _flow(key: tuple, activation: str, seed: int) -> "Trajectory":
    num_samples, latitudes, width, horizon, records, relu_step, on_train = key
    x = inputs(num_samples, seed)
    # With the training points as the population, too, one compiled program does for both.
    points = Population(x, np.full(len(x), 1 / len(x))) if on_train else sphere_rule(latitudes)
    with double_precision():
        solver = {"solver": "tsit5", "step": relu_step} if activation == "relu" else {}
        return dynamics.gradient_flow(
            network(activation, width, seed), x, target(x, seed, DEGREES), np.linspace(0, horizon, records),
            record_kernel=dynamics.KernelRecorder(points.x, target(points.x, seed, DEGREES), weights=points.weights),
            **solver,
        )  # fmt: skip


def flow(settings: Flow, activation: str, seed: int) -> "Trajectory":
    """One training; studies that look at the same one share it."""
    return scaled(_flow(settings.key, activation, seed), settings.kernel_factor)


def scaled(trajectory: "Trajectory", factor: float) -> "Trajectory":
    """The same training with another action of the real kernel in its record."""
    import equinox as eqx

    if factor == 1:
        return trajectory
    return eqx.tree_at(lambda t: t.kernel_path.action, trajectory, replace_fn=lambda action: factor * action)
