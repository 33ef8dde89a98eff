"""The units of a PyTorch module."""

from typing import Any

import numpy as np

from ..models._torch import TorchModel
from ._units import Units


def torch_patterns(model: TorchModel, x: Any, batch_size: int | None) -> tuple[np.ndarray, Units, str]:
    raise NotImplementedError
