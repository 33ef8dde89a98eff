import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias import problems
from spectralbias.problems import Grid, Problem
from spectralbias.spectra import bands, degree_energies

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def on_grid(shape, y=None):
    """A problem on a grid, with noise as its target by default."""
    nodes = np.stack(np.meshgrid(*[np.arange(s) for s in shape], indexing="ij"), axis=-1).reshape(-1, len(shape))
    return Problem(nodes, np.random.default_rng(0).standard_normal(len(nodes)) if y is None else y, grid=Grid(shape))


@given(st.lists(st.integers(2, 9), min_size=1, max_size=3).map(tuple), st.sampled_from([(), (3,)]))
def test_rings_add_up_to_the_mean_square_and_none_is_empty(shape, outputs):
    n = int(np.prod(shape))
    parts = bands(on_grid(shape, np.random.default_rng(1).standard_normal((n, *outputs))))
    residuals = np.random.default_rng(2).standard_normal((2, n, *outputs))
    energy = parts.energy(residuals)
    assert energy.shape == (2, len(parts.names))
    squares = residuals.reshape(2, n, -1) ** 2
    np.testing.assert_allclose(energy.sum(axis=1), squares.sum(axis=(1, 2)) / n, rtol=1e-12)
    assert np.all(energy > 0)


def test_octaves_of_an_image_hold_the_waves_they_name():
    rows, columns = 16, 12
    parts = bands(on_grid((rows, columns)))
    assert parts.kind == "frequency"
    assert parts.names == ("mean", "frequency 1", "frequency 2-3", "frequency 4-7", "frequency 8+")
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    for a, b, ring in [
        (0, 0, 0),
        (1, 0, 1),
        (1, 1, 1),
        (2, 0, 2),
        (2, 2, 2),
        (0, 3, 2),
        (3, 3, 3),
        (5, 5, 3),
        (8, 6, 4),
    ]:
        wave = np.cos(2 * np.pi * (a * i / rows + b * j / columns)).ravel()
        expected = np.zeros(5)
        expected[ring] = np.mean(wave**2)
        np.testing.assert_allclose(parts.energy(wave), expected, rtol=0, atol=1e-14, err_msg=f"{a}, {b}")


def test_octaves_of_a_line_by_brute_force():
    n = 31
    parts = bands(on_grid((n,), np.cos(2 * np.pi * 5 * np.arange(n) / n)))
    assert parts.names == ("mean", "frequency 1", "frequency 2-3", "frequency 4-7", "frequency 8+")
    residual = np.random.default_rng(5).standard_normal(n)
    amplitudes = [abs(sum(residual[t] * np.exp(-2j * np.pi * k * t / n) for t in range(n)) / n) for k in range(16)]
    power = np.array(amplitudes) ** 2 * np.array([1] + 15 * [2])
    expected = [power[0], power[1], power[2:4].sum(), power[4:8].sum(), power[8:].sum()]
    np.testing.assert_allclose(parts.energy(residual), expected, rtol=1e-12)


def test_a_sum_of_sines_gets_a_ring_around_each():
    problem = problems.signal(frequencies=(3, 8, 20), amplitudes=(1.0, 2.0, 0.5), num_samples=64, key=KEY)
    parts = bands(problem)
    assert parts.names == ("frequency 3", "frequency 8", "frequency 20")
    np.testing.assert_allclose(parts.energy(problem.y), [0.5, 2.0, 0.125], rtol=1e-12)
    for frequency, ring in [(0, 0), (1, 0), (5, 0), (6, 1), (13, 1), (14, 2), (31, 2)]:
        wave = np.cos(np.pi * frequency * (problem.x[:, 0] + 1) + 0.3)
        energy = parts.energy(wave)
        assert energy[ring] == pytest.approx(np.mean(wave**2)), frequency
        assert np.delete(energy, ring).max() < 1e-25


@pytest.mark.parametrize("frequencies", [(3,), tuple(range(1, 18, 2))])
def test_one_sine_and_many_get_octaves(frequencies):
    problem = problems.signal(frequencies=frequencies, num_samples=40, key=KEY)
    octaves = ("mean", "frequency 1", "frequency 2-3", "frequency 4-7", "frequency 8-15", "frequency 16+")
    assert bands(problem).names == octaves
    energy = bands(problem).energy(problem.y)
    expected = [sum(low <= f < 2 * low for f in frequencies) / 2 for low in (1, 2, 4, 8, 16)]
    np.testing.assert_allclose(energy, [0, *expected], rtol=1e-12, atol=1e-14)


