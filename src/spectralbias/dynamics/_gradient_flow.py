"""Gradient flow: training in the limit of small steps, to the accuracy of an ODE solver."""

from collections.abc import Sequence

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from .._core.checks import finite_array, positive, whole
from .._core.errors import InputError, unknown
from ..kernels import NTKOperator
from ..models import combine
from ._kernel_path import KernelRecorder, assemble, in_float64, pushed
from ._optimizers import optimizer
from ._panels import time_panels
from ._train import Trajectory
from ._trainer import Trainer, TrainingStatus, _gradient, _residuals, half_mean_square

SOLVERS = {
    "euler": diffrax.Euler,
    "heun": diffrax.Heun,
    "bosh3": diffrax.Bosh3,
    "tsit5": diffrax.Tsit5,
    "dopri5": diffrax.Dopri5,
    "dopri8": diffrax.Dopri8,
}


def gradient_flow(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    times: ArrayLike | Sequence[float],
    *,
    solver: str | diffrax.AbstractSolver = "dopri8",
    rtol: float = 1e-10,
    atol: float = 1e-12,
    step: float | None = None,
    max_steps: int = 1_000_000,
    record_kernel: bool | KernelRecorder = False,
) -> Trajectory:
    """Train by θ̇ = -∇L on the loss L = (1/2n) Σ (f - y)², in float64.

    Args:
        model: any callable pytree; its parameters are those of `models.partition`, taken in float64.
        x: inputs (n, dim).
        y: targets, of exactly the shape of the outputs, (n,) or (n, c).
        times: at which residuals are recorded, (T,), increasing from 0.
        solver: `"dopri8"`, `"dopri5"`, `"tsit5"`, `"bosh3"`, `"heun"`, `"euler"`, or an explicit solver of Diffrax.
        rtol: tolerance of a step, relative to the parameters.
        atol: the same, absolute.
        step: a fixed step size in place of the tolerances.
        max_steps: after which the solver gives up.
        record_kernel: keep what `damped_deviations` needs: on the training inputs (True), or as a `KernelRecorder`
            says.

    Returns:
        A `Trajectory` with `.times`; its `.steps` count the times. If the solver gave up `.status` says so, and what
        was reached is kept.

    Raises:
        InputError: shapes that differ, times that do not increase from 0, an unknown solver.

    Cost and precision:
        Explicit solvers take steps of a few 1/λ_max, with 12 gradients each (`"dopri8"`). All recorded times are ends
        of steps. With ReLU, whose gradient jumps, no tolerance below about 1e-6 is reached in good time.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems
        >>> problem = problems.signal(frequencies=(1.0,), num_samples=16, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 32, 1, activation="tanh", bias_std=1.0, key=jax.random.key(1))
        >>> dynamics.gradient_flow(model, problem.x, problem.y, [0.0, 1.0, 2.0]).residuals.shape
        (3, 16)

    References:
        Bowman & Montúfar 2022, sec. 2. Hairer, Nørsett and Wanner 1993, Solving ordinary differential equations I,
        sec. II.5 (Dormand and Prince's methods).
    """
    at = finite_array("times", times, ndim=1)
    if len(at) < 2 or at[0] != 0 or np.any(np.diff(at) <= 0):
        raise InputError("`times` must increase from 0, and have at least two values")
    if isinstance(solver, str) and solver not in SOLVERS:
        raise unknown("solver", solver, SOLVERS)
    method = SOLVERS[solver]() if isinstance(solver, str) else solver
    for name, value in (("rtol", rtol), ("atol", atol), *([] if step is None else [("step", step)])):
        positive(name, value)
    if step is None and not isinstance(method, diffrax.AbstractAdaptiveSolver):
        raise InputError(f"the solver {type(method).__name__} has no error estimate: give a fixed `step`")
    whole("max_steps", max_steps, 1)
    recorder = KernelRecorder() if record_kernel is True else record_kernel or None
    with jax.enable_x64(True):
        trainer = Trainer(in_float64(model), x, y, optimizer("gd", 1.0), batch_size=None, key=jax.random.key(0))
        panels = points = targets = None
        stops = at
        if recorder is not None:
            panels = time_panels(float(at[-1]), 1 / _largest_rate(trainer))
            stops = np.union1d(at, panels.nodes)
            points, targets = recorder.points(trainer)
            targets = None if recorder.x is None else targets
        grid = stops if step is None else np.union1d(stops, np.arange(0, at[-1], step))
        # Nearly equal times would be steps of rounding size.
        grid = grid[np.concatenate([[True], (np.diff(grid) > 1e-12 * at[-1]) | np.isin(grid[1:], stops)])]
        solved = _solve(
            trainer, points, targets, jnp.asarray(stops), jnp.asarray(grid), method, step is None,
            jnp.asarray([rtol, atol]), max_steps,
        )  # fmt: skip
        parameters, seen, finished = jax.tree.map(np.asarray, solved)
        final = combine(jax.tree.map(jnp.asarray, parameters), trainer.rest)
    rows = np.searchsorted(stops, at)
    reached = rows[np.isfinite(seen[0].reshape(len(stops), -1)).all(axis=1)[rows]]
    residuals = seen[0][reached]
    status = TrainingStatus.finished if finished else TrainingStatus.stopped
    path = None
    if recorder is not None and panels is not None and status is TrainingStatus.finished:
        nodes = np.searchsorted(stops, panels.nodes)
        recorded = (seen[2] if len(seen) > 2 else seen[0])[rows]
        path = assemble(recorder, trainer, panels, [array[nodes] for array in seen], recorded, learning_rate=None)
    return Trajectory(
        steps=np.arange(len(residuals)),
        times=at[: len(residuals)],
        residuals=residuals,
        loss=np.array([half_mean_square(r) for r in residuals]),
        model=final,
        records={},
        record_steps={},
        status=status,
        kernel_path=path,
    )


