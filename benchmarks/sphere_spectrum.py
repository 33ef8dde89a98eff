"""Mercer eigenvalues on the sphere against the float64 quadrature that one would write, in time and in digits.

The baseline is Funk-Hecke with Gauss-Gegenbauer nodes in t and SciPy's weights, all degrees from one recurrence. The
reference is quadrature in the angle with 60 digits more than the smallest eigenvalue needs, by tanh-sinh.
"""

import sys

import jax.numpy as jnp
import mpmath
import numpy as np
import scipy.special
from _common import save, seconds

from spectralbias import kernels, spectra

DIM, DEGREES = 10, 1000


def by_gauss(profile, dim, max_degree, nodes):
    """Float64 quadrature in t."""
    t, weights = scipy.special.roots_gegenbauer(nodes, dim / 2 - 1)
    integrand = weights / weights.sum() * profile(t)
    previous, current, found = np.ones_like(t), t, [integrand.sum()]
    for k in range(1, max_degree + 1):
        found.append(integrand @ current)
        previous, current = current, ((2 * k + dim - 2) * t * current - k * previous) / (k + dim - 2)
    return np.array(found)


def cao(t):
    theta = np.arccos(t)
    return (3 * t * (np.pi - theta) + 2 * np.sqrt(1 - t**2)) / (2 * np.pi)


def reference(depth, dim, degrees):
    """Eigenvalues of the deep ReLU NTK by tanh-sinh quadrature in the angle."""
    with mpmath.workdps(120):
        step, totals = mpmath.mpf(1) / 128, dict.fromkeys(degrees, mpmath.mpf(0))
        for j in range(-660, 661):
            u = mpmath.pi / 2 * mpmath.sinh(j * step)
            weight = (mpmath.pi / 2) ** 2 * mpmath.cosh(j * step) / mpmath.cosh(u) ** 2 * step
            angle = mpmath.pi / (1 + mpmath.exp(2 * abs(u)))
            t, sine = (1 if j < 0 else -1) * mpmath.cos(angle), mpmath.sin(angle)
            rho, ntk = t, 2 * t / dim
            for _ in range(depth):
                theta = mpmath.acos(rho)
                active = (mpmath.pi - theta) / mpmath.pi
                rho = (mpmath.sin(theta) + (mpmath.pi - theta) * rho) / mpmath.pi
                ntk = 2 * rho / dim + active * ntk
            value, previous, current = weight * ntk * sine ** (dim - 2), mpmath.mpf(1), t
            for k in range(1, max(degrees) + 1):
                if k in totals:
                    totals[k] += value * current
                previous, current = current, ((2 * k + dim - 2) * t * current - k * previous) / (k + dim - 2)
        scale = mpmath.gammaprod([mpmath.mpf(dim) / 2], [mpmath.mpf(1) / 2, mpmath.mpf(dim - 1) / 2])
        return [scale * totals[k] for k in degrees]


def main():
    two_layer, deep = kernels.cao_kernel(), kernels.infinite_ntk(3)
    calls = {
        "two layers, dim 10, degrees to 1000": lambda: spectra.sphere_spectrum(two_layer, DIM, DEGREES),
        "two layers, dim 1000, degrees to 10,000": lambda: spectra.sphere_spectrum(two_layer, 1000, 10_000),
        "depth 3, dim 10, degrees to 50": lambda: spectra.sphere_spectrum(deep, DIM, 50),
        "depth 3, dim 10, degrees to 1000": lambda: spectra.sphere_spectrum(deep, DIM, DEGREES),
        "depth 10, dim 10, degrees to 50": lambda: spectra.sphere_spectrum(kernels.infinite_ntk(10), DIM, 50),
        "float64 quadrature, two layers, dim 10, degrees to 1000": lambda: by_gauss(cao, DIM, DEGREES, 2 * DEGREES),
    }
    times = {name: seconds(call, repeats=5) for name, call in calls.items()}
    best = {name: value["min"] for name, value in times.items()}
    table = best["two layers, dim 10, degrees to 1000"]
    ratio = best["float64 quadrature, two layers, dim 10, degrees to 1000"] / table

    exact = spectra.sphere_spectrum(two_layer, DIM, DEGREES).eigenvalues
    plain = by_gauss(cao, DIM, DEGREES, 2 * DEGREES)
    wrong = np.abs(plain[2::2] / exact[2::2] - 1)
    degrees = [1, 2, 3, 10, 25, 49, 50]
    ours = spectra.sphere_spectrum(deep, DIM, 50).eigenvalues[degrees]
    true = reference(3, DIM, degrees)
    profile = np.asarray(deep.profile(jnp.asarray(scipy.special.roots_gegenbauer(400, DIM / 2 - 1)[0]), dim=DIM))
    of_deep = by_gauss(lambda t: profile.astype(float), DIM, 50, 400)[degrees]

    def largest(values):
        return max(float(abs(mpmath.mpf(float(v)) / e - 1)) for v, e in zip(values, true, strict=True))

    bars = {
        "two layers, dim 10, degrees to 1000: under 0.1 s": (table, 0.1, table < 0.1),
        "two layers: at least as fast as float64 quadrature": (ratio, 1, ratio >= 1),
        "depth 3, degrees to 50: within 1e-8": (largest(ours), 1e-8, largest(ours) < 1e-8),
    }
    return save(
        "sphere_spectrum",
        bars,
        seconds=times,
        relative_errors={
            "depth 3, dim 10, degrees to 50": {
                "ours": largest(ours),
                "quadrature of the float32 kernel": largest(of_deep),
            },
            "two layers, float64 quadrature": {
                "first degree wrong by 1e-3": int(2 * np.argmax(wrong > 1e-3) + 2),
                "degree 50": float(wrong[24]),
                "degree 1000": float(wrong[-1]),
            },
        },
    )


if __name__ == "__main__":
    sys.exit(main())
