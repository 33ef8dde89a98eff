"""Lazzari and Liu (2023): Understanding the Spectral Bias of Coordinate Based MLPs Via Training Dynamics."""

from . import _images, _signal

STUDIES = (
    *_signal.STUDIES,
    *_images.STUDIES,
)
