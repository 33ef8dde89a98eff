"""The spectrum of a kernel on the sphere in one picture: eigenvalues by degree, and what each degree holds."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._core.errors import InputError
from ..spectra import PowerLaw, SphereSpectrum
from . import _palette
from ._style import ACCENT, INK, MUTED, SECOND, drawing, logarithmic_from_zero

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Where degree 0 stands on a logarithmic axis.
_ZERO = 0.5
# Relative errors above this can be seen on the logarithmic axis.
_VISIBLE = 0.02
# A fit whose standard error is a larger part of the exponent is no straight line.
_STRAIGHT = 0.02


def spectrum_figure(
    spectra: SphereSpectrum | Sequence[SphereSpectrum],
    *,
    labels: Sequence[str] | None = None,
    figure: "Figure | SubFigure | None" = None,
) -> "Figure | SubFigure":
    """Draw eigenvalues on the sphere by degree, and the share N_k μ_k/κ(1) of each degree.

    Left: μ_k on logarithmic axes, with what theory says of high degrees (`SphereSpectrum.asymptotes`, dashed), or
    where it does not know, the power law that fits them. A degree whose eigenvalue is exactly 0 is an open marker at
    the bottom, one that is too small to be known a gray cross. A mode of gradient descent decays as (1 - ημ_k)^step,
    so ten times lower is ten times slower. Right: the share of
    degree k in the kernel's trace, and the sum of these shares up to k.

    Args:
        spectra: one `SphereSpectrum`, or several to compare.
        labels: a name for each of several spectra.
        figure: a figure or a subfigure of matplotlib to draw into; a new one of 7 by 3 inches by default.

    Returns:
        The figure; `figure.savefig("spectrum.pdf")` writes it.

    Raises:
        InputError: no spectrum, or not as many labels as spectra.

    Example:
        >>> from spectralbias import kernels, report, spectra
        >>> spectrum = spectra.sphere_spectrum(kernels.cao_kernel(), dim=3, max_degree=20)
        >>> len(report.spectrum_figure(spectrum).axes)
        2
    """
    several = [spectra] if isinstance(spectra, SphereSpectrum) else list(spectra)
    if not several:
        raise InputError("`spectra` is empty: give at least one `SphereSpectrum`")
    if labels is not None and len(labels) != len(several):
        raise InputError(f"`labels` must name {len(several)} spectra, got {len(labels)}")
    if labels is None:
        labels = [f"dim {spectrum.dim}" for spectrum in several] if len(several) > 1 else [""]
    colors = [ACCENT] if len(several) == 1 else _palette.unordered(len(several))[0]
    with drawing(7, 3, figure) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=(1.3, 1))
        _by_degree(left, several, colors, labels)
        _shares(right, several, colors)
    return drawn


def _parts(spectrum: SphereSpectrum, color: str, alone: bool) -> list[tuple[str, np.ndarray, str, str]]:
    """(name, degrees, marker, color) of even and odd degrees."""
    even = spectrum.degrees % 2 == 0
    return [("even degree", even, "o", color), ("odd degree", ~even, "D", SECOND if alone else color)]


def _degree_axis(axes: "Axes", last: int) -> None:
    """Degrees on a logarithmic axis, with 0 on its left."""
    logarithmic_from_zero(axes, max(2, last), _ZERO)
    if 10 <= last <= 100:
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick <= last]
        axes.set_xticks([_ZERO, *ticks], ["0", *map(str, ticks)])
    axes.set_xlim(_ZERO * 0.8, 1.15 * max(2, last))
    axes.set_xlabel("degree k")


def _size(spectrum: SphereSpectrum) -> float:
    """Diameter of a marker in points: many degrees need small ones."""
    return float(np.clip(5.2 - 0.8 * np.log2(max(spectrum.max_degree, 10) / 10), 1.6, 5.2))


def _at(degrees: np.ndarray) -> np.ndarray:
    return np.maximum(degrees, _ZERO)


def _by_degree(axes: "Axes", several: list[SphereSpectrum], colors: list[str], labels: Sequence[str]) -> None:
    """log₁₀ μ_k against k: the logarithms themselves, since eigenvalues of high degree leave the range of floats."""
    alone = len(several) == 1
    finite = np.concatenate([s.log_eigenvalues[np.isfinite(s.log_eigenvalues)] for s in several]) / math.log(10)
    low, high = float(finite.min()), float(finite.max())
    span = max(high - low, 1.0)
    strips: list[float] = []
    for spectrum, color, label in zip(several, colors, labels, strict=True):
        levels, size = spectrum.log_eigenvalues / math.log(10), _size(spectrum)
        below = np.isneginf(levels)
        if below.any():
            strips.append(low - (0.14 + 0.05 * len(strips)) * span)
        for name, part, marker, tint in _parts(spectrum, color, alone):
            small = size if marker == "o" else 0.85 * size
            style = {"marker": marker, "color": tint, "linestyle": "none", "markeredgewidth": 0.7, "markersize": small}
            some, zero = part & ~below, part & below & (spectrum.errors == 0)
            if some.any():
                axes.plot(_at(spectrum.degrees[some]), levels[some], label=name if alone else None, **style)
                _error_bars(axes, spectrum, levels, some, tint)
            if zero.any():
                said = f"{name}: exactly 0" if alone else None
                level = np.full(zero.sum(), strips[-1])
                axes.plot(_at(spectrum.degrees[zero]), level, label=said, fillstyle="none", **style)
        unknown = below & (spectrum.errors > 0)
        if unknown.any():
            style = {"marker": "x", "color": MUTED, "linestyle": "none", "markersize": 0.7 * size}
            said = "too small to be resolved" if alone else None
            axes.plot(_at(spectrum.degrees[unknown]), np.full(unknown.sum(), strips[-1]), label=said, **style)
        _power_law(axes, spectrum, color if not alone else INK, label, alone)
    _degree_axis(axes, max(spectrum.max_degree for spectrum in several))
    axes.set_ylim(min([low, *strips]) - 0.08 * span, high + 0.08 * span)
    _powers_of_ten(axes, low, high + 0.07 * span)
    if strips:
        axes.axhline(low - 0.07 * span, color=MUTED, linewidth=0.6, dashes=(1, 2), zorder=0)
        ticks, names = axes.get_yticks(), [label.get_text() for label in axes.get_yticklabels()]
        axes.set_yticks([*ticks, float(np.mean(strips))], [*names, "0"])
    axes.set_ylabel("eigenvalue of one harmonic, $\\mu_k$")
    # Most spectra fall away from the upper right corner; several, and those of high dimension, spread out into it.
    middle = min(len(several[0].degrees) - 1, round(several[0].max_degree ** 0.7))
    levels = several[0].log_eigenvalues[middle : middle + 2] / math.log(10)
    if alone and levels.max() < low + 0.65 * span:
        axes.legend(loc="upper right", handletextpad=0.4, borderaxespad=0.2)
    else:
        corner = (0.01, (low - 0.05 * span - axes.get_ylim()[0]) / np.ptp(axes.get_ylim()))
        axes.legend(loc="lower left", bbox_to_anchor=corner, handletextpad=0.4, borderaxespad=0.2)


def _error_bars(axes: "Axes", spectrum: SphereSpectrum, levels: np.ndarray, some: np.ndarray, color: str) -> None:
    """Estimated errors, where they are large enough to be seen."""
    seen = some & (spectrum.errors > _VISIBLE) & np.isfinite(spectrum.errors)
    if seen.any():
        errors = np.minimum(spectrum.errors[seen], 0.999)
        bars = np.stack([-np.log10(1 - errors), np.log10(1 + spectrum.errors[seen])])
        axes.errorbar(
            _at(spectrum.degrees[seen]), levels[seen], yerr=bars, fmt="none", ecolor=color, elinewidth=0.8, capsize=1.5
        )


def power_law(spectrum: SphereSpectrum, parity: Literal["even", "odd"] = "even") -> PowerLaw | None:
    """The fitted tail; None where eigenvalues are too few, 0, or fall faster than any power, as of smooth kernels."""
    try:
        law = spectrum.decay_exponent(parity=parity)
    except InputError:
        return None
    if law.last < 8 or law.stderr > _STRAIGHT * abs(law.exponent):
        return None
    middle = (law.first + law.last) // 2
    try:
        early, late = (spectrum.decay_exponent(*ends, parity) for ends in ((law.first, middle), (middle, law.last)))
    except InputError:  # too few to tell
        return law
    return None if late.exponent < 1.1 * early.exponent else law


def shifted(dim: int) -> str:
    """The variable of the fit, k + dim/2 - 1."""
    return "k" if dim == 2 else f"(k + {dim / 2 - 1:g})"


def _power_law(axes: "Axes", spectrum: SphereSpectrum, color: str, label: str, alone: bool) -> None:
    """What theory says of the tail as a line, or else a fit, named with its exponent."""
    # With fewer degrees there is no tail that a line could belong to.
    theory = next((law for law in spectrum.asymptotes if law is not None and spectrum.max_degree >= 8), None)
    law = theory or power_law(spectrum) or power_law(spectrum, "odd")
    marker = {} if alone else {"marker": "o", "markersize": 4}
    if law is None:
        if not alone:
            axes.plot([], [], color=color, linestyle="none", label=label, **marker)
        return
    first = law.first if isinstance(law, PowerLaw) else min(max(3, spectrum.dim), spectrum.max_degree // 2)
    degrees = np.geomspace(0.7 * first, spectrum.max_degree, 50)
    levels = (law.log_prefactor + law.exponent * np.log(degrees + spectrum.dim / 2 - 1)) / math.log(10)
    dashes: Any = {} if theory is None else {"dashes": (4, 2)}
    axes.plot(degrees, levels, color=color, linewidth=0.8, zorder=1, alpha=0.8, **dashes)
    said = f"$\\propto {shifted(spectrum.dim)}^{{{law.exponent:.{0 if theory else 2}f}}}$"
    name = "theory, $k \\to \\infty$" if theory is not None else f"fit from degree {first}"
    axes.plot([], [], color=color, linewidth=0.8, label=f"{name if alone else label}: {said}", **dashes, **marker)


def _powers_of_ten(axes: "Axes", low: float, high: float) -> None:
    """Ticks at whole powers of ten on an axis of logarithms."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    every = max(1, math.ceil((last - first + 1) / 7))
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if step >= every)
    ticks = [power for power in range(last, first - 1, -1) if power % every == 0] or [round(high)]
    names = [f"$10^{{{power}}}$" if power else "1" for power in ticks]
    axes.set_yticks(ticks, names)


