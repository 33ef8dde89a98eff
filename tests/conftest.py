"""All tests run in float64, without implicit rank promotion, and with every annotation checked at run time.

`pyproject.toml` turns warnings into errors. JAX is set by its configuration and not by environment variables: processes
that a test starts are to behave as they do for a user.
"""

import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from hypothesis import settings
from jax.flatten_util import ravel_pytree

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# The import hook wants the name of a decorator; an int is welcome where a float is expected, as everywhere in Python.
_checker = ModuleType("spectralbias_annotation_checker")
_checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[_checker.__name__] = _checker
jaxtyping.install_import_hook("spectralbias", f"{_checker.__name__}.check")

# Compiling takes seconds the first time: no deadline. Derandomized: a failure is the same for everyone.
settings.register_profile("spectralbias", deadline=None, derandomize=True, max_examples=15)
settings.load_profile("spectralbias")

# Tracing makes millions of small objects that are no garbage: look through them less often.
gc.freeze()
gc.set_threshold(50_000, 20, 50)


def pytest_configure(config):
    """Keep what was compiled (most of the time of these tests) for the next session, in pytest's cache directory."""
    if not hasattr(config, "cache"):  # pytest -p no:cacheprovider
        return
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # Two workers may meet in one entry; JAX then compiles again.
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache entry")


@pytest.fixture(autouse=True, scope="module")
def _room_for_compiled_code():
    """Drop what was compiled before the kernel's limit of memory maps (65,530 a process) ends the session."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > 30_000:
        jax.clear_caches()


@pytest.fixture(scope="module")
def compiled_as_for_a_user():
    """Compile for speed, also where the pipeline asks for quick compilation, which rounds differently."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, False)
    yield
    jax.config.update(name, before)


@contextmanager
def _annotations_unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def annotations_unchecked():
    """A context without run-time checks of annotations: what a user sees, and faster."""
    return _annotations_unchecked


@pytest.fixture
def refuses():
    """A context in which an `InputError` must be raised, in one line that contains the given words.

    Annotations are not checked inside, so that it is the library's own message that is seen, as a user sees it.
    """

    @contextmanager
    def check(*words):
        from spectralbias._core.errors import InputError

        with _annotations_unchecked(), pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 600
        assert [word for word in words if str(word) not in message] == [], message

    return check


@pytest.fixture
def jacobian():
    """∂f/∂θ of shape (n, c, P), c = 1 for a scalar model: forward mode in one flat vector of parameters.

    Which leaves are parameters is decided here by name, not by `models.partition`: all floating-point arrays but the
    frequencies of Fourier features.
    """

    def explicit(model, x):
        encoding = getattr(model, "encoding", None)
        fixed = getattr(getattr(encoding, "frequencies", None), "value", None)
        leaves, structure = jax.tree.flatten(model)
        trained = [
            i
            for i, leaf in enumerate(leaves)
            if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf is not fixed
        ]
        flat, unravel = ravel_pytree([leaves[i] for i in trained])

        def outputs(theta):
            changed = list(leaves)
            for i, leaf in zip(trained, unravel(theta), strict=True):
                changed[i] = leaf
            f = jax.vmap(jax.tree.unflatten(structure, changed))(x)
            return f.reshape(len(x), -1)

        return np.asarray(jax.jit(jax.jacfwd(outputs))(flat))

    return explicit
