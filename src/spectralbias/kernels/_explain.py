"""What the program reader found in a model, and what its Θ costs."""

import math
from typing import Literal

import equinox as eqx
from jaxtyping import ArrayLike, PyTree

from .._core.errors import unknown
from ._cost import SMALL_PIECES
from ._factors import Contribution, Factors, Gradient
from ._plan import Selection, checked_inputs, plan


class ParameterRule(eqx.Module):
    """How one parameter is treated.

    Attributes:
        name: its path in the model.
        shape: of the array.
        share: of all numbers that are trained.
        rule: how it enters the model: a matrix product, a convolution, a lookup, a bias, a scale, or, where nothing was
            recognized, "jacobian" with the reason.
        form: what is contracted: "factors" h and δ, the "product" of them, the explicit "gradient", or nothing of its
            own ("with …": a bias that goes along with its product).
        uses: number of equations it enters.
        positions: number of terms h δᵀ in its gradient; 0 for a gradient.
        operations: multiplications and additions for all pairs of samples, entry-by-entry products weighted.
    """

    name: str
    shape: tuple[int, ...]
    share: float
    rule: str
    form: str
    uses: int
    positions: int
    operations: float


class Explanation(eqx.Module):
    """How Θ of a model on n samples is computed; `str()` of it is a table.

    Attributes:
        rows: one `ParameterRule` per parameter.
        num_samples: n.
        operations: those of all parameters together.
        jacobian_operations: what the contraction of explicit Jacobians would take.
        bytes_per_sample: memory of one sample in a tile.
        batch_size: samples per tile.
    """

    rows: tuple[ParameterRule, ...]
    num_samples: int
    operations: float
    jacobian_operations: float
    bytes_per_sample: int
    batch_size: int

    def __str__(self) -> str:
        """One line per parameter, and the totals."""
        header = ("parameter", "shape", "share", "rule", "form", "positions", "operations")
        lines = [header] + [
            (
                row.name,
                "×".join(map(str, row.shape)) or "scalar",
                f"{100 * row.share:.1f} %",
                row.rule,
                row.form,
                str(row.positions) if row.positions else "",
                f"{row.operations:.1e}" if row.operations else "",
            )
            for row in self.rows
        ]
        widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        ratio = self.jacobian_operations / self.operations
        return "\n".join(
            [
                *table,
                f"Θ of {self.num_samples} samples: {self.operations:.1e} operations after the backward pass; "
                f"explicit Jacobians would take {ratio:.3g} times as many.",
                f"{self.bytes_per_sample / 1e3:.3g} kB per sample, in tiles of {self.batch_size} samples.",
            ]
        )


def _gradient_operations(gradient: Gradient, n: int, mean: bool) -> float:
    _, c, size = gradient.values.shape
    return 2.0 * n**2 * size * (c if mean else c**2)


def _form(several: tuple[Contribution, ...], n: int, mean: bool) -> tuple[str, int, float, float]:
    """What is contracted, at how many positions, and the operations for n² pairs, of it and of explicit gradients."""
    form, positions, total, explicit = "gradient", 0, 0.0, 0.0
    for one in several:
        if isinstance(one, Factors):
            size = one.size(mean)
            form, positions = size.faster(n, n), size.positions
            total += size.operations(form, n, n)
            explicit += size.operations("product", n, n) / SMALL_PIECES  # one large product
        else:
            total += _gradient_operations(one, n, mean)
            explicit += _gradient_operations(one, n, mean)
    return form, positions, total, explicit


def explain_ntk(
    model: PyTree,
    x: ArrayLike,
    *,
    outputs: Literal["full", "mean"] = "full",
    parameters: Selection = None,
) -> Explanation:
    """Which rule `empirical_ntk(model, x)` uses for each parameter, and what it costs.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,).
        x: inputs (n, …); their number decides which form is cheaper.
        outputs: as in `empirical_ntk`.
        parameters: as in `empirical_ntk`.

    Returns:
        An `Explanation` with `.rows`, one per parameter; print it to see a table.

    Raises:
        InputError: as `empirical_ntk`.

    Cost and precision:
        One trace of the model; nothing is computed.

    Example:
        >>> import jax
        >>> from spectralbias import kernels, models
        >>> model = models.MLP(3, "scalar", 64, 1, key=jax.random.key(0))
        >>> [row.rule for row in kernels.explain_ntk(model, jax.numpy.ones((100, 3))).rows]
        ['matrix product', 'matrix product']
    """
    if outputs not in ("full", "mean"):
        raise unknown("choice of outputs", outputs, ("full", "mean"))
    x = checked_inputs(model, "x", x)
    known = plan(model, x, parameters)
    mean = outputs == "mean" or known.output_shape == ()
    found = {leaf: _form(several, len(x), mean) for leaf, several in known.contributions.items()}
    total = sum(math.prod(parameter.shape) for parameter in known.parameters.values())
    rows = []
    for leaf, (name, shape, rule, uses, product) in known.parameters.items():
        form, positions, cost, _ = found.get(leaf, ("", 0, 0.0, 0.0))
        if leaf not in found and uses:
            form = "not selected" if leaf not in known.leaves else f"with {product or 'its product'}"
        rows.append(ParameterRule(name, shape, math.prod(shape) / total, rule, form, uses, positions, cost))
    return Explanation(
        tuple(rows),
        len(x),
        sum(row.operations for row in rows),
        sum(explicit for *_, explicit in found.values()),
        known.sample_bytes,
        min(len(x), known.batch_size(mean)),
    )
