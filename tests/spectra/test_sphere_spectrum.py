"""Mercer eigenvalues against quadrature that shares no code with ours: 50 digits, tanh-sinh, three-term recurrence."""

import concurrent.futures
import functools
import math
import time

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special

from spectralbias import kernels
from spectralbias.spectra import SphereStatus, effective_rank, multiplicity, sphere_spectrum


def digits_for(dim):
    """50 digits of eigenvalues as small as those of degree 100."""
    return 75 if dim <= 10 else 95 if dim <= 30 else 120


def relu_pair(rho):
    """(E σσ, E σ'σ') of ReLU, unit variances."""
    theta = mpmath.acos(rho)
    return (mpmath.sin(theta) + (mpmath.pi - theta) * rho) / (2 * mpmath.pi), (mpmath.pi - theta) / (2 * mpmath.pi)


def cao(t, dim):
    second, first = relu_pair(t)
    return t * first + 2 * second


def bietti_mairal(t, dim):
    return (2 * t * (mpmath.pi - mpmath.acos(t)) + mpmath.sqrt(1 - t**2)) / mpmath.pi


def deep(depth, bias=0.0):
    """The published recursion, He initialization, on the unit sphere."""

    def profile(t, dim):
        b = mpmath.mpf(bias)
        product, square = 2 * t / dim + b, mpmath.mpf(2) / dim + b
        ntk = product
        for _ in range(depth):
            second, first = relu_pair(product / square)
            product, square = 2 * square * second + b, square + b
            ntk = product + 2 * first * ntk
        return ntk

    return profile


def bowman(t, dim):
    second, first = relu_pair((1 + t) / 2)
    return (t + 1) * first + 2 * second + 1


@functools.lru_cache
def tanh_sinh(nodes_per_unit, digits):
    """Cosines, sines and weights of ∫_0^π f(θ) dθ; twice the nodes square the error."""
    with mpmath.workdps(digits):
        step, rule = mpmath.mpf(1) / nodes_per_unit, []
        last = int((5.15 if digits > 100 else 4.7) * nodes_per_unit)
        for j in range(-last, last + 1):
            u = mpmath.pi / 2 * mpmath.sinh(j * step)
            weight = mpmath.pi / 2 * mpmath.cosh(j * step) / mpmath.cosh(u) ** 2 * step * mpmath.pi / 2
            # The distance to the nearer end, without the cancellation in 1 - tanh u.
            end = mpmath.pi / (1 + mpmath.exp(2 * abs(u)))
            cosine, sine = mpmath.cos(end), mpmath.sin(end)
            rule.append((cosine if j < 0 else -cosine, sine, weight))
        return rule


@functools.lru_cache
def polynomials(dim, degrees):
    """For every node its cosine, its mass in the measure of the sphere, and P_k there for the degrees."""
    nodes_per_unit = 64 if dim + max(degrees) <= 60 else 128 if dim <= 50 else 256
    with mpmath.workdps(digits_for(dim)):
        scale = mpmath.gamma(mpmath.mpf(dim) / 2) / mpmath.sqrt(mpmath.pi) / mpmath.gamma(mpmath.mpf(dim - 1) / 2)
        table = []
        for t, sine, weight in tanh_sinh(nodes_per_unit, digits_for(dim)):
            values = [mpmath.mpf(1), t]
            for k in range(1, max(degrees)):
                values.append(((2 * k + dim - 2) * t * values[k] - k * values[k - 1]) / (k + dim - 2))
            table.append((t, scale * weight * sine ** (dim - 2), [values[k] for k in degrees]))
        return table


def by_quadrature(profile, dim, degrees):
    """Funk-Hecke for the degrees asked for."""
    with mpmath.workdps(digits_for(dim)):
        rows = []
        for t, mass, values in polynomials(dim, tuple(degrees)):
            value = mass * profile(t, dim)
            rows.append([value * p for p in values])
        return [mpmath.fsum(column) for column in zip(*rows, strict=True)]


def relative_error(found, exact):
    return max(float(abs(mpmath.mpf(float(f)) / e - 1)) for f, e in zip(found, exact, strict=True))


