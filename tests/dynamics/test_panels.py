"""Quadrature in time, against integrals of exponentials in closed form and sums over every step."""

import numpy as np
import pytest

from spectralbias.dynamics._panels import damped_integrals, driven_recursion, lagrange, step_panels, time_panels

RATES = np.array([0.0, 1e-6, 0.01, 0.3, 1.0, 4.7, 20.0])


@pytest.mark.parametrize("end", [0.01, 1.0, 300.0, 1e5])
@pytest.mark.parametrize("source", [0.0, 0.02, 0.3, 2.5, 13.0, 40.0])
def test_a_decay_damped_by_another(end, source):
    panels = time_panels(end, 1 / RATES[-1])
    times = np.concatenate([[0.0], np.geomspace(end / 1e4, end, 57)])
    values = np.exp(-source * panels.nodes)[:, None] * np.ones(len(RATES))
    found = damped_integrals(panels, values, RATES, times)
    gap = source - RATES
    t = times[:, None]
    # (e^(-λt) - e^(-μt))/(μ - λ), with no cancellation.
    growth = np.where(gap == 0, t, -np.expm1(-np.abs(gap) * t) / np.where(gap == 0, 1, np.abs(gap)))
    exact = np.exp(-np.minimum(RATES, source) * t) * growth
    assert found.shape == (58, 7)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11 * exact.max())


def test_there_are_few_nodes():
    assert len(time_panels(1000.0, 1.0).nodes) < 200
    assert len(step_panels(10**6).nodes) < 320


def test_panels_cover_the_time():
    for end in (0.3, 7.0, 1e3):
        panels = time_panels(end, 1.0)
        assert (panels.edges[0], panels.edges[-1]) == (0, end)
        assert np.all(np.diff(panels.edges) > 0)
        assert np.all(np.diff(panels.nodes) > 0)
        for begin, stop, nodes in panels:
            assert begin < panels.nodes[nodes][0]
            assert panels.nodes[nodes][-1] < stop


@pytest.mark.parametrize("steps", [1, 5, 64, 65, 100, 1000, 54321])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_whole_and_distinct(steps, momentum):
    panels = step_panels(steps, momentum)
    assert np.all(panels.nodes % 1 == 0)
    assert np.all(np.diff(panels.nodes) > 0)
    assert (panels.nodes[0], panels.edges[-1]) == (0, steps)
    assert panels.nodes[-1] < steps
    every = step_panels(steps, momentum, every=True)
    assert every.is_complete
    np.testing.assert_array_equal(every.nodes, np.arange(steps))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_driven_recursion_between_the_nodes(momentum):
    """Against the recursion written out with the source known at every step."""
    eta, steps = 0.05, 3000
    source_rates = np.array([0.0, 0.001, 0.02, 0.3, 2.0, 10.0])

    def q(s):
        return np.stack([np.exp(-eta * mu * s / (1 - momentum)) for mu in source_rates]).sum(axis=0)

    rates = np.array([0.0, 0.01, 1.0, 15.0, 20.0])
    panels = step_panels(steps, momentum)
    assert not panels.is_complete
    at = np.array([0, 1, 2, 50, 777, 2999, 3000])
    found = driven_recursion(panels, q(panels.nodes)[:, None] * np.ones(5), rates, at, eta, momentum)
    d = np.zeros((steps + 1, 5))
    for s in range(steps):
        d[s + 1] = (1 + momentum - eta * rates) * d[s] - momentum * (d[s - 1] if s else 0) + eta * q(s)
    np.testing.assert_allclose(found, d[at], rtol=0, atol=1e-11 * np.abs(d).max())


def test_lagrange_polynomials_reproduce_polynomials():
    rng = np.random.default_rng(0)
    nodes, at = np.sort(rng.uniform(50, 90, 12)), rng.uniform(50, 90, 30)
    at[3] = nodes[5]
    exact = np.polynomial.Polynomial(rng.standard_normal(8), domain=[50, 90])
    np.testing.assert_allclose(lagrange(nodes, at) @ exact(nodes), exact(at), atol=1e-7)
    np.testing.assert_array_equal(lagrange(nodes, nodes), np.eye(12))
