"""Small runs shared by the tests of this room."""

import jax
import pytest

from small_runs import SMALL_SPHERE, small_config
from spectralbias import problems, runs


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run on the sphere."""
    config = small_config(problem=SMALL_SPHERE, model={"width": 512})
    return runs.execute(config, directory=tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def sphere_problem():
    return problems.harmonics(dim=5, num_samples=80, num_test=40, key=jax.random.key(3))
