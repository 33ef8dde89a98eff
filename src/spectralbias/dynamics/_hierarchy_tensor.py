"""The hierarchy of any order from dense kernels of few inputs, as iterated integrals of the residual."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._hierarchy_kernels import _tensors
from ._hierarchy_products import Products
from ._slow_kernel import Solved, symmetric

# Inputs for which the tensor of an order is built: at most some 10^7 entries.
MAX_SAMPLES = {2: 10**6, 3: 200, 4: 56, 5: 24, 6: 14}
MAX_STEPS = 1_000_000
# A residual that has grown by so much ends the integration: it explodes in a finite time, at ever smaller steps.
EXPLODED = 1e6


def integrate_tensors(
    products: Products, y: np.ndarray, times: np.ndarray, order: int, *, rtol: float, keep_theta: bool
) -> Solved:
    """Outputs on all points at these times.

    Θ̃(t) = Σ_k (-1/n)^k Σ K₀^(2+k)(·, ·, β_1 … β_k) I_β(t), I_β = ∫_{t>s_1>…>s_k} r_β1(s_1) … r_βk(s_k): the state is f
    and these integrals, of which the latest time belongs to the third argument of the kernel.
    """
    model = products.at(products.parameters)
    tensors = _tensors(model, (products.points, *[products.x] * (order - 1)))
    f0 = jax.vmap(model)(products.points)
    solution = _solve(tensors, f0, jnp.asarray(y), jnp.asarray(times), jnp.asarray(rtol))
    (outputs, *integrals), good = jax.tree.map(np.asarray, solution)
    n = len(y)
    reached = np.isfinite(outputs).all(axis=1)
    outputs = np.where(reached[:, None], outputs, np.nan)
    thetas = [
        np.asarray(_theta(tensors, [jnp.asarray(one[t]) for one in integrals], n)) for t in np.flatnonzero(reached)
    ]
    smallest = [float(np.linalg.eigvalsh(symmetric(theta[:n]))[0]) / n for theta in thetas]
    last = float(times[reached][-1]) if not good else float(times[-1])
    return Solved(outputs, thetas if keep_theta else [], times[reached], np.array(smallest), last, 1)


def _theta(tensors: tuple[Array, ...], integrals: list[Array], n: int) -> Float[Array, "m n"]:
    """Θ̃ from the integrals of the first, second, … kind."""
    total = tensors[0]
    for power, (kernel, integral) in enumerate(zip(tensors[1:], integrals, strict=True), 1):
        total = total + jnp.tensordot(kernel, integral, power) / (-n) ** power
    return total


@eqx.filter_jit
def _solve(tensors: tuple[Array, ...], f0: Array, y: Array, times: Array, rtol: Array):
    n = len(y)

    def derivative(t, state, args):
        f, *integrals = state
        tensors, y = args
        r = f[:n] - y
        growth = [r, *(jnp.multiply.outer(r, one) for one in integrals[:-1])]
        return (-_theta(tensors, integrals, n) @ r / n, *growth)

    shapes = [jnp.zeros((n,) * power, f0.dtype) for power in range(1, len(tensors))]
    norm = jnp.linalg.norm(f0[:n] - y)
    scale = jnp.where(norm > 0, norm, 1.0)

    def exploded(t, state, args, **_):
        return jnp.linalg.norm(state[0][:n] - args[1]) > EXPLODED * scale

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(derivative), diffrax.Dopri8(), t0=times[0], t1=times[-1], dt0=None, y0=(f0, *shapes),
        args=(tensors, y), stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=0.1 * rtol, atol=0.01 * rtol * scale / jnp.sqrt(n)), step_ts=times
        ),
        saveat=diffrax.SaveAt(ts=times), max_steps=MAX_STEPS, throw=False,
        event=diffrax.Event(exploded),
    )  # fmt: skip
    return solution.ys, solution.result == diffrax.RESULTS.successful
