"""Probability measures on the unit sphere: uniform, and three that are not."""

import abc

import equinox as eqx
import numpy as np
import scipy.linalg
import scipy.special
from jaxtyping import Array, ArrayLike, Float

from .._core.checks import finite_array, positive, whole
from .._core.errors import InputError
from .._core.sphere import unit_vectors
from ._random import generator


class SphereMeasure(eqx.Module):
    """A probability measure on the unit sphere S^(dim-1) in R^dim.

    Attributes:
        dim: dimension of the ambient space, 2 or more.
    """

    dim: eqx.AbstractVar[int]

    def sample(self, count: int, *, key: Array) -> Float[np.ndarray, "count dim"]:
        """Independent points (count, dim), the same for the same key whatever JAX's precision."""
        return self.draw(generator(key), whole("count", count, 0))

    @abc.abstractmethod
    def draw(self, stream: np.random.Generator, count: int) -> Float[np.ndarray, "count dim"]:
        """Independent points (count, dim) from a NumPy generator."""

    def density(self, x: ArrayLike) -> Float[np.ndarray, " n"]:
        """The density at unit vectors x (n, dim) relative to the uniform measure, whose own density is 1."""
        return self._density(unit_vectors("x", x, self.dim))

    @abc.abstractmethod
    def _density(self, x: np.ndarray) -> np.ndarray:
        """The density at checked points."""


class Sphere(SphereMeasure):
    """The uniform probability measure on the unit sphere S^(dim-1) in R^dim."""

    dim: int = eqx.field(static=True)

    def __check_init__(self):
        whole("dim", self.dim, 2)

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        """A normal vector has no preferred direction."""
        return _normalized(stream.standard_normal((count, self.dim)))

    def _density(self, x: np.ndarray) -> np.ndarray:
        return np.ones(len(x))


