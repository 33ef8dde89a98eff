"""Pictures of eigenfunctions show the functions that they should, the right way round."""

import io
import math

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from spectralbias import kernels, problems, report, spectra

# x · x' has the modes x ↦ a · x, which Nyström extends exactly.
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])


def linear(x):
    return lambda new: np.asarray(new) @ x.T


def directions(modes, x):
    """The a of each mode of the linear kernel, (3, modes), from its values on the data."""
    values = modes.eigenvectors[:, :3] * math.sqrt(len(x))
    return np.linalg.lstsq(x, values, rcond=None)[0]


def circle(count):
    angle = np.linspace(-np.pi, np.pi, count, endpoint=False) + 0.03
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def written(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer)
    return buffer.getvalue()


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_modes_on_the_circle_are_waves_through_the_samples():
    x, kernel = circle(48), kernels.cao_kernel()
    modes = spectra.eigenmodes(kernel.ntk(x))
    figure = report.mode_figure(modes, x, cross=lambda new: kernel.ntk(new, x), which=(1, 2, 4))
    for axes, frequency in zip(figure.axes, (0, 1, 2), strict=True):
        _, curve, dots = axes.lines
        power = np.abs(np.fft.rfft(curve.get_ydata()[:-1])) ** 2
        assert np.argmax(power) == frequency
        assert power[frequency] > 0.999 * power.sum()
        mean_square = np.mean(curve.get_ydata()[:-1] ** 2)
        assert mean_square == pytest.approx(1, abs=0.02)
        at, values = dots.get_xydata().T
        assert np.interp(at, *curve.get_xydata().T) == pytest.approx(values, abs=0.01)
        assert sorted(at) == pytest.approx(sorted(np.degrees(np.arctan2(x[:, 1], x[:, 0]))))
    assert titles(figure)[0] == f"mode 1, λ = {report._text.number(modes.eigenvalues[0], 2)}"
    assert len(written(figure)) > 10_000


def test_without_the_kernel_the_samples_are_drawn():
    x = circle(12)
    figure = report.mode_figure(spectra.eigenmodes(kernels.cao_kernel().ntk(x)), x)
    assert len(figure.axes) == 8
    assert len(figure.axes[0].lines[1].get_xdata()) == 12


def test_the_map_has_longitude_and_latitude():
    modes = spectra.eigenmodes(OCTAHEDRON @ OCTAHEDRON.T)
    figure = report.mode_figure(modes, OCTAHEDRON, cross=linear(OCTAHEDRON))
    a = directions(modes, OCTAHEDRON)
    # Modes beyond the third are rounding errors, which cannot be extended.
    assert len(figure.axes) == 3
    for i, axes in enumerate(figure.axes):
        assert axes.name == "mollweide"
        (mesh,) = [item for item in axes.collections if isinstance(item, QuadMesh)]
        shown = np.asarray(mesh.get_array()).reshape(91, 181)
        for row, column, point in ((45, 90, (1, 0, 0)), (45, 135, (0, 1, 0)), (90, 7, (0, 0, 1)), (0, 99, (0, 0, -1))):
            assert shown[row, column] == pytest.approx(np.dot(point, a[:, i]), abs=1e-9)
    written(figure)


def test_the_nodal_line_is_where_the_mode_is_zero():
    modes = spectra.eigenmodes(OCTAHEDRON @ OCTAHEDRON.T)
    axes = report.mode_figure(modes, OCTAHEDRON, cross=linear(OCTAHEDRON)).axes[1]
    a = directions(modes, OCTAHEDRON)[:, 1]
    (nodal,) = [item for item in axes.collections if hasattr(item, "levels")]
    vertices = np.concatenate([path.vertices for path in nodal.get_paths()])
    around, up = vertices.T
    points = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    assert len(vertices) > 50
    assert np.abs(a @ points).max() < 0.01 * np.linalg.norm(a)


def test_the_globe_is_seen_from_thirty_degrees_north():
    modes = spectra.eigenmodes(OCTAHEDRON @ OCTAHEDRON.T)
    figure = report.mode_figure(modes, OCTAHEDRON, cross=linear(OCTAHEDRON), view="globe")
    a = directions(modes, OCTAHEDRON)
    half = math.radians(30)
    center, top, right = (math.cos(half), 0, math.sin(half)), (-math.sin(half), 0, math.cos(half)), (0, 1, 0)
    for i, axes in enumerate(figure.axes):
        (shown,) = axes.images
        pixels = np.asarray(shown.get_array())
        assert shown.origin == "lower"
        for row, column, point in ((80, 80, center), (160, 80, top), (80, 160, right)):
            assert pixels[row, column] == pytest.approx(np.dot(point, a[:, i]), abs=1e-9)
    written(figure)
    # Of the six points those with a positive component towards the viewer are seen: x, z and, on the rim, ±y.
    bare = report.mode_figure(modes, OCTAHEDRON, view="globe", which=(1,))
    assert 2 <= len(bare.axes[0].collections[0].get_offsets()) <= 4