@pytest.mark.parametrize("dim", [2, 3, 5, 10, 30, 100])
@pytest.mark.parametrize(
    ("kernel", "profile"),
    [
        (kernels.cao_kernel(), cao),
        (kernels.bietti_mairal_kernel(), bietti_mairal),
        (kernels.infinite_ntk(1), deep(1)),
        (functools.partial(kernels.arc_cosine, degree=1), lambda t, dim: relu_pair(t)[0]),
    ],
    ids=["cao", "bietti-mairal", "ntk", "arc-cosine 1"],
)
def test_two_layer_kernels_to_12_digits(kernel, profile, dim):
    degrees = [0, 1, 2, 4, 6, 20, 50, 100]
    spectrum = sphere_spectrum(kernel, dim, 100)
    assert relative_error(spectrum.eigenvalues[degrees], by_quadrature(profile, dim, degrees)) < 1e-14
    assert set(spectrum.methods) == {"closed form"}
    assert np.all(spectrum.eigenvalues[3::2] == 0)
    assert np.all(spectrum.errors[3::2] == 0)


def test_the_first_arc_cosine_kernel_is_odd_but_for_its_mean():
    spectrum = sphere_spectrum(functools.partial(kernels.arc_cosine, degree=0), 7, 60)
    degrees = [0, 1, 3, 5, 31, 59]
    exact = by_quadrature(lambda t, dim: relu_pair(t)[1], 7, degrees)
    assert relative_error(spectrum.eigenvalues[degrees], exact) < 1e-14
    assert np.all(spectrum.eigenvalues[2::2] == 0)


@pytest.mark.parametrize("activation", ["abs", "leaky_relu"])
def test_other_piecewise_linear_activations_with_one_layer(activation):
    slope = {"abs": -1.0, "leaky_relu": 0.01}[activation]
    a, b = ((1 + slope) / 2) ** 2, ((1 - slope) / 2) ** 2

    def profile(t, dim):
        theta = mpmath.acos(t)
        second = (a + b) * t + 2 * b / mpmath.pi * (mpmath.sin(theta) - theta * t)
        return (second + t * (a + b - 2 * b * theta / mpmath.pi)) * mpmath.mpf(4) / dim

    spectrum = sphere_spectrum(kernels.infinite_ntk(1, activation), 6, 40)
    degrees = [0, 2, 4, 40] + ([1] if activation == "leaky_relu" else [])
    # The slopes are float64 numbers whose squares are rounded.
    assert relative_error(spectrum.eigenvalues[degrees], by_quadrature(profile, 6, degrees)) < 1e-14
    assert spectrum.eigenvalues[1] > 0 or activation == "abs"


@pytest.mark.parametrize("dim", [3, 5, 10])
@pytest.mark.parametrize("depth", [2, 3, 5, 10])
def test_deep_kernels_to_8_digits_and_more(depth, dim):
    spectrum = sphere_spectrum(kernels.infinite_ntk(depth), dim, 50)
    degrees = [0, 1, 2, 3, 4, 5, 10, 11, 25, 48, 49, 50]
    exact = by_quadrature(deep(depth), dim, degrees)
    errors = [
        float(abs(mpmath.mpf(float(spectrum.eigenvalues[k])) / e - 1)) for k, e in zip(degrees, exact, strict=True)
    ]
    assert max(errors) < 1e-13
    assert np.all(np.array(errors) <= spectrum.errors[degrees] + 1e-15)
    assert np.all(spectrum.eigenvalues > 0)  # odd degrees, too


@pytest.mark.parametrize(("bias", "dim"), [(0.01, 5), (0.5, 3), (4.0, 10)])
def test_deep_kernels_with_biases(bias, dim):
    spectrum = sphere_spectrum(kernels.infinite_ntk(3, bias_variance=bias), dim, 200)
    degrees = [0, 1, 2, 3, 20, 60, 61, 130, 199, 200]
    exact = by_quadrature(deep(3, bias), dim, degrees)
    errors = [
        float(abs(mpmath.mpf(float(spectrum.eigenvalues[k])) / e - 1)) for k, e in zip(degrees, exact, strict=True)
    ]
    assert max(errors) < 1e-12
    assert np.all(np.array(errors) <= spectrum.errors[degrees] + 1e-15)
    assert "asymptotic" in spectrum.methods[200]


