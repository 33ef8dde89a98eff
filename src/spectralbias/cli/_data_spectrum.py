"""`spectralbias spectrum KIND …`: the modes of a network's kernel on data, before any training."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from .._core.errors import InputError
from ._spectrum_output import picture_path, show, steps_from_log, write
from ._subject import argument, configured, flag, starting_point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..problems import Problem
    from ..runs import Config
    from ..spectra import Modes, SpectralDensity
    from ._progress import TerminalProgress

_DESCRIPTION = """The modes of a network's kernel on data, before any training: which functions it learns, and how fast.

The data and the network are those of `spectralbias run`, with the same options."""

_METHODS = ("auto", "dense", "lanczos", "lobpcg", "randomized")


def main(arguments: list[str]) -> None:
    """The spectrum of a network's kernel on the data that the arguments name."""
    prog, config, rest = starting_point("spectrum", arguments)
    more = [
        (
            "num_modes",
            argument(int | None, "Modes to compute; all up to 4000 values, else 200."),
            config.analysis.num_modes,
        ),
        ("method", argument(Literal[_METHODS], "How they are computed."), "auto"),  # pyright: ignore
        ("density", flag("Estimate the whole spectrum, too, where it is too large to compute."), False),
        ("dtype", argument(Literal["float32", "float64"], "Precision of the kernel."), config.training.dtype),
        ("seed", argument(int, "Seed of data and initialization."), config.seed),
        ("quick", flag("Settings that finish in seconds."), False),
        ("output", argument(str | None, "The picture (.png, .pdf, .svg); spectrum-KIND.png by default."), None),
        ("json", flag("Print data in place of text."), False),
    ]
    config, options = configured(prog, config, rest, sections=("problem", "model"), more=more, description=_DESCRIPTION)
    config = msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, dtype=options.dtype))
    if options.num_modes is not None and options.num_modes < 1:
        raise InputError(f"`num_modes` must be 1 or more, got {options.num_modes}")
    path = picture_path(options.output, config.kind)
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        found = _compute(config, options, progress)
        progress.phase("Drawing")
        write(_picture(found), path)
    data = {"kind": config.kind, **_numbers(found)}
    data["words"] = _words(found, data)
    columns, rows = _table(data["modes"])
    show(data, columns, rows, path, as_json=options.json)


class _Found(NamedTuple):
    """What was computed: the modes of Θ on the problem, their parts in its bands, and Θ between the data."""

    config: "Config"
    problem: "Problem"
    modes: "Modes"
    bands: tuple[str, ...]
    parts: np.ndarray
    cross: Any
    density: "SpectralDensity | None"


def _compute(config: "Config", options: Any, progress: "TerminalProgress") -> _Found:
    """The problem, the network, and the modes of its kernel."""
    import jax
    import jax.numpy as jnp

    from ..kernels import NTKOperator, empirical_ntk
    from ..runs._build import build_model, build_problem, precision
    from ..runs._setup import GRAM_LIMIT
    from ..spectra import eigenmodes, spectral_density

    with precision(config):
        progress.phase("Building the problem and the model")
        problem = build_problem(config)
        model = build_model(config, problem)
        x = jnp.asarray(problem.x, jnp.result_type(float))
        progress.phase(f"Computing the kernel on {problem.num_targets:,} values and its modes")
        theta = empirical_ntk(model, x) if problem.num_targets <= GRAM_LIMIT else NTKOperator(model, x)
        modes = eigenmodes(theta, num_modes=options.num_modes, method=options.method)
        density = None
        if options.density:
            progress.phase("Estimating the density of the whole spectrum")
            density = spectral_density(theta, key=jax.random.key(config.seed))

    def cross(new: np.ndarray) -> np.ndarray:
        with precision(config):
            return np.asarray(empirical_ntk(model, jnp.asarray(new, x.dtype), x))

    names, parts = _in_bands(problem, modes)
    return _Found(config, problem, modes, names, parts, cross, density)


# Bands of more modes would take longer than the modes.
_BANDED = 300


def _in_bands(problem: "Problem", modes: "Modes") -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the problem's bands, and the share of each of the first modes in each, (modes, bands)."""
    from ..spectra import bands

    # The basis of a target on the sphere has one function of each degree, a mode may be any of that degree.
    on_sphere = problem.measure is not None and problem.x.shape[1] >= 2
    found = bands(problem, by="degree", degrees=_degrees(problem)) if on_sphere else bands(problem)
    count = min(modes.num_modes, _BANDED)
    functions = modes.top(count).expand(np.eye(count))
    return found.names, np.clip(found.energy(functions), 0, 1)


