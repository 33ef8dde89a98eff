"""Gradient confusion: do two samples pull the parameters in the same direction?"""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, PyTree

from .._core.checks import finite_array, real_array, whole
from .._core.errors import InputError, unknown
from ..kernels._plan import checked_inputs, plan
from ._losses import LOSSES
from ._pair_products import Products, Samples, pair_products

LossName = Literal["squared", "cross_entropy"]

# |cos| above which two gradients count as parallel.
PARALLEL = 0.9

# Percentiles of a summary, in per cent.
LEVELS = (5.0, 25.0, 50.0, 75.0, 95.0)


class GradientPairs(eqx.Module):
    """Inner products of the loss gradients of pairs of samples, what `gradient_pairs` returns.

    Attributes:
        pairs: the samples (i, j), (p, 2).
        inner: ⟨∇ℓ_i, ∇ℓ_j⟩ over all parameters, (p,).
        norms: ‖∇ℓ_i‖ and ‖∇ℓ_j‖, (p, 2).
        cosines: inner/(norms), between -1 and 1, (p,); nan where a gradient is zero.
        loss: the loss ℓ.
        method: "each sample once" or "pair by pair": how often samples were differentiated.
        precision: the dtype of the computation.
    """

    pairs: np.ndarray
    inner: Float[np.ndarray, " p"]
    norms: Float[np.ndarray, "p 2"]
    cosines: Float[np.ndarray, " p"]
    loss: str = eqx.field(static=True)
    method: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)


