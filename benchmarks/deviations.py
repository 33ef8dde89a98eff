"""Damped deviations on a population: 1000 training points, a pool of 1000, width 1024, 100 recorded times, float64.

Each training is a process of its own, from the first import to the parts of the deviation, whose peak memory is read at
the end. The cost of recording is against the same training without, in one process, compiled before.
"""

import json
import resource
import subprocess
import sys
import time

import jax
import numpy as np
from _common import save

from spectralbias import dynamics, kernels, models, problems

N, POOL, WIDTH, DIM, RECORDS = 1000, 1000, 1024, 10, 100
END, RATE, STEPS, LONG = 100.0, 0.1, 1000, 2000


def setting():
    """A target of three degrees on the sphere, and the network of Bowman and Montúfar."""
    problem = problems.harmonics(dim=DIM, degrees=(1, 2, 4), num_samples=N, num_test=POOL, key=jax.random.key(0))
    model = models.bowman_network(DIM, WIDTH, activation="tanh", key=jax.random.key(1))
    return model, problem, dynamics.KernelRecorder(problem.x_test, problem.y_test)


def flow(record_kernel=True):
    model, problem, recorder = setting()
    times = np.concatenate([[0.0], np.geomspace(0.01, END, RECORDS - 1)])
    return dynamics.gradient_flow(model, problem.x, problem.y, times, record_kernel=record_kernel and recorder)


def descent(record_kernel=True, steps=STEPS):
    model, problem, recorder = setting()
    record = sorted({0, *np.geomspace(1, steps, 3 * RECORDS).astype(int).tolist()})
    record = [record[i] for i in np.linspace(0, len(record) - 1, RECORDS).astype(int)]
    return dynamics.train(
        model, problem.x, problem.y, learning_rate=RATE, steps=steps, record=record,
        record_kernel=record_kernel and recorder,
    )  # fmt: skip


WAYS = {
    "gradient flow": flow,
    f"gradient descent, {STEPS} steps": descent,
    f"gradient descent, {LONG} steps": lambda record_kernel=True: descent(record_kernel, LONG),
}


def whole(way):
    """One analysis from start to end, in this process."""
    started = time.perf_counter()
    trajectory = WAYS[way]()
    trained = time.perf_counter()
    found = dynamics.damped_deviations(trajectory, kernels.bowman_kernel("tanh"))
    print(
        json.dumps(
            {
                "training_s": trained - started,
                "deviations_s": time.perf_counter() - trained,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
                "recorded": len(found.times),
                "nodes": len(trajectory.kernel_path.nodes),
                "relative_identity_error": found.relative_identity_error,
                "status": found.status.value,
            }
        )
    )


def ratio(way):
    """Time with recording over time without, one after the other; the first turn compiles."""
    for _ in range(2):
        spent = {}
        for recorded in (True, False):
            started = time.perf_counter()
            WAYS[way](recorded)
            spent[recorded] = time.perf_counter() - started
    return {"ratio": spent[True] / spent[False], "with_s": spent[True], "without_s": spent[False]}


def main():
    results, bars = {}, {}
    for way in WAYS:
        started = time.perf_counter()
        done = subprocess.run([sys.executable, __file__, way], capture_output=True, check=True)
        results[way] = {**json.loads(done.stdout.splitlines()[-1]), "process_s": time.perf_counter() - started}
        seconds, peak = results[way]["process_s"], results[way]["peak_gb"]
        bars[f"{way}: under 180 s"] = seconds, 180, seconds < 180
        bars[f"{way}: under 4 GB"] = peak, 4, peak < 4
    costs = {way: ratio(way) for way in list(WAYS)[1:]}
    return save("deviations", bars, processes=results, cost_of_recording=costs)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    sys.exit(whole(sys.argv[1]) if len(sys.argv) > 1 else main())
