"""A wide network and a target in the top eigenspaces: the bound on the training error."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics, spectra
from .._figures import INK, MUTED, THEORY, band, legend, panels, unordered
from .._statistics import decide
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import DIM, double_precision, inputs, kernel, network, single_precision, sphere_eigenvalues, target

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# The kernel is expanded up to this degree for the eigenvalues of its Gram.
LAST = 8


class LowComplexity(Settings, frozen=True, kw_only=True):
    """A target that the first eigenspaces hold, nearly.

    Attributes:
        activation: of the network.
        cut: the last degree that P keeps.
        outside: amplitude of the part beyond, which ε' accounts for.
        num_samples: n.
        width: m, of each of the two opposite copies.
        learning_rate: η.
        steps: of gradient descent.
        delta: the bound has probability 1 - 3δ.
        other_degree: learn a harmonic of this degree instead, with ε' = 0: the negative control.
    """

    activation: str = "softplus"
    cut: int = 0
    outside: float = 0.02
    num_samples: int = 2000
    width: int = 256
    learning_rate: float = 0.2
    steps: int = 40
    delta: float = 0.05
    other_degree: int | None = None

    @property
    def degrees(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Degrees and amplitudes of the target."""
        if self.other_degree is not None:
            return (self.other_degree,), (1.0,)
        inside = tuple(range(self.cut + 1))
        return (*inside, self.cut + 2), (*((len(inside) ** -0.5,) * len(inside)), self.outside)


