from contextlib import contextmanager

import jax
import pytest

from spectralbias._core.errors import InputError


@pytest.fixture
def key():
    return jax.random.key(7)


@pytest.fixture
def refuses():
    """A context in which an `InputError` must be raised, in one line that contains the given words."""

    @contextmanager
    def check(*words):
        with pytest.raises(InputError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 600
        assert [word for word in words if str(word) not in message] == [], message

    return check