def _largest_rate(trainer: Trainer) -> float:
    """The largest eigenvalue of Θ/n at the start, from below, by a few power iterations."""
    theta = NTKOperator(trainer.model(trainer.initial), trainer.x)
    vector = np.random.default_rng(0).standard_normal(trainer.y.shape)
    rate = 1e-300
    for _ in range(8):
        vector = np.asarray(theta.mv(vector / np.linalg.norm(vector)), np.float64) / len(trainer.x)
        rate = float(np.linalg.norm(vector)) or rate
    return rate


@eqx.filter_jit
def _solve(
    trainer: Trainer,
    points: Array | None,
    targets: Array | None,
    stops: Array,
    grid: Array,
    method: diffrax.AbstractSolver,
    adaptive: bool,
    tolerances: Array,
    max_steps: int,
) -> tuple[PyTree, tuple[Array, ...], Array]:
    """The parameters at the end, what was seen at every stop, and whether the end was reached."""
    block = trainer.block

    def downhill(t, parameters, trainer):
        return jax.tree.map(jnp.negative, _gradient(parameters, trainer.rest, trainer.x, trainer.y, block))

    def look(t, parameters, trainer):
        train = _residuals(combine(parameters, trainer.rest), trainer.x, trainer.y, block)
        if points is None:
            return (train,)
        gradient = _gradient(parameters, trainer.rest, trainer.x, trainer.y, block)
        action = pushed(parameters, gradient, trainer.rest, points, block)
        if targets is None:
            return train, action
        return train, action, _residuals(combine(parameters, trainer.rest), points, targets, block)

    if adaptive:
        pid = diffrax.PIDController(rtol=tolerances[0], atol=tolerances[1])
        controller = diffrax.ClipStepSizeController(pid, step_ts=grid)
    else:
        controller = diffrax.StepTo(ts=grid)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(downhill), method, t0=grid[0], t1=grid[-1], dt0=None, y0=trainer.initial.parameters,
        args=trainer, stepsize_controller=controller, max_steps=max_steps, throw=False,
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=stops, fn=look), diffrax.SubSaveAt(t1=True)]),
    )  # fmt: skip
    seen, last = solution.ys or ((), None)
    return jax.tree.map(lambda a: a[0], last), seen, solution.result == diffrax.RESULTS.successful
