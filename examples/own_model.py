"""Your own network, written in plain JAX: its kernel, its modes, and what training does with them. Ten seconds."""

import jax
import jax.numpy as jnp
import numpy as np

from spectralbias import dynamics, kernels, models, problems, spectra

WIDTH = 512


def network(params, x):
    """One input (1,) to one number (): a sine layer, a tanh layer, a sum."""
    h = jnp.sin(4 * params["w1"] @ x + params["b1"])
    h = jnp.tanh(params["w2"] @ h / jnp.sqrt(WIDTH))
    return params["w3"] @ h * jnp.sqrt(10 / WIDTH)


keys = jax.random.split(jax.random.key(0), 4)
params = {
    "w1": jax.random.normal(keys[0], (WIDTH, 1)),
    "b1": jax.random.uniform(keys[1], (WIDTH,), maxval=2 * jnp.pi),
    "w2": jax.random.normal(keys[2], (WIDTH, WIDTH)),
    "w3": jax.random.normal(keys[3], (WIDTH,)),
}
model = models.from_function(network, params)
problem = problems.signal(frequencies=(1, 3, 6), num_samples=128, key=jax.random.key(1))

# Before training: Θ, its modes, the largest stable learning rate, and what a kernel that does not move would do.
gram = np.asarray(kernels.empirical_ntk(model, problem.x))
modes = spectra.eigenmodes(gram)
learning_rate = 1 / modes.eigenvalues[0]
residual0 = np.asarray(jax.vmap(model)(jnp.asarray(problem.x, jnp.float32))) - problem.y
prediction = dynamics.frozen(modes, residual0)

# Training, recorded step by step at first and then less and less often.
trajectory = dynamics.train(model, problem.x, problem.y, learning_rate=learning_rate, steps=400)

bands = spectra.bands(problem)
measured = np.sqrt(bands.energy(trajectory.residuals))
predicted = np.sqrt(bands.energy(prediction.residuals_at(trajectory.steps, learning_rate)))
comparison = dynamics.compare(trajectory.steps, measured, predicted)
print(f"learning rate {learning_rate:.3g}, stable below {2 * learning_rate:.3g}")
print("step at which 1/e of each part is left (inf: not in this training):")
for name, at, expected in zip(bands.names, comparison.measured_steps, comparison.predicted_steps, strict=True):
    print(f"  {name:<12} measured {at:6.1f}   predicted {expected:6.1f}")
