"""The bound of Theorem 4.2, against trainings whose every number is known."""

import numpy as np
import pytest

from spectralbias import dynamics

# Orthogonal functions on 4 points with mean square 1.
PHI = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], float).T


def training(eigenvalues, coefficients, steps, learning_rate):
    """Residuals of gradient descent by the recursion r ← r - η Θ r/n, step by step."""
    gram = (PHI * eigenvalues) @ PHI.T
    r, seen = PHI @ coefficients, []
    for step in range(steps[-1] + 1):
        if step in steps:
            seen.append(r)
        r = r - learning_rate * gram @ r / len(r)
    return np.array(seen)


def test_left_and_allowed_are_those_of_the_theorem():
    eigenvalues, coefficients, steps = np.array([0.8, 0.3, 0.05, 0.0]), np.array([3.0, -2.0, 1.0, 5.0]), [0, 1, 4, 20]
    r = training(eigenvalues, coefficients, steps, 0.5)
    bound = dynamics.decay_bound(r, PHI[:, :2], eigenvalues[:2], steps=steps, learning_rate=0.5, next_eigenvalue=0.05)
    for i, step in enumerate(steps):
        assert bound.left[i] == pytest.approx(np.hypot(3 * 0.6**step, 2 * 0.85**step))
        assert bound.allowed[i] == pytest.approx(2 * 0.85**step * np.sqrt(13))
    assert bound.epsilon == 0
    assert bound.eigenvalue == 0.3


def test_epsilon_is_the_smallest_that_is_enough():
    eigenvalues = np.array([0.8, 0.3, 0.05, 0.0])
    steps = list(range(30))
    r = training(eigenvalues, np.ones(4), steps, 0.5)
    too_fast = dynamics.decay_bound(r, PHI[:, :2], [0.8, 0.8], steps=steps, learning_rate=0.5)
    excess = [np.hypot(0.6**s, 0.85**s) - 2 * 0.6**s * np.sqrt(2) for s in steps]
    assert too_fast.epsilon == pytest.approx(max(excess))
    assert max(excess) > 0.1
    # What is never learned shows at once in a cut that retains it.
    r[:, :] += 0.25 * PHI[:, 0]
    offset = dynamics.decay_bound(r, PHI[:, :2], eigenvalues[:2], steps=steps, learning_rate=0.5)
    assert 0.2 < offset.epsilon < 0.25


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": [1, 2]}, ["steps", "0"]),
        ({"steps": [0, 2, 3]}, ["residuals", "(3, 4)"]),
        ({"eigenvalues": [0.5]}, ["eigenvalues", "2"]),
        ({"next_eigenvalue": 0.3}, ["next_eigenvalue", "0.3"]),
        ({"learning_rate": 4.0}, ["learning_rate", "1.2"]),
        ({"learning_rate": -1.0}, ["learning_rate", "-1"]),
        ({"residuals": [[np.nan] * 4] * 2}, ["residuals", "nan"]),
        ({"functions": PHI[:, 0]}, ["functions", "rank 2"]),
    ],
)
def test_bad_input(changed, words, refuses):
    given = {"residuals": np.ones((2, 4)), "functions": PHI[:, :2], "eigenvalues": [0.8, 0.3], "steps": [0, 1]}
    given |= {"learning_rate": 0.5} | changed
    with refuses(*words):
        dynamics.decay_bound(**given)
