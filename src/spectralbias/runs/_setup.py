"""Before training: the kernel, its modes, the learning rate, and empty arrays for what will be recorded."""

import time

import jax.numpy as jnp
import numpy as np
import zarr

from ..dynamics import Optimizer
from ..kernels import NTKOperator, empirical_ntk
from ..models import MLP, count_parameters
from ..problems import Problem
from ..spectra import eigenmodes
from ._build import build_model, build_optimizer, infinite_gram
from ._config import Config
from ._files import flush_tree
from ._progress import Progress
from ._record import create_records, write_snapshot
from ._run import Run, update_info
from ._store import put, save_modes

# Up to so many values the Gram is formed even where only its top modes are computed.
GRAM_LIMIT = 8000
# Up to so many samples the infinite-width spectrum is computed beside the network's.
INFINITE_LIMIT = 2000


def prepare(run: Run, progress: Progress) -> None:
    """Kernel, modes and learning rate; ends by writing `resolved`, which says that this part is whole."""
    start = time.perf_counter()
    config, problem = run.config, run.problem
    model = build_model(config, problem)
    x = jnp.asarray(problem.x, jnp.result_type(float))
    progress.phase(f"Computing the kernel on {problem.num_targets} values and its modes")
    gram = empirical_ntk(model, x) if problem.num_targets <= GRAM_LIMIT else None
    modes = eigenmodes(NTKOperator(model, x) if gram is None else gram, num_modes=config.analysis.num_modes)
    save_modes(run.store, modes)
    _save_infinite(run, problem, model, None if gram is None else np.asarray(gram))
    largest = float(modes.eigenvalues[0])
    optimizer, limit = _resolve_optimizer(config, largest)
    warnings = []
    if limit is not None and optimizer.learning_rate > limit:
        warnings.append(
            f"the learning rate {optimizer.learning_rate:.4g} is above the stability limit "
            f"{'2/λ_max' if not optimizer.momentum else '2(1+β)/λ_max'} = {limit:.4g}: expect divergence"
        )
    for warning in warnings:
        progress.warning(warning)
    create_records(run, problem, modes, optimizer)
    write_snapshot(run, model, 0)
    resolved = {
        "learning_rate": optimizer.learning_rate,
        "momentum": optimizer.momentum,
        "largest_eigenvalue": largest,
        "stability_limit": limit,
        "num_parameters": count_parameters(model),
        "num_samples": problem.num_samples,
        "num_outputs": problem.num_outputs,
    }
    seconds = {"setup": round(time.perf_counter() - start, 3)}
    flush_tree(run.store, 0)
    update_info(run, status="running", resolved=resolved, warnings=warnings, seconds=seconds)


def _resolve_optimizer(config: Config, largest: float) -> tuple[Optimizer, float | None]:
    """The optimizer with its learning rate, and the largest stable one where theory knows it."""
    rate = config.training.learning_rate
    probe = build_optimizer(config, 1.0)
    if rate == "auto":
        rate = 1e-3 if probe.momentum is None else 1 / largest
    limit = None if probe.momentum is None else 2 * (1 + probe.momentum) / largest
    return build_optimizer(config, float(rate)), limit


def _save_infinite(run: Run, problem: Problem, model: MLP, gram: np.ndarray | None) -> None:
    """The infinite-width spectrum, and how far from it the network's kernel is."""
    if gram is None or problem.num_samples > INFINITE_LIMIT:
        return
    limit = infinite_gram(run.config, model, problem.x)
    if limit is None:
        return
    empirical = gram if gram.ndim == 2 else np.mean(np.diagonal(gram, axis1=2, axis2=3), axis=-1)
    group = zarr.open_group(run.store, path="infinite", mode="w")
    values = np.linalg.eigvalsh(limit)[::-1] / problem.num_samples
    put(group, "eigenvalue", ("mode",), values, "1/time", "eigenvalues of Θ/n of one output at infinite width")
    group.attrs["distance"] = float(np.linalg.norm(empirical - limit) / np.linalg.norm(limit))
