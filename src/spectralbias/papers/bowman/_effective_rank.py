"""Spectra of the NTK at the start on real pictures: few large eigenvalues, for a shallow network and for LeNet-5."""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from ... import kernels, models, problems, spectra
from ..._core.errors import InputError
from .._figures import MUTED, band, legend, panels, unordered
from .._statistics import all_of, decide, interval, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import double_precision, keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("trace", "entropy", "participation")
# The figure shows as many eigenvalues as that of the paper.
SHOWN = 1000
# What is asked: effective rank over n, and the eigenvalue in the middle over the largest.
LOW, SMALL = 0.05, 0.01


class Pictures(Settings, frozen=True, kw_only=True):
    """Networks at their initialization, each on pictures of its own.

    Attributes:
        num_samples: n; fewer where there are not so many.
        width: m, of the shallow network.
        data: files of the user, in place of scikit-learn's digits.
        white_noise: white noise in place of pictures, with 2n pixels: a negative control.
        orthogonal: gradients of the same lengths that are orthogonal, in place of the network's: a negative control.
    """

    num_samples: int = 200
    width: int = 400
    data: str = ""
    white_noise: bool = False
    orthogonal: bool = False


class Spectrum(NamedTuple):
    """Eigenvalues of Θ/n, with and without the constant function, and the squared lengths of the gradients."""

    eigenvalues: np.ndarray
    centered: np.ndarray
    lengths: np.ndarray


def spectrum_of(gram: np.ndarray) -> Spectrum:
    """The eigenvalues of a Gram over n, and those of the Gram of f less its mean over the samples."""
    means = gram.mean(axis=0)
    centered = gram - means - means[:, None] + means.mean()
    found = (np.linalg.eigvalsh(matrix)[::-1] / len(gram) for matrix in (gram, centered))
    return Spectrum(*found, lengths=np.diagonal(gram).copy())


def _digits(num_samples: int, seed: int) -> np.ndarray:
    """Pictures of 8 x 8 pixels in [0, 1], drawn at random."""
    from sklearn.datasets import load_digits

    pixels = np.asarray(load_digits(return_X_y=True)[0]) / 16
    return pixels[np.random.default_rng(seed).permutation(len(pixels))[:num_samples]]


def shallow_pictures(num_samples: int, data: str, seed: int) -> np.ndarray:
    """Pixels in [0, 1], (n, pixels): of CIFAR-10 where its files are given."""
    if not data:
        return _digits(num_samples, seed)
    return problems.cifar10(data, max_samples=num_samples, key=keys(seed)[0]).x


def lenet_pictures(num_samples: int, data: str, seed: int) -> np.ndarray:
    """Pictures (n, 1, 32, 32) in [0, 1]: of MNIST where its files are given."""
    import jax

    x = problems.mnist(data, max_samples=num_samples, key=keys(seed)[0]).x if data else _digits(num_samples, seed)
    side = math.isqrt(x.shape[1])
    if side**2 != x.shape[1]:
        raise InputError(f"the pictures in {data!r} must be square, got {x.shape[1]} pixels")
    with double_precision():
        return np.asarray(jax.image.resize(x.reshape(-1, 1, side, side), (len(x), 1, 32, 32), "bilinear"))


def shallow_gram(x: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Θ of the shallow network at its initialization."""
    with double_precision():
        model = models.bowman_network(x.shape[1], width, activation="softplus", antisymmetric=False, key=keys(seed)[1])
        return np.asarray(kernels.empirical_ntk(model, x))


def lenet_gram(x: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Θ of one output of LeNet-5 at its initialization: the rows of the other outputs have no influence on it."""
    with double_precision():
        return np.asarray(kernels.empirical_ntk(models.lenet5(num_outputs="scalar", key=keys(seed)[1]), x))


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).random(shape)


