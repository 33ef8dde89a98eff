"""Lazzari and Liu (2023): Understanding the Spectral Bias of Coordinate Based MLPs Via Training Dynamics."""

from . import (
    _angles,
    _boundary,
    _confusion,
    _cross_section,
    _dead_units,
    _detail,
    _images,
    _inradius,
    _real_data,
    _regions,
    _signal,
    _spectral_norms,
    _speed,
)

STUDIES = (
    *_signal.STUDIES,
    *_confusion.STUDIES,
    *_images.STUDIES,
    *_regions.STUDIES,
    *_detail.STUDIES,
    *_speed.STUDIES,
    *_dead_units.STUDIES,
    *_spectral_norms.STUDIES,
    *_boundary.STUDIES,
    *_inradius.STUDIES,
    *_angles.STUDIES,
    *_cross_section.STUDIES,
    *_real_data.STUDIES,
)