@functools.lru_cache(maxsize=128)
def _train(settings: LowComplexity, seed: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Times, n^(-1/2)‖r_t‖, n^(-1/2)‖y‖, and λ_k of the Gram."""
    x = inputs(settings.num_samples, seed)
    y = target(x, seed, *settings.degrees)
    with single_precision():
        trajectory = dynamics.train(
            network(settings.activation, settings.width, seed), x, y, learning_rate=settings.learning_rate,
            steps=settings.steps, record=range(settings.steps + 1),
        )  # fmt: skip
    # K^∞ = Σ σ Y Y over harmonics: the eigenvalues of its Gram over n are those of a small matrix, if what lies beyond
    # the last degree is left out, which can only lower them.
    rates = np.repeat(
        sphere_eigenvalues(settings.activation, LAST), [spectra.multiplicity(k, DIM) for k in range(LAST + 1)]
    )
    functions = spectra.spherical_harmonics(range(LAST + 1), x) * np.sqrt(rates)
    eigenvalues = np.linalg.eigvalsh(functions.T @ functions / len(x))
    return (
        trajectory.times,
        np.sqrt(2 * trajectory.loss),
        float(np.linalg.norm(y) / np.sqrt(len(y))),
        float(eigenvalues[-((settings.cut + 1) ** 2)]),
    )


def measure(settings: LowComplexity) -> dict[str, np.ndarray]:
    """Both sides of the bound, (seeds, T), with ε = 0, and what the bound asks for."""
    eigenvalues = sphere_eigenvalues(settings.activation, settings.cut + 1)
    with double_precision():
        kappa = float(kernel(settings.activation).profile(1.0, dim=DIM)) ** 0.5
    degrees, amplitudes = settings.degrees
    # |Y| ≤ √N(dim, k) for a harmonic of unit norm.
    outside = settings.outside * spectra.multiplicity(degrees[-1], DIM) ** 0.5 if settings.other_degree is None else 0.0
    left, bounds, times = [], [], np.zeros(0)
    for seed in settings.seeds:
        times, seen, target_norm, gram_eigenvalue = _train(settings, seed)
        left.append(seen)
        bounds.append(
            dynamics.low_complexity_bound(
                times, gram_eigenvalue=gram_eigenvalue, eigenvalue=eigenvalues[settings.cut],
                next_eigenvalue=eigenvalues[settings.cut + 1], kappa=kappa, target_norm=target_norm,
                function_norm=float(np.linalg.norm(amplitudes)), num_samples=settings.num_samples, outside=outside,
                delta=settings.delta,
            )
        )  # fmt: skip
    one = bounds[0]
    return {
        "times": times,
        "left": np.stack(left),
        "right": np.stack([found.right for found in bounds]),
        "parts": np.array([one.sampling, one.outside]),
        "samples": np.array([one.num_samples, one.samples_needed]),
        "probability": np.array(one.probability),
        "parameters": np.array(2 * (settings.width * (DIM + 2) + 1)),
    }


def judge(numbers: Numbers) -> Verdict:
    """No training exceeds its bound, and there are enough samples."""
    ratios = numbers["left"] / numbers["right"]
    n, needed = numbers["samples"]
    sampling, outside = numbers["parts"]
    holds = bool(np.all(ratios <= 1) and n >= needed)
    end = float(np.median(numbers["left"][:, -1]))
    return Verdict(
        decide(holds, len(ratios)),
        f"n^(-1/2)‖r_t‖ is at most {ratios.max():.2f} of its bound at any time and in any of {len(ratios)} "
        f"repetitions, with n = {n:,.0f} samples ({needed:,.0f} are asked for) and ε = 0. At the end {end:.2g} is "
        f"left; the bound's constant part is {sampling + outside:.2g}.",
        (
            ("largest ratio of the two sides", f"{ratios.max():.3f}"),
            ("samples, asked for", f"{n:,.0f}, {needed:,.0f}"),
            ("parameters", f"{int(numbers['parameters']):,}"),
            ("sampling term, outside term", f"{sampling:.3g}, {outside:.3g}"),
            ("probability of the bound", f"{float(numbers['probability']):.2f}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Both sides of the bound against time."""
    times, (sampling, outside) = numbers["times"], numbers["parts"]
    with panels(1, width=4.4, height=2.9) as (drawn, (ax,)):
        band(ax, times, numbers["left"], unordered(1)[0], "measured")
        ax.plot(times, np.median(numbers["right"], axis=0), color=INK, label="bound, ε = 0", **THEORY)
        ax.axhline(sampling + outside, color=MUTED, linewidth=0.7, dashes=(1, 2), label="its constant part")
        ax.set(yscale="log", xlabel="time t", ylabel="$n^{-1/2}\\,\\|r_t\\|$", xlim=(0, times[-1]))
        legend(ax, loc="best")
    return drawn


_FAST = LowComplexity()

STUDIES = (
    Study(
        "bowman-low-complexity",
        "Bowman & Montúfar 2022, over-parameterized theorem for targets of low complexity",
        "n^(-1/2)‖r_t‖ ≤ e^(−λ_k t) n^(-1/2)‖y‖ + 4κ‖f*‖√(10 log(2/δ))/((σ_k − σ_{k+1})√n) + 2ε' + ε for a target that "
        "the first k eigenfunctions hold up to ε', whatever the small eigenvalues are.",
        "The left-hand side is at most the right-hand side with ε = 0 and δ = 0.05 at every recorded time, in every "
        "repetition, with as many samples as the theorem asks for.",
        fast=_FAST,
        paper=msgspec.structs.replace(
            _FAST, activation="gelu", cut=1, num_samples=60_000, width=512, learning_rate=0.5, steps=30
        ),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "a harmonic of degree 6 as the target, and ε' = 0",
            lambda settings: msgspec.structs.replace(settings, other_degree=6),
        ),
        note="f* is a constant and 0.02 of a harmonic of degree 2; the larger setting has degrees 0 and 1, and 0.02 of "
        "degree 3, with more samples than parameters: the theorem's width does not depend on n. The constants are as "
        "we recall them. Most of the bound is its sampling term, which is far from tight: the gap σ_k − σ_{k+1} "
        "enters the samples squared, so that degree 2 would ask for millions of them. λ_k is that of the kernel up to "
        "degree 8.",
    ),
)
