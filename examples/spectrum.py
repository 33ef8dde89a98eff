"""Which modes a kernel has: on the sphere in theory, on random points, and for a network, in numbers and pictures.

python examples/spectrum.py
"""

import jax
import numpy as np

from spectralbias import kernels, models, report, spectra

DIM = 3


def points(count: int, seed: int) -> np.ndarray:
    """Uniform points on the sphere."""
    x = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def main():
    kernel = kernels.cao_kernel()
    theory = spectra.sphere_spectrum(kernel, DIM, 40)
    report.spectrum_figure(theory).savefig("theory.png")

    print("degree  harmonics  in theory  on 500 points")
    x = points(500, seed=0)
    modes = spectra.eigenmodes(kernel.ntk(x))
    first = 0
    for degree in (0, 1, 2, 4):
        count = theory.multiplicities[degree]
        measured = modes.eigenvalues[first : first + count].mean()
        print(f"{degree:>6}  {count:>9}  {theory.eigenvalues[degree]:>9.5f}  {measured:>13.5f}")
        first += count

    # A deep network has odd degrees, too.
    deep = spectra.sphere_spectrum(kernels.infinite_ntk(3), DIM, 40)
    report.spectrum_figure([theory, deep], labels=["one hidden layer", "three"]).savefig("depth.png")
    print(f"degree 3: {theory.eigenvalues[3]:.3g} with one hidden layer, {deep.eigenvalues[3]:.3g} with three")

    # The modes of a network that is not infinitely wide, drawn between the points.
    model = models.cao_network(DIM, 256, antisymmetric=True, key=jax.random.key(0))
    network = spectra.eigenmodes(kernels.empirical_ntk(model, x))
    figure = report.mode_figure(network, x, cross=lambda new: kernels.empirical_ntk(model, new.astype(np.float32), x))
    figure.savefig("modes.png")
    print(f"effective rank: {theory.effective_rank():.2f} in theory, ", end="")
    print(f"{spectra.effective_rank(network.eigenvalues):.2f} of the network")
    print("wrote theory.png, depth.png and modes.png")


if __name__ == "__main__":
    main()
