"""Handwritten digits."""

import numpy as np
from jaxtyping import Array

from ._problem import Problem
from ._random import split


def digits(*, test_fraction: float = 0.2, key: Array) -> Problem:
    """The 1797 handwritten digits of 8 x 8 pixels that scikit-learn carries, on the unit sphere.

    x = p/‖p‖ of the pixels p, so that a kernel without biases depends on the angle between two images alone;
    y is 1 for the digit that is shown and 0 for the other nine.

    Args:
        test_fraction: share of the images that is held out, in [0, 1).
        key: a JAX PRNG key, which draws the split.

    Returns:
        A `Problem` with x (n, 64), y (n, 10) and `classes` `("0", …, "9")`.

    Raises:
        InputError: `test_fraction` outside [0, 1), or so large that fewer than 2 images are left to train on.

    Cost and precision:
        The import of scikit-learn, then 40 ms; float64.

    Example:
        >>> import jax
        >>> from spectralbias import problems
        >>> problem = problems.digits(key=jax.random.key(0))
        >>> problem.x.shape, problem.x_test.shape, problem.classes[:3]
        ((1438, 64), (359, 64), ('0', '1', '2'))

    References:
        Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), the test part.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    train, test = split(len(pixels), test_fraction, None, key)
    x = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    y = np.eye(10)[labels]
    return Problem(
        x[train],
        y[train],
        x_test=x[test] if test.size else None,
        y_test=y[test] if test.size else None,
        classes=tuple(map(str, range(10))),
    )
