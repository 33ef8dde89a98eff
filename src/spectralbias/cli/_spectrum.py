"""`spectralbias spectrum`: of a named kernel on the sphere, or of a network on data."""

from pathlib import Path

from .._core.errors import InputError, unknown
from ..runs._config import PROBLEMS


def main(arguments: list[str]) -> None:
    """The verb `spectrum`."""
    # Here, and not above, so that the help of other verbs need not import NumPy.
    from . import _data_spectrum, _sphere_spectrum
    from ._sphere_spectrum import KERNELS

    first = arguments[0] if arguments else "cao"
    if first in KERNELS:
        _sphere_spectrum.main(first, arguments[1:])
    elif first.startswith("-"):
        _sphere_spectrum.main("cao", arguments)
    elif first in PROBLEMS or first.endswith(".toml"):
        _data_spectrum.main(arguments)
    elif Path(first).suffix or Path(first).exists():
        raise InputError(
            f"`{first}` is neither a kernel nor a kind of problem: for a picture use `spectralbias spectrum image "
            f"{first}`, for data `spectralbias spectrum table {first} --target COLUMN`"
        )
    else:
        raise unknown("kernel or kind of problem", first, (*KERNELS, *PROBLEMS))
