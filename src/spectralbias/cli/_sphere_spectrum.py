"""`spectralbias spectrum KERNEL`: the eigenvalues of a named kernel on the sphere."""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .._core.errors import InputError
from .._core.names import ACTIVATIONS
from ._options import parse
from ._spectrum_output import from_log, number_or_none, picture_path, show, steps_from_log, times_from_log, write
from ._subject import Option, argument, flag, options_type

if TYPE_CHECKING:
    from ..spectra import SphereSpectrum

_ACTIVATION: Option = (
    "activation",
    argument(Literal[ACTIVATIONS], "Elementwise nonlinearity."),  # pyright: ignore
    "relu",
)
_NTK: list[Option] = [
    ("depth", argument(int, "Hidden layers."), 1),
    _ACTIVATION,
    ("weight_variance", argument(float, "Variance of the weights, times the inputs per unit."), 2.0),
    ("bias_variance", argument(float, "Variance of the biases; 0 for none."), 0.0),
]
_COMMON: list[Option] = [
    ("dim", argument(int, "Ambient dimension: inputs lie on the sphere in R^dim."), 10),
    ("max_degree", argument(int, "Highest degree."), 40),
    ("output", argument(str | None, "The picture (.png, .pdf, .svg); spectrum-KERNEL.png by default."), None),
    ("json", flag("Print data in place of text."), False),
]


class _Kernel(NamedTuple):
    """A kernel with a name: its own options, how it is made from them, and what it is."""

    options: list[Option]
    make: Callable[[Any], Any]
    meaning: str


def _arc_cosine(degree: int) -> Any:
    from ..kernels import arc_cosine

    return functools.partial(arc_cosine, degree=degree)


def _made(name: str, *arguments: str) -> Callable[[Any], Any]:
    """A maker of `kernels.<name>` that takes these options; the room is loaded when it is called."""

    def make(options: Any) -> Any:
        from .. import kernels

        return getattr(kernels, name)(**{argument: getattr(options, argument) for argument in arguments})

    return make


KERNELS: dict[str, _Kernel] = {
    "cao": _Kernel([], _made("cao_kernel"), "two-layer ReLU network of Cao et al., no biases"),
    "bietti-mairal": _Kernel([], _made("bietti_mairal_kernel"), "two-layer ReLU network of Bietti and Mairal"),
    "bowman": _Kernel([_ACTIVATION], _made("bowman_kernel", "activation"), "two-layer network with biases"),
    "ntk": _Kernel(
        _NTK,
        _made("infinite_ntk", "depth", "activation", "weight_variance", "bias_variance"),
        "network of any depth and activation",
    ),
    "arc-cosine-0": _Kernel([], lambda _: _arc_cosine(0), "first-layer part: E over w of σ'(w·x) σ'(w·x')"),
    "arc-cosine-1": _Kernel([], lambda _: _arc_cosine(1), "last-layer part: E over w of σ(w·x) σ(w·x')"),
}

_DESCRIPTION = """Which modes a kernel has, and how fast each is learned.

Of a kernel on the sphere, at infinite width:

{kernels}

Of a network on data, with the options of `spectralbias run`: `spectralbias spectrum image PHOTO.jpg`, `signal`,
`table DATA.csv --target COLUMN`, `digits`, `harmonics`, or `CONFIG.toml`."""


def _description() -> str:
    lines = [f"`spectralbias spectrum {name}`: {kernel.meaning}." for name, kernel in KERNELS.items()]
    return _DESCRIPTION.format(kernels="\n\n".join(lines))


def main(name: str, arguments: list[str]) -> None:
    """The spectrum of the kernel of this name."""
    kernel = KERNELS[name]
    options_here = [*_COMMON[:2], *kernel.options, *_COMMON[2:]]
    known = [option for option, _, _ in options_here]
    _refuse_foreign(name, arguments, known)
    options: Any = parse(
        options_type(options_here),
        arguments,
        prog=f"spectralbias spectrum {name}",
        known=known,
        description=_description(),
    )
    path = picture_path(options.output, name)
    from ..report import spectrum_figure
    from ..spectra import sphere_spectrum

    spectrum = sphere_spectrum(kernel.make(options), options.dim, options.max_degree)
    write(spectrum_figure(spectrum), path)  # pyright: ignore[reportArgumentType]
    settings = {option: getattr(options, option) for option, _, _ in [*_COMMON[:2], *kernel.options]}
    data = {"kernel": name, **settings, **_numbers(spectrum), "words": _words(spectrum)}
    columns, rows = _table(spectrum, data["degrees"])
    show(data, columns, rows, path, as_json=options.json)


