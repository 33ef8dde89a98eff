"""The spectrum of a kernel on the sphere, and what follows from it."""

import enum
import math
from typing import Literal, NamedTuple

import equinox as eqx
import mpmath
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.errors import InputError, unknown
from .._core.gegenbauer import gegenbauer_sequence
from .._core.sphere import cosines
from ._effective_rank import Kind, from_logarithms
from ._power_law import Asymptote, PowerLaw, fit_power_law
from ._precision import working_bits


class SphereStatus(enum.Enum):
    """Whether all eigenvalues are known."""

    resolved = "every eigenvalue is resolved"
    unresolved = "some eigenvalues lie below what the profile's precision resolves: they are 0, with an infinite error"


class TraceCheck(NamedTuple):
    """Σ_k N(dim, k) μ_k = κ(1), as far as it can be seen from finitely many degrees.

    Attributes:
        partial: the sum over the degrees that were computed.
        tail: the rest, extrapolated from the decay of the last degrees.
        trace: κ(1).
        relative_error: (partial + tail - trace)/trace.
    """

    partial: float
    tail: float
    trace: float
    relative_error: float


class SphereSpectrum(eqx.Module):
    """Mercer eigenvalues of a kernel on S^(dim-1), by degree k = 0 … K.

    Attributes:
        eigenvalues: μ_k, (K + 1,); 0 where it is exactly 0, where it underflows, and where it is not resolved.
        log_eigenvalues: natural logarithms, which do not underflow; -inf for 0.
        errors: estimated relative errors; 0 for an eigenvalue that vanishes, inf for one that is not resolved.
        energies: N(dim, k) μ_k, the part of κ(1) that degree k holds.
        dim: ambient dimension.
        multiplicities: N(dim, k), exact.
        trace: κ(1) = Σ_k N(dim, k) μ_k.
        asymptotes: what theory says of high even and of high odd degrees; None where it does not know, or where they
            vanish. Known for ReLU-like kernels, from their kinks at t = ±1.
        methods: how each eigenvalue was computed.
        precision: in which precision.
        status: a `SphereStatus`.
    """

    eigenvalues: Float[np.ndarray, " degrees"]
    log_eigenvalues: Float[np.ndarray, " degrees"]
    errors: Float[np.ndarray, " degrees"]
    energies: Float[np.ndarray, " degrees"]
    dim: int = eqx.field(static=True)
    multiplicities: tuple[int, ...] = eqx.field(static=True)
    trace: float = eqx.field(static=True)
    asymptotes: tuple[Asymptote | None, Asymptote | None] = eqx.field(static=True)
    methods: tuple[str, ...] = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: SphereStatus = eqx.field(static=True)

    @property
    def max_degree(self) -> int:
        """K."""
        return len(self.eigenvalues) - 1

    @property
    def degrees(self) -> np.ndarray:
        """0 … K."""
        return np.arange(len(self.eigenvalues))

    @property
    def method(self) -> str:
        """The methods in use, in the order of the degrees."""
        return "; ".join(dict.fromkeys(self.methods))

    def decay_exponent(
        self, first: int | None = None, last: int | None = None, parity: Literal["even", "odd", "all"] = "even"
    ) -> PowerLaw:
        """The power p of μ_k ~ k^p, by least squares of log μ_k on log(k + dim/2 - 1).

        The shift is the variable in which corrections are of second order in 1/k; it does not matter for k ≫ dim, where
        ReLU kernels decay with p = -dim.

        Args:
            first: the first degree of the fit; by default a quarter of the last one.
            last: the last degree; K by default.
            parity: which degrees to use. Even and odd ones decay with different prefactors, or powers.

        Raises:
            InputError: fewer than three eigenvalues that are not 0 in that range.
        """
        last = self.max_degree if last is None else last
        first = max(1, last // 4) if first is None else first
        if parity not in ("even", "odd", "all"):
            raise unknown("parity", parity, ("even", "odd", "all"))
        if not 1 <= first < last <= self.max_degree:
            raise InputError(
                f"`first` and `last` must satisfy 1 ≤ first < last ≤ {self.max_degree}, got {first}, {last}"
            )
        k = self.degrees
        kept = (k >= first) & (k <= last) & np.isfinite(self.log_eigenvalues)
        if parity != "all":
            kept &= k % 2 == (parity == "odd")
        if kept.sum() < 3:
            raise InputError(
                f"there are {kept.sum()} eigenvalues other than 0 of parity {parity!r} between degrees {first} and "
                f"{last}, and a fit needs 3: take a larger `max_degree` or another parity"
            )
        return fit_power_law(k[kept], np.log(k[kept] + self.dim / 2 - 1), self.log_eigenvalues[kept])

    def effective_rank(self, kind: Kind = "trace") -> float:
        """How many functions the kernel is made of, as `spectra.effective_rank`; exact for `"trace"`.

        The other kinds leave out what lies above K, and are lower bounds by what the trace check finds missing.
        """
        if kind == "trace":
            return math.exp(math.log(self.trace) - float(np.max(self.log_eigenvalues)))
        counts = np.array([math.log(count) for count in self.multiplicities])
        return from_logarithms(self.log_eigenvalues, counts, kind=kind)

    def trace_check(self) -> TraceCheck:
        """Compare Σ_k N(dim, k) μ_k with κ(1), with the sum above K extrapolated for each parity.

        The energies of ReLU kernels fall as k^(-2), so that the sum alone misses a share of order 1/K.
        """
        tail = sum(self._tail(parity) for parity in (0, 1))
        partial = math.fsum(self.energies)
        return TraceCheck(partial, tail, self.trace, (partial + tail - self.trace) / self.trace)

    def _tail(self, parity: int) -> float:
        """Σ over k > K of one parity: a power of k + dim/2 - 1 through two degrees, or less where the fall steepens."""
        kept = np.flatnonzero((self.degrees % 2 == parity) & (self.energies > 0) & (self.degrees > 0))
        if len(kept) < 4 or kept[-1] < self.max_degree - 1:
            return 0.0
        shift, last = self.dim / 2 - 1, float(self.energies[kept[-1]])
        one, two, three = (int(kept[min(len(kept) * quarter // 4, len(kept) - 2)]) for quarter in (1, 2, 3))
        early, late, power = (
            math.log(self.energies[a] / self.energies[b]) / math.log((b + shift) / (a + shift))
            for a, b in ((one, two), (three, kept[-1]), (two, kept[-1]))
        )
        if late > 1.1 * early > 0:
            # Faster than any power, as of a smooth kernel: the ratio of neighbors falls, too.
            ratio = last / float(self.energies[kept[-2]])
            return last * ratio / (1 - ratio)
        if power <= 1.01:
            return 0.0
        scale = math.log(last) + power * math.log((kept[-1] + shift) / 2)
        with working_bits(64):
            return float(mpmath.exp(scale) * mpmath.zeta(power, (kept[-1] + 2 + shift) / 2))

    def mercer_sum(self, cosine: ArrayLike) -> Float[np.ndarray, "..."]:
        """Σ_{k ≤ K} N(dim, k) μ_k P_k(cosine): the kernel from its spectrum, up to what lies above K."""
        polynomials = gegenbauer_sequence(self.dim, cosines("cosine", cosine))
        return np.asarray(sum(energy * p for energy, p in zip(self.energies, polynomials, strict=False)))
