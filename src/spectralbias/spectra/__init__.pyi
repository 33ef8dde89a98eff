from ._bands import Bands as Bands
from ._bands import bands as bands
from ._gegenbauer import gegenbauer as gegenbauer
from ._modes import DENSE_LIMIT as DENSE_LIMIT
from ._modes import Modes as Modes
from ._modes import ModesStatus as ModesStatus
from ._modes import as_matrix as as_matrix
from ._modes import eigenmodes as eigenmodes