# A study and its control look at the same networks.
@functools.lru_cache(maxsize=256)
def _spectra(lenet: bool, num_samples: int, width: int, data: str, white_noise: bool, seed: int) -> list[Spectrum]:
    """On pictures, and on white noise of their shape."""
    gram = lenet_gram if lenet else shallow_gram
    x = (lenet_pictures if lenet else shallow_pictures)(num_samples, data, seed)
    noise = _noise(x.shape, seed)
    if white_noise:
        x = _noise((len(x), 2 * len(x)), seed)
    return [spectrum_of(gram(pictures, width, seed)) for pictures in (x, noise)]


def measure(lenet: bool) -> Callable[[Pictures], dict[str, np.ndarray]]:
    """Eigenvalues over the largest, (seeds, n), their effective ranks (seeds, kinds), and those on white noise."""

    def look(settings: Pictures) -> dict[str, np.ndarray]:
        s = settings
        found = [_spectra(lenet, s.num_samples, s.width, s.data, s.white_noise, seed) for seed in s.seeds]
        pictures, noise = zip(*found, strict=True)
        if s.orthogonal:
            pictures = [spectrum_of(np.diag(one.lengths)) for one in pictures]
        numbers = {
            "num_samples": np.array(len(pictures[0].eigenvalues)),
            "from_files": np.array(int(bool(s.data))),
            "changed": np.array(int(s.white_noise or s.orthogonal)),
        }
        for name, several in (("", pictures), ("noise_", noise)):
            for part in ("eigenvalues", "centered"):
                values = np.stack([getattr(one, part) for one in several])
                numbers[f"{name}{part}"] = values / values[:, :1]
                numbers[f"{name}{part}_ranks"] = np.array(
                    [[spectra.effective_rank(one, kind=kind) for kind in KINDS] for one in values]
                )
        return numbers

    return look


