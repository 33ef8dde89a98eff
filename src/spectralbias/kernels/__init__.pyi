from ._arc_cosine import arc_cosine as arc_cosine
from ._empirical import empirical_ntk as empirical_ntk
from ._infinite import InfiniteKernel as InfiniteKernel
from ._infinite import cao_kernel as cao_kernel
from ._infinite import infinite_ntk as infinite_ntk
from ._operator import NTKOperator as NTKOperator
