"""Huang and Yau (2020): Dynamics of Deep Neural Networks and Neural Tangent Hierarchy."""

from . import _truncation

STUDIES = (*_truncation.STUDIES,)
