"""Small runs shared by the tests of this room."""

import jax
import msgspec
import pytest

from spectralbias import problems, runs


def small_config(kind="harmonics", *, problem=None, model=None, training=None, analysis=None, **rest):
    """A configuration that finishes in a second or two."""
    base = msgspec.to_builtins(runs.default_config(kind, **(problem or {})))
    base["model"] |= {"width": 128, **(model or {})}
    base["training"] |= {"steps": 300, "chunk_steps": 50, **(training or {})}
    base["analysis"] |= analysis or {}
    return msgspec.convert(base | rest, runs.Config)


SMALL_SPHERE = {"dim": 5, "num_samples": 80, "num_test": 40}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run on the sphere."""
    config = small_config(problem=SMALL_SPHERE, model={"width": 512})
    return runs.execute(config, directory=tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def sphere_problem():
    return problems.harmonics(dim=5, num_samples=80, num_test=40, key=jax.random.key(3))