def test_the_kernel_of_bowman_and_montufar_and_the_high_degrees_of_both_parities():
    spectrum = sphere_spectrum(kernels.bowman_kernel(), 10, 100)
    degrees = [0, 1, 2, 3, 50, 51, 99, 100]
    assert relative_error(spectrum.eigenvalues[degrees], by_quadrature(bowman, 10, degrees)) < 1e-13
    assert spectrum.decay_exponent(50, 100, "odd").exponent == pytest.approx(-10, abs=0.05)
    assert spectrum.decay_exponent(50, 100, "even").exponent == pytest.approx(-10, abs=0.05)


def test_high_degrees_and_dims_by_log_gamma_with_50_digits():
    """The closed form by gamma functions with many digits, which the recurrence does not use."""
    for dim, degrees in ((10, (1000, 10_000)), (1000, (2, 100, 9998, 10_000)), (1000, (9999,))):
        spectrum = sphere_spectrum(kernels.cao_kernel(), dim, max(degrees))
        for k in degrees:
            if k % 2:
                assert spectrum.log_eigenvalues[k] == -np.inf
                continue
            with mpmath.workdps(60):
                log_g = mpmath.loggamma(mpmath.mpf(dim) / 2)

                def odd(j, log_g=log_g, dim=dim):
                    ratio = mpmath.loggamma(mpmath.mpf(j) / 2) - mpmath.loggamma(mpmath.mpf(j + dim) / 2)
                    return mpmath.exp(2 * (log_g + ratio)) / (4 * mpmath.pi**2)

                d = dim - 1
                inner = (k * odd(k - 1) + (k + d - 1) * odd(k + 1)) / (2 * k + d - 1)
                shift = mpmath.loggamma(mpmath.mpf(k - 1) / 2) - mpmath.loggamma(mpmath.mpf(k + d + 2) / 2)
                outer = (d + 1) * mpmath.exp(2 * (log_g + shift)) / (16 * mpmath.pi**2)
                exact = inner + 2 * outer
                ratio = mpmath.exp(mpmath.mpf(float(spectrum.log_eigenvalues[k]))) / exact
                assert abs(ratio - 1) < 1e-12, (dim, k)
        if dim == 1000 and max(degrees) == 10_000:
            assert spectrum.eigenvalues[10_000] == 0  # underflows, where the logarithm does not
            assert np.isfinite(spectrum.log_eigenvalues[10_000])


def test_the_asymptotic_constant():
    """lim μ_k k^dim = 2^(dim-2) Γ(dim/2)²/π² over even k, for the kernel of Cao et al."""
    for dim in (2, 3, 7):
        spectrum = sphere_spectrum(kernels.cao_kernel(), dim, 10_000)
        limit = (dim - 2) * math.log(2) + 2 * math.lgamma(dim / 2) - 2 * math.log(math.pi)
        even, odd = spectrum.asymptotes
        assert even.exponent == -dim
        assert even.log_prefactor == pytest.approx(limit, abs=1e-12)
        assert odd is None
        assert spectrum.log_eigenvalues[-1] + dim * math.log(10_000) == pytest.approx(limit, abs=2e-3)


@pytest.mark.parametrize(
    ("kernel", "which", "exponents"),
    [
        (kernels.infinite_ntk(3), "ntk", (-5, -5)),
        (kernels.infinite_ntk(2, bias_variance=0.5), "ntk", (-5, -5)),
        (kernels.bowman_kernel(), "nngp", (-7, -7)),
        (kernels.infinite_ntk(1), "nngp", (-7, None)),
        (kernels.infinite_ntk(2, "abs"), "ntk", (-5, None)),
        (functools.partial(kernels.arc_cosine, degree=0), "ntk", (None, -5)),
    ],
)
def test_the_tail_is_the_one_that_theory_says(kernel, which, exponents):
    spectrum = sphere_spectrum(kernel, 5, 2000, which=which)
    for parity, exponent in enumerate(exponents):
        law = spectrum.asymptotes[parity]
        assert (law and law.exponent) == exponent
        if law is not None:
            k = 1999 if parity else 2000
            expected = law.log_prefactor + law.exponent * math.log(k + 5 / 2 - 1)
            assert spectrum.log_eigenvalues[k] == pytest.approx(expected, abs=1e-3)


