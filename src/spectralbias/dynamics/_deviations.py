"""Damped deviations: why training left the prediction of the frozen kernel, mode by mode."""

import enum
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.errors import InputError
from ..spectra import Modes
from ._decay import decay, discrete_decay
from ._deviation_basis import Basis, Frozen, frozen_kernel, frozen_on_train, initial_on_train
from ._deviation_bounds import damping_factor
from ._kernel_path import KernelPath
from ._panels import damped_integrals, driven_recursion
from ._train import Trajectory
from ._trainer import TrainingStatus

# Eigenvalues nearer than this, relative to them and to the largest, may be one eigenvalue with a multiplicity.
MULTIPLE, ROUNDING = 1e-8, 1e-13


class DeviationsStatus(enum.Enum):
    """How the integrals over time were computed."""

    flow = "integrals of gradient flow by Gauss–Legendre quadrature on the solver's own nodes"
    every_step = "sums over every step of gradient descent"
    interpolated = "sums over every step of gradient descent, with polynomials between the steps that were looked at"


class DampedDeviations(eqx.Module):
    """The residual in the eigenbasis of a frozen kernel, and why it is not where that kernel puts it.

    coefficients = propagated + sampling + width + motion, up to `identity_error`. Each part is an integral over its own
    kernels; none is a difference between measurement and prediction.

    Attributes:
        times: of the records, (T,).
        steps: of the records, (T,), or None for a flow.
        eigenvalues: λ_i of the frozen kernel's operator on the population, descending, (k,).
        functions: its eigenfunctions on the points, Σ_p w_p φ_i φ_j = δ_ij: (m, k), or (m, c, k) for c outputs.
        coefficients: measured ⟨r_t, φ_i⟩, (T, k).
        propagated: what the frozen kernel makes of r_0: e^(-λ_i t) ⟨r_0, φ_i⟩, (T, k).
        sampling: the damped effect of training on n samples in place of the population, (T, k).
        width: of the network's kernel at the start in place of the frozen one, (T, k).
        motion: of the kernel's motion since then, (T, k).
        undamped: what the three would add up to without damping, (T, k).
        identity_error: ‖coefficients - propagated - deviation‖, (T,).
        source_sup: the largest ‖(T_K - T_n^s) r_s‖ until then, on the modes, (T,).
        learning_rate: η, or None for a flow.
        momentum: β.
        precision: the dtype of the training; everything else is float64.
        status: a `DeviationsStatus`.
    """

    times: Float[np.ndarray, " T"]
    steps: np.ndarray | None
    eigenvalues: Float[np.ndarray, " k"]
    functions: Float[np.ndarray, "m *c k"]
    coefficients: Float[np.ndarray, "T k"]
    propagated: Float[np.ndarray, "T k"]
    sampling: Float[np.ndarray, "T k"]
    width: Float[np.ndarray, "T k"]
    motion: Float[np.ndarray, "T k"]
    undamped: Float[np.ndarray, "T k"]
    identity_error: Float[np.ndarray, " T"]
    source_sup: Float[np.ndarray, " T"]
    learning_rate: float | None = eqx.field(static=True)
    momentum: float = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: DeviationsStatus = eqx.field(static=True)

    @property
    def deviation(self) -> Float[np.ndarray, "T k"]:
        """sampling + width + motion, (T, k)."""
        return self.sampling + self.width + self.motion

    @property
    def relative_identity_error(self) -> float:
        """The largest `identity_error`, over ‖r_0‖."""
        return float(np.max(self.identity_error) / max(np.linalg.norm(self.coefficients[0]), np.finfo(float).tiny))

    @property
    def damping(self) -> Float[np.ndarray, "T k"]:
        """(1 - e^(-λt))/(λt): what a mode leaves of a force that is constant in time; 1 is no damping, (T, k)."""
        later = self.times > 0
        factors = np.ones(self.coefficients.shape)
        factors[later] = damping_factor(self.eigenvalues, self.times[later]) / self.times[later, None]
        return factors

    def expand(self, coefficients: ArrayLike) -> Float[np.ndarray, "..."]:
        """Functions on the points of the population, (T, m[, c]), from coefficients (T, k)."""
        return np.asarray(np.tensordot(np.asarray(coefficients, float), self.functions, axes=(-1, -1)))

    def damped_bound(self, count: int) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
        """‖P_k (r_t - e^(-T_K t) r_0)‖ as measured, and its bound [(1 - e^(-λ_k t))/λ_k] sup_{s≤t} ‖(T_K - T_n^s) r_s‖.

        P_k projects on the first `count` modes. For gradient descent e^(-λt) is (1 - ηλ)^step.

        Raises:
            InputError: a cut through equal eigenvalues, a training with momentum (the bound is for none).

        References:
            Bowman & Montúfar 2022, the deterministic bound before their Theorem 3.5.
        """
        self._check_count(count)
        last = self.eigenvalues[count - 1]
        gap = last - self.eigenvalues[count] if count < len(self.eigenvalues) else np.inf
        if gap < MULTIPLE * abs(last) + ROUNDING * self.eigenvalues[0]:
            raise InputError(
                f"modes {count} and {count + 1} have the same eigenvalue {last:.6g}: cut between different ones"
            )
        return self._left(count), self._factor(self.eigenvalues[:count]) * self.source_sup

    def undamped_bound(self) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]:
        """‖r_t - e^(-T_K t) r_0‖ as measured on all modes, and its bound t · sup_{s≤t} ‖(T_K - T_n^s) r_s‖."""
        self._check_count(len(self.eigenvalues))
        return self._left(None), self._factor(np.append(np.maximum(self.eigenvalues, 0), 0.0)) * self.source_sup

    def _check_count(self, count: int) -> None:
        if not 1 <= count <= len(self.eigenvalues):
            raise InputError(f"`count` must be between 1 and {len(self.eigenvalues)} modes, got {count}")
        if self.momentum:
            raise InputError("the bounds are those of training without momentum")

    def _left(self, count: int | None) -> np.ndarray:
        return np.linalg.norm((self.coefficients - self.propagated)[:, :count], axis=1)

    def _factor(self, rates: np.ndarray) -> np.ndarray:
        """The largest over these rates of the integral of the decay until t, (T,)."""
        if self.learning_rate is None or self.steps is None:
            factors = damping_factor(rates, self.times)
        else:
            size = np.abs(1 - self.learning_rate * rates)
            powers, one = size ** self.steps[:, None], np.abs(1 - size) < 1e-12
            sums = np.where(one, self.steps[:, None], (1 - powers) / np.where(one, 1.0, 1 - size))
            factors = self.learning_rate * sums
        return factors.max(axis=1)


