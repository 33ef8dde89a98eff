"""What goes with the speed of learning: rank correlations over inputs, encodings, epochs and bands."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float
from scipy import stats

from .._core.checks import real_array, whole
from .._core.errors import InputError


class RankCorrelations(eqx.Module):
    """Spearman's ρ of each quantity with the measured speeds.

    Attributes:
        names: the p quantities.
        overall: over all configurations, times and bands at once, (p,).
        interval: 90 % bootstrap interval of `overall` over configurations, (p, 2).
        per_band: over configurations and times, in each band, (p, bands): does the quantity tell which network learns
            this band faster, and when?
        across_bands: of the bands of one configuration at one time, averaged over both, (p,): does it tell which band
            is learned faster? NaN for a quantity that is the same number for every band.
        counts: how many values the overall correlation is of, (p,).
    """

    names: tuple[str, ...] = eqx.field(static=True)
    overall: Float[np.ndarray, " p"]
    interval: Float[np.ndarray, "p 2"]
    per_band: Float[np.ndarray, "p bands"]
    across_bands: Float[np.ndarray, " p"]
    counts: np.ndarray


def rank_correlations(
    speeds: ArrayLike, quantities: Mapping[str, ArrayLike], *, resamples: int = 500, seed: int = 0
) -> RankCorrelations:
    """How well quantities rank the measured speed of convergence: Spearman's ρ of each with it.

    A quantity that depends on the network and on time alone, such as gradient confusion or the number of local regions,
    has the same value for all bands; a kernel's prediction has one for each. Pairs in which one of both is not finite
    are left out.

    Args:
        speeds: measured speeds, (configurations, times, bands), from `dynamics.measured_speeds`.
        quantities: name -> (configurations, times) or (configurations, times, bands).
        resamples: bootstrap samples, which draw configurations with replacement; 0 for no interval (NaN).
        seed: of the bootstrap.

    Returns:
        `RankCorrelations`; NaN where a correlation has fewer than three values, or only equal ones.

    Raises:
        InputError: shapes that do not go together, no quantity.

    Cost and precision:
        A sort per correlation and per bootstrap sample.

    Example:
        >>> import numpy as np
        >>> from spectralbias import regions
        >>> speeds = np.arange(24.0).reshape(2, 4, 3)
        >>> found = regions.rank_correlations(speeds, {"itself": speeds, "falling": -np.arange(8.0).reshape(2, 4)})
        >>> found.names, found.overall.round(2), found.across_bands
        (('itself', 'falling'), array([ 1.  , -0.99]), array([ 1., nan]))

    References:
        Lazzari & Liu 2023, whose thesis this tests: that regions, and not the NTK, capture real dynamics.
    """
    v = real_array("speeds", speeds).astype(np.float64)
    if v.ndim != 3 or v.size == 0:
        raise InputError(f"`speeds` must have shape (configurations, times, bands), got {v.shape}")
    whole("resamples", resamples, 0)
    if not quantities:
        raise InputError("`quantities` is empty: name at least one")
    found = []
    for name, given in quantities.items():
        values = real_array(name, given).astype(np.float64)
        if values.shape not in (v.shape, v.shape[:2]):
            raise InputError(f"{name!r} must have shape {v.shape[:2]} or {v.shape}, got {values.shape}")
        found.append(np.broadcast_to(values if values.ndim == 3 else values[:, :, None], v.shape))
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(v), (resamples, len(v)))

    def interval(values: np.ndarray) -> np.ndarray:
        sampled = np.array([spearman(v[draw], values[draw]) for draw in draws])
        sampled = sampled[np.isfinite(sampled)]
        return np.quantile(sampled, [0.05, 0.95]) if len(sampled) else np.full(2, np.nan)

    def across(values: np.ndarray) -> float:
        each = [spearman(a, b) for a, b in zip(v.reshape(-1, v.shape[2]), values.reshape(-1, v.shape[2]), strict=True)]
        finite = [one for one in each if np.isfinite(one)]
        return float(np.mean(finite)) if finite else np.nan

    return RankCorrelations(
        tuple(quantities),
        np.array([spearman(v, values) for values in found]),
        np.array([interval(values) for values in found]),
        np.array([[spearman(v[..., b], values[..., b]) for b in range(v.shape[2])] for values in found]),
        np.array([across(values) for values in found]),
        np.array([int(np.sum(np.isfinite(v) & np.isfinite(values))) for values in found]),
    )


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's ρ of the pairs that are finite; NaN for fewer than three, or where one of both is constant."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 3 or np.all(a == a[0]) or np.all(b == b[0]):
        return np.nan
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])