def test_the_circle_is_a_cosine_series():
    """In dim 2 the eigenvalues are Fourier coefficients: by the FFT of samples, down to what float64 can see."""
    theta = 2 * np.pi * np.arange(2**16) / 2**16
    values = np.asarray(kernels.infinite_ntk(2).profile(jnp.cos(theta), dim=2))
    by_fft = np.fft.rfft(values).real / len(theta)
    spectrum = sphere_spectrum(kernels.infinite_ntk(2), 2, 40)
    np.testing.assert_allclose(spectrum.eigenvalues, by_fft[:41], rtol=0, atol=1e-9)
    assert spectrum.multiplicities == (1, *[2] * 40)


def test_multiplicities_are_exact_at_any_size():
    assert sphere_spectrum(kernels.cao_kernel(), 10, 4).multiplicities == (1, 10, 54, 210, 660)
    found = sphere_spectrum(kernels.cao_kernel(), 1000, 300).multiplicities
    assert found[300] == multiplicity(300, 1000) > 10**300
    assert [sphere_spectrum(kernels.cao_kernel(), d, 9).multiplicities[9] for d in (2, 3, 4)] == [2, 19, 100]


@pytest.mark.parametrize("activation", ["erf", "sin", "cos", "gaussian", "gelu"])
def test_smooth_activations_with_closed_forms(activation):
    """Against float64 quadrature of the kernel as JAX computes it, in absolute terms."""
    kernel = kernels.infinite_ntk(2, activation, bias_variance=0.3)
    spectrum = sphere_spectrum(kernel, 4, 12)
    x, weights = scipy.special.roots_gegenbauer(80, 1.0)
    values = np.asarray(kernel.profile(jnp.asarray(x), dim=4))
    by_rule = [
        np.sum(weights * values * scipy.special.eval_chebyu(k, x) / (k + 1)) / np.sum(weights) for k in range(13)
    ]
    np.testing.assert_allclose(spectrum.eigenvalues, by_rule, rtol=1e-9, atol=5e-15)
    assert spectrum.status is SphereStatus.resolved
    assert spectrum.trace == pytest.approx(float(kernel.profile(jnp.ones(()), dim=4)), rel=1e-14)


def test_a_polynomial_activation_has_finitely_many_degrees():
    kernel = kernels.infinite_ntk(1, np.polynomial.Polynomial([0.3, 1.0, 0.5]))
    spectrum = sphere_spectrum(kernel, 6, 9)
    # Θ has degree 2 in the cosine: E σσ and t E σ'σ' of a parabola.
    assert np.all(spectrum.eigenvalues[:3] > 0)
    assert np.all(spectrum.eigenvalues[3:] == 0)
    assert np.all(spectrum.errors == np.where(spectrum.eigenvalues > 0, spectrum.errors, 0))


def test_exponential_kernel_is_a_bessel_function():
    """e^(a t) in dim 3 has μ_k = √(π/2a) I_{k+1/2}(a), far below what float64 quadrature can see."""
    a = 1.5
    spectrum = sphere_spectrum(lambda t: mpmath.exp(a * t), 3, 60)
    with mpmath.workdps(60):
        exact = [mpmath.sqrt(mpmath.pi / (2 * a)) * mpmath.besseli(k + 0.5, a) for k in range(61)]
    assert relative_error(spectrum.eigenvalues, exact) < 1e-14
    assert exact[60] < 1e-90
    coarse = sphere_spectrum(lambda t: np.exp(a * t), 3, 60)
    assert coarse.status is SphereStatus.unresolved
    seen = np.isfinite(coarse.errors)
    assert 8 < seen.sum() < 20
    true = np.array([float(e) for e in exact])
    assert np.all(np.abs(coarse.eigenvalues[seen] / true[seen] - 1) <= coarse.errors[seen])
    assert np.all(coarse.eigenvalues[~seen] == 0)


