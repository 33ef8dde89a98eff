from ._forecast import Forecast as Forecast
from ._forecast import ForecastLevel as ForecastLevel
from ._forecast import forecast as forecast
from ._motion import Motion as Motion
from ._parts import Parts as Parts
from ._trust import Trust as Trust
from ._trust import TrustStatus as TrustStatus
