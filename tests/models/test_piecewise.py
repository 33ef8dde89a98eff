import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectralbias.models import _piecewise as pw

BEND = pw.Bend((0,), "test")
NUMBERS = st.integers(-8, 8).map(lambda number: number / 4)  # exact in binary
POINTS = np.concatenate([np.linspace(-9, 9, 2001) + 1e-4 * math.pi, [-1e6, 1e6]])  # on no breakpoint of such numbers


def values(function, z):
    """By definition: the line of the piece in which z lies; nan where it is bent."""
    lines = [piece if isinstance(piece, pw.Line) else pw.line(math.nan, math.nan) for piece in function.pieces]
    index = np.searchsorted(function.breakpoints, z)
    slopes, intercepts = np.array(lines).T
    return slopes[index] * z + intercepts[index]


# name: (of piecewise functions, of NumPy arrays)
OPERATIONS = {
    "sign": (pw.sign, np.sign),
    "scale": (lambda f: pw.scale(f, -0.5), lambda f: -0.5 * f),
    "add": (pw.add, np.add),
    "difference": (pw.difference, np.subtract),
    "maximum": (pw.maximum, np.maximum),
    "minimum": (pw.minimum, np.minimum),
    "signed": (lambda f, g: pw.mul(pw.sign(f), g, BEND), lambda f, g: np.sign(f) * g),
    "divided": (lambda f, g: pw.div(f, pw.add(pw.sign(g), pw.constant(2.0)), BEND), lambda f, g: f / (np.sign(g) + 2)),
    "chosen": (
        lambda f, g: pw.select(pw.compare(f, g, lambda s: s < 0), g, pw.IDENTITY),
        lambda f, g: np.where(f < g, POINTS, g),
    ),
}
ONE, TWO = ["sign", "scale"], [name for name in OPERATIONS if name not in ("sign", "scale")]
EXPRESSIONS = st.recursive(
    st.tuples(NUMBERS, NUMBERS),  # slope and intercept
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(ONE), inner),
        st.tuples(st.sampled_from(TWO), inner, inner),
    ),
    max_leaves=6,
)


def evaluated(expression):
    """An expression as a piecewise function, and its values at POINTS by NumPy."""
    head, *operands = expression
    if not isinstance(head, str):
        slope, intercept = expression
        return pw.add(pw.scale(pw.IDENTITY, slope), pw.constant(intercept)), slope * POINTS + intercept
    functions, arrays = zip(*map(evaluated, operands), strict=True)
    ours, numpy = OPERATIONS[head]
    return ours(*functions), numpy(*arrays)


@settings(max_examples=300)
@given(EXPRESSIONS)
def test_compositions_equal_numpy_and_have_only_true_breakpoints(expression):
    function, expected = evaluated(expression)
    np.testing.assert_allclose(values(function, POINTS), expected, rtol=1e-9, atol=1e-9)
    assert list(function.breakpoints) == sorted(set(function.breakpoints))
    assert all(a != b for a, b in zip(function.pieces, function.pieces[1:], strict=False))


def test_a_breakpoint_that_cancels_is_gone():
    zero = pw.constant(0.0)
    positive, negative = pw.maximum(pw.IDENTITY, zero), pw.minimum(pw.IDENTITY, zero)
    assert positive == pw.Piecewise((0.0,), (pw.Line(0, 0), pw.Line(1, 0)))
    assert pw.add(positive, negative) == pw.IDENTITY


def test_the_breakpoint_is_where_the_line_crosses():
    f = pw.maximum(pw.add(pw.scale(pw.IDENTITY, 2.0), pw.constant(1.0)), pw.constant(0.0))
    assert f == pw.Piecewise((-0.5,), (pw.Line(0, 0), pw.Line(2, 1)))


def test_infinite_bounds_never_bind():
    assert pw.minimum(pw.IDENTITY, pw.constant(math.inf)) == pw.IDENTITY
    assert pw.maximum(pw.constant(-math.inf), pw.IDENTITY) == pw.IDENTITY


def test_a_product_of_two_lines_and_a_quotient_by_a_line_are_bent():
    step = pw.compare(pw.IDENTITY, pw.constant(0.0), lambda s: s > 0)
    assert pw.mul(pw.IDENTITY, pw.IDENTITY, BEND) == pw.Piecewise((), (BEND,))
    assert pw.div(pw.constant(1.0), pw.IDENTITY, BEND) == pw.Piecewise((), (BEND,))
    square = pw.mul(pw.IDENTITY, pw.IDENTITY, BEND)
    assert pw.mul(step, square, BEND) == pw.Piecewise((0.0,), (pw.Line(0, 0), BEND))
    assert pw.div(pw.IDENTITY, pw.constant(4.0), BEND) == pw.Piecewise((), (pw.Line(0.25, 0),))


def test_neighboring_bent_pieces_are_one_and_keep_the_earlier_name():
    later = pw.Bend((3,), "later")
    step = pw.compare(pw.IDENTITY, pw.constant(0.0), lambda s: s > 0)
    assert pw.select(step, pw.Piecewise((), (later,)), pw.Piecewise((), (BEND,))) == pw.Piecewise((), (BEND,))


def test_unknown_slopes_stay_unknown_and_unknown_crossings_are_refused():
    scaled = pw.mul(pw.constant(math.nan), pw.IDENTITY, BEND)
    assert not scaled.known
    assert scaled.linear
    assert scaled.pieces[0].intercept == 0
    step = pw.compare(pw.IDENTITY, pw.constant(0.0), lambda s: s > 0)
    prelu = pw.select(step, scaled, pw.IDENTITY)
    assert prelu.breakpoints == (0.0,)
    assert prelu.pieces[1] == pw.Line(1, 0)
    assert hash(prelu) == hash(pw.select(step, scaled, pw.IDENTITY))
    with pytest.raises(pw.UnknownKinkError):
        pw.maximum(pw.IDENTITY, pw.constant(math.nan))
    with pytest.raises(pw.UnknownKinkError):
        pw.sign(scaled)
    assert pw.difference(scaled, scaled) == pw.constant(0.0)


def test_functions_of_numbers_are_evaluated_and_of_lines_bent():
    step = pw.compare(pw.IDENTITY, pw.constant(0.0), lambda s: s > 0)
    assert pw.apply(BEND, math.exp, step) == pw.Piecewise((0.0,), (pw.Line(0, 1), pw.Line(0, math.e)))
    assert pw.apply(BEND, math.exp, pw.IDENTITY).pieces == (BEND,)
