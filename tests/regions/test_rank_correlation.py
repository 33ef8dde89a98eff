"""Rank correlations against ranks by hand."""

import numpy as np

from spectralbias import regions


def ranks(values):
    """Average ranks, written out."""
    return np.array([np.sum(values < v) + (np.sum(values == v) + 1) / 2 for v in values])


def test_against_pearson_of_ranks_by_hand():
    rng = np.random.default_rng(0)
    speeds = rng.normal(size=(4, 5, 3))
    by_band = np.round(speeds + rng.normal(size=speeds.shape), 1)  # with ties
    by_network = rng.normal(size=(4, 5))
    found = regions.rank_correlations(speeds, {"kernel": by_band, "regions": by_network}, resamples=0)

    def rho(a, b):
        return np.corrcoef(ranks(a.ravel()), ranks(b.ravel()))[0, 1]

    spread = np.repeat(by_network[:, :, None], 3, axis=2)
    np.testing.assert_allclose(found.overall, [rho(speeds, by_band), rho(speeds, spread)], rtol=1e-12)
    for b in range(3):
        expected = [rho(speeds[..., b], by_band[..., b]), rho(speeds[..., b], by_network)]
        np.testing.assert_allclose(found.per_band[:, b], expected, rtol=1e-12)
    within = [rho(speeds[g, t], by_band[g, t]) for g in range(4) for t in range(5)]
    np.testing.assert_allclose(found.across_bands, [np.mean(within), np.nan], rtol=1e-12)
    assert np.isnan(found.interval).all()


def test_the_interval_is_of_configurations_and_holds_what_is_certain():
    rng = np.random.default_rng(1)
    speeds = rng.normal(size=(12, 6, 4))
    found = regions.rank_correlations(speeds, {"same": 3 * speeds + 1, "nothing": rng.normal(size=(12, 6, 4))})
    np.testing.assert_allclose(found.interval[0], [1, 1])
    low, high = found.interval[1]
    assert low < 0 < high
    assert high - low < 0.4


def test_values_that_are_not_finite_are_left_out():
    speeds = np.arange(12.0).reshape(2, 3, 2)
    speeds[0, 0, 0] = np.nan
    found = regions.rank_correlations(speeds, {"same": np.arange(12.0).reshape(2, 3, 2)})
    assert found.counts.tolist() == [11]
    np.testing.assert_allclose(found.overall, [1.0])
    constant = regions.rank_correlations(speeds, {"one": np.ones((2, 3))})
    assert np.isnan(constant.overall).all()


def test_what_is_refused(refuses):
    with refuses("`speeds`", "(2, 2)"):
        regions.rank_correlations(np.ones((2, 2)), {"a": np.ones((2, 2))})
    with refuses("'a'", "(2, 3)"):
        regions.rank_correlations(np.ones((2, 2, 2)), {"a": np.ones((2, 3))})
    with refuses("`quantities`"):
        regions.rank_correlations(np.ones((2, 2, 2)), {})
