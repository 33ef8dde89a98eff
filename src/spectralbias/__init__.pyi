from . import dynamics as dynamics
from . import forecast as forecast
from . import kernels as kernels
from . import models as models
from . import papers as papers
from . import problems as problems
from . import regions as regions
from . import report as report
from . import runs as runs
from . import spectra as spectra

__version__: str