class PiecewiseSphere(SphereMeasure):
    """A density that is constant on each band of latitudes: by default two half-spheres, of weights 1/4 and 3/4.

    Band j holds the points with edges[j-1] <= ⟨direction, x⟩ < edges[j] and has probability weights[j].

    Args:
        dim: dimension of the ambient space, 2 or more.
        weights: the probability of each band, from ⟨direction, x⟩ = -1 upward; they add up to 1.
        edges: cosines in (-1, 1), increasing, one fewer than weights.
        direction: the axis, any length but 0; the first coordinate axis by default.

    Raises:
        InputError: what does not fit this description, or a band that holds less than 1e-300 of the sphere.

    Example:
        >>> import jax
        >>> from spectralbias import problems
        >>> x = problems.PiecewiseSphere(10).sample(1000, key=jax.random.key(0))
        >>> bool(0.7 < (x[:, 0] >= 0).mean() < 0.8)
        True

    References:
        Cao et al. 2021, Fig. 4.
    """

    dim: int = eqx.field(static=True)
    weights: tuple[float, ...] = eqx.field(static=True)
    edges: tuple[float, ...] = eqx.field(static=True)
    direction: np.ndarray

    def __init__(self, dim: int, weights=(0.25, 0.75), *, edges=(0.0,), direction=None):
        self.dim = whole("dim", dim, 2)
        self.weights = tuple(_probabilities("weights", weights).tolist())
        self.edges = tuple(finite_array("edges", edges, ndim=1).tolist())
        axis = finite_array("direction", np.eye(1, dim)[0] if direction is None else direction, ndim=1)
        if axis.shape != (dim,) or not axis.any():
            raise InputError(f"`direction` must be a vector of `dim` = {dim} numbers that are not all 0, got {axis}")
        self.direction = axis / np.linalg.norm(axis)
        ends = (-1.0, *self.edges, 1.0)
        if np.any(np.diff(ends) <= 0):
            raise InputError(f"`edges` must increase between -1 and 1, got {self.edges}")
        if len(self.weights) != len(self.edges) + 1:
            raise InputError(
                f"`weights` must have one more value than `edges`, got {len(self.weights)} and {len(self.edges)}"
            )
        if self._shares().min() < 1e-300:
            raise InputError(
                f"`edges` {self.edges} leave a band with less than 1e-300 of the sphere in `dim` {dim}: cosines "
                f"spread over 1/√dim = {dim**-0.5:.2g} there, so put the edges nearer to 0"
            )

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        """A band, a cosine in it by inverting the uniform measure's distribution, and a direction across the axis."""
        band = stream.choice(len(self.weights), size=count, p=self.weights)
        lower, width, mirrored = (values[band] for values in self._tails())
        cosine = _cosine_at(self.dim, lower + stream.random(count) * width) * np.where(mirrored, -1, 1)
        across = stream.standard_normal((count, self.dim))
        for _ in range(2):  # once would leave a remainder where the draw is nearly parallel to the axis
            across = _normalized(across - (across @ self.direction)[:, None] * self.direction)
        sine = np.sqrt((1 - cosine) * (1 + cosine))
        return _normalized(cosine[:, None] * self.direction + sine[:, None] * across)

    def _tails(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each band, mirrored to below the equator if that is where most of it then lies, the ends of its quantiles.

        A quantile near 1 has no digits left.
        """
        low, high = np.array((-1.0, *self.edges)), np.array((*self.edges, 1.0))
        mirrored = low + high > 0
        first = _share_below(self.dim, np.where(mirrored, -high, low))
        return first, _share_below(self.dim, np.where(mirrored, -low, high)) - first, mirrored

    def _shares(self) -> np.ndarray:
        """What part of the sphere each band is."""
        return self._tails()[1]

    def _density(self, x: np.ndarray) -> np.ndarray:
        band = np.digitize(x @ self.direction, self.edges)
        return (np.array(self.weights) / self._shares())[band]


class AnisotropicSphere(SphereMeasure):
    """x = z/‖z‖ of a centered normal vector z ~ N(0, Σ): the angular central Gaussian distribution.

    Its density relative to the uniform measure is |Σ|^(-1/2) (xᵀ Σ⁻¹ x)^(-dim/2). The scale of Σ does not matter.

    Args:
        covariance: Σ, (dim, dim), symmetric and positive definite.

    Raises:
        InputError: a matrix that is not so.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import problems
        >>> measure = problems.AnisotropicSphere(np.diag([1.0, 4.0]))
        >>> measure.density(np.eye(2))
        array([0.5, 2. ])

    References:
        Tyler 1987, Statistical analysis for the angular central Gaussian distribution on the sphere.
    """

    covariance: np.ndarray
    factor: np.ndarray

    def __init__(self, covariance):
        matrix = finite_array("covariance", covariance, ndim=2)
        if matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
            raise InputError(f"`covariance` must have shape (dim, dim) with dim of 2 or more, got {matrix.shape}")
        if np.abs(matrix - matrix.T).max() > 1e-6 * np.abs(matrix).max():
            raise InputError("`covariance` must be symmetric: take (A + A.T)/2, or A.T @ A of a matrix A")
        self.covariance = (matrix + matrix.T) / 2
        try:
            self.factor = scipy.linalg.cholesky(self.covariance, lower=True)
        except scipy.linalg.LinAlgError:
            least = scipy.linalg.eigvalsh(self.covariance)[0]
            raise InputError(
                f"`covariance` must be positive definite, its smallest eigenvalue is {least:.3g}: "
                "add a multiple of the identity"
            ) from None

    @classmethod
    def random(cls, dim: int, *, key: Array) -> "AnisotropicSphere":
        """The measure with Σ = Aᵀ A/‖A‖₂ for a matrix A of (dim, dim) standard normal numbers (Cao et al., Fig. 5)."""
        size = whole("dim", dim, 2)
        a = generator(key).standard_normal((size, size))
        return cls(a.T @ a / np.linalg.norm(a, 2))

    @property
    def dim(self) -> int:
        """Dimension of the ambient space."""
        return len(self.covariance)

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        """The factor of Σ times a standard normal vector has covariance Σ."""
        return _normalized(stream.standard_normal((count, self.dim)) @ self.factor.T)

    def _density(self, x: np.ndarray) -> np.ndarray:
        whitened = scipy.linalg.solve_triangular(self.factor, x.T, lower=True)
        log_form = np.log(np.sum(whitened**2, axis=0))
        return np.exp(-np.sum(np.log(np.diag(self.factor))) - self.dim / 2 * log_form)


class MixtureSphere(SphereMeasure):
    """x = z/‖z‖ of a vector z ~ Σ_c w_c N(m_c, s_c² I): a normalized Gaussian mixture.

    Args:
        means: m_c, (c, dim).
        scales: s_c > 0, the standard deviation of each coordinate of z, one for each mean or one for all.
        weights: w_c, the probability of each component, adding up to 1; equal by default.

    Raises:
        InputError: what does not fit this description.

    Cost and precision:
        A draw is exact. The density needs an integral over ‖z‖ for each point and component: Gauss's rule of 200
        nodes, to 1e-11 relative while a component is no farther than 100 s_c from 0 and dim is below 1000.

    Example:
        >>> import jax
        >>> from spectralbias import problems
        >>> measure = problems.MixtureSphere([[2.0, 0.0], [-2.0, 0.0]], scales=0.5)
        >>> measure.sample(4, key=jax.random.key(0)).shape
        (4, 2)

    References:
        Cao et al. 2021, Fig. 6 (the parameters there are not published); Mardia & Jupp 2000, sec. 9.3.4.
    """

    means: np.ndarray
    scales: np.ndarray
    weights: np.ndarray

    def __init__(self, means, scales, weights=None):
        self.means = finite_array("means", means, ndim=2)
        count, dim = self.means.shape
        if count < 1 or dim < 2:
            raise InputError(f"`means` must have shape (components, dim) with dim of 2 or more, got {self.means.shape}")
        scale = finite_array("scales", scales, ndim=(0, 1))
        self.scales = np.full(count, scale) if scale.ndim == 0 else scale
        self.weights = _probabilities("weights", np.full(count, 1 / count) if weights is None else weights)
        for name, values in (("scales", self.scales), ("weights", self.weights)):
            if len(values) != count:
                raise InputError(f"`{name}` must have one value for each of the {count} `means`, got {len(values)}")
        positive("scales", float(self.scales.min()))

    @classmethod
    def random(cls, dim: int, num_components: int = 3, *, scale: float | None = None, key: Array) -> "MixtureSphere":
        """Components of equal weight around independent uniform unit vectors.

        `scale` is the standard deviation of each coordinate, 1/√dim by default: then the noise is as long as the mean.
        """
        size, count = whole("dim", dim, 2), whole("num_components", num_components, 1)
        return cls(Sphere(size).draw(generator(key), count), size**-0.5 if scale is None else scale)

    @property
    def dim(self) -> int:
        """Dimension of the ambient space."""
        return self.means.shape[1]

    def draw(self, stream: np.random.Generator, count: int) -> np.ndarray:
        """A component, then a normal vector around its mean."""
        component = stream.choice(len(self.means), size=count, p=self.weights)
        noise = stream.standard_normal((count, self.dim))
        return _normalized(self.means[component] + self.scales[component, None] * noise)

    def _density(self, x: np.ndarray) -> np.ndarray:
        total = np.zeros(len(x))
        for mean, scale, weight in zip(self.means, self.scales, self.weights, strict=True):
            log_radial = _log_radial_integral(self.dim, x @ mean / scale)
            total += weight * np.exp(log_radial - mean @ mean / (2 * scale**2))
        return total


def _log_radial_integral(dim: int, c: np.ndarray) -> np.ndarray:
    """log of ∫ r^(dim-1) exp(c r - r²/2) dr over r > 0, divided by its value at c = 0.

    The density of z = r x at x relative to that of a centered z: the logarithm is concave in r, with its top at
    `top`; no tail is longer than that of an exponential with this `width`.
    """
    nodes, rule = np.polynomial.legendre.leggauss(200)
    c = np.append(c, 0.0)[:, None]
    root = np.sqrt(c**2 + 4 * (dim - 1))
    top = np.where(c > 0, (c + root) / 2, 2 * (dim - 1) / (root + np.abs(c)))  # without cancellation for c < 0
    width = top / np.sqrt(top**2 + dim - 1)
    low, high = np.maximum(top - 12 * width, 0.0), top + 40 * width
    r = (low + high) / 2 + (high - low) / 2 * nodes
    height = lambda s: (dim - 1) * np.log(s) + c * s - s**2 / 2  # noqa: E731
    peak = height(top)
    values = np.log(np.exp(height(r) - peak) @ rule * (high - low)[:, 0] / 2) + peak[:, 0]
    return values[:-1] - values[-1]


def _probabilities(name: str, values) -> np.ndarray:
    array = finite_array(name, values, ndim=1)
    if np.any(array < 0) or abs(array.sum() - 1) > 1e-9:
        raise InputError(f"`{name}` must be probabilities that add up to 1, got {array.tolist()}")
    return array / array.sum()


def _normalized(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _share_below(dim: int, cosine: np.ndarray) -> np.ndarray:
    """The part of the sphere with ⟨ζ, x⟩ < cosine: (1 + cosine)/2 has a beta distribution."""
    return scipy.special.betainc((dim - 1) / 2, (dim - 1) / 2, (1 + cosine) / 2)


def _cosine_at(dim: int, share: np.ndarray) -> np.ndarray:
    return 2 * scipy.special.betaincinv((dim - 1) / 2, (dim - 1) / 2, share) - 1
