"""What is to be learned: samples, and what is known about where they come from."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np

from .._core.checks import finite_array, same_samples
from .._core.errors import InputError
from ._measures import SphereMeasure


class Grid(eqx.Module):
    """A regular grid of inputs in row-major order: sample i is node `numpy.unravel_index(i, shape)`.

    Args:
        shape: number of nodes along each axis; for an image (rows, columns).
        periodic_length: the length, in units of x, after which the nodes would repeat (spacing x number of nodes).
        unit: what one unit of frequency means, e.g. `"cycles per image"`.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    periodic_length: float = eqx.field(static=True, default=2.0)
    unit: str = eqx.field(static=True, default="cycles")


class Problem(eqx.Module):
    """Inputs x (n, dim), targets y (n,) or (n, c), and what is known about them.

    All arrays are float64 NumPy arrays on the host; a network is trained on a copy in its own dtype.

    Args:
        x: training inputs, (n, dim) or (n, *input_shape).
        y: training targets, (n,) or (n, c).
        x_test: held-out inputs, or None.
        y_test: held-out targets, or None.
        measure: the distribution of the inputs where it is known, e.g. `Sphere(10)`.
        grid: set where the training inputs are a regular grid, so that frequencies are exact.
        classes: the names of the classes of a classification problem with one-hot targets (n, c).
        names: names of the columns of x.
        basis: a labelled basis that the target is made of: name -> functions on the training inputs (n, k) with
            mean square 1, e.g. the zonal harmonic of each degree, in the uniform measure of the sphere.
        basis_test: the same functions on the test inputs, in the same order.

    Raises:
        InputError: NaN or infinity, one sample, a constant target, shapes that do not pair up.
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    measure: SphereMeasure | None
    grid: Grid | None
    classes: tuple[str, ...] | None = eqx.field(static=True)
    names: tuple[str, ...] | None = eqx.field(static=True)
    basis: dict[str, np.ndarray] | None
    basis_test: dict[str, np.ndarray] | None

    def __init__(
        self,
        x,
        y,
        *,
        x_test=None,
        y_test=None,
        measure: SphereMeasure | None = None,
        grid: Grid | None = None,
        classes: tuple[str, ...] | None = None,
        names: tuple[str, ...] | None = None,
        basis: Mapping[str, np.ndarray] | None = None,
        basis_test: Mapping[str, np.ndarray] | None = None,
    ):
        self.x = finite_array("x", x)
        self.y = finite_array("y", y, ndim=(1, 2))
        self.x_test = None if x_test is None else finite_array("x_test", x_test)
        self.y_test = None if y_test is None else finite_array("y_test", y_test, ndim=self.y.ndim)
        self.measure, self.grid = measure, grid
        self.classes = None if classes is None else tuple(classes)
        self.names = None if names is None else tuple(names)
        self.basis = None if basis is None else {k: finite_array(k, v, ndim=2) for k, v in basis.items()}
        self.basis_test = None if basis_test is None else {k: finite_array(k, v, ndim=2) for k, v in basis_test.items()}

    def __check_init__(self):
        if self.x.ndim < 2:
            raise InputError(f"`x` must have shape (n, dim), got {self.x.shape}: use x[:, None] for one column")
        same_samples(self.x, self.y)
        if self.num_samples < 2:
            raise InputError(f"a problem needs at least 2 samples, got {self.num_samples}")
        if np.all(self.y == self.y[:1]):
            raise InputError("the target `y` is constant: there is nothing to learn beyond its value")
        if (self.x_test is None) != (self.y_test is None):
            raise InputError("`x_test` and `y_test` must be given together")
        if self.x_test is not None and self.y_test is not None:
            same_samples(self.x_test, self.y_test, ("x_test", "y_test"))
            if self.x_test.shape[1:] != self.x.shape[1:] or self.y_test.shape[1:] != self.y.shape[1:]:
                raise InputError(
                    f"test samples have shapes {self.x_test.shape[1:]} -> {self.y_test.shape[1:]}, "
                    f"training samples {self.x.shape[1:]} -> {self.y.shape[1:]}"
                )
        if self.grid is not None and int(np.prod(self.grid.shape)) != self.num_samples:
            raise InputError(f"`grid` has shape {self.grid.shape}, which is not {self.num_samples} nodes")
        if self.classes is not None and self.y.shape[1:] != (len(self.classes),):
            raise InputError(f"`classes` names {len(self.classes)} columns, `y` has shape {self.y.shape}")
        for name, functions in (self.basis or {}).items():
            same_samples(self.x, functions, ("x", f"basis[{name!r}]"))
        for name, functions in (self.basis_test or {}).items():
            if self.x_test is None or name not in (self.basis or {}):
                raise InputError(f"`basis_test` has {name!r}, which needs `x_test` and the same name in `basis`")
            same_samples(self.x_test, functions, ("x_test", f"basis_test[{name!r}]"))

    @property
    def num_samples(self) -> int:
        """Number of training samples n."""
        return self.x.shape[0]

    @property
    def num_outputs(self) -> int | None:
        """Number of outputs c of a vector target, None for a scalar one."""
        return None if self.y.ndim == 1 else self.y.shape[1]

    @property
    def num_targets(self) -> int:
        """Number of values to be learned: n for a scalar target, n c for a vector one."""
        return int(self.y.size)
