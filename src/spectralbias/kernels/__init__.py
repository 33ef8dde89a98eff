"""The neural tangent kernel Θ: infinite width in closed form, finite width by automatic differentiation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
