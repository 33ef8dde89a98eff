"""Linear regions of a ReLU network in a window, by brute force in rational numbers: nothing is rounded."""

from fractions import Fraction
from typing import NamedTuple


class Region(NamedTuple):
    """A convex polygon with rational corners, counterclockwise, and the pattern of its units."""

    corners: list
    pattern: tuple

    @property
    def area(self):
        pairs = zip(self.corners, self.corners[1:] + self.corners[:1], strict=True)
        return sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs) / 2


def _clip(corners, value):
    """The part of a polygon where an affine function is not negative, or None where that has no area."""
    values = [value(p) for p in corners]
    kept = []
    for p, q, a, b in zip(corners, corners[1:] + corners[:1], values, values[1:] + values[:1], strict=True):
        if a >= 0:
            kept.append(p)
        if (a > 0 > b) or (a < 0 < b):
            t = a / (a - b)
            kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return kept if any(a > 0 for a in values) else None


def rational_regions(weights, biases, lower, upper):
    """All regions for weights (out, in) and biases (out,) of the hidden layers, floats or fractions."""
    lower, upper = Fraction(lower), Fraction(upper)
    window = [(lower, lower), (upper, lower), (upper, upper), (lower, upper)]
    identity = [(Fraction(1), Fraction(0), Fraction(0)), (Fraction(0), Fraction(1), Fraction(0))]
    regions = [(window, identity, ())]
    for weight, bias in zip(weights, biases, strict=True):
        rows = [[Fraction(float(w)) for w in row] for row in weight]
        offsets = [Fraction(float(b)) for b in bias]
        found = []
        for corners, layer, pattern in regions:
            z = []
            for row, offset in zip(rows, offsets, strict=True):
                a, b, c = (sum(w * h[k] for w, h in zip(row, layer, strict=True)) for k in range(3))
                z.append((a, b, c + offset))
            parts = [corners]
            for a, b, c in z:
                both = []
                for part in parts:
                    sides = [_clip(part, lambda p, s=s, a=a, b=b, c=c: s * (a * p[0] + b * p[1] + c)) for s in (1, -1)]
                    both += [side for side in sides if side is not None] or [part]
                parts = both
            for part in parts:
                u, v = (sum(p[k] for p in part) / len(part) for k in (0, 1))
                active = tuple(a * u + b * v + c > 0 for a, b, c in z)
                zero = (Fraction(0),) * 3
                found.append((part, [t if on else zero for t, on in zip(z, active, strict=True)], pattern + active))
        regions = found
    return [Region(corners, pattern) for corners, _, pattern in regions]


def rational_pattern(weights, biases, point):
    """z > 0 of all hidden units at a point, without rounding: also where z is zero in a whole region."""
    h, pattern = [Fraction(float(p)) for p in point], ()
    for weight, bias in zip(weights, biases, strict=True):
        rows = zip(weight, bias, strict=True)
        z = [sum(Fraction(float(w)) * t for w, t in zip(row, h, strict=True)) + Fraction(float(b)) for row, b in rows]
        pattern += tuple(t > 0 for t in z)
        h = [max(t, Fraction(0)) for t in z]
    return pattern


def distinct_vertices_and_edges(regions):
    """How many there are, by equality of rational numbers."""
    edges = set()
    for region in regions:
        edges |= {frozenset(pair) for pair in zip(region.corners, region.corners[1:] + region.corners[:1], strict=True)}
    return len({p for region in regions for p in region.corners}), len(edges)
