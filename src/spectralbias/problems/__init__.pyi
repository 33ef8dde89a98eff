from ._digits import digits as digits
from ._harmonics import harmonics as harmonics
from ._image import image as image
from ._problem import Grid as Grid
from ._problem import Problem as Problem
from ._problem import Sphere as Sphere
from ._signal import signal as signal
from ._table import table as table
