import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import empirical_ntk, explain_ntk
from spectralbias.kernels._cost import Size

RNG = np.random.default_rng(1)
X = RNG.standard_normal((10, 3))
MLP = models.MLP(3, 2, 6, 2, bias_std=0.5, key=jax.random.key(0))


def apply(p, x):
    """Tokens (2, 9) through a layer at 2 positions, one at a single position, and a norm of its own."""
    h = jnp.tanh(x @ p["in"] + p["shift"][None]) * p["scale"][None]
    return jnp.sum((p["out"] / jnp.linalg.norm(p["out"])) @ h.mean(0)) + 0 * p["unused"].size


MIXED = models.from_function(
    apply,
    {
        "in": jnp.asarray(RNG.standard_normal((9, 8))),
        "shift": jnp.ones(8),
        "scale": jnp.ones(8),
        "out": jnp.ones((2, 8)),
        "unused": jnp.ones((5, 5)),
    },
)
TOKENS = RNG.standard_normal((10, 2, 9))


def by_name(explanation):
    return {row.name.split("'")[1]: row for row in explanation.rows}


def test_every_parameter_has_a_row():
    explanation = explain_ntk(MIXED, TOKENS)
    rows = by_name(explanation)
    assert {name: (row.rule, row.form, row.uses, row.positions) for name, row in rows.items() if name != "out"} == {
        "in": ("matrix product", rows["in"].form, 1, 2),
        "shift": ("bias of .params['in']", "with .params['in']", 1, 0),
        "scale": ("scale", "gradient", 1, 0),
        "unused": ("unused", "", 0, 0),
    }
    assert rows["out"].rule.startswith("jacobian: `")
    assert rows["out"].form == "gradient"
    assert {name: row.shape for name, row in rows.items()} == {n: p.shape for n, p in MIXED.params.items()}
    assert sum(row.share for row in explanation.rows) == pytest.approx(1, abs=1e-15)
    assert rows["in"].share == pytest.approx(72 / 129)


def test_operations_are_counted_by_hand():
    explanation = explain_ntk(MIXED, TOKENS)
    rows = by_name(explanation)
    assert rows["scale"].operations == 2 * 10**2 * 8
    assert rows["out"].operations == 2 * 10**2 * 16
    assert rows["shift"].operations == rows["unused"].operations == 0
    size = Size(1, 1, 2, 9, 8)
    assert rows["in"].operations == pytest.approx(min(size.operations(way, 10, 10) for way in ("factors", "product")))
    assert explanation.operations == sum(row.operations for row in explanation.rows)
    assert explanation.num_samples == explanation.batch_size == 10
    # At 8 bytes: h (2, 9), δ (2, 8), and the gradients of the scale and of the normalized weight; three taps like δ.
    assert explanation.bytes_per_sample == 8 * (2 * 9 + 2 * 8 + 8 + 16 + 3 * 2 * 8)


def test_all_outputs_cost_more_than_their_mean():
    full, mean = explain_ntk(MLP, X), explain_ntk(MLP, X, outputs="mean")
    assert full.operations > 2 * mean.operations
    assert full.jacobian_operations >= full.operations


@pytest.mark.parametrize(("positions", "form"), [(2, "factors"), (40, "product")])
def test_the_form_is_the_one_with_fewer_operations(positions, form):
    # Factors grow with the square of the number of positions, and products with the size of the weight.
    model = models.from_function(lambda p, x: jnp.sum(jnp.tanh(x @ p)), jnp.asarray(RNG.standard_normal((16, 16))))
    x = RNG.standard_normal((30, positions, 16))
    (row,) = explain_ntk(model, x).rows
    assert row.form in ((form,) if form == "factors" else ("product", "gradient"))
    j = 1 / np.cosh(x @ np.asarray(model.params)) ** 2
    gradients = np.einsum("nta,ntb->nab", x, j).reshape(30, -1)
    np.testing.assert_allclose(empirical_ntk(model, x), gradients @ gradients.T, rtol=1e-10, atol=1e-10)


def test_a_part_of_the_parameters_leaves_the_others_out():
    explanation = explain_ntk(MLP, X, parameters=lambda m: m.layers[1])
    forms = [row.form for row in explanation.rows]
    assert [form == "not selected" for form in forms] == [True, True, False, False, True, True]
    assert explanation.operations == sum(row.operations for row in explanation.rows[2:4])
    # A bias without its weight has a gradient of its own.
    bias = explain_ntk(MLP, X, parameters=lambda m: m.layers[1].bias).rows[3]
    assert (bias.form, bias.operations) == ("gradient", 2 * 10**2 * 4 * 6)


def test_it_prints_a_table_and_the_totals():
    explanation = explain_ntk(MIXED, TOKENS)
    header, *lines, total, memory = str(explanation).splitlines()
    titles = "parameter", "shape", "share", "rule", "form", "positions", "operations"
    assert tuple(header.split()) == titles
    assert len(lines) == 5
    starts = [header.index(title) for title in titles]
    for row, line in zip(explanation.rows, lines, strict=True):
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        assert cells[:2] == [row.name, "×".join(map(str, row.shape))]
        assert cells[2] == f"{100 * row.share:.1f} %"
        assert cells[3:5] == [row.rule, row.form]
        assert cells[5] == (str(row.positions) if row.positions else "")
        assert float(cells[6] or 0) == pytest.approx(row.operations, rel=0.05)
        assert line == line.rstrip()
    assert re.fullmatch(r"Θ of 10 samples: \S+ operations .* explicit Jacobians would take \S+ times as many\.", total)
    assert memory == f"{explanation.bytes_per_sample / 1e3:.3g} kB per sample, in tiles of 10 samples."


def test_bad_arguments_are_refused(refuses):
    with refuses("outputs", "`trace`"):
        explain_ntk(MLP, X, outputs="trace")
    with refuses("`x`", "not finite"):
        explain_ntk(MLP, X * np.nan)
    with refuses("`parameters` selects no parameter"):
        explain_ntk(MLP, X, parameters=lambda m: ())