def test_powers_of_the_cosine_by_hand():
    spectrum = sphere_spectrum(lambda t: (1 + t) ** 3, 5, 8)
    # (1 + t)³ = 1 + 3t + 3t² + t³ with E t² = 1/5 and t³ = P_3 · 4/7 · … + 3t/7: by Gauss quadrature.
    x, weights = scipy.special.roots_gegenbauer(20, 1.5)
    p = [np.ones_like(x), x]
    for k in range(1, 4):
        p.append(((2 * k + 3) * x * p[k] - k * p[k - 1]) / (k + 3))
    by_rule = [np.sum(weights * (1 + x) ** 3 * q) / np.sum(weights) for q in p]
    np.testing.assert_allclose(spectrum.eigenvalues[:4], by_rule[:4], rtol=1e-13)
    assert np.all(spectrum.eigenvalues[4:] == 0)
    assert "0 to" in spectrum.methods[5]


@pytest.mark.parametrize("dim", [3, 10])
def test_a_series_of_hermite_coefficients_bounds_its_error(dim):
    """GELU as an unknown function, by its Hermite coefficients in float64, against its closed form."""

    def gelu(z):
        return z * 0.5 * (1 + scipy_free_erf(z / np.sqrt(2.0)))

    from jax.lax import erf as scipy_free_erf

    kernel = kernels.infinite_ntk(2, gelu)
    assert kernel.method == "quadrature"
    series = sphere_spectrum(kernel, dim, 24)
    exact = sphere_spectrum(kernels.infinite_ntk(2, "gelu"), dim, 24)
    error = np.abs(series.eigenvalues / exact.eigenvalues - 1)
    assert np.all(error <= series.errors + exact.errors)
    assert np.all(series.errors < 1e-5)
    assert series.eigenvalues[24] < 3e-16  # where float64 of the kernel has no digit left
    assert np.all(error[:10] < 1e-12)


def test_an_odd_activation_by_quadrature_has_no_even_degrees():
    spectrum = sphere_spectrum(kernels.infinite_ntk(1, "tanh"), 3, 9)
    assert np.all(spectrum.eigenvalues[0::2] == 0)
    assert np.all(np.isinf(spectrum.errors[0::2]))  # it cannot know that they vanish
    assert np.all(spectrum.errors[1::2] < 1e-10)


def test_the_nngp_kernel():
    spectrum = sphere_spectrum(kernels.infinite_ntk(1), 5, 10, which="nngp")
    arc = sphere_spectrum(functools.partial(kernels.arc_cosine, degree=1), 5, 10)
    np.testing.assert_allclose(spectrum.eigenvalues, 4 / 5 * arc.eigenvalues, rtol=1e-14)
    deeper = sphere_spectrum(kernels.infinite_ntk(2), 5, 10, which="nngp")
    x = np.eye(5)[:1].repeat(1, axis=0)
    assert deeper.trace == pytest.approx(float(kernels.infinite_ntk(2).nngp(jnp.asarray(x))[0, 0]), rel=1e-14)
    cao_nngp = sphere_spectrum(kernels.cao_kernel(), 5, 10, which="nngp")
    np.testing.assert_allclose(cao_nngp.eigenvalues, 2 * arc.eigenvalues, rtol=1e-14)


@pytest.mark.parametrize(
    ("kernel", "trace"),
    [(kernels.cao_kernel(), 1.5), (kernels.bietti_mairal_kernel(), 2.0), (kernels.bowman_kernel(), 3.0)],
)
@pytest.mark.parametrize("dim", [2, 3, 10])
def test_trace_check(kernel, trace, dim):
    check = sphere_spectrum(kernel, dim, 600).trace_check()
    assert check.trace == pytest.approx(trace, rel=1e-15)
    assert abs(check.relative_error) < 1e-6
    assert check.tail > 100 * abs(check.partial + check.tail - trace)  # the extrapolation earns its place


@pytest.mark.parametrize("max_degree", range(14))
def test_trace_check_of_few_degrees(max_degree):
    check = sphere_spectrum(kernels.infinite_ntk(2), 3, max_degree).trace_check()
    assert abs(check.relative_error) <= 1 - check.partial / check.trace


def test_the_tail_of_a_smooth_kernel_is_no_power():
    check = sphere_spectrum(lambda t: mpmath.exp(300 * (t - 1)), 3, 60).trace_check()
    assert 1e-3 < 1 - check.partial / check.trace < 0.1  # much is missing
    # The last ratio goes on as it is: an upper bound. A power law would miss by twice of what is missing.
    assert 0 < check.relative_error < 0.2 * (1 - check.partial / check.trace)