def _refuse_foreign(name: str, arguments: list[str], known: list[str]) -> None:
    """An `InputError` for an option that another kernel has."""
    for given in arguments:
        option = given.split("=")[0].lstrip("-").replace("-", "_")
        owners = [other for other, kernel in KERNELS.items() if option in [o for o, _, _ in kernel.options]]
        if given.startswith("--") and owners and option not in known:
            raise InputError(
                f"`--{option.replace('_', '-')}` is not an option of the kernel `{name}`: it belongs to "
                f"{' and '.join(f'`{owner}`' for owner in owners)}"
            )


def _numbers(spectrum: "SphereSpectrum") -> dict[str, Any]:
    """The spectrum as plain data."""
    from ..report._spectrum_pictures import power_law, shifted

    logs, shares = spectrum.log_eigenvalues, spectrum.energies / spectrum.trace
    largest = float(np.max(logs))
    totals = np.cumsum(shares)
    laws = {"even": power_law(spectrum, "even"), "odd": power_law(spectrum, "odd")}
    return {
        "trace_check": spectrum.trace_check()._asdict(),
        "largest_eigenvalue": math.exp(largest),
        "learning_rate": math.exp(-largest),
        "effective_rank": {kind: spectrum.effective_rank(kind) for kind in ("trace", "entropy", "participation")},
        "decay": {
            parity: None if law is None else {**law._asdict(), "variable": shifted(spectrum.dim)}
            for parity, law in laws.items()
        },
        "theory": {
            parity: None if law is None else {**law._asdict(), "variable": shifted(spectrum.dim)}
            for parity, law in zip(("even", "odd"), spectrum.asymptotes, strict=True)
        },
        "status": spectrum.status.name,
        "method": spectrum.method,
        "precision": spectrum.precision,
        "degrees": [
            {
                "degree": int(degree),
                "multiplicity": spectrum.multiplicities[i],
                "eigenvalue": float(spectrum.eigenvalues[i]),
                "log_eigenvalue": number_or_none(logs[i]),
                "share": float(shares[i]),
                "cumulative_share": float(totals[i]),
                "steps": steps_from_log(float(logs[i]) - largest)[1],
                "error": number_or_none(spectrum.errors[i]),
                "method": spectrum.methods[i],
            }
            for i, degree in enumerate(spectrum.degrees)
        ],
    }


# A longer table shows its beginning, and then ever fewer rows.
_ROWS = 45


