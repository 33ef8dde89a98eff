"""Quadrature in time: where a smooth quantity is looked at, and integrals of it against a decay.

What drives a deviation is a sum of decays e^(-μt) with rates μ from 0 to twice the largest eigenvalue. On panels
[t, 2t] each of them is either smooth or dead: a few Gauss–Legendre nodes per panel resolve all of them.
"""

import functools
import itertools
from collections.abc import Iterator

import equinox as eqx
import numpy as np
from jaxtyping import Float

# Nodes per panel, and the growth of panels: decays are interpolated to 1e-11 of their start.
NODES, GROWTH = 16, 2.0
# The first panel, in units of the shortest time: below it nothing decays by more than a factor e^(-1/2).
FIRST = 0.5
# Steps that are all looked at before panels begin, in units of the memory 1/(1 - β) of the momentum.
DENSE = 64


class Panels(eqx.Module):
    """Nodes in time, panel by panel.

    Attributes:
        edges: ends of the panels, from 0, (q + 1,); whole steps for a training in steps.
        nodes: increasing, (N,).
        first: the index of each panel's first node, and N, (q + 1,).
    """

    edges: Float[np.ndarray, " q1"]
    nodes: Float[np.ndarray, " N"]
    first: np.ndarray

    def __iter__(self) -> Iterator[tuple[float, float, slice]]:
        """Beginning, end, and nodes of each panel."""
        for begin, end, low, high in zip(self.edges, self.edges[1:], self.first, self.first[1:], strict=False):
            yield float(begin), float(end), slice(int(low), int(high))

    def at(self, values: Float[np.ndarray, "N k"], times: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T k"]:
        """Values between the nodes, by the polynomial of their panel."""
        found = np.empty((len(times), values.shape[1]))
        panel = np.clip(np.searchsorted(self.edges, times, side="right") - 1, 0, len(self.edges) - 2)
        for index, (_, _, nodes) in enumerate(self):
            here = panel == index
            if here.any():
                found[here] = lagrange(self.nodes[nodes], times[here]) @ values[nodes]
        return found

    @property
    def is_complete(self) -> bool:
        """Whether the nodes are all steps."""
        return bool(len(self.nodes) == self.edges[-1])


def time_panels(end: float, shortest: float) -> Panels:
    """Panels of a flow on [0, end] whose fastest decay takes the time `shortest`, rounded to a power of two.

    So that repetitions of one experiment have as many panels, and one compiled program.
    """
    edges = [0.0, min(end, FIRST * 2.0 ** np.floor(np.log2(shortest)))]
    while edges[-1] < end:
        # A last panel that would be short is joined to the one before it.
        edges.append(end if edges[-1] * GROWTH * 1.2 > end else edges[-1] * GROWTH)
    points = (np.polynomial.legendre.leggauss(NODES)[0] + 1) / 2
    nodes = [begin + (stop - begin) * points for begin, stop in itertools.pairwise(edges)]
    return Panels(np.array(edges), np.concatenate(nodes), NODES * np.arange(len(edges)))


def step_panels(steps: int, momentum: float = 0.0, *, every: bool = False) -> Panels:
    """Panels of the steps 0 … steps - 1: each of them, or each of the first ones and some of the later."""
    dense = steps if every else min(steps, round(DENSE / (1 - momentum)))
    edges, points = [0, dense], (np.polynomial.legendre.leggauss(NODES)[0] + 1) / 2
    nodes = [np.arange(dense)]
    while edges[-1] < steps:
        begin = edges[-1]
        stop = steps if begin * GROWTH * 1.2 > steps else round(begin * GROWTH)
        nodes.append(np.unique(np.floor(begin + (stop - begin) * points)))
        edges.append(stop)
    first = np.cumsum([0, *map(len, nodes)])
    return Panels(np.array(edges, float), np.concatenate(nodes).astype(float), first)


def lagrange(nodes: Float[np.ndarray, " p"], at: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T p"]:
    """Values of the Lagrange polynomials of these nodes, by the barycentric formula."""
    span = (nodes[-1] - nodes[0]) / 4 or 1.0  # about 1, so that products neither vanish nor overflow
    gaps = (nodes[:, None] - nodes) / span
    np.fill_diagonal(gaps, 1.0)
    weights = 1 / gaps.prod(axis=1)
    difference = (at[:, None] - nodes) / span
    hit = difference == 0
    terms = weights / np.where(hit, 1.0, difference)
    terms = np.where(hit.any(axis=1, keepdims=True), hit, terms)
    return terms / terms.sum(axis=1, keepdims=True)


def damped_integrals(
    panels: Panels, values: Float[np.ndarray, "N k"], rates: Float[np.ndarray, " k"], times: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T k"]:
    """∫_0^t e^(-λ(t-s)) q(s) ds of every component q of `values` with its rate λ, at every time.

    The polynomial of each panel is integrated against the exponential on a grid that is graded towards t.
    """
    integrals = np.empty((len(times), len(rates)))
    before = np.zeros(len(rates))
    panel = np.clip(np.searchsorted(panels.edges, times, side="left") - 1, 0, len(panels.edges) - 2)
    for index, (begin, end, nodes) in enumerate(panels):
        for row in (*np.flatnonzero(panel == index), None):
            length = (end if row is None else times[row]) - begin
            back, weights = graded(float(np.max(np.abs(rates), initial=0.0)) * length)
            kernel = np.exp(-np.outer(rates, length * back)) * (length * weights)
            polynomials = lagrange(panels.nodes[nodes], begin + length * (1 - back))
            found = np.exp(-rates * length) * before + np.einsum("kp,pk->k", kernel @ polynomials, values[nodes])
            if row is None:
                before = found
            else:
                integrals[row] = found
    return integrals


# Computed once: `graded` is asked for thousands of times.
_gauss = functools.cache(np.polynomial.legendre.leggauss)


def graded(decay: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1] for a polynomial times e^(-decay · v)."""
    points, weights = _gauss(12)
    ends = np.concatenate([[0.0], 2.0 ** -np.arange(max(0, int(np.ceil(np.log2(max(decay, 1.0))))), -1, -1)])
    lengths = np.diff(ends)[:, None]
    return (ends[:-1, None] + lengths * (points + 1) / 2).ravel(), (lengths * weights / 2).ravel()


def driven_recursion(
    panels: Panels,
    values: Float[np.ndarray, "N k"],
    rates: Float[np.ndarray, " k"],
    steps: np.ndarray,
    learning_rate: float,
    momentum: float,
) -> Float[np.ndarray, "T k"]:
    """d_{s+1} = (1 + β - ηλ) d_s - β d_{s-1} + η q_s from 0, at these steps; q between the nodes is interpolated."""
    found = np.empty((len(steps), len(rates)))
    rows = {int(step): row for row, step in enumerate(steps)}
    now, last = np.zeros(len(rates)), np.zeros(len(rates))
    found[[row for step, row in rows.items() if step == 0]] = 0.0
    factor = 1 + momentum - learning_rate * rates
    for begin, end, nodes in panels:
        every = np.arange(begin, end)
        dense = len(every) == nodes.stop - nodes.start
        driven = values[nodes] if dense else lagrange(panels.nodes[nodes], every) @ values[nodes]
        for step, push in zip(every.astype(int), learning_rate * driven, strict=True):
            now, last = factor * now - momentum * last + push, now
            if (row := rows.get(step + 1)) is not None:
                found[row] = now
    return found
