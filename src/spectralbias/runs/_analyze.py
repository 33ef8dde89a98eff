"""After training: the frozen kernel's prediction, and the numbers of the verdict."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
import zarr

from ..dynamics import Comparison, Frozen, compare, discrete_decay, frozen, learning_steps
from ..kernels import NTKOperator, empirical_ntk
from ..spectra import DENSE_LIMIT
from ._run import Run
from ._store import open_dataset, put

# Shares of the initial residual's energy above which a mode should follow its own rate.
STRONG, WEAK = 0.01, 0.001


def analyze(run: Run) -> dict[str, Any]:
    """Predict, compare, and return the summary; the arrays go to the group `prediction` of the store."""
    records = run.records
    steps = records["step"].to_numpy()
    momentum = run.info["resolved"]["momentum"]
    predicted = None if momentum is None else _predict(run, records, steps, momentum)
    return summarize(run, records, predicted)


def frozen_prediction(run: Run, residual0: np.ndarray) -> Frozen:
    """The kernel frozen at initialization: exact in all modes, or in a Krylov space where not all were computed."""
    modes = run.modes
    if modes.is_complete:
        return frozen(modes, residual0)
    model, x = run.model(0), jnp.asarray(run.problem.x, jnp.result_type(float))
    small = run.problem.num_targets <= 2 * DENSE_LIMIT
    kernel = empirical_ntk(model, x) if small else NTKOperator(model, x)
    last = int(run.records["step"][-1])
    return frozen(kernel, residual0, krylov_dim=_krylov_dim(last, run.info["resolved"]["momentum"]))


def _predict(run: Run, records: xr.Dataset, steps: np.ndarray, momentum: float) -> xr.Dataset:
    """Residual energies and mode coefficients that the frozen kernel predicts at the recorded steps."""
    modes, rate = run.modes, run.info["resolved"]["learning_rate"]
    residual0 = records["residual"][0].to_numpy().astype(np.float64)
    prediction = frozen_prediction(run, residual0)
    energies, losses = [], []
    for part in np.array_split(steps, max(1, len(steps) * residual0.size // 2**24)):
        residuals = prediction.residuals_at(part, rate, momentum)
        energies.append(run.bands.energy(residuals))
        losses.append(np.sum(residuals.reshape(len(part), -1) ** 2, axis=1) / (2 * run.problem.num_samples))
    coefficients = discrete_decay(modes.eigenvalues, steps, rate, momentum) * records["coefficient"][0].to_numpy()
    group = zarr.open_group(run.store, path="prediction", mode="w")
    put(group, "band_energy", ("record", "band"), np.concatenate(energies), "y^2", "predicted energy per band")
    put(group, "loss", ("record",), np.concatenate(losses), "y^2", "predicted training loss")
    later = learning_steps(modes.eigenvalues, rate, momentum, horizon=10 * int(steps[-1]))
    put(group, "learning_step", ("mode",), later, "step", "predicted step from which on a mode stays below 1/e")
    put(group, "coefficient", ("record", "mode"), coefficients, "y", "predicted mode coefficients")
    group.attrs["basis"] = prediction.status.value
    return open_dataset(run.store, "prediction")


def _krylov_dim(steps: int, momentum: float) -> int:
    """Polynomials of degree about √(2 steps) follow so many steps of gradient descent; twice that, and some."""
    return min(300, 40 + round(2 * (2 * steps / (1 - momentum)) ** 0.5))


def finite_number(value: float) -> float | None:
    """A JSON number; None for never (infinity) and unknown (NaN)."""
    return float(value) if np.isfinite(value) else None


def check_modes(comparison: Comparison, threshold: float) -> dict[str, Any]:
    """Of the modes with at least that share of the energy: how many fell by e, and how near to the predicted step."""
    strong = comparison.shares >= threshold
    fallen = strong & np.isfinite(comparison.measured_steps)
    errors = np.abs(comparison.relative_errors[fallen])
    return {
        "count": int(strong.sum()),
        "fallen": int(fallen.sum()),
        "within_10_percent": int(np.sum(errors <= 0.1)),
        "largest_error": finite_number(np.max(errors)) if fallen.any() and np.all(np.isfinite(errors)) else None,
    }


def summarize(run: Run, records: xr.Dataset, predicted: xr.Dataset | None) -> dict[str, Any]:
    """The numbers of the verdict, as plain data."""
    info, problem = run.info, run.problem
    steps = records["step"].to_numpy()
    resolved = info["resolved"]
    amplitude = np.sqrt(records["band_energy"].to_numpy())
    predicted_amplitude = None if predicted is None else np.sqrt(predicted["band_energy"].to_numpy())
    by_band = compare(steps, amplitude, predicted_amplitude)
    measured = records["coefficient"].to_numpy()
    if predicted is None:
        by_mode = compare(steps, measured, None)
    else:
        predicted_steps = predicted["learning_step"].to_numpy()
        by_mode = compare(steps, measured, predicted["coefficient"].to_numpy(), predicted_steps=predicted_steps)
    loss = records["loss"].to_numpy()
    residual0 = records["residual"][0].to_numpy().astype(np.float64)
    output0 = residual0 + problem.y
    drift = run.drift
    drifts = drift["drift"].to_numpy()
    energy0 = amplitude[0] ** 2
    return {
        "steps": int(steps[-1]),
        "learning_rate": resolved["learning_rate"],
        "stability_limit": resolved["stability_limit"],
        "largest_eigenvalue": resolved["largest_eigenvalue"],
        "loss": {"first": finite_number(loss[0]), "last": finite_number(loss[-1])},
        "predicted_loss": None if predicted is None else finite_number(predicted["loss"].to_numpy()[-1]),
        "test_loss": finite_number(records["test_loss"].to_numpy()[-1]) if "test_loss" in records else None,
        "band_kind": run.bands.kind,
        "bands": [
            {
                "name": name,
                "energy": float(energy0[i]),
                "share": float(energy0[i] / np.mean(np.sum(residual0.reshape(len(residual0), -1) ** 2, axis=1))),
                "measured_step": finite_number(by_band.measured_steps[i]),
                "predicted_step": finite_number(by_band.predicted_steps[i]),
                "relative_error": finite_number(by_band.relative_errors[i]),
                "measured_left": finite_number(by_band.measured_left[i]),
                "predicted_left": finite_number(by_band.predicted_left[i]),
            }
            for i, name in enumerate(run.bands.names)
        ],
        "modes": {
            "computed": run.modes.num_modes,
            "total": int(problem.num_targets),
            "method": run.modes.method,
            "largest_residual_norm": float(np.max(run.modes.residual_norms)),
            "strong": check_modes(by_mode, STRONG),
            "weak": check_modes(by_mode, WEAK),
            "coupled": int(np.sum((by_mode.shares < WEAK) & np.isfinite(by_mode.measured_steps))),
        },
        "drift": finite_number(drifts[-1]) if len(drifts) else None,
        "initial_output_share": float(np.sum(output0**2) / np.sum(residual0**2)),
        "infinite_distance": _infinite_distance(run),
        "laziness": float(run.config.model.width * run.config.model.output_scale**2 / np.mean(problem.y**2)),
    }


def _infinite_distance(run: Run) -> float | None:
    """‖Θ_0 - Θ_∞‖/‖Θ_∞‖ where the limit is known."""
    if not (run.store / "infinite").exists():
        return None
    return float(zarr.open_group(run.store, path="infinite", mode="r").attrs["distance"])  # pyright: ignore
