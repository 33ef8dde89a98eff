"""Residuals under a kernel that moves slowly while they decay: r' = -Θ̃ r/n, Θ̃' = rate(r, ∫r).

An explicit solver takes steps of 1/λ_max for as long as training lasts. Here a panel is as long as the time before it:
the residual is a decay with the kernel at the panel's beginning, which is exact, and a correction for the kernel's
motion, which is small. Residual and kernel are improved in turn until neither changes. Between a few nodes the rate of
the kernel is a polynomial; where its highest power matters, the panel is halved. Gradient descent is the same with sums
over steps in place of integrals.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._panels import graded, lagrange

# Growth of panels, and the first one in units of 1/λ_max.
GROWTH, FIRST = 2.0, 0.5
# Nodes of a panel: of the kernel's rate at a tolerance of 1, one more for every digit; at least and at most; and of
# the residual.
NODES, FEWEST, MOST, FINE = 2, 5, 16, 20
# Rounds of improvement after which a panel is halved, and panels after which the integration ends.
ROUNDS, MAX_PANELS = 8, 400
# Rounds in which the residual is improved under a kernel that is given.
INNER = 50
# A share of the tolerance for each panel, what no sum of float64 numbers resolves, and how much less the kernel counts.
SHARE, ROUNDING, THETA_SHARE = 0.1, 1e-14, 0.1

# From r and R = ∫r on the training inputs to the rate of Θ̃(points, x), and to what a step adds to f beside -(η/n) Θ̃ r.
Rate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


class Instant(NamedTuple):
    """The state at one time: outputs on all points, R = ∫r on the training inputs, and Θ̃(points, x)."""

    time: float
    f: Float[np.ndarray, " m"]
    integral: Float[np.ndarray, " n"]
    theta: Float[np.ndarray, "m n"]


class Path(NamedTuple):
    """r and R at the nodes of a panel, f and R at other times, and the state of the computation."""

    r: Float[np.ndarray, "q n"]
    integral: Float[np.ndarray, "q n"]
    f_at: Float[np.ndarray, "T m"]
    integral_at: Float[np.ndarray, "T n"]
    inner: np.ndarray


class Solved(NamedTuple):
    """Outputs at the times asked for, Θ̃ there where wanted, λ_min(Θ̃/n) at the ends of panels, and how far it came."""

    outputs: Float[np.ndarray, "T m"]
    thetas: list[np.ndarray]
    ends: Float[np.ndarray, " N"]
    smallest: Float[np.ndarray, " N"]
    reached: float
    evaluations: int


class Panel(ABC):
    """A stretch of time on which the rates of the kernel are polynomials through their values at some nodes."""

    start: Instant
    nodes: np.ndarray
    exact: bool  # whether the nodes are all there is

    @abstractmethod
    def prefix(self, at: np.ndarray) -> Float[np.ndarray, "T q"]:
        """Integrals from the beginning to each time of what is known at the nodes."""

    @abstractmethod
    def path(self, rates: np.ndarray | None, direct: np.ndarray | None, at: np.ndarray, guess: Path | None) -> Path:
        """The residual while Θ̃ moves at these rates, and a step adds `direct` to f."""


class FlowPanel(Panel):
    """A panel of gradient flow."""

    exact = False

    def __init__(self, start: Instant, end: float, y: np.ndarray, count: int):
        self.start, self.y, self.n = start, y, len(y)
        self.nodes, self.fine = (
            start.time + (end - start.time) * (np.polynomial.legendre.leggauss(number)[0] + 1) / 2
            for number in (count, FINE)
        )
        self.rates, self.vectors = np.linalg.eigh(symmetric(start.theta[: self.n]) / self.n)
        self.c0 = self.vectors.T @ (start.f[: self.n] - y)
        self.damped = self._weights(self.fine, self.rates, self.fine)

    def prefix(self, at: np.ndarray) -> Float[np.ndarray, "T q"]:
        """∫ from the beginning to each time."""
        return self._weights(at, np.zeros(1), self.nodes)[:, 0]

    def _weights(self, at: np.ndarray, rates: np.ndarray, nodes: np.ndarray) -> Float[np.ndarray, "T k q"]:
        """∫ e^(-λ(t - s)) of what is known at the nodes."""
        found = np.empty((len(at), len(rates), len(nodes)))
        for row, length in enumerate(at - self.start.time):
            back, weights = graded(float(np.max(np.abs(rates), initial=0.0)) * length)
            polynomials = lagrange(nodes, self.start.time + length * (1 - back))
            found[row] = np.exp(-np.outer(rates, length * back)) * (length * weights) @ polynomials
        return found

    def path(self, rates: np.ndarray | None, direct: np.ndarray | None, at: np.ndarray, guess: Path | None) -> Path:
        """c = e^(-λt) c_0 - ∫ e^(-λ(t-s)) Vᵀ ΔΘ V c/n ds, solved by repetition."""
        moved = None if rates is None else np.tensordot(self.prefix(self.fine), rates, 1)

        def pushed(c: np.ndarray) -> np.ndarray:
            if moved is None:
                return np.zeros_like(c)
            r = c @ self.vectors.T
            return np.stack([d[: self.n] @ ri for d, ri in zip(moved, r, strict=True)]) @ self.vectors / self.n

        def decayed(times: np.ndarray) -> np.ndarray:
            return np.exp(-np.outer(times - self.start.time, self.rates)) * self.c0

        free = decayed(self.fine)
        c = free if guess is None else guess.inner
        for _ in range(0 if moved is None else INNER):
            before, c = c, free - np.einsum("tkq,qk->tk", self.damped, pushed(c))
            if not np.abs(c - before).max() > 1e-14 * np.abs(self.c0).max():
                break
        c = free if moved is None else c
        every = np.concatenate([self.nodes, at])
        later = decayed(every) - np.einsum("tkq,qk->tk", self._weights(every, self.rates, self.fine), pushed(c))
        r, count = c @ self.vectors.T, len(self.nodes)
        ahead = self._weights(every, np.zeros(1), self.fine)[:, 0]
        velocity = r @ self.start.theta[self.n :].T
        if moved is not None and velocity.size:
            velocity = velocity + np.stack([d[self.n :] @ ri for d, ri in zip(moved, r, strict=True)])
        tests = self.start.f[self.n :] - ahead[count:] @ velocity / self.n
        residuals, integrals = later @ self.vectors.T, self.start.integral + ahead @ r
        f_at = np.concatenate([residuals[count:] + self.y, tests], axis=1)
        return Path(residuals[:count], integrals[:count], f_at, integrals[count:], c)


class DescentPanel(Panel):
    """A panel of gradient descent: time is η times the step."""

    def __init__(self, start: Instant, end: float, y: np.ndarray, count: int, learning_rate: float):
        self.start, self.y, self.n, self.eta = start, y, len(y), learning_rate
        self.first, last = round(start.time / learning_rate), round(end / learning_rate)
        self.steps = np.arange(self.first, last)
        self.exact = len(self.steps) <= count
        chosen = self.steps
        if not self.exact:
            points = (np.polynomial.legendre.leggauss(count)[0] + 1) / 2
            chosen = np.unique(np.floor(self.first + (last - self.first) * points))
        self.nodes = chosen * learning_rate
        self.polynomials = lagrange(chosen.astype(float), self.steps.astype(float))
        self.sums = learning_rate * np.concatenate([np.zeros((1, len(chosen))), np.cumsum(self.polynomials, axis=0)])
        self.chosen = np.searchsorted(self.steps, chosen)

    def _rows(self, at: np.ndarray) -> np.ndarray:
        return np.round(at / self.eta).astype(int) - self.first

    def prefix(self, at: np.ndarray) -> Float[np.ndarray, "T q"]:
        """η Σ over the steps before each time."""
        return self.sums[self._rows(at)]

    def path(self, rates: np.ndarray | None, direct: np.ndarray | None, at: np.ndarray, guess: Path | None) -> Path:
        """f ← f - (η/n) Θ̃ r + direct, step by step."""
        f, integral = self.start.f.copy(), self.start.integral.copy()
        all_f, all_integrals = [f], [integral]
        for polynomial, ahead in zip(self.polynomials, self.sums, strict=False):
            r = f[: self.n] - self.y
            velocity = self.start.theta @ r
            if rates is not None:
                velocity = velocity + ahead @ (rates @ r)
            f = f - self.eta / self.n * velocity + (0.0 if direct is None else polynomial @ direct)
            integral = integral + self.eta * r
            all_f.append(f)
            all_integrals.append(integral)
        rows = self._rows(at)
        fs, integrals = np.stack(all_f), np.stack(all_integrals)
        r = fs[self.chosen, : self.n] - self.y
        return Path(r, integrals[self.chosen], fs[rows], integrals[rows], r)


def symmetric(matrix: np.ndarray) -> np.ndarray:
    """(A + Aᵀ)/2."""
    return (matrix + matrix.T) / 2


@np.errstate(over="ignore", invalid="ignore")
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
        rtol: error of the residual, relative to its start. It holds while nothing grows.
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
    length, ratio = shortest, GROWTH - 1
    tolerance = max(SHARE * rtol, ROUNDING) * scale
    count = int(np.clip(NODES + round(-np.log10(rtol)), FEWEST, MOST))
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
            if _alternating(now, y, learning_rate, count) > tolerance / (SHARE * THETA_SHARE):
                end = min(end, now.time + count * learning_rate)
            end = learning_rate * round(end / learning_rate)
        panel: Panel = (
            FlowPanel(now, end, y, count) if learning_rate is None else DescentPanel(now, end, y, count, learning_rate)
        )
        here = (times > now.time) & (times <= end * (1 + 1e-12))
        at = np.append(times[here], end)
        found, rates, error, calls = _improved(panel, rate, at, tolerance, scale)
        evaluations += calls
        if found is None:
            length = (end - now.time) / 2
            ratio = min(ratio, length / now.time) if now.time else ratio
            if length < shortest / 64 or (learning_rate is not None and length < learning_rate):
                break
            continue
        if not np.isfinite(found.f_at).all():
            break
        outputs[here] = found.f_at[:-1]
        moving = [
            0.0 if rates is None else np.tensordot(row, rates, 1) for row in panel.prefix(at if keep_theta else at[-1:])
        ]
        if keep_theta:
            thetas += [now.theta + step for step in moving[:-1]]
        now = Instant(end, found.f_at[-1], found.integral_at[-1], now.theta + moving[-1])
        ends.append(end)
        smallest.append(float(np.linalg.eigvalsh(symmetric(now.theta[:n]))[0]) / n)
        # In a panel of twice the length the error is 2^count times as large.
        ratio = min(GROWTH - 1, 2 * ratio) if error < tolerance / 2.0**count else ratio
        length = max(ratio * now.time, learning_rate or 0.0)
        if progress is not None:
            progress(end)
    return Solved(outputs, thetas, np.array(ends), np.array(smallest), now.time, evaluations)


def _alternating(now: Instant, y: np.ndarray, learning_rate: float, steps: int) -> float:
    """What still changes its sign at every step after so many, η λ > 1: between nodes it would not be seen."""
    n = len(y)
    rates, vectors = np.linalg.eigh(symmetric(now.theta[:n]) / n)
    factors = 1 - learning_rate * rates
    return float(np.linalg.norm((now.f[:n] - y) @ vectors * np.where(factors < 0, -factors, 0.0) ** steps))


def _improved(
    panel: Panel, rate: Rate | None, at: np.ndarray, tolerance: float, scale: float
) -> tuple[Path | None, np.ndarray | None, float, int]:
    """The path of a panel and the rates at its nodes, improved until the residual stays, with an error estimate.

    No path where it does not stay, or where a polynomial through so few nodes is too rough.
    """
    found = panel.path(None, None, at, None)
    if rate is None:
        return found, None, 0.0, 0
    calls, last = 0, np.inf
    for _ in range(ROUNDS):
        pairs = [rate(r, integral) for r, integral in zip(found.r, found.integral, strict=True)]
        calls += len(pairs)
        rates = np.stack([moving for moving, _ in pairs])
        steps = [step for _, step in pairs if step is not None]
        direct = np.stack(steps) if steps else None
        before, found = found, panel.path(rates, direct, at, found)
        change = np.linalg.norm(found.r - before.r, axis=1).max()
        if not np.isfinite(change) or change > last:
            break
        # Each round gains a factor, and later ones no less.
        after, last = (change * change / last if np.isfinite(last) else change), change
        if after <= tolerance:
            error = _roughness(panel, rates, direct, at, found, scale)
            return (found, rates, error, calls) if error <= tolerance else (None, None, error, calls)
    return None, None, np.inf, calls


def _roughness(
    panel: Panel, rates: np.ndarray, direct: np.ndarray | None, at: np.ndarray, found: Path, scale: float
) -> float:
    """How much the highest power of the polynomials changes the residual: more than the powers that are missing."""
    if panel.exact:
        return 0.0
    nodes, n = panel.nodes, found.r.shape[1]
    powers = np.polynomial.legendre.legvander(2 * (nodes - nodes[0]) / (nodes[-1] - nodes[0]) - 1, len(nodes) - 1)
    power, reader = powers[:, -1], np.linalg.inv(powers)[-1]
    leading = np.tensordot(reader, rates, 1)
    added = None if direct is None else direct - np.outer(power, reader @ direct)
    rough = panel.path(rates - np.multiply.outer(power, leading), added, at[-1:], found)
    moved = panel.prefix(at) @ power
    later = moved[-1] * at[-1] / n * leading[:n] @ rough.r[-1]
    kernel = THETA_SHARE * scale * np.abs(moved).max() * np.linalg.norm(leading) / np.linalg.norm(panel.start.theta)
    return float(max(np.linalg.norm(found.r - rough.r, axis=1).max() + np.linalg.norm(later), kernel))
