import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias._core.checks import finite_array, positive, same_samples, samples_and_outputs
from spectralbias._core.errors import InputError, unknown
from spectralbias._core.names import ACTIVATIONS, OPTIMIZERS, PARAMETERIZATIONS


@pytest.mark.parametrize(
    "value", [[1, 2], (True, False), np.float32([1.5]), jnp.arange(3), np.arange(3, dtype=np.uint8)]
)
def test_numbers_become_float64(value):
    array = finite_array("x", value)
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, np.asarray(value))


@pytest.mark.parametrize(
    ("value", "ndim", "words"),
    [
        ([[1.0], [1.0, 2.0]], None, ("rows of different lengths",)),
        (["1", "2"], None, ("real numbers",)),
        ([1j], None, ("real numbers", "complex")),
        ([None], None, ("real numbers", "object")),
        ([1.0], 2, ("rank 2", "(1,)")),
        ([[[1.0]]], (1, 2), ("rank 1 or 2", "(1, 1, 1)")),
        ([[1.0, 2.0], [3.0, np.nan]], None, ("nan", "(1, 1)", "impute")),
        ([1.0, -np.inf], None, ("-inf", "(1,)")),
    ],
)
def test_what_is_not_a_finite_array_is_refused(value, ndim, words, refuses):
    with refuses("`data`", *words):
        finite_array("data", value, ndim=ndim)


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_only_positive_numbers_pass(value, refuses):
    with refuses("`scale`", value):
        positive("scale", value)
    positive("scale", 1e-300)


def test_rows_must_pair_up(refuses):
    same_samples(np.zeros((3, 2)), np.zeros(3))
    with refuses("`x_test`", "`y_test`", "3", "4"):
        same_samples(np.zeros((3, 2)), np.zeros(4), ("x_test", "y_test"))


def test_residuals_get_an_axis_of_outputs(refuses):
    assert samples_and_outputs(np.zeros((7, 5)), 5, ()).shape == (7, 5, 1)
    assert samples_and_outputs(np.zeros((7, 5, 2)), 5, (2,)).shape == (7, 5, 2)
    assert samples_and_outputs(np.zeros(5), 5, ()).shape == (5, 1)
    for wrong in ((6,), (5, 1), ()):
        with refuses("`residuals`", "(5,)", wrong):
            samples_and_outputs(np.zeros(wrong), 5, ())
    with refuses("(5, 2)"):
        samples_and_outputs(np.zeros((2, 5)), 5, (2,))


def test_an_unknown_name_is_answered_with_close_ones():
    assert str(unknown("optimizer", "addam", OPTIMIZERS)).startswith("unknown optimizer `addam`: did you mean `adam`")
    far = str(unknown("activation", "xyz", ACTIVATIONS))
    assert "unknown activation `xyz`" in far
    assert all(name in far for name in ACTIVATIONS)
    assert "… (40 in all)" in str(unknown("thing", "?", [f"name{i:02d}" for i in range(40)]))
    assert isinstance(unknown("thing", 3, ["a"]), InputError)
    assert issubclass(InputError, ValueError)


def test_names_are_listed_once_and_in_order():
    for names in (ACTIVATIONS, OPTIMIZERS):
        assert list(names) == sorted(set(names))
    assert len(set(PARAMETERIZATIONS)) == len(PARAMETERIZATIONS)


def test_the_foundation_and_the_package_import_without_jax():
    code = (
        "import sys, spectralbias; from spectralbias import kernels, dynamics;"
        "import spectralbias._core.names, spectralbias._core.checks, spectralbias._core.gegenbauer;"
        "sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