def judge(numbers: Numbers) -> Verdict:
    """The effective rank is a small part of n, also without the constant function, and eigenvalues fall steeply."""
    n = int(numbers["num_samples"])
    enough = decide(True, len(numbers["eigenvalues"]))
    whole, rest = (interval(numbers[f"{part}_ranks"][:, 0]) for part in ("eigenvalues", "centered"))
    middles = [interval(numbers[part][:, n // 2]) for part in ("eigenvalues", "centered")]
    source = "negative control" if numbers["changed"] else "your files" if numbers["from_files"] else "digits"
    noise = np.mean(numbers["noise_centered_ranks"][:, 0])
    return Verdict(
        all_of(
            enough,
            *(within(rank, 0, LOW * n) for rank in (whole, rest)),
            *(within(one, 0, SMALL) for one in middles),
        ),
        f"On n = {n:,} samples ({source}) Tr Θ/λ_max is {whole.value:.2f}, and {rest.value:.1f} without the constant "
        f"function, {100 * rest.value / n:.1f} % of n. The eigenvalue in the middle is {middles[0].value:.2g} and "
        f"{middles[1].value:.2g} of the largest. On white noise {noise:.1f} is left without the constant function.",
        (
            ("Tr Θ/λ_max", whole.text(2)),
            ("Tr Θ/λ_max, without the constant function", rest.text(2)),
            ("share of the largest eigenvalue", f"{100 * np.mean(1 / numbers['eigenvalues_ranks'][:, 0]):.1f} %"),
            *(
                (f"{kind} rank, and without the constant function", " and ".join(
                    f"{np.mean(numbers[f'{part}_ranks'][:, KINDS.index(kind)]):.2f}"
                    for part in ("eigenvalues", "centered")
                ))
                for kind in KINDS[1:]
            ),
            ("eigenvalue in the middle over the largest", " and ".join(f"{one.value:.2g}" for one in middles)),
            ("Tr Θ/λ_max on white noise of the same shape, without the constant function", f"{noise:.2f}"),
        ),
    )  # fmt: skip


def figure(numbers: Numbers) -> "Figure":
    """Eigenvalues over the largest, in order, with and without the constant function; the band is that of the seeds."""
    n = int(numbers["num_samples"])
    what = ("negative control" if numbers["changed"] else "pictures", "white noise")
    lowest = 1.0
    with panels(2, height=2.9) as (drawn, axes):
        for ax, part, title, count in (
            (axes[0], "eigenvalues", "Θ", n), (axes[1], "centered", "Θ without the constant function", n - 1),
        ):  # fmt: skip
            shown = min(SHOWN, count)
            for name, color, label in (("noise_", MUTED, what[1]), ("", unordered(1)[0], what[0])):
                values, ranks = numbers[f"{name}{part}"][:, :shown], numbers[f"{name}{part}_ranks"][:, 0]
                lowest = min(lowest, np.quantile(values[:, -1], 0.1, method="inverted_cdf"))
                band(ax, np.arange(1, shown + 1), values, color, f"{label}, Tr/$\\lambda_1$ = {np.mean(ranks):.3g}")
            ax.set(yscale="log", xlabel="eigenvalue i", title=title, xlim=(1, shown))
            legend(ax, loc="upper right")
        for ax in axes:
            ax.set_ylim(max(lowest / 2, 1e-12), 20)
        axes[0].set_ylabel("$\\lambda_i/\\lambda_1$")
    return drawn


_CRITERION = (
    "With its 95 % interval over repetitions the mean of Tr Θ/λ_max is at most 5 % of n, of Θ and of Θ without the "
    "constant function (f less its mean over the samples); and in both the eigenvalue in the middle is at most 1 % of "
    "the largest."
)
_FAST = Pictures()
_PAPER = msgspec.structs.replace(_FAST, num_samples=2000, width=4000)

STUDIES = (
    Study(
        "bowman-effective-rank-shallow",
        "Bowman & Montúfar 2022 (arXiv 2206.02927), NTK spectrum of a shallow network",
        "At its start the NTK of a shallow softplus network on real pictures has a low effective rank: few eigenvalues "
        "carry its trace, and the others fall off steeply.",
        _CRITERION,
        fast=_FAST,
        paper=_PAPER,
        measure=measure(lenet=False),
        judge=judge,
        figure=figure,
        control=Control(
            "white noise with twice as many pixels as there are samples, in place of pictures",
            lambda settings: msgspec.structs.replace(settings, white_noise=True),
        ),
        note="Pixels in [0, 1], not rescaled; all parameters N(0, 1), n and m as in the paper. With `--data` it is "
        "CIFAR-10, as in the paper: the folder of its binary version; else scikit-learn's 1797 digits. Softplus is "
        "positive, so that the constant function alone has most of the trace on any inputs, on white noise, too. That "
        "is why the criterion is asked again without it: then pictures have few directions, and such noise has as many "
        "as samples. The authors' code draws the outer weights as signs, of the same limit.",
    ),
    Study(
        "bowman-effective-rank-lenet",
        "Bowman & Montúfar 2022 (arXiv 2206.02927), NTK spectrum of LeNet-5",
        "At its start the NTK of one output of LeNet-5 on real pictures has a low effective rank: few eigenvalues "
        "carry its trace, and the others fall off steeply.",
        _CRITERION,
        fast=_FAST,
        paper=_PAPER,
        measure=measure(lenet=True),
        judge=judge,
        figure=figure,
        control=Control(
            "gradients of the same lengths that are orthogonal to each other",
            lambda settings: msgspec.structs.replace(settings, orthogonal=True),
        ),
        note="Pictures of 32 x 32 pixels in [0, 1], PyTorch's default initialization. With `--data` it is MNIST, as in "
        "the paper: the folder of its files; else scikit-learn's 1797 digits, enlarged. The rank is low on white "
        "noise, too: with few channels, shared filters and ReLU the network gives all inputs similar gradients. So "
        "other inputs do not turn the verdict: gradients that keep their lengths and share no direction do.",
    ),
)