def _table(spectrum: "SphereSpectrum", degrees: list[dict[str, Any]]) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Columns and rows: degrees with a positive eigenvalue."""
    logs = spectrum.log_eigenvalues
    positive = np.flatnonzero(np.isfinite(logs))
    if len(positive) > _ROWS:
        first = positive[: _ROWS // 2]
        later = np.geomspace(len(first), len(positive) - 1, _ROWS - len(first)).round().astype(int)
        positive = np.unique(np.concatenate([first, positive[later]]))
    several = len({spectrum.methods[i] for i in positive}) > 1
    titles = ["degree", "harmonics", "eigenvalue", "share of κ(1)", "so far", "steps to 1/e", "error"]
    columns = [(title, "right") for title in titles] + ([("computed by", "left")] if several else [])
    largest, rows = float(np.max(logs)), []
    for i in positive:
        row = degrees[i]
        rows.append(
            [
                f"{row['degree']:,}",
                _count(row["multiplicity"]),
                from_log(float(logs[i]), 6),
                f"{100 * row['share']:.3g} %",
                f"{100 * row['cumulative_share']:.4g} %",
                steps_from_log(float(logs[i]) - largest)[0],
                f"{row['error']:.0e}" if row["error"] is not None else "?",
                *([row["method"]] if several else []),
            ]
        )
    return columns, rows


def _count(value: int) -> str:
    """An exact integer, or its leading digits."""
    return f"{value:,}" if value < 10**7 else from_log(math.log(value), 3)


def _words(spectrum: "SphereSpectrum") -> list[str]:
    """What the spectrum means."""
    from ..report._spectrum_pictures import power_law, shifted

    logs = spectrum.log_eigenvalues
    largest = float(np.max(logs))
    words = [_times(logs, largest)]
    zero = np.isneginf(logs) & (spectrum.errors == 0)
    if zero.any():
        which = _degrees([int(k) for k in spectrum.degrees[zero]], spectrum.max_degree)
        words.append(f"{which} the eigenvalue 0: never learned, in any number of steps.")
    unknown = np.isneginf(logs) & ~zero
    if unknown.any():
        which = _degrees([int(k) for k in spectrum.degrees[unknown]], spectrum.max_degree)
        words.append(f"{which} eigenvalues that are too small for the precision of this kernel: not known.")
    for parity in ("even", "odd"):
        law = power_law(spectrum, parity)
        if law is not None:
            shift = spectrum.dim / 2 - 1
            twice = times_from_log(-law.exponent * math.log((law.last + shift) / (law.last / 2 + shift)))
            words.append(
                f"From degree {law.first:,} to {law.last:,} the eigenvalues of {parity} degrees fall like "
                f"{shifted(spectrum.dim)}^{law.exponent:.2f}: degree {law.last:,} takes {twice} times as long "
                f"as degree {law.last // 2:,}."
            )
    exponents = sorted({law.exponent for law in spectrum.asymptotes if law is not None})
    if exponents:
        powers = " or ".join(f"{shifted(spectrum.dim)}^{exponent:g}" for exponent in exponents)
        words.append(f"As the degree grows, theory says, they fall like {powers}.")
    check = spectrum.trace_check()
    words.append(
        f"The degrees up to {spectrum.max_degree:,} hold {100 * check.partial / check.trace:.4g} % of the trace κ(1) = "
        f"{check.trace:.6g}. The effective rank, trace over largest eigenvalue, is {spectrum.effective_rank():.3g}: so "
        "many modes would hold all of the trace if they were equally fast."
    )
    words.append(f"Computed by: {spectrum.method}. Precision: {spectrum.precision}.")
    return words


def _times(logs: np.ndarray, largest: float) -> str:
    """How long some low degrees take, against the lowest of 1 or more."""
    known = [k for k in range(1, len(logs)) if math.isfinite(logs[k])]
    shown = [k for k in known if k in (1, 2, 4, 8)] or known[:3]
    rate = f"At the learning rate 1/λ_max = {math.exp(-largest):.3g}"
    if not shown:
        return f"{rate}, degree 0 takes one step; no other degree here has a positive eigenvalue."
    times = [steps_from_log(float(logs[k]) - largest)[0] for k in shown]
    steps = [
        f"degree {k} takes {time} {'step' if time == '1' else 'steps'}" for k, time in zip(shown, times, strict=True)
    ]
    said = f"{rate}, {', '.join(steps)}."
    if len(shown) > 1 and logs[shown[0]] > logs[shown[-1]]:
        ratio = times_from_log(float(logs[shown[0]] - logs[shown[-1]]))
        said += f" So degree {shown[-1]} takes {ratio} times as long as degree {shown[0]}."
    return said


def _degrees(degrees: list[int], max_degree: int) -> str:
    """Some of the degrees up to the highest as the beginning of a sentence."""
    first = degrees[0]
    if len(degrees) == 1:
        return f"Degree {first:,} has"
    if degrees == list(range(first, max_degree + 1)):
        return f"The degrees from {first:,} on have"
    if len(degrees) > 2 and degrees == list(range(first, max_degree + 1, 2)):
        return f"{'Odd' if first % 2 else 'Even'} degrees from {first:,} on have"
    return f"The degrees {', '.join(f'{degree:,}' for degree in degrees[:6])}{', …' if len(degrees) > 6 else ''} have"
