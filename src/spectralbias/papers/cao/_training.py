"""The experiment that most figures look at: the paper's network, trained, and the prediction of its kernel."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from ... import dynamics, kernels, models, problems
from .._study import Settings

DEGREES = (1, 2, 4)
# Arguments of the cosines, and even powers, of ⟨ζ, x⟩ √dim, whose coordinates have mean square 1.
COSINES = (1.0, 2.0, 3.0)
POWERS = (2, 4, 6)
# What a harmonic is multiplied by before it becomes a coordinate: c λ_max of the kernel's Gram must stay below 2.
CARRIED = 0.4


class Experiment(Settings, frozen=True, kw_only=True):
    """A target on the sphere and a network that learns it.

    Attributes:
        dim: ambient dimension.
        num_samples: n.
        num_test: fresh points, on which nothing is trained.
        width: m, of each of the two opposite copies.
        steps: of full-batch gradient descent.
        target: `"harmonics"` (Σ a_k φ_k, degrees 1, 2, 4), `"cosines"` or `"powers"`.
        amplitudes: a_k of the harmonics.
        inputs: `"uniform"`, `"piecewise"`, `"anisotropic"` or `"mixture"`.
        rate: c = η θ², the learning rate in units of the kernel κ.
        output_scale: θ; the network starts at f = 0.
        encoded: the inputs carry 0.4 φ, φ the harmonic of the highest degree, as one more coordinate, so that it is
            linear: a negative control.
    """

    dim: int = 10
    num_samples: int = 200
    num_test: int = 500
    width: int = 256
    steps: int = 1200
    target: str = "harmonics"
    amplitudes: tuple[float, ...] = (1.0, 1.0, 1.0)
    inputs: str = "uniform"
    rate: float = 2.0
    output_scale: float = 4.0
    encoded: bool = False

    @property
    def degrees(self) -> tuple[int, ...]:
        """The degrees that are looked at: even targets have no odd ones."""
        return DEGREES if self.target == "harmonics" else (0, 2, 4)


class Learned(NamedTuple):
    """Signed projections (1/n) Σ φ_k r along one training, (T, degrees)."""

    steps: np.ndarray
    train: np.ndarray
    test: np.ndarray
    predicted: np.ndarray


def single_precision():
    """Networks are trained in float32, whatever the user's JAX is set to."""
    import jax

    return jax.enable_x64(False)


def double_precision():
    """Grams of the limiting kernel are computed in float64."""
    import jax

    return jax.enable_x64(True)


def keys(seed: int):
    """Keys of the data, of the initial weights, and of controls."""
    import jax

    return jax.random.split(jax.random.key(seed), 3)


def exact_gram(x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """κ(x1, x2) in float64."""
    with double_precision():
        return np.asarray(kernels.cao_kernel().ntk(x1, x2))


def measure_of(inputs: str, dim: int, seed: int) -> "problems.SphereMeasure":
    """Where the points are drawn from; the paper leaves the parameters of the mixture open."""
    key = keys(seed)[0]
    match inputs:
        case "piecewise":
            return problems.PiecewiseSphere(dim)
        case "anisotropic":
            return problems.AnisotropicSphere.random(dim, key=key)
        case "mixture":
            return problems.MixtureSphere.random(dim, key=key)
    return problems.Sphere(dim)


def function_of(target: str, dim: int) -> Callable[[np.ndarray], np.ndarray]:
    """The targets of Fig. 3, functions of ⟨ζ, x⟩."""
    if target == "cosines":
        return lambda t: np.sum([np.cos(a * np.sqrt(dim) * t) for a in COSINES], axis=0)
    return lambda t: np.sum([(np.sqrt(dim) * t) ** p for p in POWERS], axis=0) / 10


def problem_of(experiment: Experiment, seed: int) -> "problems.Problem":
    """The data of one repetition."""
    e = experiment
    sizes = {"num_samples": e.num_samples, "num_test": e.num_test, "key": keys(seed)[0]}
    measure = measure_of(e.inputs, e.dim, seed)
    if e.target == "harmonics":
        return problems.harmonics(degrees=e.degrees, amplitudes=e.amplitudes, measure=measure, **sizes)
    return problems.ridge(function_of(e.target, e.dim), degrees=e.degrees, measure=measure, **sizes)


# Studies that look at the same training share it.
@functools.lru_cache(maxsize=256)
def learn(experiment: Experiment, seed: int) -> Learned:
    """Train once."""
    import equinox as eqx
    import jax

    e, problem = experiment, problem_of(experiment, seed)
    basis, basis_test = (np.hstack(list((b or {}).values())) for b in (problem.basis, problem.basis_test))
    x, x_test = problem.x, np.asarray(problem.x_test)
    if e.encoded:
        x, x_test = (np.hstack([at, CARRIED * b[:, -1:]]) for at, b in ((x, basis), (x_test, basis_test)))
    with single_precision():
        model = models.cao_network(
            x.shape[1], e.width, output_scale=e.output_scale, antisymmetric=True, key=keys(seed)[1]
        )
        outputs = eqx.filter_jit(lambda m, x: jax.vmap(m)(x))
        x_test = np.asarray(x_test, np.float32)
        trajectory = dynamics.train(
            model,
            x,
            problem.y,
            learning_rate=e.rate / e.output_scale**2,
            steps=e.steps,
            record=dynamics.log_spaced(e.steps, dense=10, per_decade=24),
            probes={"f_test": lambda m, *_: outputs(m, x_test)},
        )
    frozen = dynamics.frozen(exact_gram(x), -problem.y)
    return Learned(
        steps=trajectory.steps,
        train=trajectory.residuals @ basis / e.num_samples,
        test=(trajectory.records["f_test"] - problem.y_test) @ basis_test / e.num_test,
        predicted=frozen.residuals_at(trajectory.steps, e.rate) @ basis / e.num_samples,
    )


def look(experiment: Experiment) -> dict[str, np.ndarray]:
    """Projections |â_k| of all repetitions, (seeds, T, degrees), and the steps at which they are down to 1/e.

    Returns `steps` (T,), `degrees`, `amplitudes`, `train`, `test`, `predicted`, and `learned`, `learned_predicted`
    (seeds, degrees).
    """
    e = experiment
    runs = [learn(msgspec.structs.replace(e, seeds=()), seed) for seed in e.seeds]
    stacked = {name: np.stack([getattr(run, name) for run in runs]) for name in Learned._fields[1:]}
    steps = runs[0].steps
    return {
        "steps": steps,
        "degrees": np.array(e.degrees),
        "amplitudes": np.array(e.amplitudes if e.target == "harmonics" else ()),
        "start": stacked["train"][:, 0],
        **{name: np.abs(values) for name, values in stacked.items()},
        "learned": np.stack([dynamics.crossing(steps, values) for values in stacked["train"]]),
        "learned_predicted": np.stack([dynamics.crossing(steps, values) for values in stacked["predicted"]]),
    }