def test_mercer_sum_gives_the_kernel_back():
    t = np.linspace(-1, 0.8, 7)
    kernel = kernels.infinite_ntk(1, "erf", bias_variance=1.0)
    spectrum = sphere_spectrum(kernel, 4, 40)
    np.testing.assert_allclose(spectrum.mercer_sum(t), kernel.profile(jnp.asarray(t), dim=4), rtol=1e-12)


def test_effective_ranks_are_those_of_the_list_of_all_eigenvalues():
    spectrum = sphere_spectrum(lambda t: (1 + t) ** 4, 4, 4)
    listed = np.repeat(spectrum.eigenvalues, spectrum.multiplicities)
    for kind in ("trace", "entropy", "participation"):
        assert spectrum.effective_rank(kind) == pytest.approx(effective_rank(listed, kind=kind), rel=1e-12)
    assert sphere_spectrum(kernels.cao_kernel(), 10, 2).effective_rank() == pytest.approx(1.5 / 0.351332545, rel=1e-8)


def test_a_table_to_degree_1000_takes_milliseconds():
    sphere_spectrum(kernels.cao_kernel(), 10, 10)
    best = min(_seconds() for _ in range(5))
    assert best < 0.1


def _seconds():
    began = time.perf_counter()
    sphere_spectrum(kernels.cao_kernel(), 10, 1000)
    return time.perf_counter() - began


def test_what_is_no_degree_no_dim_and_no_kernel_is_refused(refuses):
    kernel = kernels.cao_kernel()
    with refuses("`max_degree`", "-1"):
        sphere_spectrum(kernel, 3, -1)
    with refuses("`dim`", "1"):
        sphere_spectrum(kernel, 1, 3)
    with refuses("`max_degree`", "3.0", "whole"):
        sphere_spectrum(kernel, 3, 3.0)
    with refuses("`dim`", "True"):
        sphere_spectrum(kernel, True, 3)
    with refuses("`kernel`", "'cao'"):
        sphere_spectrum("cao", 3, 3)
    with refuses("which", "nmgp", "nngp"):
        sphere_spectrum(kernel, 3, 3, which="nmgp")
    with refuses("NNGP", "function"):
        sphere_spectrum(lambda t: t, 3, 3, which="nngp")
    with refuses("degree", "arc_cosine"):
        sphere_spectrum(functools.partial(kernels.arc_cosine, degree=2), 3, 3)
    with refuses("could not be evaluated", "array"):
        sphere_spectrum(math.exp, 3, 3)
    with refuses("one real number per cosine", "(2,"):
        sphere_spectrum(lambda t: np.stack([t, t]), 3, 3)


def test_profiles_that_are_not_finite_or_not_positive_definite_are_refused(refuses):
    with refuses("not finite", "cosine"), np.errstate(divide="ignore"):
        sphere_spectrum(lambda t: 1 / np.where(t == 0, 0.0, 1.0), 3, 3)
    with refuses("not finite", "cosine"):
        sphere_spectrum(lambda t: t + mpmath.inf, 3, 3)
    with refuses("not positive definite", "degree 2", "`dim` 3"):
        sphere_spectrum(lambda t: 1 - np.asarray(t) ** 2, 3, 4)
    with refuses("not positive definite", "degree 1"):
        sphere_spectrum(lambda t: 2 - t, 3, 4)
    # An activation's kernel is positive definite in every dim; a polynomial may be so only in low ones.
    legendre = np.polynomial.legendre.Legendre([0, 0, 1])
    assert sphere_spectrum(lambda t: legendre(np.asarray(t, float)), 3, 4).eigenvalues[2] > 0
    with refuses("not positive definite", "degree 0"):
        sphere_spectrum(lambda t: legendre(np.asarray(t, float)), 10, 4)


