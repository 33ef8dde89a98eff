from ._rank_correlation import RankCorrelations as RankCorrelations
from ._rank_correlation import rank_correlations as rank_correlations
