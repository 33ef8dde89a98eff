from . import pairs as pairs
from ._hamming import hamming_distance as hamming_distance
from ._patterns import ActivationPatterns as ActivationPatterns
from ._patterns import PatternsStatus as PatternsStatus
from ._patterns import activation_patterns as activation_patterns
from ._rank_correlation import RankCorrelations as RankCorrelations
from ._rank_correlation import rank_correlations as rank_correlations