def test_outputs_are_summed():
    y = np.stack([np.sin(np.arange(16) * np.pi / 8), np.cos(np.arange(16) * 3 * np.pi / 8)], axis=1)
    parts = bands(on_grid((16,), y))
    assert parts.outputs == (2,)
    assert parts.names == ("frequency 1", "frequency 3")
    np.testing.assert_allclose(parts.energy(y * [1.0, 2.0]), [0.5, 2.0], rtol=1e-12)


def test_a_zonal_harmonic_is_in_its_degree():
    problem = problems.harmonics(dim=4, degrees=(1, 2, 4), num_samples=4000, num_test=0, key=KEY)
    parts = bands(problem)
    assert parts.kind == "degree"
    assert parts.names == ("degree 1", "degree 2", "degree 4")
    for j, harmonic in enumerate(problem.basis.values()):
        energy = parts.energy(3 * harmonic[:, 0])
        assert energy[j] == pytest.approx(np.mean(9 * harmonic**2), rel=1e-12)
        assert energy[j] == pytest.approx(9, rel=0.2)  # unit norm on the sphere
        # Other degrees are orthogonal on the sphere, and to 1/√n in amplitude on n points.
        assert np.delete(energy, j).max() < 9 * 25 / 4000


def test_a_basis_counts_what_it_spans_once():
    functions = RNG.standard_normal((10, 2))
    repeated = np.concatenate([functions, functions @ RNG.standard_normal((2, 3)), np.zeros((10, 1))], axis=1)
    problem = Problem(np.arange(10.0)[:, None], RNG.standard_normal(10), basis={"small": functions, "same": repeated})
    parts = bands(problem)
    assert parts.kind == "basis"
    residual = RNG.standard_normal((3, 10))
    fitted = (functions @ np.linalg.lstsq(functions, residual.T, rcond=None)[0]).T
    energy = parts.energy(residual)
    np.testing.assert_allclose(energy, np.stack(2 * [np.mean(fitted**2, axis=1)], axis=1), rtol=1e-12)


def test_a_basis_and_vector_outputs():
    functions = RNG.standard_normal((10, 3))
    problem = Problem(np.arange(10.0)[:, None], RNG.standard_normal((10, 2)), basis={"b": functions})
    fitted = functions @ np.linalg.lstsq(functions, problem.y, rcond=None)[0]
    np.testing.assert_allclose(bands(problem).energy(problem.y), [np.sum(fitted**2) / 10], rtol=1e-12)


def test_classes_have_the_energy_of_their_samples():
    labels = np.array([0, 2, 1, 2, 2, 0])
    problem = Problem(RNG.standard_normal((6, 2)), np.eye(3)[labels], classes=("cat", "dog", "emu"))
    parts = bands(problem)
    assert parts.kind == "class"
    assert parts.names == ("cat", "dog", "emu")
    residuals = RNG.standard_normal((4, 6, 3))
    energy = parts.energy(residuals)
    for j in range(3):
        np.testing.assert_allclose(energy[:, j], np.sum(residuals[:, labels == j] ** 2, axis=(1, 2)) / 6)
    np.testing.assert_allclose(energy.sum(axis=1), np.sum(residuals**2, axis=(1, 2)) / 6)


def test_without_structure_there_is_one_band_of_everything():
    problem = Problem(RNG.standard_normal((6, 2)), RNG.standard_normal(6))
    parts = bands(problem)
    assert (parts.names, parts.kind) == (("all",), "all")
    np.testing.assert_allclose(parts.energy(problem.y), [np.mean(problem.y**2)])


def test_residuals_of_another_shape_are_refused(refuses):
    for problem in (on_grid((4, 2)), problems.harmonics(dim=3, num_samples=8, num_test=0, key=KEY)):
        for shape in ((7,), (8, 1), (2, 4, 2)):
            with refuses("`residuals`", "(8,)", shape):
                bands(problem).energy(np.zeros(shape))


def sphere(num, dim, measure=None, amplitudes=(1.0, 2.0)):
    """A target of degrees 1 and 3 on random points, without its basis."""
    drawn = problems.harmonics(
        dim=dim, degrees=(1, 3), amplitudes=amplitudes, measure=measure, num_samples=num, num_test=0, key=KEY
    )
    return Problem(drawn.x, drawn.y, measure=drawn.measure)


