"""The arrays of a run: a labelled Zarr store that xarray opens, written as they come."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from .. import problems
from ..spectra import Modes, ModesStatus

# Records per Zarr chunk, and about so many bytes at most.
CHUNK_RECORDS, CHUNK_BYTES = 64, 4 * 2**20


def create_array(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: Any,
    units: str,
    description: str,
    *,
    streamed: bool = False,
) -> zarr.Array:
    """An empty array (NaN where it is floating-point) with named dimensions, units and a description."""
    chunks = tuple(max(1, size) for size in shape)
    if streamed:
        row_bytes = max(1, int(np.prod(shape[1:], dtype=int)) * np.dtype(dtype).itemsize)
        chunks = (max(1, min(shape[0], CHUNK_RECORDS, CHUNK_BYTES // row_bytes)), *chunks[1:])
    fill = np.nan if np.issubdtype(dtype, np.floating) else -1
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        fill_value=fill,
        dimension_names=dims,
        attributes={"units": units, "long_name": description},
        overwrite=True,
    )


def open_array(group: zarr.Group, name: str) -> zarr.Array:
    """An array of a group."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def put(group: zarr.Group, name: str, dims: tuple[str, ...], values: np.ndarray, units: str, description: str) -> None:
    """Write a whole array."""
    array = create_array(group, name, dims, values.shape, values.dtype, units, description)
    array[...] = values


def put_names(group: zarr.Group, dim: str, names: tuple[str, ...]) -> None:
    """Names along a dimension, kept as an attribute: every reader of Zarr understands it."""
    group.attrs[f"{dim}_names"] = list(names)


def open_dataset(path: Path, group: str | None = None) -> xr.Dataset:
    """A group of the store as an xarray dataset."""
    return xr.open_zarr(path, group=group, consolidated=False, chunks=None, mask_and_scale=False)


# The measures that come back with a run, and the arguments that make them; another class of the user's does not.
_MEASURES: dict[type, tuple[str, ...]] = {
    problems.Sphere: ("dim",),
    problems.PiecewiseSphere: ("dim", "weights", "edges", "direction"),
    problems.AnisotropicSphere: ("covariance",),
    problems.MixtureSphere: ("means", "scales", "weights"),
}


def save_problem(path: Path, problem: problems.Problem) -> None:
    """The data themselves, so that a run can go on and be reported without the user's file."""
    group = zarr.open_group(path, path="problem", mode="w")
    for suffix, sample, x, y, basis in (
        ("", "sample", problem.x, problem.y, problem.basis),
        ("_test", "test_sample", problem.x_test, problem.y_test, problem.basis_test),
    ):
        if x is None or y is None:
            continue
        x_dims = tuple(f"input_{axis}" for axis in range(x.ndim - 1))
        put(group, f"x{suffix}", (sample, *x_dims), x, "1", "inputs")
        put(group, f"y{suffix}", (sample, "output")[: y.ndim], y, "1", "targets")
        for index, functions in enumerate((basis or {}).values()):
            dims = (sample, f"basis_{index}")
            put(
                group,
                f"basis{index}{suffix}",
                dims,
                functions,
                "1",
                "labelled functions that make up the target",
            )
    description: dict[str, Any] = {"basis": list(problem.basis or {})}
    for kind, arguments in _MEASURES.items():
        if type(problem.measure) is kind:
            values = {name: np.asarray(getattr(problem.measure, name)).tolist() for name in arguments}
            description["measure"] = {"kind": kind.__name__, **values}
    if problem.grid is not None:
        description["grid_shape"] = list(problem.grid.shape)
        description["grid_periodic_length"] = problem.grid.periodic_length
        description["grid_unit"] = problem.grid.unit
    for name in ("classes", "names"):
        value = getattr(problem, name)
        if value is not None:
            description[name] = list(value)
    group.attrs.update(description)


def load_problem(path: Path) -> problems.Problem:
    """The problem that `save_problem` wrote."""
    group = zarr.open_group(path, path="problem", mode="r")
    attrs: Mapping[str, Any] = dict(group.attrs)

    def read(name: str) -> np.ndarray | None:
        return np.asarray(open_array(group, name)[...]) if name in group else None

    def basis(suffix: str) -> dict[str, np.ndarray] | None:
        found = {label: read(f"basis{index}{suffix}") for index, label in enumerate(attrs["basis"])}
        return {label: functions for label, functions in found.items() if functions is not None} or None

    def words(name: str) -> tuple[str, ...] | None:
        return tuple(attrs[name]) if name in attrs else None

    measure = grid = None
    if "measure" in attrs:
        kinds = {kind.__name__: kind for kind in _MEASURES}
        measure = kinds[attrs["measure"]["kind"]](**{k: v for k, v in attrs["measure"].items() if k != "kind"})
    if "grid_shape" in attrs:
        grid = problems.Grid(tuple(attrs["grid_shape"]), attrs["grid_periodic_length"], attrs["grid_unit"])
    return problems.Problem(
        read("x"),
        read("y"),
        x_test=read("x_test"),
        y_test=read("y_test"),
        measure=measure,
        grid=grid,
        classes=words("classes"),
        names=words("names"),
        basis=basis(""),
        basis_test=basis("_test"),
    )


def save_modes(path: Path, modes: Modes) -> None:
    """Eigenvalues and eigenvectors at the initialization; the vectors in float32."""
    group = zarr.open_group(path, path="modes", mode="w")
    put(group, "eigenvalue", ("mode",), modes.eigenvalues, "1/time", "eigenvalues of Θ/n at initialization")
    vectors = modes.eigenvectors.astype(np.float32)
    put(
        group,
        "eigenvector",
        ("value", "mode"),
        vectors,
        "1",
        "unit eigenvectors; row i c + a is output a of sample i",
    )
    put(group, "residual_norm", ("mode",), modes.residual_norms, "1/time", "‖Θv/n - λv‖")
    group.attrs.update(
        num_samples=modes.num_samples,
        outputs=list(modes.outputs),
        trace=None if np.isnan(modes.trace) else modes.trace,
        method=modes.method,
        precision=modes.precision,
        resolution=modes.resolution,
        status=modes.status.name,
    )


def load_modes(path: Path) -> Modes:
    """The modes that `save_modes` wrote, in float64."""
    data = open_dataset(path, "modes")
    attrs = data.attrs
    return Modes(
        data["eigenvalue"].to_numpy(),
        data["eigenvector"].to_numpy().astype(np.float64),
        data["residual_norm"].to_numpy(),
        attrs["num_samples"],
        tuple(attrs["outputs"]),
        np.nan if attrs["trace"] is None else attrs["trace"],
        attrs["method"],
        attrs["precision"],
        attrs["resolution"],
        ModesStatus[attrs["status"]],
    )
