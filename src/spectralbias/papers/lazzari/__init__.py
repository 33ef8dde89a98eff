"""Lazzari and Liu (2023): Understanding the Spectral Bias of Coordinate Based MLPs Via Training Dynamics."""

from . import _confusion, _images, _regions, _signal

STUDIES = (
    *_signal.STUDIES,
    *_confusion.STUDIES,
    *_images.STUDIES,
    *_regions.STUDIES,
)
