"""The spectrum of a kernel on data in one picture: eigenvalues by rank, how good they are, what the modes hold."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike

from ..spectra import Modes, SpectralDensity
from ._style import ACCENT, GRID, INK, MUTED, SECOND, drawing, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def modes_spectrum_figure(
    modes: Modes,
    *,
    target: ArrayLike | None = None,
    density: SpectralDensity | None = None,
    figure: "Figure | SubFigure | None" = None,
) -> "Figure | SubFigure":
    """Draw the eigenvalues of Θ/n by rank with what limits them, and what the modes up to each rank hold.

    Left: λ_i on logarithmic axes. The gray area is below the resolution of Θ, where eigenvalues are rounding errors.
    The gray line, where it rises above that, is the residual norm ‖Θ v/n - λ v‖ of each pair: the eigenvalue is wrong
    by no more than it. Right: the share of the trace, and of the target's mean square, in the modes up to rank i.

    Args:
        modes: from `spectra.eigenmodes`.
        target: values on the data (n,) or (n, c), such as the targets of a problem.
        density: from `spectra.spectral_density` of the same kernel: a line through the whole spectrum where the modes
            are only the largest, with its standard error.
        figure: a figure or a subfigure of matplotlib to draw into; a new one of 7 by 3 inches by default.

    Returns:
        The figure; `figure.savefig("modes.pdf")` writes it.

    Raises:
        InputError: a target whose shape does not fit the modes.

    Example:
        >>> import numpy as np
        >>> from spectralbias import report, spectra
        >>> modes = spectra.eigenmodes(np.diag([1.0, 4.0, 9.0]))
        >>> len(report.modes_spectrum_figure(modes, target=np.ones(3)).axes)
        2
    """
    trace = modes.trace if np.isfinite(modes.trace) or density is None else density.trace
    with drawing(7, 3, figure) as drawn:
        if target is None and not np.isfinite(trace):
            _by_rank(drawn.subplots(), modes, density)
        else:
            left, right = drawn.subplots(1, 2, width_ratios=(1.3, 1))
            _by_rank(left, modes, density)
            _held(right, modes, trace, None if target is None else np.asarray(target, float))
    return drawn


def _by_rank(axes: "Axes", modes: Modes, density: SpectralDensity | None) -> None:
    """λ_i, residual norms and the resolution floor against i."""
    values, errors = modes.eigenvalues, modes.residual_norms
    rank = np.arange(1, len(values) + 1)
    floor = modes.resolution * values[0]
    positive = values[values > 0]
    low = max(positive.min(), floor / 30)
    size = float(np.clip(4.5 - 0.6 * np.log2(len(values) / 25 + 1), 1.5, 4.5))
    good, poor = (values > 0) & modes.converged, (values > 0) & ~modes.converged
    axes.set_xscale("log")
    axes.set_yscale("log")
    style = {"marker": "o", "linestyle": "none", "markersize": size, "markeredgewidth": 0.7}
    axes.plot(rank[good], values[good], color=ACCENT, label="eigenvalue", **style)
    if poor.any():
        axes.plot(rank[poor], values[poor], color=SECOND, fillstyle="none", label="not converged", **style)
    if density is not None:
        _whole(axes, density, floor)
    bottom = min(low, floor) / 10
    # Below the rounding of Θ, residual norms say nothing.
    seen = errors > 0
    if seen.any() and errors.max() > floor:
        bottom = max(min(bottom, errors[seen].min() / 3), 1e-3 * bottom)
        label = "its error bound (residual norm)"
        axes.plot(rank[seen], errors[seen], color=MUTED, linewidth=0.8, label=label, zorder=1)
    axes.set_ylim(bottom, 3 * values[0])
    axes.set_xlim(0.9, 1.15 * max(len(values) if density is None else density.size, 2))
    axes.axhspan(bottom, floor, color=GRID, linewidth=0, zorder=0)
    rounding = "below: rounding errors of Θ"
    axes.text(0.02, floor, rounding, transform=axes.get_yaxis_transform(), va="bottom", fontsize=7, color=MUTED)
    if not modes.is_complete:
        said = f"the largest {len(values):,} of {len(modes.eigenvectors):,} modes"
        axes.set_title(said, fontsize=7, color=MUTED, pad=3)
    whole_ticks(axes)
    axes.set_xlabel("mode, fastest first")
    axes.set_ylabel("eigenvalue of Θ/n")
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(loc="lower left", handletextpad=0.4, borderaxespad=0.2)


def _whole(axes: "Axes", density: SpectralDensity, floor: float) -> None:
    """The estimated number of eigenvalues above λ against λ, on its side: the rank of λ."""
    levels = np.geomspace(max(floor, 1e-12 * density.largest), density.largest, 200)
    counts = density.count_above(levels)
    style = {"color": SECOND, "linewidth": 0}
    axes.fill_betweenx(levels, counts.value - counts.stderr, counts.value + counts.stderr, alpha=0.25, **style)
    axes.plot(counts.value, levels, color=SECOND, linewidth=1.1, label="whole spectrum, estimated", zorder=1)


def _held(axes: "Axes", modes: Modes, trace: float, target: np.ndarray | None) -> None:
    """Running sums of the shares of the trace and of the target."""
    rank = np.arange(1, modes.num_modes + 1)
    if np.isfinite(trace):
        share = 100 * np.cumsum(modes.eigenvalues) / trace
        axes.plot(rank, share, color=INK, linewidth=1.1, drawstyle="steps-post", label="of the trace")
    if target is not None:
        coefficients = modes.project(target)
        whole = np.sum(target**2) / modes.num_samples
        share = 100 * np.cumsum(coefficients**2) / whole
        axes.plot(rank, share, color=SECOND, linewidth=1.6, drawstyle="steps-post", label="of the target")
    axes.axhline(100, color=MUTED, linewidth=0.7, dashes=(1, 2), zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(0.9, 1.15 * max(modes.num_modes, 2))
    axes.set_ylim(0, 105)
    whole_ticks(axes)
    axes.set_xlabel("mode, fastest first")
    axes.set_ylabel("held by the modes so far in %")
    axes.legend(loc="lower right", handletextpad=0.4, borderaxespad=0.2)
