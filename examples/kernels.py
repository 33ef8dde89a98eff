"""Kernels of one network: its own, that of infinite width, that of one layer, and the operator. Ten seconds."""

from operator import attrgetter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import eigsh

from spectralbias import kernels, spectra


class Network(eqx.Module):
    """Two ReLU layers, f(x) = √(2/m) w₃ · h₂ with h₂ = relu(√(2/m) W₂ h₁), h₁ = relu(√(2/dim) W₁ x)."""

    first: jax.Array
    second: jax.Array
    last: jax.Array

    def __init__(self, dim, width, *, key):
        keys = jax.random.split(key, 3)
        self.first = jax.random.normal(keys[0], (width, dim))
        self.second = jax.random.normal(keys[1], (width, width))
        self.last = jax.random.normal(keys[2], (width,))

    def __call__(self, x):
        """One input (dim,) to one number ()."""
        for weight in (self.first, self.second):
            x = jax.nn.relu(weight @ x * jnp.sqrt(2 / len(x)))
        return self.last @ x * jnp.sqrt(2 / len(x))


def data(num_samples):
    """Points on the unit circle, evenly spaced."""
    angles = 2 * np.pi * np.arange(num_samples) / num_samples
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


x = data(200)
model = Network(2, 1024, key=jax.random.key(0))

# What the program reader found in the model, and what Θ will cost. Nothing is computed yet.
print(kernels.explain_ntk(model, x))

# The kernel of this network, and its modes. On a circle they come in pairs: a sine and a cosine of each frequency.
gram = kernels.empirical_ntk(model, x)
modes = spectra.eigenmodes(gram)

# The limit of infinite width needs no network. The wider the network, the closer it is.
limit = kernels.infinite_ntk(2).ntk(x)
limit_modes = spectra.eigenmodes(limit)
print("\neigenvalues of Θ/n    this network", modes.eigenvalues[:7].round(3))
print("                    infinite width", limit_modes.eigenvalues[:7].round(3))
for width in (64, 256, 1024):
    theta = kernels.empirical_ntk(Network(2, width, key=jax.random.key(1)), x)
    print(f"width {width:>4}: {jnp.linalg.norm(theta - limit) / jnp.linalg.norm(limit):.0%} from the limit")

# The kernels of the layers add up to Θ. Which layer does how much?
parts = {name: kernels.empirical_ntk(model, x, parameters=attrgetter(name)) for name in ("first", "second", "last")}
np.testing.assert_allclose(sum(parts.values()), gram, rtol=1e-4)
print("\nshare of Θ:", ", ".join(f"{name} {jnp.trace(part) / jnp.trace(gram):.0%}" for name, part in parts.items()))

# Many points: Θ as an operator, of which only products with vectors are computed. SciPy does the rest.
many = data(5000)
operator = kernels.NTKOperator(model, many)
largest, _ = eigsh(operator.as_linear_operator(), k=3)
print("\nlargest eigenvalues of Θ/n from 5000 points:", (largest[::-1] / len(many)).round(3))
