"""Which way to contract a parameter's factors is faster: a count of operations, weighted by how fast they run.

A pair of samples costs 2 G T² (a + b) operations and G T² products by `"factors"`, for G groups of a × b matrices at T
positions, and 2 G a b by `"product"`, which first multiplies the factors out, 2 G T a b per sample. Matrix products run
at full speed, products entry by entry at the speed of memory.
"""

from typing import Literal, NamedTuple

# Operations of a matrix product in the time of one entry that is written and read again (benchmarks/cost_model.py).
ENTRY = 24

# How much slower the many small matrix products of the second way run than one large one (the same benchmark).
SMALL_PIECES = 1.6

Way = Literal["factors", "product"]


class Size(NamedTuple):
    """The sizes of one parameter's factors."""

    outputs: int
    groups: int
    positions: int
    rows: int
    columns: int
    lookup: bool = False  # the rows are numbers of rows of a table
    both: bool = False  # both factors depend on the output

    def operations(self, way: Way, n1: int, n2: int) -> float:
        """Operations for the Gram of n1 × n2 samples, in units of one operation of a matrix product."""
        pairs, entries = self.outputs**2, self.groups * self.rows * self.columns
        if way == "factors":
            left = 0 if self.lookup else 2 * self.rows * (pairs if self.both else 1)
            each = left + 2 * self.columns * pairs + ENTRY * (pairs + 1)
            return n1 * n2 * self.groups * self.positions**2 * each
        forming = (
            self.groups * self.positions * self.columns if self.lookup else entries * max(2 * self.positions, ENTRY)
        )
        return SMALL_PIECES * ((n1 + n2) * self.outputs * forming + n1 * n2 * pairs * 2 * entries)

    def faster(self, n1: int, n2: int) -> Way:
        """The way with fewer operations."""
        ways: tuple[Way, Way] = ("factors", "product")
        return min(ways, key=lambda way: self.operations(way, n1, n2))