def test_degrees_without_a_basis():
    problem = sphere(3000, 4)
    parts = bands(problem, by="degree", degrees=(3, 0, 1, 2))
    assert (parts.names, parts.kind) == (("degree 3", "degree 0", "degree 1", "degree 2"), "degree")
    # Energies 4, 0, 1, 0; their scatter is below 2σ√(E/n) + σ²√(2N)/n with σ² = 5 and N = 16, 1, 4, 9.
    scatter = np.array([2 * (5 * 4 / 3000) ** 0.5, 0, 2 * (5 / 3000) ** 0.5, 0]) + 5 * np.sqrt([32, 2, 8, 18]) / 3000
    energy = parts.energy(problem.y)
    assert np.all(np.abs(energy - [4, 0, 1, 0]) < 3 * scatter)
    assert bands(problem).kind == "all"


def test_degrees_of_residuals_are_those_of_degree_energies_and_never_negative():
    problem = sphere(300, 3)
    residuals = np.random.default_rng(1).standard_normal((2, 4, 300))
    energy = bands(problem, by="degree", degrees=(2, 5)).energy(residuals)
    expected = [[degree_energies((2, 5), problem.x, r) for r in row] for row in residuals]
    assert energy.shape == (2, 4, 2)
    assert np.min(expected) < 0
    np.testing.assert_allclose(energy, np.maximum(expected, 0), rtol=0, atol=1e-13)


def test_degrees_see_the_whole_space_where_a_basis_sees_one_function():
    drawn = problems.harmonics(dim=3, degrees=(1, 2), num_samples=4000, num_test=0, key=KEY)
    assert bands(drawn, by="degree").names == bands(drawn, by="basis").names == ("degree 1", "degree 2")
    axis = np.linalg.lstsq(drawn.x, drawn.basis["degree 1"][:, 0])[0]
    linear = drawn.x @ np.linalg.qr(axis[:, None], mode="complete")[0][:, 1]  # around an axis across the target's
    assert bands(drawn, by="degree").energy(linear)[0] == pytest.approx(1 / 3, rel=0.1)
    assert bands(drawn, by="basis").energy(linear)[0] < 0.01


def test_degrees_of_points_from_another_measure():
    measure = problems.PiecewiseSphere(4)
    problem = sphere(8000, 4, measure)
    energy = bands(problem, by="degree", degrees=(0, 1, 2, 3)).energy(problem.y)
    # 2σ√(E/n) is 0.1 for E = 4, and more by the weights of up to 2.
    np.testing.assert_allclose(energy, [0, 1, 0, 4], rtol=0, atol=0.35)
    unweighted = degree_energies((0, 1, 2, 3), problem.x, problem.y)
    assert unweighted[2] > 0.5


def test_vector_targets_by_degree():
    problem = sphere(500, 3)
    y = np.stack([problem.y, -2 * problem.x[:, 1]], axis=1)
    parts = bands(Problem(problem.x, y), by="degree", degrees=1)
    expected = degree_energies(1, problem.x, y[:, 0]) + degree_energies(1, problem.x, y[:, 1])
    np.testing.assert_allclose(parts.energy(np.stack([y, 2 * y])), [expected, 4 * expected], rtol=1e-12)


def test_degrees_by_default_have_no_more_harmonics_than_samples():
    assert bands(sphere(40, 3), by="degree").names == tuple(f"degree {k}" for k in range(11))
    assert bands(sphere(400, 10), by="degree").names == ("degree 0", "degree 1", "degree 2", "degree 3")