def _degrees(problem: "Problem") -> list[int]:
    """The degrees that have fewer harmonics than there are samples."""
    from ..spectra import multiplicity

    dim = problem.x.shape[1]
    return [k for k in range(20) if k < 2 or multiplicity(k, dim) < problem.num_samples]


def _picture(found: _Found) -> "Figure":
    """The spectrum, and below it the first eigenfunctions."""
    from matplotlib.figure import Figure

    from ..report import mode_figure, modes_spectrum_figure
    from ..report._mode_sheet import natural_size

    problem, modes = found.problem, found.modes
    width, height = natural_size(modes, problem, cross=found.cross)
    figure = Figure(figsize=(max(7.0, width), 3 + height), dpi=200, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, height))  # pyright: ignore[reportGeneralTypeIssues]
    modes_spectrum_figure(modes, target=problem.y, density=found.density, figure=above)
    mode_figure(modes, problem, cross=found.cross, figure=below)
    return figure


def _numbers(found: _Found) -> dict[str, Any]:
    """The spectrum as plain data."""
    problem, modes = found.problem, found.modes
    values = np.maximum(modes.eigenvalues, 0)
    trace = modes.trace if np.isfinite(modes.trace) else None if found.density is None else found.density.trace
    shares = modes.project(problem.y) ** 2 / (np.sum(problem.y**2) / problem.num_samples)
    totals = np.cumsum(shares)
    resolved = modes.eigenvalues > modes.resolution * values[0]
    with np.errstate(divide="ignore"):
        ratios = np.where(resolved, np.log(values / values[0]), -np.inf)
    mostly = np.argmax(found.parts, axis=1)
    rows = [
        {
            "mode": i + 1,
            "eigenvalue": float(modes.eigenvalues[i]),
            "share_of_trace": None if trace is None else float(values[i] / trace),
            "share_of_target": float(shares[i]),
            "cumulative_share_of_target": float(totals[i]),
            "steps": steps_from_log(float(ratios[i]))[1],
            "residual_norm": float(modes.residual_norms[i]),
            "converged": bool(modes.converged[i]),
            "resolved": bool(resolved[i]),
            "band": found.bands[mostly[i]] if i < len(mostly) else None,
            "share_in_band": float(found.parts[i, mostly[i]]) if i < len(mostly) else None,
        }
        for i in range(modes.num_modes)
    ]
    return {
        "num_samples": problem.num_samples,
        "num_values": int(problem.num_targets),
        "num_modes": modes.num_modes,
        "trace": trace,
        "largest_eigenvalue": float(values[0]),
        "learning_rate": float(1 / values[0]),
        "effective_rank": None if trace is None else trace / float(values[0]),
        "density": None if found.density is None else _density(found.density),
        "resolution": float(modes.resolution * values[0]),
        "method": modes.method,
        "precision": modes.precision,
        "status": modes.status.name,
        "modes": rows,
    }


def _density(density: "SpectralDensity") -> dict[str, Any]:
    """How many eigenvalues there are above each power of ten."""
    low, high = max(density.resolution * density.largest, 1e-30), density.largest
    levels = 10.0 ** np.arange(np.ceil(np.log10(low)), np.ceil(np.log10(high)))[::-1]
    counts = density.count_above(levels)
    return {
        "size": density.size,
        "trace": density.trace,
        "trace_stderr": density.trace_stderr,
        "method": density.method,
        "counts_above": [
            {"eigenvalue": float(level), "count": float(count), "stderr": float(error)}
            for level, count, error in zip(
                levels, np.atleast_1d(counts.value), np.atleast_1d(counts.stderr), strict=True
            )
        ],
    }


_ROWS = 24


