"""Residuals under a kernel that moves slowly while they decay: r' = -Θ̃ r/n, Θ̃' = rate(r, ∫r).

An explicit solver takes steps of 1/λ_max for as long as training lasts. Here a panel is as long as the time before it:
the residual is a decay with the kernel at the panel's beginning, which is exact, and a correction for the kernel's
motion, which is small. Residual and kernel are improved in turn until neither changes. Gradient descent is the same
with sums over steps in place of integrals.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from ._panels import graded, lagrange

# Nodes per panel, growth of panels, and the first one in units of 1/λ_max.
NODES, GROWTH, FIRST = 8, 2.0, 0.5
# Rounds of improvement after which a panel is halved, and panels after which the integration ends.
ROUNDS, MAX_PANELS = 8, 400
# Rounds in which the residual is improved under a kernel that is given.
INNER = 50

# From r and R = ∫r on the training inputs to the rate of Θ̃(points, x), and to what a step adds to f beside -(η/n) Θ̃ r.
Rate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


class Instant(NamedTuple):
    """The state at one time: outputs on all points, R = ∫r on the training inputs, and Θ̃(points, x)."""

    time: float
    f: Float[np.ndarray, " m"]
    integral: Float[np.ndarray, " n"]
    theta: Float[np.ndarray, "m n"]


class Path(NamedTuple):
    """r and R at the nodes of a panel, f and R at other times."""

    r: Float[np.ndarray, "q n"]
    integral: Float[np.ndarray, "q n"]
    f_at: Float[np.ndarray, "T m"]
    integral_at: Float[np.ndarray, "T n"]


class Solved(NamedTuple):
    """Outputs at the times asked for, Θ̃ there where wanted, λ_min(Θ̃/n) at the ends of panels, and how far it came."""

    outputs: Float[np.ndarray, "T m"]
    thetas: list[np.ndarray]
    ends: Float[np.ndarray, " N"]
    smallest: Float[np.ndarray, " N"]
    reached: float
    evaluations: int


class Panel(Protocol):
    """A stretch of time on which what moves slowly is known at some nodes."""

    nodes: np.ndarray

    def prefix(self, at: np.ndarray) -> Float[np.ndarray, "T q"]:
        """Integrals from the beginning to each time of what is known at the nodes."""
        ...

    def path(self, moved: np.ndarray, direct: np.ndarray | None, at: np.ndarray, guess: Path | None) -> Path:
        """The residual while Θ̃ has `moved` by so much at the nodes, and a step adds `direct` to f there."""
        ...


class FlowPanel:
    """A panel of gradient flow."""

    def __init__(self, start: Instant, end: float, y: np.ndarray):
        self.start, self.y, self.n = start, y, len(y)
        self.nodes = start.time + (end - start.time) * (np.polynomial.legendre.leggauss(NODES)[0] + 1) / 2
        self.rates, self.vectors = np.linalg.eigh(symmetric(start.theta[: self.n]) / self.n)
        self.c0 = self.vectors.T @ (start.f[: self.n] - y)
        self.damped = self._weights(self.nodes, self.rates)

    def prefix(self, at: np.ndarray) -> Float[np.ndarray, "T q"]:
        """∫ from the beginning to each time."""
        return self._weights(at, np.zeros(1))[:, 0]

    def _weights(self, at: np.ndarray, rates: np.ndarray) -> Float[np.ndarray, "T k q"]:
        """∫ e^(-λ(t - s)) of what is known at the nodes."""
        found = np.empty((len(at), len(rates), NODES))
        for row, length in enumerate(at - self.start.time):
            back, weights = graded(float(np.max(np.abs(rates), initial=0.0)) * length)
            polynomials = lagrange(self.nodes, self.start.time + length * (1 - back))
            found[row] = np.exp(-np.outer(rates, length * back)) * (length * weights) @ polynomials
        return found

    def path(self, moved: np.ndarray, direct: np.ndarray | None, at: np.ndarray, guess: Path | None) -> Path:
        """c = e^(-λt) c_0 - ∫ e^(-λ(t-s)) Vᵀ ΔΘ V c/n ds, solved by repetition."""

        def pushed(c: np.ndarray) -> np.ndarray:
            r = c @ self.vectors.T
            return np.stack([d[: self.n] @ ri for d, ri in zip(moved, r, strict=True)]) @ self.vectors / self.n

        decayed = np.exp(-np.outer(self.nodes - self.start.time, self.rates)) * self.c0
        c = decayed if guess is None else guess.r @ self.vectors
        for _ in range(INNER if moved.any() else 0):
            before, c = c, decayed - np.einsum("tkq,qk->tk", self.damped, pushed(c))
            if not np.abs(c - before).max() > 1e-14 * np.abs(self.c0).max():
                break
        later = np.exp(-np.outer(at - self.start.time, self.rates)) * self.c0
        later -= np.einsum("tkq,qk->tk", self._weights(at, self.rates), pushed(c))
        r = c @ self.vectors.T
        ahead = self.prefix(at)
        velocity = np.stack([(self.start.theta + d)[self.n :] @ ri for d, ri in zip(moved, r, strict=True)]) / self.n
        tests = self.start.f[self.n :] - ahead @ velocity
        f_at = np.concatenate([later @ self.vectors.T + self.y, tests], axis=1)
        return Path(r, self.start.integral + self.prefix(self.nodes) @ r, f_at, self.start.integral + ahead @ r)


class DescentPanel:
    """A panel of gradient descent: time is η times the step."""

    def __init__(self, start: Instant, end: float, y: np.ndarray, learning_rate: float):
        self.start, self.y, self.n, self.eta = start, y, len(y), learning_rate
        self.first, last = round(start.time / learning_rate), round(end / learning_rate)
        self.steps = np.arange(self.first, last)
        chosen = self.steps
        if len(self.steps) > NODES:
            points = (np.polynomial.legendre.leggauss(NODES)[0] + 1) / 2
            chosen = np.unique(np.floor(self.first + (last - self.first) * points))
        self.nodes = chosen * learning_rate
        self.polynomials = lagrange(chosen.astype(float), self.steps.astype(float))
        self.chosen = np.searchsorted(self.steps, chosen)

    def _rows(self, at: np.ndarray) -> np.ndarray:
        return np.round(at / self.eta).astype(int) - self.first

    def prefix(self, at: np.ndarray) -> Float[np.ndarray, "T q"]:
        """η Σ over the steps before each time."""
        sums = np.concatenate([np.zeros((1, len(self.nodes))), np.cumsum(self.polynomials, axis=0)])
        return self.eta * sums[self._rows(at)]

    def path(self, moved: np.ndarray, direct: np.ndarray | None, at: np.ndarray, guess: Path | None) -> Path:
        """f ← f - (η/n) Θ̃ r + direct, step by step."""
        f, integral = self.start.f.copy(), self.start.integral.copy()
        all_f, all_integrals = [f], [integral]
        for polynomial in self.polynomials:
            r = f[: self.n] - self.y
            velocity = self.start.theta @ r
            if moved.any():
                velocity = velocity + polynomial @ (moved @ r)
            f = f - self.eta / self.n * velocity + (0.0 if direct is None else polynomial @ direct)
            integral = integral + self.eta * r
            all_f.append(f)
            all_integrals.append(integral)
        rows = self._rows(at)
        fs, integrals = np.stack(all_f), np.stack(all_integrals)
        return Path(fs[self.chosen, : self.n] - self.y, integrals[self.chosen], fs[rows], integrals[rows])


def symmetric(matrix: np.ndarray) -> np.ndarray:
    """(A + Aᵀ)/2."""
    return (matrix + matrix.T) / 2


def integrate(
    f0: np.ndarray,
    theta0: np.ndarray,
    y: np.ndarray,
    rate: Rate | None,
    times: np.ndarray,
    *,
    rtol: float,
    keep_theta: bool = False,
    learning_rate: float | None = None,
    progress: Callable[[float], object] | None = None,
) -> Solved:
    """Outputs on all points at increasing times from 0, and what else `Solved` lists.

    Args:
        f0: outputs at the start, (m,).
        theta0: Θ(points, x), (m, n); the first n points are the training inputs.
        y: targets (n,).
        rate: how the kernel moves; None: it does not.
        times: (T,), from 0; multiples of `learning_rate` for gradient descent.
        rtol: how much the residual may still change, relative to its start.
        keep_theta: whether Θ̃ at every time is wanted.
        learning_rate: of gradient descent; None is gradient flow.
        progress: told the time at the end of each panel.
    """
    n = len(y)
    now = Instant(0.0, f0, np.zeros(n), theta0)
    scale = float(np.linalg.norm(f0[:n] - y)) or 1.0
    spectrum = np.linalg.eigvalsh(symmetric(theta0[:n])) / n
    shortest = FIRST * 2.0 ** np.floor(-np.log2(spectrum[-1] or 1.0))
    shortest = shortest if learning_rate is None else learning_rate
    length = shortest
    outputs, thetas = np.full((len(times), len(f0)), np.nan), []
    ends, smallest, evaluations = [0.0], [float(spectrum[0])], 0
    outputs[0] = f0
    if keep_theta:
        thetas.append(theta0)
    for _ in range(MAX_PANELS):
        if now.time >= times[-1]:
            break
        end = now.time + length
        end = times[-1] if end + 0.2 * length > times[-1] else end
        if learning_rate is not None:
            end = learning_rate * round(end / learning_rate)
        panel: Panel = FlowPanel(now, end, y) if learning_rate is None else DescentPanel(now, end, y, learning_rate)
        here = (times > now.time) & (times <= end * (1 + 1e-12))
        at = np.append(times[here], end)
        found, rates, count = _improved(panel, rate, at, theta0.shape, 0.1 * rtol * scale)
        evaluations += count
        if found is None:
            length = (end - now.time) / 2
            if length < shortest / 64 or (learning_rate is not None and length < learning_rate):
                break
            continue
        outputs[here] = found.f_at[:-1]
        moving = [
            0.0 if rates is None else np.tensordot(row, rates, 1) for row in panel.prefix(at if keep_theta else at[-1:])
        ]
        if keep_theta:
            thetas += [now.theta + step for step in moving[:-1]]
        now = Instant(end, found.f_at[-1], found.integral_at[-1], now.theta + moving[-1])
        ends.append(end)
        smallest.append(float(np.linalg.eigvalsh(symmetric(now.theta[:n]))[0]) / n)
        length = max(length, (GROWTH - 1) * now.time)
        if progress is not None:
            progress(end)
    return Solved(outputs, thetas, np.array(ends), np.array(smallest), now.time, evaluations)


def _improved(
    panel: Panel, rate: Rate | None, at: np.ndarray, shape: tuple[int, ...], tolerance: float
) -> tuple[Path | None, np.ndarray | None, int]:
    """The path of a panel and the rates at its nodes, improved until the residual stays; None where it does not."""
    moved = np.zeros((len(panel.nodes), *shape))
    found = panel.path(moved, None, at, None)
    if rate is None:
        return found, None, 0
    count = 0
    for _ in range(ROUNDS):
        pairs = [rate(r, integral) for r, integral in zip(found.r, found.integral, strict=True)]
        count += len(pairs)
        rates = np.stack([moving for moving, _ in pairs])
        steps = [step for _, step in pairs if step is not None]
        direct = np.stack(steps) if steps else None
        moved = np.einsum("tq,qmn->tmn", panel.prefix(panel.nodes), rates)
        before, found = found, panel.path(moved, direct, at, found)
        change = np.linalg.norm(found.r - before.r, axis=1).max()
        if not np.isfinite(change):
            break
        if change <= tolerance:
            return found, rates, count
    return None, None, count
