"""Huang and Yau (2020): Dynamics of Deep Neural Networks and Neural Tangent Hierarchy."""

from . import _antisymmetric, _convergence, _depth, _drift, _linear, _question, _sizes, _time, _truncation

STUDIES = (
    *_sizes.STUDIES,
    *_linear.STUDIES,
    *_drift.STUDIES,
    *_truncation.STUDIES,
    *_time.STUDIES,
    *_antisymmetric.STUDIES,
    *_convergence.STUDIES,
    *_depth.STUDIES,
    *_question.STUDIES,
)
