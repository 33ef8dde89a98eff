"""The claims and figures of papers as studies: run one, and it says whether the claim holds."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
