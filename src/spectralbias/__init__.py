"""Which parts of a target a neural network will learn, when, and what it will never reach.

The rooms, in the order in which data flows through them: `problems`, `models`, `kernels`, `spectra`, `regions`,
`dynamics`, `forecast`, `runs`, `report`, `papers`. Importing this package is quick: a room is loaded when it is first
used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
