"""Which part of a target a network will learn when, before it is trained."""

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from .._core.checks import positive, whole
from .._core.errors import InputError
from ..dynamics import Frozen, crossing, discrete_decay, frozen, learning_steps, log_spaced
from ..dynamics._decay import descent_integral
from ..dynamics._time import check_momentum
from ..kernels import NTKOperator, empirical_ntk
from ..kernels._plan import checked_inputs
from ..problems import Problem
from ..spectra import DENSE_LIMIT, Modes, bands, eigenmodes
from ._motion import Motion, motion
from ._trust import Trust, judge

# A mode counts as learned when it has fallen by a factor e, and as learned to the end at 1 % of its start.
LEARNED, NEARLY_ALL = float(np.exp(-1)), 0.01
# Samples on which the motion of the kernel is looked at.
FEW = 128


class ForecastLevel(enum.Enum):
    """What a forecast stands on."""

    infinite = "the kernel of infinite width, in closed form"
    empirical = "the kernel of the network at its start, frozen"
    corrected = "the kernel of the network and its motion, by the hierarchy of order 4"


class Parts(eqx.Module):
    """What becomes of parts of the target: modes, or bands.

    Attributes:
        shares: of the initial residual's energy, (k,).
        learning_times: steps until the amplitude has fallen by a factor e for good, (k,); infinity where never.
        percent_times: steps until 1 % of it is left, (k,).
        remaining: amplitude left after the budget of steps, as a fraction of the start, (k,).
    """

    shares: Float[np.ndarray, " k"]
    learning_times: Float[np.ndarray, " k"]
    percent_times: Float[np.ndarray, " k"]
    remaining: Float[np.ndarray, " k"]


class Forecast(eqx.Module):
    """A training before it is done.

    Attributes:
        eigenvalues: λ of Θ/n, descending, (k,).
        modes: the eigenmodes.
        parts: what becomes of each mode.
        band_names: of the bands of the problem.
        bands: what becomes of each band.
        steps: (T,), from 0 to the budget.
        loss: (1/2n) Σ r² at these steps, (T,).
        test_loss: the same on the held-out samples, or None without any.
        learning_rate: η.
        momentum: β.
        stability_limit: the largest learning rate at which nothing diverges, 2(1 + β)/λ_max.
        interval: of `.learning_times`, 90 % of new initializations of the same architecture, (k, 2); None where none
            were looked at.
        motion: how far parameters and kernel go; None at infinite width.
        level: a `ForecastLevel`.
        trust: whether to believe it, and why not.
        method: how the modes were found.
    """

    eigenvalues: Float[np.ndarray, " k"]
    modes: Modes
    parts: Parts
    band_names: tuple[str, ...] = eqx.field(static=True)
    bands: Parts
    steps: np.ndarray
    loss: Float[np.ndarray, " T"]
    test_loss: Float[np.ndarray, " T"] | None
    learning_rate: float = eqx.field(static=True)
    momentum: float = eqx.field(static=True)
    stability_limit: float = eqx.field(static=True)
    interval: Float[np.ndarray, "k 2"] | None
    motion: Motion | None
    level: ForecastLevel = eqx.field(static=True)
    trust: Trust = eqx.field(static=True)
    method: str = eqx.field(static=True)

    @property
    def shares(self) -> Float[np.ndarray, " k"]:
        """Of the initial residual's energy in each mode, (k,)."""
        return self.parts.shares

    @property
    def learning_times(self) -> Float[np.ndarray, " k"]:
        """Steps until each mode has fallen by a factor e, (k,); infinity where never."""
        return self.parts.learning_times



class _Start(NamedTuple):
    """The network at its start: its inputs, its modes, and what its frozen kernel does."""

    x: Array
    modes: Modes
    frozen: Frozen


@eqx.filter_jit
def _outputs(model: Any, x: Array) -> Array:
    return jax.vmap(model)(x)


def _start(model: Any, problem: Problem) -> _Start:
    x = checked_inputs(model, "x", problem.x)
    f0 = np.asarray(_outputs(model, x), np.float64)
    if f0.shape != problem.y.shape:
        raise InputError(f"the model's outputs have shape {f0.shape} and the targets {problem.y.shape}")
    kernel = empirical_ntk(model, x) if f0.size <= DENSE_LIMIT else NTKOperator(model, x)
    modes = eigenmodes(kernel)
    cross = f0_test = None
    if problem.x_test is not None:
        x_test = checked_inputs(model, "x_test", problem.x_test)
        cross, f0_test = empirical_ntk(model, x_test, x), _outputs(model, x_test)
    basis = modes if modes.is_complete else kernel
    return _Start(x, modes, frozen(basis, f0 - problem.y, cross=cross, f0_test=f0_test))


def _loss(residuals: np.ndarray) -> np.ndarray:
    return np.sum(residuals.reshape(len(residuals), -1) ** 2, axis=1) / (2 * residuals.shape[1])


def _impulse(prediction: Frozen, steps: int, rate: float, momentum: float) -> np.ndarray:
    """∫ r/n, whose image under Jᵀ is minus the motion of the parameters."""
    integral = descent_integral(prediction.eigenvalues, np.array([steps]), rate, momentum)[0]
    flat = prediction.vectors @ (integral * prediction.coefficients) / prediction.num_samples
    return flat.reshape(prediction.num_samples, *prediction.outputs)