def gradient_pairs(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike | Sequence[float],
    pairs: ArrayLike | Sequence[Sequence[int]],
    *,
    loss: LossName = "squared",
    batch_size: int | None = None,
) -> GradientPairs:
    """Inner products, norms and cosines of the loss gradients ∇_θ ℓ_i, ∇_θ ℓ_j of pairs of samples.

    A step that lowers the loss of sample j by its gradient changes that of sample i by -η ⟨∇ℓ_i, ∇ℓ_j⟩: where the
    product is negative, learning one unlearns the other, and where |cos| is near 1 the network cannot move one without
    the other. With a scalar output and squared error ⟨∇ℓ_i, ∇ℓ_j⟩ = r_i r_j Θ_ij, so that the cosine is that of the
    kernel with the signs of the residuals.

    For a layer z = W h + b with δ = ∂ℓ/∂z the part of the product is (h_i·h_j + 1) (δ_i·δ_j): one forward and one
    backward pass to the δ, and no gradient of the size of the parameters. What is no matrix product, convolution or
    lookup is treated by its explicit gradient, as in `empirical_ntk`.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,), or a module from `from_torch`.
        x: inputs (n, dim), or (n, *input_shape).
        y: targets: the shape of the outputs, (n,) or (n, c), for `"squared"`; classes 0 … c - 1, (n,), for
            `"cross_entropy"`.
        pairs: numbers (i, j) of samples, (p, 2); samplers are in `regions.pairs`.
        loss: `"squared"` is ℓ = (1/2) Σ_c (f_c - y_c)² of one sample, not divided by n; `"cross_entropy"` is
            ℓ = -log softmax(f)_y. A factor on the loss changes `inner` and `norms`, and no cosine.
        batch_size: samples that are differentiated at a time; chosen by the size of the cache by default.

    Returns:
        `GradientPairs`, with `.inner` (p,), `.norms` (p, 2), `.cosines` (p,).

    Raises:
        InputError: pairs that are no (p, 2) array of numbers of samples, or none; targets of another shape than the
            outputs; classes that do not exist; an unknown loss; inputs, targets or gradients that are not finite.

    Cost and precision:
        About 2 forward passes of all samples in pairs, and one pass over h and δ of each pair. A sample in several
        pairs is differentiated once where the h and δ of all samples fit into 512 MiB. In the dtype of the parameters;
        the size of a residual is split off before its gradient is squared, so that no residual is too small.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import models, regions
        >>> x = np.linspace(0, 1, 8)[:, None]
        >>> model = models.MLP(1, "scalar", 64, 2, key=jax.random.key(0))
        >>> found = regions.gradient_pairs(model, x, np.sin(6 * x[:, 0]), [(0, 1), (0, 7)])
        >>> found.inner.shape, found.norms.shape, found.cosines.shape
        ((2,), (2, 2), (2,))

    References:
        Lazzari & Liu 2023 (arXiv 2301.05816). Their loss is the mean over outputs, not half the sum: the cosines are
        the same.
    """
    chosen = LOSSES.get(loss)
    if chosen is None:
        raise unknown("loss", loss, LOSSES)
    if batch_size is not None:
        batch_size = whole("batch_size", batch_size, 1)
    inputs = checked_inputs(model, "x", x)
    known = plan(model, inputs)
    indices = _checked_pairs(pairs, len(inputs))
    classes = None
    if loss == "squared":
        expected = (len(inputs), *known.output_shape)
        targets = finite_array("y", y)
        if targets.shape != expected:
            raise InputError(f"`y` must have the shape of the outputs, {expected}, got {targets.shape}")
        targets = targets.astype(known.dtype)
    else:
        targets, classes = _checked_classes(y, len(inputs), known.output_shape)
    samples = Samples(model, inputs, jnp.asarray(targets), classes, chosen, known)
    products = pair_products(samples, indices, batch_size)
    _refuse_infinite(products, indices)
    lengths = np.sqrt(products.squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = np.clip(products.inner / (lengths[:, 0] * lengths[:, 1]), -1.0, 1.0)
    inner = products.inner * products.scales[:, 0] * products.scales[:, 1]
    return GradientPairs(indices, inner, lengths * products.scales, cosines, loss, products.method, str(known.dtype))


def gradient_cosine(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike | Sequence[float],
    pairs: ArrayLike | Sequence[Sequence[int]],
    *,
    loss: LossName = "squared",
    batch_size: int | None = None,
) -> Float[np.ndarray, " p"]:
    """cos(∇ℓ_i, ∇ℓ_j) of the loss gradients of pairs of samples: gradient confusion.

    Many cosines near 1 and -1 say that the network treats the two samples as one: what it learns at one it does to the
    other, wanted or not. Cosines near 0 say that it can learn them apart.

    Args:
        model: as in `gradient_pairs`.
        x: inputs (n, …).
        y: targets (n,) or (n, c); classes (n,) for cross-entropy.
        pairs: numbers (i, j) of samples, (p, 2).
        loss: `"squared"` or `"cross_entropy"`.
        batch_size: samples that are differentiated at a time.

    Returns:
        Cosines between -1 and 1, (p,); nan where a gradient is exactly zero, e.g. where a residual is.

    Raises:
        InputError: as `gradient_pairs`.

    Cost and precision:
        As `gradient_pairs`.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import models, regions
        >>> model = models.MLP(2, 3, 64, 2, key=jax.random.key(0))
        >>> cosines = regions.gradient_cosine(model, np.eye(2), [0, 2], [(0, 1), (1, 1)], loss="cross_entropy")
        >>> cosines.shape, round(float(cosines[1]), 4)
        ((2,), 1.0)

    References:
        Lazzari & Liu 2023 (arXiv 2301.05816); Sankararaman et al. 2020, The Impact of Neural Network
        Overparameterization on Gradient Confusion and Stochastic Gradient Descent.
    """
    return gradient_pairs(model, x, y, pairs, loss=loss, batch_size=batch_size).cosines


def _checked_pairs(pairs: ArrayLike | Sequence[Sequence[int]], num_samples: int) -> np.ndarray:
    """Pairs (p, 2) of numbers below `num_samples`, or an `InputError`."""
    found = real_array("pairs", pairs)
    if found.ndim != 2 or found.shape[1] != 2 or len(found) == 0:
        raise InputError(
            f"`pairs` must have shape (p, 2), one row (i, j) for each of 1 or more pairs, got {found.shape}"
        )
    if found.dtype.kind not in "iu":
        raise InputError(f"`pairs` must hold whole numbers of samples, got {found.dtype}")
    wrong = np.any((found < 0) | (found >= num_samples), axis=1)
    if np.any(wrong):
        first = int(np.argmax(wrong))
        raise InputError(
            f"`pairs` must hold numbers from 0 to {num_samples - 1}, as there are {num_samples} samples, "
            f"got {tuple(map(int, found[first]))} in row {first}"
        )
    return found.astype(np.int64)


def _checked_classes(
    y: ArrayLike | Sequence[float], num_samples: int, output_shape: tuple[int, ...]
) -> tuple[np.ndarray, int]:
    """Classes (n,) and their number, or an `InputError`."""
    if output_shape == () or output_shape[0] < 2:
        raise InputError(f"cross-entropy needs a model with 2 or more outputs, got an output of shape {output_shape}")
    found = real_array("y", y)
    if found.shape != (num_samples,):
        raise InputError(f"`y` must have shape {(num_samples,)}, one class for each sample, got {found.shape}")
    wrong = (found != np.floor(found)) | (found < 0) | (found >= output_shape[0])
    if np.any(wrong):
        first = int(np.argmax(wrong))
        raise InputError(
            f"`y` must hold classes from 0 to {output_shape[0] - 1}, as the model has {output_shape[0]} outputs, "
            f"got {found[first]} at sample {first}"
        )
    return found.astype(np.int32), output_shape[0]


def _refuse_infinite(products: Products, pairs: np.ndarray) -> None:
    """An `InputError` for gradients that are not finite."""
    wrong = ~np.isfinite(products.squares) | ~np.isfinite(products.scales)
    if np.any(wrong) or not np.all(np.isfinite(products.inner)):
        sample = int(pairs[wrong][0]) if np.any(wrong) else int(pairs[~np.isfinite(products.inner)][0, 0])
        raise InputError(
            f"the gradient at sample {sample} is not finite: the model has diverged, or its values are too large for "
            "its dtype"
        )


class ConfusionSummary(eqx.Module):
    """What the cosines of many pairs say, what `confusion_summary` returns.

    Attributes:
        mean_abs: mean |cos|: 1 where no two samples can be learned apart, 0 where all can.
        share_negative: share of pairs with cos < 0: learning one unlearns the other.
        share_parallel: share of pairs with |cos| > 0.9.
        percentiles: of the cosines at `levels`, (l,).
        levels: 5, 25, 50, 75 and 95 per cent by default.
        bound: η, the smallest number of 0 or more with ⟨∇ℓ_i, ∇ℓ_j⟩ ≥ -η for all pairs; None where only cosines are
            known.
        count: pairs with a cosine, on which all but η is based.
        num_undefined: pairs without one, because a gradient is zero.
    """

    mean_abs: float
    share_negative: float
    share_parallel: float
    percentiles: Float[np.ndarray, " l"]
    levels: tuple[float, ...]
    bound: float | None
    count: int
    num_undefined: int


def confusion_summary(
    found: GradientPairs | ArrayLike | Sequence[float], *, levels: Sequence[float] = LEVELS
) -> ConfusionSummary:
    """How much the samples of many pairs confuse each other: a few numbers for a density of cosines.

    Broad or at both ends, ±1: the network cannot learn the samples apart. A peak at 0: it can. The sign of a cosine is
    that of the two residuals where the gradients of the outputs are parallel, so that negative ones alone are not the
    measure: |cos| is.

    Args:
        found: what `gradient_pairs` returned, or cosines (p,), nan where there is none.
        levels: of the percentiles, in per cent.

    Returns:
        `ConfusionSummary`. Where no pair has a cosine, the numbers are nan and the count is 0.

    Raises:
        InputError: no pairs, cosines beyond -1 and 1, levels that are no per cent.

    Example:
        >>> from spectralbias import regions
        >>> summary = regions.confusion_summary([0.95, -0.95, 0.5, float("nan")])
        >>> summary.count, round(summary.mean_abs, 2), round(summary.share_negative, 2), summary.bound
        (3, 0.8, 0.33, None)

    References:
        Sankararaman et al. 2020, The Impact of Neural Network Overparameterization on Gradient Confusion and Stochastic
        Gradient Descent, Definition 2.1, for η.
    """
    at = finite_array("levels", levels, ndim=1)
    if np.any((at < 0) | (at > 100)):
        raise InputError(f"`levels` must be between 0 and 100 per cent, got {[*levels]}")
    known = isinstance(found, GradientPairs)
    cosines = checked_cosines(found.cosines if known else found)
    defined = cosines[~np.isnan(cosines)]
    sizes, some = np.abs(defined), len(defined) > 0
    return ConfusionSummary(
        mean_abs=float(np.mean(sizes)) if some else np.nan,
        share_negative=float(np.mean(defined < 0)) if some else np.nan,
        share_parallel=float(np.mean(sizes > PARALLEL)) if some else np.nan,
        percentiles=np.percentile(defined, at) if some else np.full(len(at), np.nan),
        levels=tuple(map(float, at)),
        bound=max(0.0, -float(np.min(found.inner))) if known else None,
        count=len(defined),
        num_undefined=len(cosines) - len(defined),
    )


def checked_cosines(cosines: ArrayLike | Sequence[float]) -> Float[np.ndarray, " p"]:
    """Cosines (p,), some of them nan, or an `InputError`."""
    found = real_array("cosines", cosines).astype(np.float64)
    if found.ndim != 1 or len(found) == 0:
        raise InputError(f"cosines must have shape (p,) with p of 1 or more, got {found.shape}")
    beyond = np.abs(found) > 1
    if np.any(beyond):
        first = int(np.argmax(beyond))
        raise InputError(f"cosines must be between -1 and 1, got {found[first]} at index {first}")
    return found
