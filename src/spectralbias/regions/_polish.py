"""Breakpoints behind an interpolated encoding, found again on the network itself."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._stages import Parameters, Staged, evaluate
from ._sweep import POSITION, padded

ENTRIES = 2**22  # numbers of one batch
STEPS = 8  # of Newton's method
POINTS = 33  # at which a change of sign is looked for where it fails
HALVINGS = 45


@functools.partial(jax.jit, static_argnames="staged")
def _reached(staged: Staged, parameters: Parameters, x: Array, direction: Array, unit: Array) -> tuple[Array, Array]:
    """z minus its breakpoint for one unit each, and the derivative along a direction."""

    def one(xi, along, number):
        (s, _), (ds, _) = jax.jvp(lambda x: evaluate(staged, parameters, x), (xi,), (along,))
        return s[number], ds[number]

    return jax.vmap(one)(x, direction, unit)


@functools.partial(jax.jit, static_argnames="staged")
def _outputs(staged: Staged, parameters: Parameters, x: Array) -> tuple[Array]:
    return (jax.vmap(lambda xi: evaluate(staged, parameters, xi)[1])(x),)


class OnSegments:
    """A network along segments: `place(segment, p)` is the input x at the coordinates p (n, 1) of these segments."""

    def __init__(self, staged: Staged, parameters: Parameters, place: Callable[[np.ndarray, np.ndarray], np.ndarray]):
        self.staged, self.parameters, self.place = staged, parameters, place
        self.batch = int(np.clip(2 ** int(np.log2(ENTRIES / max(staged.layer_offsets[-1], 1))), 64, 8192))

    def _batched(self, function: Callable, *arrays: np.ndarray) -> list[np.ndarray]:
        """A compiled function of rows, in batches of two sizes."""
        n, start, found = len(arrays[0]), 0, []
        while start < n or not found:
            few = self.batch // 8
            size = self.batch if n - start > few else few
            rows = slice(start, min(start + size, n))
            given = (jnp.asarray(padded(a[rows], size)) for a in arrays)
            outputs = function(self.staged, self.parameters, *given)
            found.append([np.asarray(f)[: rows.stop - rows.start] for f in outputs])
            start = rows.stop
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def outputs(self, segment: np.ndarray, p: np.ndarray) -> np.ndarray:
        """The outputs (n, c)."""
        return self._batched(_outputs, self.place(segment, p[:, None]))[0]

    def reached(self, segment: np.ndarray, unit: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z minus the breakpoint of these units, and its derivative in p."""
        x = self.place(segment, p[:, None])
        value, slope = self._batched(_reached, x, self.place(segment, p[:, None] + 1) - x, unit)
        return value, slope

    def polished(
        self, segment: np.ndarray, unit: np.ndarray, start: np.ndarray, reach: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where units reach their breakpoints, close to where an interpolant does.

        Args:
            segment: number of the segment, (n,).
            unit: number of the breakpoint of a unit, (n,).
            start: the coordinate in question, (n,).
            reach: how far away from it may be looked, (n,).

        Returns:
            The coordinates, and whether there is one: an interpolant may cross twice where the network only comes near.

        Cost and precision:
            Newton's method on all, to 1e-12; where it fails, a change of sign at 33 points and bisection.
        """
        p, found = self._newton(segment, unit, start, reach)
        lost = np.flatnonzero(~found)
        p[lost], found[lost] = self._bisected(segment[lost], unit[lost], start[lost], reach[lost])
        return p, found

    def _newton(self, segment, unit, start, reach) -> tuple[np.ndarray, np.ndarray]:
        p, step = start.copy(), np.full(len(start), np.inf)
        active = np.arange(len(p))
        for _ in range(STEPS):
            value, slope = self.reached(segment[active], unit[active], p[active])
            step[active] = np.divide(-value, slope, out=np.full(len(active), np.inf), where=slope != 0)
            p[active] = p[active] + np.where(np.isfinite(step[active]), step[active], 0.0)
            near = (np.abs(p[active] - start[active]) <= reach[active]) & (np.abs(p[active]) < 1)
            active = active[near & (np.abs(step[active]) > POSITION / 4)]
            if not len(active):
                break
        return p, (np.abs(step) <= POSITION) & (np.abs(p - start) <= reach) & (np.abs(p) < 1)

    def _bisected(self, segment, unit, start, reach) -> tuple[np.ndarray, np.ndarray]:
        n = len(start)
        if not n:
            return start, np.zeros(0, bool)
        grid = np.clip(start[:, None] + reach[:, None] * np.linspace(-1, 1, POINTS), -1, 1)
        value, _ = self.reached(np.repeat(segment, POINTS), np.repeat(unit, POINTS), grid.ravel())
        above = (value > 0).reshape(n, POINTS)
        changes = above[:, 1:] != above[:, :-1]
        distance = np.where(changes, np.abs((grid[:, 1:] + grid[:, :-1]) / 2 - start[:, None]), np.inf)
        chosen, rows = distance.argmin(axis=1), np.arange(n)
        low, high, first = grid[rows, chosen], grid[rows, chosen + 1], above[rows, chosen]
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            same = (self.reached(segment, unit, middle)[0] > 0) == first
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return (low + high) / 2, changes.any(axis=1)