def damped_deviations(
    trajectory: Trajectory,
    kernel: ArrayLike | Modes | Any | None = None,
    *,
    cross: ArrayLike | None = None,
    num_modes: int | None = None,
) -> DampedDeviations:
    """Split the residual of a training, mode by mode, into what a frozen kernel predicts and what the real one adds.

    With the frozen kernel K, its operator T_K on the population and T_n^s = (1/n) Σ_i Θ_s(·, x_i) that of the training,

        r_t = e^(-T_K t) r_0 + ∫_0^t e^(-T_K (t-s)) (T_K - T_n^s) r_s ds,

    and T_K - T_n^s is the sum of three parts: `sampling`, T_K - (1/n) Σ_i K(·, x_i), is zero on the training inputs;
    `width` replaces K by Θ_0; `motion` replaces Θ_0 by Θ_s. The factor e^(-λ_i (t-s)) damps each of them in mode i. For
    gradient descent, with or without momentum, the same holds with sums over steps and with Θ averaged along each step.

    Args:
        trajectory: of `train` or `gradient_flow` with `record_kernel`.
        kernel: the frozen kernel K. None: the network's own at the start, so that `width` is zero. An object with
            `.ntk(x1, x2)`, as `kernels.infinite_ntk(…)`. A Gram K(P, P) on the points of the population, (m, m) or
            (m, m, c, c), or its `Modes`.
        cross: K(P, x), (m, n) or (m, n, c, c), where `kernel` is a Gram and the points are not the training inputs.
        num_modes: how many of the largest modes; all by default up to 4000 values, else 200.

    Returns:
        `DampedDeviations`. With c outputs an (m, m) Gram, and a kernel of infinite width, stand for K ⊗ 1: mode i of
        output a is number i c + a.

    Raises:
        InputError: a trajectory without `kernel_path`, or that diverged; a Gram or cross-Gram of another shape.

    Cost and precision:
        In float64. The kernel's eigenproblem, one cross-Gram Θ_0(P, x) in blocks of at most 256 MiB, and N n k
        multiplications for N nodes. `identity_error` contains every error: of the training's precision, the solver, the
        quadrature, and for ReLU the kinks that a step crosses.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems
        >>> problem = problems.signal(frequencies=(1.0, 2.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 64, 1, activation="tanh", bias_std=1.0, key=jax.random.key(1))
        >>> run = dynamics.train(
        ...     model, problem.x, problem.y, learning_rate=0.5, steps=30, record_kernel=True
        ... )
        >>> found = dynamics.damped_deviations(run)
        >>> found.motion.shape, found.relative_identity_error < 1e-4
        ((31, 32), True)

    References:
        Bowman & Montúfar 2022, the damped-deviations identities in function space and on the training points.
    """
    if trajectory.status is TrainingStatus.diverged:
        raise InputError("the training diverged: its deviations have no meaning; use a smaller learning rate")
    path = trajectory.kernel_path
    if path is None:
        raise InputError(
            "this trajectory has no record of its kernel: use `train(…, record_kernel=True)` or "
            "`gradient_flow(…, record_kernel=True)`, which must reach the end"
        )
    frozen = frozen_kernel(path, kernel, cross, num_modes)
    coefficients = frozen.basis.project(path.recorded)
    source = _source(path, frozen)
    total = source.sum(axis=0)
    rates, times = frozen.eigenvalues, trajectory.times
    if path.learning_rate is None:
        steps = None
        propagated = decay(rates, times) * coefficients[0]
        at = times

        def integrate(values: np.ndarray, rates: np.ndarray) -> np.ndarray:
            return damped_integrals(path.panels, values, rates, times)
    else:
        steps, eta, beta = trajectory.steps, path.learning_rate, path.momentum
        propagated = discrete_decay(rates, steps, eta, beta) * coefficients[0]
        at = np.minimum(steps, path.panels.edges[-1] - 1)

        def integrate(values: np.ndarray, rates: np.ndarray) -> np.ndarray:
            return driven_recursion(path.panels, values, rates, steps, eta, beta)

    parts = integrate(np.concatenate([*source, total], axis=1), np.concatenate([rates, rates, rates, 0 * rates]))
    sampling, width, motion, undamped = np.split(parts, 4, axis=1)
    left = coefficients - propagated - (sampling + width + motion)
    return DampedDeviations(
        times=times,
        steps=steps,
        eigenvalues=rates,
        functions=frozen.basis.functions,
        coefficients=coefficients,
        propagated=propagated,
        sampling=sampling,
        width=width,
        motion=motion,
        undamped=undamped,
        identity_error=np.linalg.norm(left, axis=1),
        source_sup=_running_sup(path, total, at),
        learning_rate=path.learning_rate,
        momentum=path.momentum,
        precision=str(np.result_type(trajectory.residuals)),
        status=_status(path),
    )


def _source(path: KernelPath, frozen: Frozen) -> Float[np.ndarray, "3 N k"]:
    """Sampling, width and motion of (T_K - T_n^s) r_s in the modes at every node."""
    basis: Basis = frozen.basis
    by_frozen = frozen_on_train(path, frozen)
    by_initial = by_frozen if frozen.is_initial else initial_on_train(path, basis)
    sampling = np.zeros_like(by_frozen)
    if not path.on_train:
        sampling = frozen.eigenvalues * basis.project(path.residuals) - by_frozen
    return np.stack([sampling, by_frozen - by_initial, by_initial - basis.project(path.action)])


def _running_sup(path: KernelPath, source: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The largest norm of the source at the nodes and records until each record."""
    places = np.concatenate([path.nodes, at])
    norms = np.linalg.norm(np.concatenate([source, path.panels.at(source, at)]), axis=1)
    order = np.argsort(places, kind="stable")
    running = np.maximum.accumulate(norms[order])
    last = np.searchsorted(places[order], at, side="right") - 1
    return running[last]


def _status(path: KernelPath) -> DeviationsStatus:
    if path.learning_rate is None:
        return DeviationsStatus.flow
    return DeviationsStatus.every_step if path.panels.is_complete else DeviationsStatus.interpolated
