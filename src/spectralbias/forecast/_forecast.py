"""Which part of a target a network will learn when, before it is trained."""

import enum
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from .._core.checks import positive, whole
from .._core.errors import InputError, unknown
from .._core.names import OPTIMIZERS
from ..dynamics import HierarchyStatus, log_spaced
from ..dynamics._hierarchy import has_kinks
from ..dynamics._time import check_momentum
from ..kernels._plan import checked_inputs
from ..problems import Problem
from ..spectra import DENSE_LIMIT, Modes, bands
from ._corrected import Corrected, corrected
from ._interval import interval
from ._limit import is_stationary, limit_kernel
from ._motion import Motion, motion
from ._parts import Parts, of_curves, of_eigenvalues
from ._preconditioned import preconditioned
from ._start import Start, of_kernel, of_network, outputs
from ._stationary import WaveModes, wave_modes
from ._subgrid import compare_on_subgrid
from ._trust import Trust, judge

Level = Literal["auto", "infinite", "empirical", "corrected"]
# Samples on which the motion of the kernel is looked at.
FEW = 128
# Gradient descent, and the learning rate of the others.
DESCENT, ADAPTIVE_RATE = ("gd", "sgd"), 1e-3
# Up to so many samples the hierarchy takes seconds.
MOST_CORRECTED = 128


class ForecastLevel(enum.Enum):
    """What a forecast stands on."""

    infinite = "the kernel of infinite width, in closed form"
    empirical = "the kernel of the network at its start, frozen"
    corrected = "the kernel of the network and its motion, by the hierarchy of order 4"


class Forecast(eqx.Module):
    """A training before it is done.

    Attributes:
        eigenvalues: λ of Θ/n, descending, (k,).
        modes: the eigenmodes; None on large grids, where they are waves.
        parts: what becomes of each mode.
        band_names: of the bands of the problem.
        bands: what becomes of each band.
        band_amplitudes: root mean square of the residual in each band at `.steps`, (T, b).
        steps: (T,), from 0 to the budget.
        loss: (1/2n) Σ r² at these steps, (T,).
        test_loss: the same on the held-out samples, or None without any.
        optimizer: its name.
        learning_rate: η.
        momentum: β of gradient descent.
        stability_limit: the largest learning rate at which nothing diverges, 2(1 + β)/λ_max; infinity for an optimizer
            that rescales the gradient.
        interval: of `.learning_times`, 90 % of new initializations of the same architecture, (k, 2); None where none
            were looked at.
        motion: how far parameters and kernel go; None at infinite width, and for other optimizers.
        level: a `ForecastLevel`.
        trust: whether to believe it, and why not.
        method: how the modes were found.
    """

    eigenvalues: Float[np.ndarray, " k"]
    modes: Modes | None
    parts: Parts
    band_names: tuple[str, ...] = eqx.field(static=True)
    bands: Parts
    band_amplitudes: Float[np.ndarray, "T b"]
    steps: np.ndarray
    loss: Float[np.ndarray, " T"]
    test_loss: Float[np.ndarray, " T"] | None
    optimizer: str = eqx.field(static=True)
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


