"""What is stored of a problem comes back."""

import jax
import numpy as np
import pytest

from spectralbias import problems
from spectralbias.runs._store import load_problem, save_problem

KEY = jax.random.key(3)


@pytest.mark.parametrize(
    "measure",
    [
        problems.Sphere(4),
        problems.PiecewiseSphere(4, (0.2, 0.5, 0.3), edges=(-0.3, 0.4), direction=[1.0, 2.0, 0.0, -1.0]),
        problems.AnisotropicSphere.random(4, key=KEY),
        problems.MixtureSphere.random(4, 2, key=KEY),
    ],
    ids=lambda measure: type(measure).__name__,
)
def test_the_measure_of_the_inputs(measure, tmp_path):
    problem = problems.ridge(np.abs, measure=measure, degrees=(2,), num_samples=20, num_test=5, key=KEY)
    save_problem(tmp_path, problem)
    found = load_problem(tmp_path)
    assert type(found.measure) is type(measure)
    np.testing.assert_allclose(found.measure.density(problem.x), measure.density(problem.x), rtol=1e-12)
    np.testing.assert_array_equal(found.measure.sample(5, key=KEY).round(12), measure.sample(5, key=KEY).round(12))
    np.testing.assert_array_equal(found.y, problem.y)
