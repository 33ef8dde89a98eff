"""Exact linear regions of networks with PyTorch's initialization on [-1, 1]²: time, memory, and what is right of it.

Each network is a process of its own. The first call traces and compiles, the second does not. The baselines are in the
same process: the matrix products alone that the regions of each layer need, and one polygon after the other in plain
Python, on a smaller network. CPU seconds are those of all threads: on a busy machine they say more than the clock.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from _common import save

from spectralbias import models, regions

WIDTHS = {256: (8, 4), 512: (60, 4)}  # seconds, GB
DEPTH, SMALL, PIXELS = 4, 96, 512


def network(width):
    return models.MLP(2, "scalar", width, DEPTH, parameterization="torch", key=jax.random.key(0))


def timed(function):
    clock, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}


def matrices(model):
    return [(np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)) for layer in model.layers]


def one_by_one(model):
    """How many regions there are, with a list of polygons, each with the affine map of its layer's input."""
    weights = matrices(model)
    polygons = [(np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]), np.eye(2), np.zeros(2))]
    for w, b in weights[:-1]:
        found = []
        for corners, linear, constant in polygons:
            linear, constant = linear @ w, constant @ w + b
            values = corners @ linear + constant
            parts = [corners]
            for unit in np.flatnonzero((values.max(axis=0) > 0) & (values.min(axis=0) < 0)):
                cut = []
                for part in parts:
                    z = part @ linear[:, unit] + constant[unit]
                    if z.max() <= 1e-12 or z.min() >= -1e-12:
                        cut.append(part)
                        continue
                    sides = ([], [])
                    for p, q, a, c in zip(part, np.roll(part, -1, axis=0), z, np.roll(z, -1), strict=True):
                        sides[int(a > 0)].append(p)
                        if (a > 0) != (c > 0):
                            middle = p + a / (a - c) * (q - p)
                            sides[0].append(middle)
                            sides[1].append(middle)
                    cut += [np.array(side) for side in sides]
                parts = cut
            for part in parts:
                active = part.mean(axis=0) @ linear + constant > 0
                found.append((part, linear * active, constant * active))
        polygons = found
    return len(polygons)


def products(model, counts, batch=4096):
    """Values and two tangents of every region through the matrix behind its layer, and nothing else."""
    for (w, _), count in zip(matrices(model)[1:], counts, strict=True):
        h = np.ones((3 * batch, len(w)))
        for start in range(0, count, batch):
            h[: 3 * min(batch, count - start)] @ w


def counts_per_layer(found):
    """How many regions the first layers make: each edge of a layer's line ends one, by Euler's formula."""
    parts, layers = found.subdivision, found.segment_layers
    edges = parts.edges[found.between]
    outer = parts.edges[~found.between]
    counts = []
    for depth in range(DEPTH):
        kept = edges[layers <= depth]
        counts.append(len(kept) + len(outer) - len(np.unique(np.concatenate([kept, outer]))) + 1)
    return counts


def whole(width):
    """One network from start to end, in this process."""
    model = network(width)
    found, first = timed(lambda: regions.plane_regions(model, -1.0, 1.0))
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0]) / 1e9
    again, second = timed(lambda: regions.plane_regions(model, -1.0, 1.0))
    counts = counts_per_layer(found)
    _, bare = timed(lambda: products(model, counts))
    axis = -1 + (2 * np.arange(PIXELS) + 1) / PIXELS
    pixels = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    seen, located = timed(lambda: len(np.unique(found.locate(pixels))))
    with jax.enable_x64(True):
        precise = jax.tree.map(lambda a: jax.numpy.asarray(a, "float64"), model)
        f = np.asarray(jax.lax.map(precise, pixels, batch_size=4096))
    values = np.einsum("nd,nd->n", found.maps[found.locate(pixels), 0], np.c_[pixels, np.ones(len(pixels))])
    print(
        json.dumps(
            {
                "regions": found.count,
                "regions_of_the_first_layers": counts,
                "same_again": again.count == found.count,
                "first_call": first,
                "second_call": second,
                "matrix_products_alone": bare,
                "peak_gb": peak,
                "error_of_the_area": abs(float(found.areas.sum()) - 4),
                "euler": found.num_vertices - found.num_edges + found.count,
                "error_of_the_maps": float(np.abs(values - f).max()),
                f"regions_seen_by_{PIXELS}_x_{PIXELS}_pixels": seen,
                "locating_the_pixels": located,
            }
        )
    )


def against_python():
    """The same regions one by one, in turns."""
    model = network(SMALL)
    regions.plane_regions(model, -1.0, 1.0)
    best = {}
    for _ in range(3):
        for name, call in {
            "ours": lambda: regions.plane_regions(model, -1.0, 1.0).count,
            "one_by_one": lambda: one_by_one(model),
        }.items():
            count, spent = timed(call)
            best[name] = min(best.get(name, (np.inf, 0)), (spent["seconds"], count))
    (ours, count), (plain, plain_count) = best["ours"], best["one_by_one"]
    return {"width": SMALL, "regions": count, "regions_one_by_one": plain_count, "ours_s": ours, "one_by_one_s": plain}


def main():
    results, bars = {}, {}
    for width, (limit, memory) in WIDTHS.items():
        done = subprocess.run([sys.executable, __file__, str(width)], capture_output=True, check=True)
        result = results[f"{DEPTH} x {width}"] = json.loads(done.stdout.splitlines()[-1])
        spent, peak, area = result["first_call"]["seconds"], result["peak_gb"], result["error_of_the_area"]
        maps, euler = result["error_of_the_maps"], result["euler"]
        name = f"{DEPTH} x {width}"
        bars[f"{name}: under {limit} s, with compilation"] = spent, limit, spent < limit
        bars[f"{name}: under {memory} GB"] = peak, memory, peak < memory
        bars[f"{name}: areas add up within 1e-9"] = area, 1e-9, area < 1e-9
        bars[f"{name}: maps are the network's within 1e-9"] = maps, 1e-9, maps < 1e-9
        bars[f"{name}: V - E + F"] = euler, 1, euler == 1
    plain = against_python()
    same = plain["regions"] == plain["regions_one_by_one"]
    bars["as many regions as one by one"] = plain["regions"], plain["regions_one_by_one"], same
    share = plain["ours_s"] / plain["one_by_one_s"]
    bars[f"4 x {SMALL}: at most a quarter of the time of one by one"] = share, 0.25, share <= 0.25
    return save("plane_regions", bars, networks=results, one_by_one=plain)


if __name__ == "__main__":
    sys.exit(whole(int(sys.argv[1])) if len(sys.argv) > 1 else main())