def test_an_image_is_not_turned():
    """The mode of one pixel: red or blue there, white elsewhere."""
    x = np.stack(np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 4), indexing="ij"), axis=-1).reshape(-1, 2)
    problem = problems.Problem(x, x[:, 0], grid=problems.Grid((3, 4)))
    values = np.ones(12)
    values[6] = 5.0
    figure = report.mode_figure(spectra.eigenmodes(np.diag(values)), problem, which=(1,))
    pixels = np.asarray(figure.axes[0].images[0].get_array())
    assert pixels.shape == (3, 4, 3)
    strong = np.argwhere(np.ptp(pixels.astype(int), axis=2) > 60)
    assert strong.tolist() == [[1, 2]]
    extreme = np.array([to_rgb("#2166ac"), to_rgb("#b2182b")]) * 255
    assert np.abs(extreme - pixels[1, 2]).max(axis=1).min() < 2


def test_three_outputs_of_an_image_are_in_color_and_others_side_by_side():
    x = np.stack(np.meshgrid(np.linspace(-1, 1, 2), np.linspace(-1, 1, 2), indexing="ij"), axis=-1).reshape(-1, 2)
    for outputs, panels in ((3, 2), (2, 4)):
        problem = problems.Problem(x, np.eye(4)[:, :outputs], grid=problems.Grid((2, 2)))
        gram = np.einsum("ij,ab->ijab", np.diag([4.0, 3, 2, 1]), np.diag([2.0, 1.9, 1.8][:outputs]))
        figure = report.mode_figure(spectra.eigenmodes(gram), problem, which=(1, 2))
        assert len(figure.axes) == panels
        written(figure)


def test_of_many_outputs_the_strongest_is_shown():
    x = np.random.default_rng(0).standard_normal((6, 4))
    weights = np.array([1.0, 2, 3, 9, 4])
    gram = np.einsum("ij,ab->ijab", x @ x.T + np.eye(6), np.diag(weights))
    figure = report.mode_figure(spectra.eigenmodes(gram), x, which=(1, 2))
    assert [title.split(", ")[-1] for title in titles(figure)] == ["output 4", "output 4"]


def test_one_input_is_a_curve():
    x = np.array([[0.5], [-1.0], [1.0], [0.0]])
    modes = spectra.eigenmodes(1 + x @ x.T)
    figure = report.mode_figure(modes, x, cross=lambda new: 1 + np.asarray(new) @ x.T, which=(1, 2, 3))
    assert len(figure.axes) == 2
    for i, axes in enumerate(figure.axes):
        at, values = axes.lines[1].get_xydata().T
        slope, start = np.polyfit(x[:, 0], 2 * modes.eigenvectors[:, i], 1)
        assert (at.min(), at.max()) == (-1, 1)
        assert values == pytest.approx(slope * at + start)


def test_anything_else_is_a_scatter_of_principal_coordinates():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 6)) * np.array([5, 3, 0.1, 0.1, 0.1, 0.1])
    figure = report.mode_figure(spectra.eigenmodes(x @ x.T), x, which=(1,))
    cloud = figure.axes[0].collections[0]
    spread = np.std(np.asarray(cloud.get_offsets()), axis=0)
    assert spread == pytest.approx(np.std(x[:, :2], axis=0), rel=0.05)
    # The first mode of this kernel is the first coordinate.
    at, colors = np.asarray(cloud.get_offsets())[:, 0], np.asarray(cloud.get_array())
    assert abs(np.corrcoef(at, colors)[0, 1]) > 0.99
    assert "100 % of the variance" in figure.get_supxlabel()


def test_titles_ranks_and_figures_of_ones_own():
    x = circle(10)
    modes = spectra.eigenmodes(kernels.cao_kernel().ntk(x))
    left, right = Figure().subfigures(1, 2)
    assert report.mode_figure(modes, x, which=(3, 99, 1), titles=("c", "?", "a"), figure=left) is left
    assert titles(left) == ["c", "a"]
    assert not right.axes


def test_refusals(refuses):
    x = circle(10)
    modes = spectra.eigenmodes(kernels.cao_kernel().ntk(x))
    for words, data, options in (
        (("10", "9"), x[:9], {}),
        (("glob", "globe"), x, {"view": "glob"}),
        (("globe", "3", "2"), x, {"view": "globe"}),
        (("one norm", "scatter"), x * np.linspace(1, 2, 10)[:, None], {"view": "circle"}),
        (("image", "grid"), x, {"view": "image"}),
        (("which", "10"), x, {"which": (11, 0)}),
        (("titles", "2", "1"), x, {"which": (1, 2), "titles": ("a",)}),
    ):
        with refuses(*words):
            report.mode_figure(modes, data, **options)
