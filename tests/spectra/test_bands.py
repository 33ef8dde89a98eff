import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias import problems
from spectralbias.problems import Grid, Problem
from spectralbias.spectra import bands

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
