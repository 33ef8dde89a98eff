import itertools
import math

import pytest

from spectralbias import kernels
from spectralbias.spectra import multiplicity, sphere_spectrum, theorem_requirements

SPECTRUM = sphere_spectrum(kernels.cao_kernel(), 10, 12)


def test_the_terms_of_the_theorem_by_hand():
    needed = theorem_requirements(SPECTRUM, 2, epsilon=0.2)
    mu = SPECTRUM.eigenvalues
    assert needed.degrees == (0, 1, 2)
    assert needed.num_functions == 1 + 10 + 54
    assert needed.gap == pytest.approx(mu[2] - mu[4], rel=1e-12)
    assert needed.samples_from_gap == pytest.approx(1 / (0.2 * (mu[2] - mu[4])) ** 2, rel=1e-10)
    assert needed.samples_from_functions == pytest.approx((54 * 65 / 0.2) ** 2, rel=1e-10)
    assert needed.samples == max(needed.samples_from_gap, needed.samples_from_functions)
    assert 2 * math.exp(-needed.steps * mu[2]) == pytest.approx(0.2)
    assert needed.width == pytest.approx(needed.steps / mu[2] / 0.2)


def test_higher_degrees_need_more_and_odd_ones_are_left_out():
    all_needed = [theorem_requirements(SPECTRUM, k) for k in (0, 1, 2, 4, 6, 8)]
    for smaller, larger in itertools.pairwise(all_needed):
        assert smaller.steps < larger.steps
        assert smaller.samples < larger.samples
        assert smaller.width < larger.width
    assert all_needed[-1].degrees == (0, 1, 2, 4, 6, 8)
    assert all_needed[-1].num_functions == sum(multiplicity(k, 10) for k in (0, 1, 2, 4, 6, 8))


def test_what_exceeds_float64_is_infinite():
    spectrum = sphere_spectrum(kernels.cao_kernel(), 1000, 400)
    assert theorem_requirements(spectrum, 300).samples == math.inf
    assert theorem_requirements(spectrum, 2).samples < math.inf


def test_degrees_without_an_answer_are_refused(refuses):
    with refuses("degree 3", "0"):
        theorem_requirements(SPECTRUM, 3)
    with refuses("`degree`", "12", "13"):
        theorem_requirements(SPECTRUM, 13)
    with refuses("degree 12", "`max_degree`"):
        theorem_requirements(SPECTRUM, 12)
    with refuses("`epsilon`", "1"):
        theorem_requirements(SPECTRUM, 2, epsilon=1.0)
