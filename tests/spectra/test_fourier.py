import itertools

import numpy as np
import pytest

from spectralbias.spectra import fourier_coefficients, fourier_modes, radial_spectrum


def grid(shape, length=2.0):
    """Nodes of a periodic box, not on the origin, in row-major order."""
    axes = [length * (np.arange(size) + 0.5) / size - length / 2 for size in shape]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def dft(values, shape):
    """k and ĉ_k of a function on a grid, one sum after the other."""
    nodes = np.array(list(np.ndindex(*shape)))
    found = {}
    for k in itertools.product(*[range(-(size // 2), size - size // 2) for size in shape]):
        phase = 2 * np.pi * sum(k[a] * nodes[:, a] / shape[a] for a in range(len(shape)))
        found[k] = np.exp(-1j * phase) @ values / len(nodes)
    return found


@pytest.mark.parametrize("shape", [(9,), (8,), (1,), (5, 6), (3, 8), (4, 3, 5)])
@pytest.mark.parametrize("outputs", [(), (3,)])
def test_radial_spectrum_equals_a_brute_force_transform(shape, outputs):
    values = np.random.default_rng(0).standard_normal((np.prod(shape), *outputs))
    energy, counts = {}, {}
    for k, amplitude in dft(values, shape).items():
        ring = round(np.sqrt(sum(a * a for a in k)))
        energy[ring] = energy.get(ring, 0) + np.sum(np.abs(amplitude) ** 2)
        counts[ring] = counts.get(ring, 0) + 1
    spectrum = radial_spectrum(values, shape)
    assert spectrum.frequencies.tolist() == sorted(energy)
    np.testing.assert_allclose(spectrum.energy, [energy[ring] for ring in sorted(energy)], rtol=1e-12)
    assert spectrum.counts.tolist() == [counts[ring] for ring in sorted(energy)]
    np.testing.assert_allclose(spectrum.rms**2 * spectrum.counts, spectrum.energy, rtol=1e-12)
    assert np.sum(spectrum.energy) == pytest.approx(np.sum(values**2) / len(values), rel=1e-13)


def test_a_wave_sits_in_its_ring():
    x = grid((24, 24))
    wave = 0.2 + 3 * np.sin(np.pi * (4 * x[:, 0] - 3 * x[:, 1]))
    spectrum = radial_spectrum(wave, (24, 24))
    np.testing.assert_allclose(spectrum.energy[[0, 5]], [0.04, 4.5], rtol=1e-12)
    assert np.delete(spectrum.energy, [0, 5]).max() < 1e-28


def test_values_that_are_not_finite_show():
    assert not np.any(np.isfinite(radial_spectrum(np.array([0.0, np.inf, 1.0]), (3,)).energy))


@pytest.mark.parametrize(
    ("dim", "max_frequency", "count"),
    # Points of the integer lattice in a ball: 1; 2R + 1; OEIS A000328 (9 is not 3.2² but 10 is); A000605.
    [(1, 0, 1), (1, 7.5, 15), (2, 3, 29), (2, 3.2, 37), (3, 2, 33), (10, 1, 21)],
)
def test_modes_are_one_per_lattice_point(dim, max_frequency, count):
    modes = fourier_modes(np.zeros((1, dim)), max_frequency)
    assert modes.values.shape == (1, count)
    assert modes.frequencies.shape == (count, dim)
    np.testing.assert_allclose(modes.radius, np.linalg.norm(modes.frequencies, axis=1))
    assert np.all(np.diff(modes.radius) >= 0)
    assert modes.radius[-1] <= max_frequency
    # Of k and -k one is there, as a cosine and a sine.
    cosines, sines = modes.frequencies[1::2].tolist(), modes.frequencies[2::2].tolist()
    assert cosines == sines
    assert modes.is_sine.tolist() == [False] + [False, True] * (count // 2)
    both = {tuple(k) for k in cosines} | {tuple(-j for j in k) for k in cosines}
    assert len(both) == count - 1
    assert (0,) * dim not in both


@pytest.mark.parametrize(("shape", "length"), [((11,), 2.0), ((7, 8), 2.0), ((7, 7), 2 * np.pi), ((5, 5, 6), 1.0)])
def test_modes_are_orthonormal_on_a_grid(shape, length):
    modes = fourier_modes(grid(shape, length), (min(shape) - 1) // 2, length=length)
    overlap = modes.values.T @ modes.values / len(modes.values)
    np.testing.assert_allclose(overlap, np.eye(len(overlap)), rtol=0, atol=1e-13)


def test_modes_equal_their_formula():
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    modes = fourier_modes(x, 2.5, length=3.0)
    for k, sine, column in zip(modes.frequencies, modes.is_sine, modes.values.T, strict=True):
        angle = 2 * np.pi * (k[0] * x[:, 0] + k[1] * x[:, 1]) / 3
        expected = np.ones(6) if not np.any(k) else np.sqrt(2) * (np.sin(angle) if sine else np.cos(angle))
        np.testing.assert_allclose(column, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("outputs", [(), (2,)])
@pytest.mark.parametrize(("dim", "max_frequency"), [(1, 6), (2, 2.9)])
def test_band_limited_functions_are_recovered_from_scattered_points(dim, max_frequency, outputs):
    rng = np.random.default_rng(1)
    x, new = rng.uniform(-1, 1, (150, dim)), rng.uniform(-1, 1, (20, dim))
    modes = fourier_modes(x, max_frequency)
    true = rng.standard_normal((modes.values.shape[1], *outputs))
    found = fourier_coefficients(x, modes.values @ true, max_frequency)
    np.testing.assert_allclose(found.coefficients, true, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.evaluate(new), fourier_modes(new, max_frequency).values @ true, atol=1e-11)
    assert found.misfit < 1e-12
    assert found.condition_number == pytest.approx(np.linalg.cond(modes.values), rel=1e-9)
    assert np.sum(found.radial_spectrum().energy) == pytest.approx(np.sum(true**2), rel=1e-11)


def test_on_a_grid_scattered_coefficients_are_the_transform():
    shape = (9, 9)
    values = np.random.default_rng(2).standard_normal((81, 2))
    found = fourier_coefficients(grid(shape), values, 4)
    assert found.condition_number == pytest.approx(1, rel=1e-12)
    amplitudes = dft(values, shape)
    for k in {tuple(k) for k in found.frequencies.tolist() if any(k)}:
        here = np.all(found.frequencies == k, axis=1)
        # |ĉ_k|² + |ĉ_-k|² is the energy of the cosine and the sine, whatever the origin.
        energy = 2 * np.abs(amplitudes[k]) ** 2
        np.testing.assert_allclose(np.sum(found.coefficients[here] ** 2, axis=0), energy, rtol=1e-11)
    np.testing.assert_allclose(found.coefficients[0], np.mean(values, axis=0), atol=1e-13)
    # Rings that lie within |k| <= 4 as a whole.
    np.testing.assert_allclose(
        found.radial_spectrum().energy[:4], radial_spectrum(values, shape).energy[:4], rtol=1e-11
    )
    np.testing.assert_array_equal(found.radial_spectrum().counts[:4], radial_spectrum(values, shape).counts[:4])


def test_what_is_beyond_the_modes_is_misfit():
    x = grid((32,))
    wave = np.cos(np.pi * x[:, 0]) + 0.5 * np.cos(9 * np.pi * x[:, 0])
    found = fourier_coefficients(x, wave, 4)
    assert found.misfit == pytest.approx(0.5 / np.sqrt(2), rel=1e-12)


@pytest.mark.parametrize("count", [12, 60])
def test_a_ridge_solves_the_normal_equations(count):
    rng = np.random.default_rng(3)
    x, f = rng.uniform(-1, 1, (count, 2)), rng.standard_normal(count)
    found = fourier_coefficients(x, f, 2, ridge=0.3)
    phi = fourier_modes(x, 2).values
    normal = phi.T @ phi / count + 0.3 * np.eye(13)
    np.testing.assert_allclose(found.coefficients, np.linalg.solve(normal, phi.T @ f / count), rtol=0, atol=1e-12)
    assert found.condition_number**2 == pytest.approx(np.linalg.cond(normal), rel=1e-9)
    assert "ridge 0.3" in found.method


def test_too_few_points_name_the_largest_frequency_that_fits(refuses):
    x = np.random.default_rng(4).uniform(-1, 1, (12, 2))
    # Modes up to |k| = 0, 1, √2, 2: 1, 5, 9, 13.
    with refuses("13 modes", "12 points", "at most 1.99", "`ridge`"):
        fourier_coefficients(x, x[:, 0], 2)
    assert fourier_coefficients(x, x[:, 0], 1.99).coefficients.shape == (9,)
    with refuses("at most 1.41"):
        fourier_coefficients(x[:8], x[:8, 0], 3)
    with refuses("at most 0.99"):
        fourier_coefficients(x[:4], x[:4, 0], 3)


def test_points_that_do_not_tell_modes_apart_are_refused(refuses):
    # All on one line: cos and sin of the second coordinate are constant.
    x = np.stack([np.linspace(-1, 0.9, 20), np.zeros(20)], axis=1)
    with refuses("5 modes", "20 points", "singular values"):
        fourier_coefficients(x, x[:, 0], 1)
    assert np.isfinite(fourier_coefficients(x, x[:, 0], 1, ridge=1e-3).condition_number)


def test_what_has_no_spectrum_is_refused(refuses):
    with refuses("`values`", "12 rows", "(11,)"):
        radial_spectrum(np.zeros(11), (3, 4))
    with refuses("`values`", "(3, 4, 1)"):
        radial_spectrum(np.zeros((3, 4, 1)), (3,))
    with refuses("`shape`", "()"):
        radial_spectrum(np.zeros(1), ())
    with refuses("`x`", "(3,)", "x[:, None]"):
        fourier_modes(np.zeros(3), 1)
    with refuses("`max_frequency`", "-1"):
        fourier_modes(np.zeros((3, 1)), -1)
    with refuses("`max_frequency`", "nan"):
        fourier_modes(np.zeros((3, 1)), np.nan)
    with refuses("`length`", "0"):
        fourier_modes(np.zeros((3, 1)), 1, length=0)
    with refuses("`max_frequency` = 9", "12 dimensions", "100000 modes"):
        fourier_modes(np.zeros((3, 12)), 9)
    with refuses("`x`", "`values`", "3", "4"):
        fourier_coefficients(np.zeros((3, 1)), np.zeros(4), 1)
    with refuses("`ridge`", "-1"):
        fourier_coefficients(np.zeros((3, 1)), np.zeros(3), 1, ridge=-1)
    with refuses("`x`", "1 columns", "2"):
        fourier_coefficients(np.array([[0.1], [0.5], [1.1]]), np.zeros(3), 1).evaluate(np.zeros((3, 2)))


def test_an_absurd_frequency_is_refused_before_its_modes_are_listed(refuses):
    with refuses("`max_frequency`", "100000 modes"):
        fourier_modes(np.zeros((2, 1)), 1e12)
