import math

import numpy as np
import pytest

from spectralbias.spectra import effective_rank
from spectralbias.spectra._effective_rank import from_logarithms

KINDS = ("trace", "entropy", "participation")


def by_definition(eigenvalues, kind):
    """One eigenvalue at a time, in plain Python."""
    total = math.fsum(eigenvalues)
    if kind == "trace":
        return total / max(eigenvalues)
    if kind == "participation":
        return total**2 / math.fsum(v * v for v in eigenvalues)
    return math.exp(-math.fsum(v / total * math.log(v / total) for v in eigenvalues if v > 0))


@pytest.mark.parametrize("kind", KINDS)
def test_multiplicities_stand_for_repeated_eigenvalues(kind):
    eigenvalues, multiplicities = np.array([0.02, 3.0, 0.7, 0.0]), (4, 1, 3, 6)
    repeated = np.repeat(eigenvalues, multiplicities).tolist()
    expected = pytest.approx(by_definition(repeated, kind), rel=1e-13)
    assert effective_rank(eigenvalues, multiplicities, kind=kind) == expected
    assert effective_rank(repeated, kind=kind) == expected
    assert effective_rank(1e-200 * eigenvalues, np.array(multiplicities), kind=kind) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_equal_eigenvalues_count_themselves(kind):
    assert effective_rank([0.3] * 7 + [0.0] * 5, kind=kind) == pytest.approx(7, rel=1e-13)
    assert effective_rank([0.3], [7], kind=kind) == pytest.approx(7, rel=1e-13)


def test_the_three_agree_with_numbers_worked_out_by_hand():
    # p = 1/2, 1/4, 1/4: entropy 3/2 log 2.
    assert effective_rank([2.0, 1.0, 1.0]) == pytest.approx(2.0)
    assert effective_rank([2.0, 1.0, 1.0], kind="entropy") == pytest.approx(2**1.5)
    assert effective_rank([2.0, 1.0, 1.0], kind="participation") == pytest.approx(16 / 6)


@pytest.mark.parametrize("kind", KINDS)
def test_multiplicities_beyond_float64(kind):
    huge = 10**400
    # Each of the two levels holds half of the trace; for the trace and the participation ratio the first decides.
    logs = np.array([0.0, -400 * math.log(10)])
    counts = np.array([0.0, 400 * math.log(10)])
    expected = {"trace": 2.0, "participation": 4.0, "entropy": 2 * 10.0**200}[kind]
    assert from_logarithms(logs, counts, kind=kind) == pytest.approx(expected, rel=1e-10)
    assert effective_rank([1e-250], [10**300], kind=kind) == pytest.approx(1e300, rel=1e-10)
    assert effective_rank([1.0], [huge], kind=kind) == math.inf


def test_rounding_errors_of_a_gram_count_as_zero():
    assert effective_rank([1.0, 1.0, -1e-9]) == pytest.approx(2.0)


def test_what_has_no_effective_rank_is_refused(refuses):
    with refuses("no positive value"):
        effective_rank([0.0, 0.0])
    with refuses("no positive value"):
        effective_rank([])
    with refuses("no positive value"):
        effective_rank([1.0, 0.0], [0, 3])
    with refuses("`eigenvalues`", "-0.1"):
        effective_rank([1.0, -0.1])
    with refuses("`eigenvalues`", "nan"):
        effective_rank([1.0, np.nan])
    with refuses("`multiplicities`", "2", "3"):
        effective_rank([1.0, 0.5], [1, 1, 1])
    with refuses("`multiplicities`", "0.5"):
        effective_rank([1.0, 0.5], [1, 0.5])
    with refuses("`multiplicities`", "-1"):
        effective_rank([1.0, 0.5], [1, -1])
    with refuses("unknown kind", "`entropi`", "`entropy`"):
        effective_rank([1.0], kind="entropi")