def test_eigenvalues_below_all_digits_are_not_called_zero():
    """That of e^t on the sphere in three dimensions is √(π/2) I_(k+1/2)(1), about 1e-461 at degree 200."""
    spectrum = sphere_spectrum(lambda t: mpmath.exp(t), 3, 200)
    lost = spectrum.eigenvalues == 0
    assert spectrum.status is SphereStatus.unresolved
    assert np.flatnonzero(lost)[0] > 130
    assert lost[-1]
    assert np.all(np.isinf(spectrum.errors[lost]))
    assert spectrum.methods[-1].startswith("not resolved")
    seen = np.flatnonzero(~lost)[-1]
    with mpmath.workdps(50):
        assert np.isclose(
            spectrum.log_eigenvalues[seen],
            float(mpmath.log(mpmath.sqrt(mpmath.pi / 2) * mpmath.besseli(seen + mpmath.mpf(1) / 2, 1))),
            rtol=1e-15,
        )


def test_a_small_odd_part_is_not_called_zero():
    """With small biases b the odd part of the even activation e^(-z²/2) is linear in b."""
    small, large = (
        sphere_spectrum(kernels.infinite_ntk(1, "gaussian", bias_variance=b), 3, 3).eigenvalues[1::2]
        for b in (1e-10, 1e-8)
    )
    np.testing.assert_allclose(large / small, 100, rtol=1e-6)


def test_kernels_of_which_most_degrees_vanish():
    for kernel in (kernels.infinite_ntk(2, lambda z: 2 * z), kernels.infinite_ntk(2, "identity")):
        spectrum = sphere_spectrum(kernel, 3, 60)
        assert np.flatnonzero(spectrum.eigenvalues).tolist() == [1]
        assert spectrum.status is SphereStatus.resolved
    # The Legendre polynomial of degree 6, in whose parity degrees 2 and 4 vanish.
    spectrum = sphere_spectrum(lambda t: 1 + (231 * t**6 - 315 * t**4 + 105 * t**2 - 5) / 16, 3, 12)
    assert np.flatnonzero(spectrum.eigenvalues).tolist() == [0, 6]
    assert np.all(np.isfinite(spectrum.errors))


def test_rounding_of_many_nodes_is_not_mistaken_for_a_negative_eigenvalue():
    spectrum = sphere_spectrum(np.exp, 3, 2000)
    assert np.all(np.isinf(spectrum.errors[30:]))
    half = sphere_spectrum(lambda t: np.exp(t).astype(np.float16), 3, 20)
    assert np.all(np.abs(half.eigenvalues - spectrum.eigenvalues[:21])[:3] <= half.errors[:3] * half.eigenvalues[:3])


def test_a_function_of_mpmath_numbers_that_drops_their_digits_is_not_trusted(refuses):
    with refuses("could not be evaluated", "array"):
        sphere_spectrum(lambda t: t * (math.pi - math.acos(t)), 3, 5)
    precise = sphere_spectrum(lambda t: t * (mpmath.pi - mpmath.acos(t)), 3, 5)
    rounded = sphere_spectrum(lambda t: t * np.vectorize(lambda s: math.pi - math.acos(s))(t), 3, 5)
    assert rounded.precision.startswith("profile in float64")
    np.testing.assert_allclose(rounded.eigenvalues, precise.eigenvalues, atol=1e-14)


def test_kernels_beyond_numbers_are_refused(refuses):
    for zero in (lambda t: 0 * t, lambda t: np.zeros_like(t), kernels.infinite_ntk(2, weight_variance=1e-200)):
        with refuses("κ(1) = 0", "neither 0"):
            sphere_spectrum(zero, 3, 4)
    with refuses("κ(1) = inf", "too large"):
        sphere_spectrum(kernels.infinite_ntk(2, weight_variance=1e200), 3, 4)
    for bad in (lambda t: 1 / (1 - t), lambda t: mpmath.log(t), np.log):
        with refuses("not finite or not real", "cosine"):
            sphere_spectrum(bad, 3, 4)


def test_threads_and_the_working_precision_of_the_user():
    kernel, expected = kernels.bowman_kernel(), sphere_spectrum(kernels.bowman_kernel(), 10, 40)

    def work(_):
        return sphere_spectrum(kernel, 10, 40).log_eigenvalues

    with mpmath.workdps(3):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(12)))
        np.testing.assert_allclose(found, np.broadcast_to(expected.log_eigenvalues, (12, 41)), rtol=1e-14)
        tail = sphere_spectrum(kernels.cao_kernel(), 10, 400).trace_check()
        assert mpmath.mp.dps == 3
    assert abs(tail.relative_error) < 1e-6