def forecast(
    model: Any,
    problem: Problem,
    *,
    learning_rate: float | Literal["auto"] = "auto",
    steps: int,
    momentum: float = 0.0,
    optimizer: str = "gd",
    options: Mapping[str, Any] | None = None,
    level: Level = "auto",
    initialize: Callable[[Array], Any] | None = None,
    num_networks: int = 16,
    key: Array | None = None,
) -> Forecast:
    """Which part of the target will be learned when, and what will be left: from the kernel, without training.

    Gradient descent with the frozen kernel leaves (1 - ηλ_i)^s of mode i after s steps; with heavy-ball momentum the
    recursion is followed. Held-out samples are predicted by f_0 - Θ(x_test, x) ∫ r. What it stands on:

    - `"infinite"`: the kernel of infinite width. On grids of more than 4000 values behind a positional encoding or
      Fourier features its modes are waves, and an FFT takes the place of the Gram: 512 × 512 pixels take seconds.
    - `"empirical"`: the kernel of this network, frozen.
    - `"corrected"`: that kernel in motion, by the neural tangent hierarchy of order 4, for smooth networks.

    Adam and its relatives precondition the kernel, J P Jᵀ. Adam's P grows while the gradient shrinks: one from a short
    probe is soon too small. So the optimizer itself is followed, on the linearized network, with a sample of the
    parameters. Where the kernel is expected to move by more than half there is no forecast.

    Args:
        model: the network at its start, any callable pytree; or a kernel with `.ntk(x1, x2)`, which stands for an
            infinitely wide network that starts at 0.
        problem: what it is to learn, with held-out samples or without.
        learning_rate: η; 1/λ_max by default, 0.001 for other optimizers than gradient descent.
        steps: the budget.
        momentum: β of heavy-ball momentum, for gradient descent.
        optimizer: a name as in `dynamics.optimizer`; `"gd"` and `"sgd"` are gradient descent on all samples.
        options: further arguments of another optimizer.
        level: `"auto"` takes `"infinite"` for a kernel and for such large grids, `"corrected"` for smooth networks of
            one output on at most 128 samples without momentum, and `"empirical"` otherwise.
        initialize: a new network of the same architecture from a key, for `.interval`; without it there is none.
        num_networks: how many new networks the interval is from. With 4 it is wider by half, with more it is hardly
            narrower.
        key: PRNG key of the new networks.

    Returns:
        `Forecast`.

    Raises:
        InputError: a budget of 0, a learning rate that is not positive, outputs that do not fit the targets, a level
            that the network does not have, an optimizer that cannot be forecast, or moves the kernel too far.

    Cost and precision:
        One kernel on the training samples and its eigendecomposition, for the model and for each new network, and 12
        more for `.interval`. A wide network follows it: with 1024 units in one layer the median error of learning times
        is 1 to 4 %. The interval covers 90 % (docs/forecast-accuracy.md); it gets narrower as 1/√width. A large
        grid: a few FFTs, and the kernel of 1024 of its nodes, with which it is compared (`.trust`).

    Example:
        >>> import jax
        >>> from spectralbias import forecast, models, problems
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 256, 1, bias_std=1.0, antisymmetric=True, key=jax.random.key(1))
        >>> found = forecast.forecast(model, problem, steps=1000)
        >>> found.band_names, bool(found.bands.learning_times[0] < found.bands.learning_times[1])
        (('frequency 1', 'frequency 3'), True)

    References:
        Jacot, Gabriel and Hongler 2018; Lee et al. 2019. Corrections: Huang & Yau 2020.
    """
    steps = whole("steps", steps, 1)
    check_momentum(momentum)
    if learning_rate != "auto":
        positive("learning_rate", learning_rate)
    if level not in get_args(Level):
        raise unknown("level", level, get_args(Level))
    if optimizer not in OPTIMIZERS:
        raise unknown("optimizer", optimizer, OPTIMIZERS)
    network = None if hasattr(model, "ntk") else model
    kernel = limit_kernel(model) if network is not None else model
    if network is None and level not in ("auto", "infinite"):
        raise InputError(f'level="{level}" needs a network: a kernel stands for one of infinite width')
    if level == "infinite" and kernel is None:
        raise InputError(
            'level="infinite" needs a kernel, or an `MLP` with parameterization="ntk": use `kernels.infinite_ntk(…)`'
        )
    if optimizer not in DESCENT:
        if momentum or initialize is not None or network is None or level not in ("auto", "empirical"):
            raise InputError(
                f'`{optimizer}` has a forecast at level="empirical" only, without `momentum` and `initialize`'
            )
        return _adaptive(network, of_network(network, problem), problem, optimizer, learning_rate, steps, options)
    if options:
        raise InputError(f"`options` are for other optimizers than gradient descent, got {dict(options)}")
    large = problem.grid is not None and problem.y.size > DENSE_LIMIT and is_stationary(kernel)
    if large and problem.x_test is None and level in ("auto", "infinite"):
        return _on_large_grid(kernel, network, problem, learning_rate, steps, momentum)
    if network is None or level == "infinite":
        return _frozen(of_kernel(kernel, problem), problem, learning_rate, steps, momentum, ForecastLevel.infinite)
    start = of_network(network, problem)
    few = problem.y.ndim == 1 and problem.num_samples <= MOST_CORRECTED and momentum == 0
    if level == "corrected" and not few:
        raise InputError(
            f'level="corrected" is for one output, at most {MOST_CORRECTED} samples, and no momentum, got targets '
            f"{problem.y.shape} and momentum {momentum}"
        )
    smooth = few and not has_kinks(network, start.x)
    if level == "corrected" and not smooth:
        raise InputError('level="corrected" needs a network without kinks: use a smooth activation, as "gelu"')
    rate = _rate(learning_rate, start.modes.eigenvalues[0])
    at = np.array(log_spaced(steps))
    band = None
    if initialize is not None:
        count = whole("num_networks", num_networks, 2)
        band = interval(network, start, problem, initialize, count, steps, rate, momentum, key)
    moved = motion(network, start, rate, steps, momentum, FEW)
    if level == "corrected" or (level == "auto" and smooth):
        correction = corrected(network, problem, at, rate)
        # A truncated hierarchy that lost its meaning is worse than none.
        if level == "corrected" or correction.status is HierarchyStatus.valid:
            return _corrected(start, problem, rate, at, correction, moved, band)
    return _frozen(start, problem, rate, steps, momentum, ForecastLevel.empirical, moved, band)


