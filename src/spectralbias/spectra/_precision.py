"""mpmath's working precision is one number for the whole process."""

import contextlib
import threading
from collections.abc import Iterator

import mpmath

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def working_bits(bits: int) -> Iterator[None]:
    """`mpmath.workprec`, one thread at a time: two would compute with each other's precision, and leave it behind."""
    with _ONE_AT_A_TIME, mpmath.workprec(bits):
        yield
