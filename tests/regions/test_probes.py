"""Probes of regions and confusion during a training, against the measures at the models themselves."""

import jax
import numpy as np
import pytest

from spectralbias import dynamics, models, problems, regions

STEPS, PAIRS = (0, 3, 8), np.array([[0, 1], [2, 9], [4, 20], [7, 7]])


@pytest.fixture(scope="module")
def run():
    problem = problems.signal(frequencies=(1.0, 3.0), num_samples=24, key=jax.random.key(0))
    model = models.coordinate_network(1, "scalar", width=12, depth=2, key=jax.random.key(1))
    probes = {
        "patterns": dynamics.Probe(regions.probes.pattern_probe(PAIRS), STEPS),
        "confusion": dynamics.Probe(regions.probes.confusion_probe(PAIRS[:3]), STEPS),
        "models": dynamics.Probe(lambda m, x, y, step: [layer.weight for layer in m.layers], STEPS),
        "biases": dynamics.Probe(lambda m, x, y, step: [layer.bias for layer in m.layers], STEPS),
    }
    return problem, dynamics.train(model, problem.x, problem.y, learning_rate=0.1, steps=8, probes=probes)


def test_patterns_against_a_forward_pass_by_hand(run):
    problem, trajectory = run
    found = trajectory.records["patterns"]
    assert trajectory.record_steps["patterns"].tolist() == list(STEPS)
    for t in range(len(STEPS)):
        h, active = problem.x, []
        for l in range(2):
            z = h @ trajectory.records["models"][l][t] + trajectory.records["biases"][l][t]
            active.append(z > 0)
            h = np.maximum(z, 0)
        differ = np.array([[np.sum(a[i] != a[j]) for a in active] for i, j in PAIRS])
        np.testing.assert_allclose(found["hamming"][t], differ.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found["same_region"][t], np.mean(differ.sum(axis=1) == 0), rtol=1e-12)
        assert found["num_distinct"][t] == len({tuple(row) for row in np.hstack(active).tolist()})
        assert found["dead"][t].tolist() == [int(np.sum(~a.any(axis=0))) for a in active]


def test_confusion_against_gradients_by_hand(run):
    problem, trajectory = run
    found = trajectory.records["confusion"]
    for t in range(len(STEPS)):
        weights = [w[t] for w in trajectory.records["models"]]
        biases = [b[t] for b in trajectory.records["biases"]]

        def loss(weights, biases, x, y):
            for w, b in zip(weights[:-1], biases[:-1], strict=True):
                x = jax.nn.relu(x @ w + b)
            return ((x @ weights[-1] + biases[-1])[0] - y) ** 2

        def gradient(i, weights=weights, biases=biases, loss=loss):
            leaves = jax.tree.leaves(jax.grad(loss, (0, 1))(weights, biases, problem.x[i], problem.y[i]))
            return np.concatenate([leaf.ravel() for leaf in leaves])

        pairs = [(gradient(i), gradient(j)) for i, j in PAIRS[:3]]
        cosines = np.array([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])
        np.testing.assert_allclose(found["mean_abs"][t], np.abs(cosines).mean(), rtol=1e-9)
        np.testing.assert_allclose(found["share_negative"][t], np.mean(cosines < 0), rtol=1e-12)


def test_pairs_that_are_out_of_range_are_refused(run, refuses):
    problem, trajectory = run
    probe = regions.probes.pattern_probe([[0, 24]])
    with refuses("24"):
        probe(trajectory.model, problem.x, problem.y, 0)