def _table(modes: list[dict[str, Any]]) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Columns and rows: the first modes, and then ever fewer."""
    shown = np.arange(len(modes))
    if len(modes) > _ROWS:
        later = np.geomspace(_ROWS // 2, len(modes), _ROWS // 2 + 1)[1:].round().astype(int) - 1
        shown = np.unique(np.concatenate([np.arange(_ROWS // 2), later]))
    titles = ["mode", "eigenvalue", "of the trace", "of the target", "so far", "steps to 1/e", "residual norm"]
    # One band of everything says nothing.
    has_bands = len({row["band"] for row in modes}) > 1
    columns = [*((title, "right") for title in titles), *([("mostly in", "left")] if has_bands else [])]
    rows = []
    for row in (modes[i] for i in shown):
        share = row["share_of_trace"]
        mark = "" if row["converged"] else " (not converged)"
        rows.append(
            [
                f"{row['mode']:,}",
                f"{row['eigenvalue']:.4g}",
                "?" if share is None else _percent(share),
                _percent(row["share_of_target"]),
                _percent(row["cumulative_share_of_target"]),
                _steps(row),
                f"{row['residual_norm']:.0e}{mark}",
                *([_mostly_in(row)] if has_bands else []),
            ]
        )
    return columns, rows


def _mostly_in(row: dict[str, Any]) -> str:
    """The band that holds half of a mode or more."""
    if row["band"] is None:
        return ""
    return f"{row['band']} ({100 * row['share_in_band']:.0f} %)" if row["share_in_band"] >= 0.5 else "no single band"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 1e-6 else "0 %"


def _steps(row: dict[str, Any]) -> str:
    if not row["resolved"]:
        return "rounding"
    return f"{np.ceil(row['steps'] - 1e-9):,.0f}" if row["steps"] < 1e9 else f"{row['steps']:.2e}"


def _words(found: _Found, data: dict[str, Any]) -> list[str]:
    """What the spectrum means."""
    from ..report._text import listed, plural

    modes = found.modes
    shares = np.array([row["share_of_target"] for row in data["modes"]])
    said = f"On {data['num_values']:,} values λ_max is {data['largest_eigenvalue']:.4g}, which allows learning rates "
    said += f"below 2/λ_max = {2 * data['learning_rate']:.3g}."
    words = [said]
    resolved = [row["resolved"] for row in data["modes"]]
    rates = np.where(resolved, np.clip(modes.eigenvalues / modes.eigenvalues[0], 0, 1), 0)
    learned = [(share, _steps_until(shares, rates, share)) for share in (0.5, 0.9, 0.99)]
    times = [f"{100 * share:.0f} % of the target after {_rounded(steps)}" for share, steps in learned if steps]
    if times:
        words.append(
            f"At 1/λ_max, and if the kernel does not change, gradient descent from f = 0 learns {listed(times)}."
        )
    if not all(steps for _, steps in learned):
        missing = next(share for share, steps in learned if not steps)
        why = (
            "in modes that were not computed"
            if not modes.is_complete
            else "in modes with rounding errors for eigenvalues"
        )
        words.append(f"What makes up {100 * missing:.0f} % of the target lies partly {why}.")
    if data["effective_rank"] is None:
        words.append("The trace of an operator is not known: `--density` estimates it.")
    else:
        words.append(
            f"The effective rank, trace over largest eigenvalue, is {data['effective_rank']:.3g}: so many modes would "
            "hold all of the trace if they were equally fast."
        )
    unresolved = len(resolved) - sum(resolved)
    if unresolved:
        remedy = ": `--dtype float64` resolves more" if found.config.training.dtype == "float32" else ""
        words.append(f"{plural(unresolved, 'eigenvalue')} cannot be told from rounding errors of Θ{remedy}.")
    if not modes.is_complete:
        words.append(f"Of {data['num_values']:,} modes these are the largest {modes.num_modes:,}.")
    if data["density"] is not None:
        parts = [f"{row['count']:,.0f} above {row['eigenvalue']:.0e}" for row in data["density"]["counts_above"]]
        words.append(f"An estimate of how many eigenvalues there are: {', '.join(parts)}.")
    words.append(f"Computed by: {modes.method}, {modes.precision}. Status: {modes.status.value}.")
    return words


def _steps_until(shares: np.ndarray, rates: np.ndarray, share: float) -> float | None:
    """The number of steps after which that share of the target's mean square is gone; None for never.

    Mode i keeps (1 - λ_i/λ_max)^(2s) of its energy after s steps.
    """
    low, high = 0.0, 1.0

    def learned(steps: float) -> float:
        with np.errstate(divide="ignore"):
            return float(np.sum(shares * -np.expm1(2 * steps * np.log1p(-np.minimum(rates, 1 - 1e-15)))))

    while learned(high) < share:
        low, high = high, 2 * high
        if high > 1e12:
            return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if learned(middle) < share else (low, middle)
    return high


def _rounded(steps: float) -> str:
    from ..report._text import plural

    return plural(max(1, round(steps)), "step") if steps < 1e6 else f"{steps:.1e} steps"
