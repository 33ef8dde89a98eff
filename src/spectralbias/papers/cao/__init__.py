"""Cao, Fang, Wu, Zhou and Gu (2021): Towards Understanding the Spectral Bias of Deep Learning."""

from . import _bound, _decay, _eigenvalues, _figure_2, _figures_1_to_6, _held_out, _lemma, _outside, _thresholds

STUDIES = (
    *_lemma.STUDIES,
    *_bound.STUDIES,
    *_eigenvalues.STUDIES,
    *_decay.STUDIES,
    *_figures_1_to_6.STUDIES,
    *_figure_2.STUDIES,
    *_held_out.STUDIES,
    *_thresholds.STUDIES,
    *_outside.STUDIES,
)
