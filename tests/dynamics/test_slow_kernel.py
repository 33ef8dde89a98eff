"""The integrator of a kernel that moves slowly: against systems with closed solutions, and recursions written out.

In one dimension r' = -θ r and θ' = -c r conserve θ² - 2 c r, which leaves a Riccati equation with hyperbolic solutions.
Many of them in a rotated basis make a matrix with a spectrum over five decades.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spectralbias.dynamics._slow_kernel import integrate

RTOLS = [1e-3, 1e-6, 1e-10]


def riccati(theta, push, r, t):
    """r(t) and θ(t) of r' = -θ r, θ' = -c r: elementwise."""
    end = np.sqrt(theta**2 - 2 * push * r)
    shrinks = push * r > 0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        inside = np.arctanh(np.where(shrinks, end / theta, theta / end))
        z = end * t / 2 + inside
        left = np.where(shrinks, end**2 / (2 * push * np.sinh(z) ** 2), -(end**2) / (2 * push * np.cosh(z) ** 2))
        return left, end * np.where(shrinks, 1 / np.tanh(z), np.tanh(z))


@pytest.mark.parametrize("rtol", RTOLS)
@pytest.mark.parametrize("push", [0.3, -2.0, 0.499])
def test_one_residual_and_its_kernel(push, rtol):
    times = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, 60)])
    found = integrate(
        np.array([3.0]), np.array([[1.0]]), np.array([2.0]), lambda r, R: (-push * r[:, None], None), times,
        rtol=rtol, keep_theta=True,
    )  # fmt: skip
    r, theta = riccati(1.0, push, 1.0, times)
    np.testing.assert_allclose(found.outputs[:, 0] - 2, r, rtol=0, atol=rtol)
    # θ adds up errors of r for a time 1/θ(∞), and they feed back for as long.
    np.testing.assert_allclose(np.ravel(found.thetas), theta, rtol=0, atol=rtol * (20 + 1 / theta[-1] ** 2))
    assert found.reached == times[-1]
    assert found.evaluations < 25 * np.log2(1e5) * (2 - np.log10(rtol)) / 4


@pytest.mark.parametrize("rtol", RTOLS)
def test_a_rate_of_second_order(rtol):
    """θ' = -c r + d r R makes θ and f polynomials of R, and R' = r an equation in R alone."""
    c, d, times = 0.8, 1.1, np.concatenate([[0.0], np.geomspace(1e-2, 300, 30)])
    found = integrate(
        np.array([1.5]), np.array([[2.0]]), np.array([0.0]), lambda r, R: ((-c * r + d * r * R)[:, None], None), times,
        rtol=rtol, keep_theta=True,
    )  # fmt: skip

    def f(R):
        return 1.5 - (2 * R - c * R**2 / 2 + d * R**3 / 6)

    exact = solve_ivp(lambda _, R: f(R), (0, 300), [0.0], "Radau", t_eval=times, rtol=1e-12, atol=1e-14).y[0]
    np.testing.assert_allclose(found.outputs[:, 0], f(exact), rtol=0, atol=1.5 * rtol)
    np.testing.assert_allclose(np.ravel(found.thetas), 2 - c * exact + d * exact**2 / 2, rtol=0, atol=10 * rtol)


def rotated(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def many_modes(n=24, *, least=-0.6, most=0.45):
    """A kernel that is diagonal in a fixed basis, with eigenvalues of Θ/n over five decades, and test points."""
    rng = np.random.default_rng(1)
    vectors = rotated(n)
    values, r0 = np.geomspace(1e-5, 1, n)[::-1], rng.standard_normal(n)
    pushes = rng.uniform(least, most, n) * values**2 / np.abs(r0) * np.sign(r0)
    reader = rng.standard_normal((3, n)) / n  # Θ(test, x) = B Θ(x, x), so that f on the test points follows

    def rate(r, R):
        matrix = -(vectors * (pushes * (vectors.T @ r))) @ vectors.T * n
        return np.concatenate([matrix, reader @ matrix]), None

    theta = (vectors * values) @ vectors.T * n
    y, f_test = rng.standard_normal(n), rng.standard_normal(3)
    f0 = np.concatenate([vectors @ r0 + y, f_test])
    return vectors, values, pushes, r0, reader, rate, np.concatenate([theta, reader @ theta]), y, f0


@pytest.mark.parametrize("rtol", RTOLS)
def test_many_modes_and_test_points_for_a_long_time(rtol):
    vectors, values, pushes, r0, reader, rate, theta0, y, f0 = many_modes()
    times = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 40)])
    found = integrate(f0, theta0, y, rate, times, rtol=rtol, keep_theta=True)
    c, moved = riccati(values, pushes, r0, times[:, None])
    r, scale = c @ vectors.T, np.linalg.norm(r0)
    # The kernel of every mode moves by 5 to 50 %.
    assert np.median(np.abs(moved[-1] / values - 1)) > 0.1
    errors = np.linalg.norm(found.outputs[:, : len(y)] - y - r, axis=1) / scale
    assert errors.max() < rtol
    tests = f0[len(y) :] + (r - r[0]) @ reader.T
    assert np.abs(found.outputs[:, len(y) :] - tests).max() < rtol * scale
    kernel = np.stack([(vectors * one) @ vectors.T for one in moved]) * len(y)
    assert np.abs(np.stack(found.thetas)[:, : len(y)] - kernel).max() < 50 * rtol * np.abs(kernel).max()
    # λ_min at the ends of panels.
    ends = riccati(values, pushes, r0, found.ends[:, None])[1].min(axis=1)
    np.testing.assert_allclose(found.smallest, ends, rtol=0, atol=50 * rtol * values[0])
    # An explicit solver would need some 1e5 steps.
    assert found.evaluations < 1500


def test_a_kernel_that_does_not_move_is_exact():
    vectors, values, _, r0, reader, _, theta0, y, f0 = many_modes()
    times = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 40)])
    found = integrate(f0, theta0, y, None, times, rtol=1e-6)
    r = np.exp(-np.outer(times, values)) * r0 @ vectors.T
    np.testing.assert_allclose(found.outputs[:, : len(y)] - y, r, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.outputs[:, len(y) :], f0[len(y) :] + (r - r[0]) @ reader.T, rtol=0, atol=1e-11)
    assert found.evaluations == 0


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
def test_a_kernel_that_moves_in_a_moment_halves_the_panels(rtol):
    """θ = 1 + tanh(κ (R - 1))/2: as R passes 1 the kernel changes within a small part of a panel."""
    steepness, times = 20.0, np.concatenate([[0.0], np.geomspace(0.1, 300, 30)])

    def kernel(R):
        return 1 + np.tanh(steepness * (R - 1)) / 2

    def rate(r, R):
        return (steepness * r / (2 * np.cosh(steepness * (R - 1)) ** 2))[:, None], None

    start = kernel(0.0)
    found = integrate(np.array([1.5]), np.array([[start]]), np.array([0.0]), rate, times, rtol=rtol)

    def moving(t, state):
        r, R = state
        return [-kernel(R) * r, r]

    exact = solve_ivp(moving, (0, 300), [1.5, 0.0], "Radau", t_eval=times, rtol=1e-12, atol=1e-14).y[0]
    assert np.abs(found.outputs[:, 0] - exact).max() < 3 * rtol
    smooth = integrate(np.array([1.5]), np.array([[start]]), np.array([0.0]), None, times, rtol=rtol)
    assert len(found.ends) > len(smooth.ends) + 4
    # Behind the moment, panels grow again.
    assert np.diff(found.ends)[-2] > 10


# ---- gradient descent


def recursion(f, theta, y, rate, steps, eta):
    """f ← f - (η/n) Θ r + direct and Θ ← Θ + η rate, at every step."""
    n, R, outputs, thetas = len(y), np.zeros(len(y)), [f], [theta]
    for _ in range(steps):
        r = f[:n] - y
        moving, direct = rate(r, R)
        f = f - eta / n * theta @ r + (0.0 if direct is None else direct)
        theta, R = theta + eta * moving, R + eta * r
        outputs.append(f)
        thetas.append(theta)
    return np.stack(outputs), np.stack(thetas)


@pytest.mark.parametrize("largest", [0.3, 1.0, 1.6, 1.9])
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-9])
def test_gradient_descent_step_by_step(largest, rtol):
    """Largest η λ: above 1 residuals change their sign at every step, which no polynomial follows."""
    vectors, values, _, _, reader, rate, theta0, y, f0 = many_modes(least=0.0, most=0.45 if largest <= 1 else 0.05)
    rate = with_direct(rate, reader, vectors, values)
    at = np.array([0, 1, 2, 3, 7, 20, 55, 150, 400, 1000, 3000])
    exact, thetas = recursion(f0, theta0, y, rate, at[-1], largest)
    found = integrate(f0, theta0, y, rate, at * largest, rtol=rtol, keep_theta=True, learning_rate=largest)
    scale = np.linalg.norm(f0[: len(y)] - y)
    assert np.linalg.norm((found.outputs - exact[at])[:, : len(y)], axis=1).max() < 1.5 * rtol * scale
    assert np.abs(found.outputs - exact[at]).max() < 1.5 * rtol * scale
    assert np.abs(np.stack(found.thetas) - thetas[at]).max() < 50 * rtol * np.abs(theta0).max()
    if largest == 0.3:
        assert found.evaluations < 700


def with_direct(rate, reader, vectors, values):
    """The same rates, and a contribution of every step to f."""

    def both(r, R):
        direct = 0.03 * vectors @ (values * (vectors.T @ r)) ** 2
        return rate(r, R)[0], np.concatenate([direct, reader @ direct])

    return both


def test_steps_that_grow_are_followed_until_they_overflow():
    rate = lambda r, R: (-0.01 * r[:, None], None)  # noqa: E731
    found = integrate(
        np.array([1.0]), np.array([[2.5]]), np.array([0.0]), rate, np.array([0.0, 10.0, 5000.0]), rtol=1e-6,
        learning_rate=1.0,
    )  # fmt: skip
    assert found.reached < 5000
    assert np.isnan(found.outputs[-1, 0])
    still = integrate(
        np.array([1.0]), np.array([[2.5]]), np.array([0.0]), None, np.array([0.0, 10.0, 5000.0]), rtol=1e-6,
        learning_rate=1.0,
    )  # fmt: skip
    assert still.outputs[1, 0] == pytest.approx(1.5**10)
    assert np.isnan(still.outputs[2, 0])
    assert still.reached < 5000


# ---- ends


def test_what_diverges_ends_where_it_does():
    """θ² - 2 c r < 0: θ = w tan(…) falls through 0 and to minus infinity in a finite time."""
    push, times = 2.0, np.linspace(0, 3, 31)
    found = integrate(
        np.array([1.0]), np.array([[1.0]]), np.array([0.0]), lambda r, R: (-push * r[:, None], None), times, rtol=1e-6
    )
    w = np.sqrt(2 * push * 1.0 - 1.0)
    pole = 2 / w * (np.arctan(1 / w) + np.pi / 2)
    assert 0.8 * pole < found.reached < pole
    reached = times < found.reached
    angle = np.arctan(1 / w) - w * times[reached] / 2
    exact = (w**2 / np.cos(angle) ** 2) / (2 * push)
    inside = reached & (times < 0.7 * pole)
    np.testing.assert_allclose(found.outputs[inside, 0], exact[inside[reached]], rtol=1e-4)
    assert np.all(np.isnan(found.outputs[times > pole, 0]))
    assert found.smallest[-1] < 0 < found.smallest[0]


def test_the_ends_of_panels_are_reported():
    seen = []
    found = integrate(
        np.array([1.0]), np.array([[1.0]]), np.array([0.0]), lambda r, R: (-0.1 * r[:, None], None),
        np.array([0.0, 7.3]), rtol=1e-6, progress=seen.append,
    )  # fmt: skip
    assert seen == list(found.ends[1:])
    assert (found.ends[0], found.ends[-1]) == (0, 7.3)
    assert found.thetas == []
    assert np.all(np.diff(found.ends) > 0)


def test_nothing_left_to_learn():
    found = integrate(
        np.array([2.0]), np.array([[1.0]]), np.array([2.0]), lambda r, R: (-r[:, None], None), np.array([0.0, 5.0]),
        rtol=1e-6,
    )  # fmt: skip
    np.testing.assert_array_equal(found.outputs, [[2.0], [2.0]])
