"""The kernel of Bowman & Montúfar."""

from collections.abc import Callable

from jaxtyping import Array

from ._covariance import Covariance
from ._dual import Dual, Polynomial, dual
from ._infinite import expectations
from ._infinite_kernel import InfiniteKernel
from ._piecewise_dual import PiecewiseDual
from ._quadrature import QuadratureDual, warn_beyond


class BowmanKernel(InfiniteKernel):
    """The kernel of `bowman_kernel`."""

    dual: Dual

    @property
    def _kinked(self) -> bool:
        return isinstance(self.dual, PiecewiseDual)

    @property
    def method(self) -> str:
        """How the Gaussian expectations of the activation are computed: `"closed form"` or `"quadrature"`."""
        return self.dual.method

    @property
    def error(self) -> float:
        """Estimated relative error of these expectations, for ‖x‖² + 1 up to 10; 0 for a closed form."""
        return self.dual.error

    def _check_scale(self, square: float, dim: int) -> None:
        if isinstance(self.dual, QuadratureDual):
            warn_beyond(self.dual, square + 1, 1, 1.0, 1.0)

    def _pair(self, inputs: Covariance, dim: int) -> tuple[Array, Array]:
        preactivations = inputs.affine(1.0, 1.0)
        outputs, first = expectations(self.dual, preactivations)
        nngp = outputs.product + 1
        return preactivations.product * first + nngp, nngp


def bowman_kernel(activation: str | Callable[[Array], Array] | Polynomial = "relu") -> BowmanKernel:
    """The limit of Θ for `models.bowman_network`: K^∞(x, x') = (x·x' + 1) E σ'(u)σ'(v) + E σ(u)σ(v) + 1.

    u = w·x + b and v = w·x' + b with w, b ~ N(0, 1) have the covariance x·x' + 1; the three parts are those of the
    inner weights and biases, of the outer weights, and of the outer bias. The inputs are not divided by √dim. For ReLU
    on the unit sphere K^∞(x, x) = 3.

    Args:
        activation: a name of `models.activation`, any elementwise function, or a NumPy polynomial.

    Returns:
        An object with `.ntk(x1, x2)`, `.nngp(x1, x2)`, `.profile(cosine, dim=…)` and `.method`.

    Raises:
        InputError: an unknown activation, or one that is not elementwise.

    Cost and precision:
        That of one layer of `infinite_ntk`. The theorems of the paper ask for two bounded derivatives; ReLU has a
        kernel all the same.

    Example:
        >>> from spectralbias import kernels
        >>> round(float(kernels.bowman_kernel().profile(1.0, dim=3)), 6)
        3.0

    References:
        Bowman & Montúfar 2022, sec. 2 and 3.
    """
    return BowmanKernel(dual(activation))
