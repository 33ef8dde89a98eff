"""Studies do many small eigenproblems: threads of the linear algebra that wait for a busy core make them crawl."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def _one_thread_of_linear_algebra():
    with threadpool_limits(1, user_api="blas"):
        yield
