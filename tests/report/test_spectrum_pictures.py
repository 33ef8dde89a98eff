"""Pictures of spectra show the numbers that they should."""

import dataclasses
import functools
import io
import math

import equinox as eqx
import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.integrate import quad
from scipy.special import eval_legendre

from spectralbias import kernels, report, spectra


@pytest.fixture(scope="module")
def cao():
    return spectra.sphere_spectrum(kernels.cao_kernel(), 3, 400)


def lines(axes, **wanted):
    """The lines with these properties, as (x, y)."""
    return [
        line.get_xydata()
        for line in axes.lines
        if len(line.get_xdata()) and all(getattr(line, f"get_{key}")() == value for key, value in wanted.items())
    ]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def written(figure, kind="png"):
    """The bytes of the figure; a warning, as of a missing letter, is an error."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()


def test_eigenvalues_are_drawn_where_a_quadrature_says(cao):
    left, right = report.spectrum_figure(cao).axes
    even = lines(left, label="even degree")[0]

    def profile(t):
        return (3 * t * (math.pi - math.acos(t)) + 2 * math.sqrt(1 - t * t)) / (2 * math.pi)

    for row, degree in enumerate((0, 2, 4, 6)):
        eigenvalue = quad(lambda t, k=degree: profile(t) * eval_legendre(k, t) / 2, -1, 1)[0]
        assert even[row] == pytest.approx([max(degree, 0.5), math.log10(eigenvalue)], abs=1e-5)
    shares = lines(right, marker="o")[0]
    assert shares[1, 1] == pytest.approx(100 * 5 * 10 ** even[1, 1] / 1.5)
    total = lines(right, drawstyle="steps-post")[0]
    assert total[2, 1] == pytest.approx(100 * (10 ** even[0, 1] + 3 / 4 + 5 * 10 ** even[1, 1]) / 1.5)
    assert len(written(left.figure)) > 10_000


def test_zeros_lie_on_a_strip_of_their_own(cao):
    left = report.spectrum_figure(cao).axes[0]
    zeros = lines(left, label="odd degree: exactly 0")[0]
    assert zeros[:, 0].tolist() == list(range(3, 400, 2))
    assert len(set(zeros[:, 1])) == 1
    assert zeros[0, 1] < lines(left, label="even degree")[0][:, 1].min()
    place = ticks(left.yaxis).index("0")
    assert left.get_yticks()[place] == pytest.approx(zeros[0, 1])
    assert lines(left, label="odd degree")[0].tolist() == [[1.0, pytest.approx(math.log10(1 / 4))]]


def test_the_line_is_the_one_of_theory(cao):
    left = report.spectrum_figure(cao).axes[0]
    (line,) = [xy for xy in lines(left, linestyle="--", marker="None") if len(xy) == 50]
    slope = np.polyfit(np.log10(line[:, 0] + 0.5), line[:, 1], 1)[0]
    assert slope == pytest.approx(-3, abs=1e-12)
    even = lines(left, label="even degree")[0]
    assert line[-1] == pytest.approx(even[-1], abs=0.01)
    assert "theory" in legend(left)[-1]
    assert "(k + 0.5)^{-3}" in legend(left)[-1]


def test_where_theory_does_not_know_there_is_a_fit():
    spectrum = spectra.sphere_spectrum(lambda t: np.exp(-np.sqrt(2 - 2 * np.asarray(t, float))), 3, 60)
    left = report.spectrum_figure(spectrum).axes[0]
    (line,) = [xy for xy in lines(left, linestyle="-", marker="None") if len(xy) == 50]
    slope = np.polyfit(np.log10(line[:, 0] + 0.5), line[:, 1], 1)[0]
    assert slope == pytest.approx(-3, abs=0.02)
    assert f"(k + 0.5)^{{{slope:.2f}}}" in legend(left)[-1]
    assert "fit from degree" in legend(left)[-1]


def test_no_line_through_what_is_no_power_law():
    spectrum = spectra.sphere_spectrum(lambda t: (1 + t) ** 20, 3, 20)
    assert not any("propto" in text for text in legend(report.spectrum_figure(spectrum).axes[0]))


def test_what_is_not_resolved_is_not_shown_as_zero():
    spectrum = spectra.sphere_spectrum(lambda t: np.exp(np.asarray(t, float)), 3, 30)
    unknown = np.flatnonzero(np.isinf(spectrum.errors))
    assert len(unknown) > 5
    left = report.spectrum_figure(spectrum).axes[0]
    assert lines(left, label="too small to be resolved")[0][:, 0].tolist() == unknown.tolist()
    assert not any("exactly 0" in text for text in legend(left))


def test_errors_are_drawn_where_they_can_be_seen(cao):
    errors = np.where(cao.degrees == 4, 0.5, 1e-3)
    left = report.spectrum_figure(eqx.tree_at(lambda s: s.errors, cao, errors)).axes[0]
    (bars,) = [container for container in left.containers if container.has_yerr]
    (segment,) = bars[2][0].get_segments()
    assert segment[:, 0].tolist() == [4, 4]
    assert 10 ** segment[:, 1] == pytest.approx(cao.eigenvalues[4] * np.array([0.5, 1.5]))


def test_eigenvalues_beyond_the_range_of_floats():
    spectrum = spectra.sphere_spectrum(functools.partial(kernels.arc_cosine, degree=0), 1000, 3000)
    assert spectrum.eigenvalues[-2:].tolist() == [0, 0]
    left = report.spectrum_figure(spectrum).axes[0]
    odd = lines(left, label="odd degree")[0]
    assert odd[-1] == pytest.approx([2999, spectrum.log_eigenvalues[2999] / math.log(10)])
    assert odd[-1, 1] < -900
    assert any("-800" in text for text in ticks(left.yaxis))
    written(left.figure)


def test_several_spectra_and_their_names(cao, refuses):
    others = [spectra.sphere_spectrum(kernels.cao_kernel(), dim, 12) for dim in (5, 8)]
    figure = report.spectrum_figure([cao, *others])
    assert [text.split(":")[0] for text in legend(figure.axes[0])] == ["dim 3", "dim 5", "dim 8"]
    strips = {line[0, 1] for line in lines(figure.axes[0], fillstyle="none")}
    assert len(strips) == 3
    named = report.spectrum_figure(others, labels=("small", "large"))
    assert [text.split(":")[0] for text in legend(named.axes[0])] == ["small", "large"]
    for kind in ("pdf", "svg"):
        assert len(written(figure, kind)) > 5_000
    with refuses("labels", "2", "1"):
        report.spectrum_figure(others, labels=("one",))
    with refuses("spectra", "empty"):
        report.spectrum_figure([])


@pytest.mark.parametrize("max_degree", [0, 1, 2])
def test_few_degrees(max_degree):
    written(report.spectrum_figure(spectra.sphere_spectrum(kernels.cao_kernel(), 10, max_degree)))


def test_draws_into_a_given_figure(cao):
    above, below = Figure(figsize=(7, 6)).subfigures(2, 1)
    assert report.spectrum_figure(cao, figure=above) is above
    assert len(above.axes) == 2
    assert not below.axes


def test_eigenvalues_on_data_by_rank():
    modes = spectra.eigenmodes(np.diag([8.0, 1.0, 0.1, 0.01]))
    left, right = report.modes_spectrum_figure(modes, target=np.array([0.0, 2, 0, 0])).axes
    assert lines(left, label="eigenvalue")[0] == pytest.approx(np.array([[1, 2], [2, 0.25], [3, 0.025], [4, 0.0025]]))
    trace, target = (lines(right, label=f"of the {what}")[0][:, 1] for what in ("trace", "target"))
    assert trace == pytest.approx(100 * np.cumsum([8, 1, 0.1, 0.01]) / 9.11)
    assert target == pytest.approx([0, 100, 100, 100])
    assert "below: rounding errors of Θ" in [text.get_text() for text in left.texts]
    written(left.figure)


def test_pairs_that_did_not_converge_stand_out():
    modes = spectra.eigenmodes(np.diag([8.0, 4.0, 2.0, 1.0]), num_modes=3)
    modes = eqx.tree_at(lambda m: m.residual_norms, modes, np.array([1e-17, 1e-17, 0.2]))
    left = report.modes_spectrum_figure(modes).axes[0]
    assert lines(left, label="not converged")[0] == pytest.approx(np.array([[3, 0.5]]))
    assert lines(left, label="its error bound (residual norm)")[0][-1] == pytest.approx([3, 0.2])
    assert left.get_title(loc="left") == "the largest 3 of 4 modes"


def test_the_density_runs_through_the_ranks():
    rng = np.random.default_rng(0)
    values = np.geomspace(1, 1e-4, 60)
    basis = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    gram = 60 * (basis * values) @ basis.T
    density = spectra.spectral_density(gram, key=jax.random.key(0))
    figure = report.modes_spectrum_figure(spectra.eigenmodes(gram, num_modes=5), density=density)
    line = lines(figure.axes[0], label="whole spectrum, estimated")[0]
    middle = line[np.argmin(np.abs(line[:, 1] - 1.05e-2))]
    assert middle[0] == pytest.approx(30, abs=4)  # half of them; ten probes scatter by about √(30/10)
    assert figure.axes[0].get_xlim()[1] > 60


def test_an_operator_without_a_trace_has_one_panel():
    modes = dataclasses.replace(spectra.eigenmodes(np.diag([3.0, 2.0, 1.0])), trace=math.nan)
    assert len(report.modes_spectrum_figure(modes).axes) == 1
    assert len(report.modes_spectrum_figure(modes, target=np.ones(3)).axes) == 2