def _rate(learning_rate: float | Literal["auto"], largest: float) -> float:
    return 1 / float(largest) if learning_rate == "auto" else float(learning_rate)


def _loss(residuals: np.ndarray) -> np.ndarray:
    return np.sum(residuals.reshape(len(residuals), -1) ** 2, axis=1) / (2 * residuals.shape[1])


def _assembled(
    start: Start,
    problem: Problem,
    steps: np.ndarray,
    residuals: np.ndarray,
    test_residuals: np.ndarray | None,
    parts: Parts | None = None,
    **more: Any,
) -> Forecast:
    """From residuals at some steps; parts are those of the modes, from their own curves by default."""
    labelled = bands(problem)
    amplitudes = np.sqrt(labelled.energy(residuals))
    return Forecast(
        eigenvalues=start.modes.eigenvalues,
        modes=start.modes,
        parts=of_curves(steps, np.abs(start.modes.project(residuals))) if parts is None else parts,
        band_names=labelled.names,
        bands=of_curves(steps, amplitudes),
        band_amplitudes=amplitudes,
        steps=steps,
        loss=_loss(residuals),
        test_loss=None if test_residuals is None else _loss(test_residuals),
        **more,
    )


def _frozen(
    start: Start,
    problem: Problem,
    learning_rate: float | Literal["auto"],
    steps: int,
    momentum: float,
    level: ForecastLevel,
    moved: Motion | None = None,
    band: np.ndarray | None = None,
) -> Forecast:
    eigenvalues = start.modes.eigenvalues
    rate, at = _rate(learning_rate, eigenvalues[0]), np.array(log_spaced(steps))
    limit = 2 * (1 + momentum) / float(eigenvalues[0])
    residuals = start.frozen.residuals_at(at, rate, momentum)
    tests = None
    if problem.y_test is not None:
        tests = start.frozen.predictions_at(at, rate, momentum) - problem.y_test
    shares = start.modes.project(residuals[0]) ** 2 / (2 * _loss(residuals[:1])[0])
    drift, error = (None, None) if moved is None else (moved.drift, moved.error)
    return _assembled(
        start,
        problem,
        at,
        residuals,
        tests,
        of_eigenvalues(eigenvalues, shares, steps, rate, momentum),
        optimizer="gd",
        learning_rate=rate,
        momentum=momentum,
        stability_limit=limit,
        interval=band,
        motion=moved,
        level=level,
        trust=judge(rate_share=rate / limit, drift=drift, error=error),
        method=start.modes.method,
    )