def _of_modes(start: _Start, at: np.ndarray, rate: float, momentum: float) -> Parts:
    eigenvalues, energy = start.modes.eigenvalues, start.modes.project(start.frozen.residuals_at([0], rate)[0]) ** 2
    whole_energy = np.mean(np.sum(start.frozen.residuals_at([0], rate)[0].reshape(len(start.x), -1) ** 2, axis=1))
    horizon = 100 * int(at[-1])
    return Parts(
        energy / whole_energy,
        *(learning_steps(eigenvalues, rate, momentum, level=level, horizon=horizon) for level in (LEARNED, NEARLY_ALL)),
        np.abs(discrete_decay(eigenvalues, at[-1:], rate, momentum)[0]),
    )


def _of_bands(at: np.ndarray, amplitudes: np.ndarray) -> Parts:
    energy = amplitudes[0] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return Parts(
            energy / energy.sum(),
            crossing(at, amplitudes, LEARNED),
            crossing(at, amplitudes, NEARLY_ALL),
            amplitudes[-1] / amplitudes[0],
        )


def _interval(
    start: _Start, problem: Problem, initialize: Callable[[Array], Any], count: int, at: np.ndarray, rate: float,
    momentum: float, key: Array | None,
) -> np.ndarray:  # fmt: skip
    """90 % of new networks: Student's t of the logarithms of what each of their kernels does to these modes."""
    logs = []
    for one in jax.random.split(jax.random.key(0) if key is None else key, count):
        model = initialize(one)
        residuals = _start(model, dataclasses.replace(problem, x_test=None, y_test=None, basis_test=None)).frozen
        times = crossing(at, start.modes.project(residuals.residuals_at(at, rate, momentum)))
        logs.append(np.log(np.where(np.isfinite(times), np.maximum(times, 1e-3), np.nan)))
    logs = np.array(logs)
    reached = np.isfinite(logs).all(axis=0)
    middle, spread = logs.mean(axis=0), logs.std(axis=0, ddof=1)
    half = stats.t.ppf(0.95, count - 1) * spread * np.sqrt(1 + 1 / count)
    return np.where(reached[:, None], np.exp(np.stack([middle - half, middle + half], axis=1)), np.nan)


def forecast(
    model: Any,
    problem: Problem,
    *,
    learning_rate: float | Literal["auto"] = "auto",
    steps: int,
    momentum: float = 0.0,
    initialize: Callable[[Array], Any] | None = None,
    num_networks: int = 16,
    key: Array | None = None,
) -> Forecast:
    """Which part of the target will be learned when, and what will be left: from the kernel, without training.

    Gradient descent with the frozen kernel leaves (1 - ηλ_i)^s of mode i after s steps; with heavy-ball momentum the
    recursion is followed. Held-out samples are predicted by f_0 - Θ(x_test, x) ∫ r. The interval is from the kernels of
    new networks: what each of them does to the modes of this one.

    Args:
        model: the network at its start, any callable pytree.
        problem: what it is to learn, with held-out samples or without.
        learning_rate: η; 1/λ_max by default.
        steps: the budget.
        momentum: β of heavy-ball momentum.
        initialize: a new network of the same architecture from a key, for `.interval`; without it there is none.
        num_networks: how many new networks the interval is from.
        key: PRNG key of the new networks.

    Returns:
        `Forecast`.

    Raises:
        InputError: a budget of 0, a learning rate that is not positive, outputs that do not fit the targets.

    Cost and precision:
        One kernel on the training samples and its eigendecomposition, for the model and for each new network. A wide
        network follows it: with 1024 units in one layer the learning times of strong modes are right to 1 %.

    Example:
        >>> import jax
        >>> from spectralbias import forecast, models, problems
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 256, 1, bias_std=1.0, antisymmetric=True, key=jax.random.key(1))
        >>> found = forecast.forecast(model, problem, steps=1000)
        >>> found.band_names, bool(found.bands.learning_times[0] < found.bands.learning_times[1])
        (('frequency 1', 'frequency 3'), True)

    References:
        Jacot, Gabriel and Hongler 2018; Lee et al. 2019.
    """
    steps = whole("steps", steps, 1)
    check_momentum(momentum)
    start = _start(model, problem)
    rate = 1 / float(start.modes.eigenvalues[0]) if learning_rate == "auto" else learning_rate
    positive("learning_rate", rate)
    at = np.array(log_spaced(steps))
    limit = 2 * (1 + momentum) / float(start.modes.eigenvalues[0])
    residuals = start.frozen.residuals_at(at, rate, momentum)
    labelled = bands(problem)
    test_loss = None
    if problem.y_test is not None:
        test_loss = _loss(start.frozen.predictions_at(at, rate, momentum) - problem.y_test)
    weights = -_impulse(start.frozen, steps, rate, momentum)
    scale = float(np.linalg.norm(residuals[0]))
    expected = motion(model, start.x, weights, residuals[-1] - residuals[0], scale, FEW)
    interval = None
    if initialize is not None:
        interval = _interval(start, problem, initialize, whole("num_networks", num_networks, 2), at, rate, momentum, key)
    return Forecast(
        start.modes.eigenvalues,
        start.modes,
        _of_modes(start, at, rate, momentum),
        labelled.names,
        _of_bands(at, np.sqrt(labelled.energy(residuals))),
        at,
        _loss(residuals),
        test_loss,
        float(rate),
        momentum,
        limit,
        interval,
        expected,
        ForecastLevel.empirical,
        judge(rate_share=rate / limit, drift=expected.drift, error=expected.error),
        start.modes.method,
    )
