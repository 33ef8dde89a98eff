"""The window [-1, 1) cut into equal cells."""

import numpy as np


def cell_centers(num_cells: int) -> np.ndarray:
    """-1 + (2i + 1)/n for i < n, symmetric about 0 to the last bit."""
    return (2 * np.arange(num_cells) + 1 - num_cells) / num_cells


def cell_boundaries(num_cells: int) -> np.ndarray:
    """-1 + 2i/n for i < n, halfway between the centers; the one at 1 is left out, as it repeats the first."""
    return (2 * np.arange(num_cells) - num_cells) / num_cells