def _corrected(
    start: Start,
    problem: Problem,
    rate: float,
    at: np.ndarray,
    found: Corrected,
    moved: Motion,
    band: np.ndarray | None,
) -> Forecast:
    limit = 2 / float(start.modes.eigenvalues[0])
    lost = found.status is not HierarchyStatus.valid
    change = float(np.nanmax(found.error_estimate)) / float(np.sqrt(np.mean(found.residuals[0] ** 2)))
    return _assembled(
        start,
        problem,
        at,
        found.residuals,
        found.test_residuals,
        optimizer="gd",
        learning_rate=rate,
        momentum=0.0,
        stability_limit=limit,
        interval=band,
        motion=moved,
        level=ForecastLevel.corrected,
        trust=judge(rate_share=rate / limit, correction=change, lost=lost),
        method="hierarchy of order 4",
    )


def _adaptive(
    network: Any,
    start: Start,
    problem: Problem,
    optimizer: str,
    learning_rate: float | Literal["auto"],
    steps: int,
    options: Mapping[str, Any] | None,
) -> Forecast:
    rate, at = ADAPTIVE_RATE if learning_rate == "auto" else float(learning_rate), np.array(log_spaced(steps))
    found = preconditioned(network, problem, optimizer, rate, steps, at, options)
    return _assembled(
        start,
        problem,
        at,
        found.residuals,
        found.test_residuals,
        optimizer=optimizer,
        learning_rate=rate,
        momentum=0.0,
        stability_limit=np.inf,
        interval=None,
        motion=None,
        level=ForecastLevel.empirical,
        trust=judge(rate_share=0.0, drift=found.drift),
        method=f"{optimizer} on the linearized network",
    )


def _on_large_grid(
    kernel: Any,
    network: Any,
    problem: Problem,
    learning_rate: float | Literal["auto"],
    steps: int,
    momentum: float,
) -> Forecast:
    f0 = 0.0 if network is None else outputs(network, checked_inputs(network, "x", problem.x))
    waves = wave_modes(kernel, problem, f0 - problem.y)
    eigenvalues = waves.eigenvalues.ravel()[waves.order]
    rate = _rate(learning_rate, eigenvalues[0])
    limit = 2 * (1 + momentum) / float(eigenvalues[0])
    at = np.array(log_spaced(steps, dense=20, per_decade=20))
    labelled = bands(problem)
    loss, amplitudes = [], []
    for step in at:
        residual = waves.residual_at(int(step), rate, momentum)
        loss.append(np.sum(residual**2) / (2 * len(residual)))
        amplitudes.append(np.sqrt(labelled.energy(residual)))
    amplitudes = np.array(amplitudes)
    energy = waves.energy()[waves.order]
    seen = compare_on_subgrid(kernel, network, problem, rate, steps, momentum, FEW)
    drift, error = (None, None) if seen.motion is None else (seen.motion.drift, seen.motion.error)
    return Forecast(
        eigenvalues=eigenvalues,
        modes=None,
        parts=of_eigenvalues(eigenvalues, energy / energy.sum(), steps, rate, momentum),
        band_names=labelled.names,
        bands=of_curves(at, amplitudes),
        band_amplitudes=amplitudes,
        steps=at,
        loss=np.array(loss),
        test_loss=None,
        optimizer="gd",
        learning_rate=rate,
        momentum=momentum,
        stability_limit=limit,
        interval=None,
        motion=seen.motion,
        level=ForecastLevel.infinite,
        trust=judge(rate_share=rate / limit, drift=drift, error=error, waves=seen.difference),
        method=_method(waves),
    )


def _method(waves: WaveModes) -> str:
    return "FFT: waves are the modes" if waves.periodic else "DCT: cosines are nearly the modes"
