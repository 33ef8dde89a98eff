"""Bowman and Montúfar (2022): Implicit Bias of MSE Gradient Optimization in Underparameterized Neural Networks.

And, by the same authors in the same year, Spectral Bias Outside the Training Set for Deep Networks in the Kernel
Regime.
"""

from . import (
    _cutoff,
    _damped_bound,
    _effective_rank,
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
    *_effective_rank.STUDIES,
)
