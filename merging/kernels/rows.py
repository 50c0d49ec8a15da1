"""What kernels take of a model: float32, or bfloat16 as it is stored.

Bfloat16 is the upper half of a float32, so its bits travel in a uint16 and are widened in registers
where they are used: half as much to move, and nothing to write down.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from merging.kernels.compiled import Compiled, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

BITS_BYTES = 2
# (array of float32 or uint16, int64 place) -> float32: in compiled functions
single: Any = Part(lambda: import_module("merging.kernels.vectors").single)


class OfRows:
    """A function that is compiled for float32 and for bfloat16, each when it is first called.

    Args:
        function: its first two arguments are the rows of models and of the base, both of one type,
            whose numbers it takes by `single`.
        signature: its types for float32.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        first, second, rest = _split(signature)
        stored = f"{first}{second}".replace("float32", "uint16")
        self._of_singles = Compiled(function, signature)
        self._of_bits = Compiled(function, stored + rest)
        update_wrapper(self, function)

    def __call__(self, rows: NDArray[Any], base: NDArray[Any], *arguments: Any) -> Any:
        """Call the machine code for the type of the rows."""
        chosen = self._of_bits if rows.itemsize == BITS_BYTES else self._of_singles
        return chosen(rows, base, *arguments)

    def ready(self) -> None:
        """Have the machine code of both, loaded or made."""
        self._of_singles.ready()
        self._of_bits.ready()


def of_rows(signature: str) -> Callable[[Function], Function]:
    """Compile the function for rows of either type; see `OfRows`.

    Args:
        signature: numba's types; the first two are `MODELS` or `VECTOR`, and `VECTOR`.
    """

    def later(function: Function) -> Function:
        return cast("Function", OfRows(function, signature))

    return later


def _split(signature: str) -> tuple[str, str, str]:
    """A signature up to its first argument's end, the second argument, and what follows."""
    first = signature.index("),") + 2
    second = signature.index(")", first) + 1
    return signature[:first], signature[first:second], signature[second:]