def _shares(axes: "Axes", several: list[SphereSpectrum], colors: list[str]) -> None:
    """N_k μ_k/κ(1) of every degree, and its running sum."""
    alone = len(several) == 1
    for spectrum, color in zip(several, colors, strict=True):
        shares = 100 * spectrum.energies / spectrum.trace
        total = np.cumsum(shares)
        axes.plot(
            _at(spectrum.degrees),
            total,
            color=INK if alone else color,
            linewidth=1.1,
            drawstyle="steps-post",
            label="all degrees up to k" if alone else None,
        )
        for _, part, marker, tint in _parts(spectrum, color, alone):
            shown = part & (spectrum.energies > 0)
            if shown.any():
                style = {"marker": marker, "markersize": 0.8 * _size(spectrum), "linestyle": "none"}
                axes.plot(_at(spectrum.degrees[shown]), shares[shown], color=tint, **style)
                if alone and spectrum.max_degree <= 200:
                    axes.vlines(_at(spectrum.degrees[shown]), 0, shares[shown], color=tint, linewidth=0.9)
    axes.axhline(100, color=MUTED, linewidth=0.7, dashes=(1, 2), zorder=0)
    if not alone:
        axes.plot([], [], color=MUTED, linewidth=1.1, label="all degrees up to k")
    dot = {"color": ACCENT if alone else MUTED, "marker": "o", "linestyle": "none", "markersize": 4}
    axes.plot([], [], label="degree k alone", **dot)
    _degree_axis(axes, max(spectrum.max_degree for spectrum in several))
    axes.set_ylim(0, 105)
    axes.set_ylabel("share of $\\kappa(1)$ in %")
    axes.legend(loc="center right", handletextpad=0.4, borderaxespad=0.2)