def test_scattered_points_have_the_energy_of_the_waves_they_carry():
    x = np.random.default_rng(3).uniform(-1, 1, (300, 2))
    waves = [(2.0, (0, 0)), (1.0, (1, -1)), (3.0, (0, 3)), (0.5, (4, 3))]
    y = sum(a * np.cos(np.pi * x @ k + 0.4 * (k != (0, 0))) for a, k in waves)
    parts = bands(Problem(x, y), by="frequency", max_frequency=5)
    assert parts.names == ("mean", "frequency 1", "frequency 2-3", "frequency 4-5")
    assert parts.kind == "frequency"
    expected = np.array([4, 0.5, 4.5, 0.125])
    np.testing.assert_allclose(parts.energy(y), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(parts.energy(np.stack([y, -3 * y])), [expected, 9 * expected], rtol=0, atol=1e-9)
    both = bands(Problem(x, np.stack([y, 2 * y], axis=1)), by="frequency", max_frequency=5)
    np.testing.assert_allclose(both.energy(np.stack([y, 2 * y], axis=1)), 5 * expected, rtol=0, atol=1e-9)


def test_scattered_points_and_the_grid_agree_on_the_grid():
    grid = on_grid((17,), np.cos(2 * np.pi * 5 * np.arange(17) / 17))
    x = np.linspace(-1, 1, 17, endpoint=False)[:, None]
    scattered = bands(Problem(x, grid.y), by="frequency", max_frequency=8)
    assert scattered.names == ("mean", "frequency 1", "frequency 2-3", "frequency 4-7", "frequency 8")
    residuals = np.random.default_rng(4).standard_normal((3, 17))
    np.testing.assert_allclose(scattered.energy(residuals), bands(grid).energy(residuals), rtol=1e-9)
    names = lambda most: bands(Problem(x, grid.y), by="frequency", max_frequency=most).names  # noqa: E731
    assert names(0) == ("mean",)
    assert names(1.5) == ("mean", "frequency 1")
    assert names(6) == ("mean", "frequency 1", "frequency 2-3", "frequency 4-6")


def test_the_kind_can_be_chosen():
    labels = np.array([0, 1, 1, 0])
    problem = Problem(np.arange(4.0)[:, None], np.eye(2)[labels], grid=Grid((4,)), classes=("a", "b"))
    assert bands(problem).kind == "frequency"
    assert bands(problem, by="class").names == ("a", "b")
    np.testing.assert_allclose(bands(problem, by="class").energy(problem.y), [0.5, 0.5])
    drawn = problems.harmonics(dim=3, num_samples=20, num_test=0, key=KEY)
    np.testing.assert_array_equal(bands(drawn, by="basis").energy(drawn.y), bands(drawn).energy(drawn.y))


def off_center(num):
    """Unit vectors that all lie in one corner, as those of pictures do."""
    x = np.abs(np.random.default_rng(0).standard_normal((num, 8)))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


LINE = Problem(np.linspace(-1, 1, 9)[:, None], np.arange(9.0))


@pytest.mark.parametrize(
    ("problem", "arguments", "words"),
    [
        (LINE, {"by": "degrees"}, ("kind of bands", "`degrees`", "`degree`")),
        (LINE, {"by": "degree"}, ("unit sphere", "(9, 1)", "norms from 0 to 1", "divide")),
        (Problem(2 * np.eye(3), np.arange(3.0)), {"by": "degree"}, ("unit sphere", "2 to 2")),
        (Problem(off_center(500), np.arange(500.0)), {"by": "degree"}, ("mean", "uniform", "`measure`")),
        (
            Problem(np.concatenate([off_center(500), -off_center(500)]), np.arange(1000.0)),
            {"by": "degree"},
            ("covariance", "uniform", "`measure`"),
        ),
        (sphere(20, 3), {"by": "degree", "degrees": (1, 1)}, ("`degrees`", "twice")),
        (sphere(20, 3), {"by": "degree", "degrees": -1}, ("`degrees`", "-1")),
        (sphere(20, 3), {"by": "degree", "degrees": ()}, ("`degrees`", "at least one")),
        (LINE, {"by": "frequency"}, ("`grid`", "`max_frequency`")),
        (LINE, {"by": "frequency", "max_frequency": 5}, ("max_frequency", "9 points")),
        (LINE, {"by": "frequency", "max_frequency": -1}, ("`max_frequency`", "-1")),
        (
            Problem(3 * np.linspace(-1, 1, 9)[:, None], np.arange(9.0)),
            {"by": "frequency", "max_frequency": 1},
            ("[-1, 1]", "up to 3"),
        ),
        (on_grid((4, 2)), {"by": "frequency", "max_frequency": 2}, ("`max_frequency`", "grid", "leave it out")),
        (LINE, {"by": "class"}, ("`classes`",)),
        (LINE, {"by": "basis"}, ("`basis`",)),
        (LINE, {"degrees": (1, 2)}, ("`degrees`", 'by="degree"', "None")),
        (LINE, {"by": "class", "max_frequency": 2}, ("`max_frequency`", 'by="frequency"', "class")),
    ],
)
def test_what_a_problem_lacks_is_said(problem, arguments, words, refuses):
    with refuses(*words):
        bands(problem, **arguments)
