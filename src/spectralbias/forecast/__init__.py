"""Before training: which mode is learned when, which encoding to use, how far to trust the answer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
