"""Bowman and Montúfar (2022): Implicit Bias of MSE Gradient Optimization in Underparameterized Neural Networks."""

from . import (
    _cutoff,
    _damped_bound,
    _identity,
    _identity_discrete,
    _low_complexity,
    _overparameterized,
    _samples,
    _underparameterized,
    _width,
)

STUDIES = (
    *_identity.STUDIES,
    *_identity_discrete.STUDIES,
    *_damped_bound.STUDIES,
    *_samples.STUDIES,
    *_width.STUDIES,
    *_cutoff.STUDIES,
    *_underparameterized.STUDIES,
    *_low_complexity.STUDIES,
    *_overparameterized.STUDIES,
)
