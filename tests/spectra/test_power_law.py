import numpy as np
import pytest

from spectralbias import kernels
from spectralbias.spectra import dim_exponent, sphere_spectrum
from spectralbias.spectra._power_law import fit_power_law


def test_a_straight_line_is_found_with_its_scatter():
    rng = np.random.default_rng(0)
    log_x = np.linspace(0, 5, 40)
    fits = [fit_power_law(range(40), log_x, 2 - 3 * log_x + 0.1 * rng.standard_normal(40)) for _ in range(400)]
    slopes = np.array([fit.exponent for fit in fits])
    assert np.mean(slopes) == pytest.approx(-3, abs=0.003)
    # The stated error is the spread that repetition shows.
    assert np.mean([fit.stderr for fit in fits]) == pytest.approx(slopes.std(), rel=0.1)
    exact = fit_power_law(range(40), log_x, 2 - 3 * log_x)
    assert exact.stderr < 1e-12
    assert exact.log_prefactor == pytest.approx(2)


@pytest.mark.parametrize("dim", [2, 3, 5, 10])
def test_in_the_degree_relu_kernels_decay_with_the_power_dim(dim):
    fit = sphere_spectrum(kernels.cao_kernel(), dim, 2000).decay_exponent()
    assert fit.exponent == pytest.approx(-dim, abs=1e-3)
    assert (fit.first, fit.last) == (500, 2000)
    deep = sphere_spectrum(kernels.infinite_ntk(3), dim, 2000)
    for parity in ("even", "odd"):
        assert deep.decay_exponent(parity=parity).exponent == pytest.approx(-dim, abs=2e-2)


def test_two_orders_of_the_arc_cosine_kernels_differ_by_two():
    import functools

    smooth = sphere_spectrum(functools.partial(kernels.arc_cosine, degree=1), 4, 1000).decay_exponent()
    assert smooth.exponent == pytest.approx(-6, abs=1e-3)
    rough = sphere_spectrum(functools.partial(kernels.arc_cosine, degree=0), 4, 1000).decay_exponent(parity="odd")
    assert rough.exponent == pytest.approx(-4, abs=1e-3)


@pytest.mark.parametrize(("degree", "power"), [(0, 0), (1, -1), (2, -2), (4, -4), (6, -6), (8, -8)])
def test_in_the_dim_the_power_is_the_degree(degree, power):
    fit = dim_exponent(kernels.cao_kernel(), degree, [3000, 10_000, 30_000, 100_000])
    # Corrections are of order degree²/dim.
    assert fit.exponent == pytest.approx(power, abs=0.01)
    assert abs(fit.exponent - (1 - degree)) > 0.9 or degree < 2


def test_impossible_fits_are_refused(refuses):
    spectrum = sphere_spectrum(kernels.cao_kernel(), 3, 8)
    with refuses("3", "odd"):
        spectrum.decay_exponent(2, 8, "odd")
    with refuses("`first`", "`last`"):
        spectrum.decay_exponent(5, 3)
    with refuses("`last`", "9"):
        spectrum.decay_exponent(1, 9)
    with refuses("parity", "evn", "even"):
        spectrum.decay_exponent(1, 8, "evn")
    with refuses("`dims`", "increasing"):
        dim_exponent(kernels.cao_kernel(), 2, [10, 20])
    with refuses("degree 3", "0"):
        dim_exponent(kernels.cao_kernel(), 3, [10, 20, 30])
