"""Machine code from a file into this process, without numba: a matter of milliseconds."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding

ENTRY = "crucible_entry"
WRONG_ARGUMENT = 1000  # a status of the entry; those below are numba's
# numba's names of numbers, as C has them
NUMBERS: dict[str, Any] = {
    "boolean": ctypes.c_bool,
    "bool": ctypes.c_bool,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int32", "int64", "float32", "float64")


@dataclass(frozen=True)
class Code:
    """A compiled function.

    Attributes:
        arguments: of each, `array` or the name of a number in `NUMBERS`.
        result: name of the number it returns; None for nothing.
        count: how many of them it returns as a tuple; None for one.
        object_file: for this machine's linker.
    """

    arguments: tuple[str, ...]
    result: str | None
    count: int | None
    object_file: bytes


def processor() -> str:
    """What machine code is made for: the same text means the same instructions."""
    features = binding.get_host_cpu_features().flatten()
    return f"{binding.get_process_triple()} {binding.get_host_cpu_name()} {features}"


@cache
def _initialize() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


def target_machine() -> Any:
    """LLVM's idea of this machine, set as numba sets it for code that runs at once."""
    _initialize()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def dtype_symbol(name: str) -> str:
    """What machine code calls numpy's dtype of a name."""
    return f"crucible_dtype_{name}"


@cache
def _name_numpy() -> None:
    """Tell the linker where numpy's types lie; they live as long as the process."""
    binding.add_symbol("crucible_ndarray", id(np.ndarray))
    for name in DTYPES:
        binding.add_symbol(dtype_symbol(name), id(np.dtype(name)))


def load(code: Code, name: str) -> Callable[..., Any]:
    """The compiled function.

    Args:
        code: made on this machine for this processor.
        name: for messages.

    Returns:
        A function that leaves the interpreter to other threads while it runs. It raises TypeError
        for arrays of another dtype or number of dimensions, not contiguous or read-only.
    """
    _name_numpy()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code.object_file))
    engine.finalize_object()
    kinds = [ctypes.py_object if one == "array" else NUMBERS[one] for one in code.arguments]
    prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds, ctypes.c_void_p)
    entry = prototype(engine.get_function_address(ENTRY))
    _engines.append(engine)
    if code.result is None:

        def call(*arguments: Any) -> None:
            status = entry(*arguments, None)
            if status:
                raise _refused(name, status)

        return call
    number = NUMBERS[code.result]
    kind = number * code.count if code.count else number

    def ask(*arguments: Any) -> Any:
        result = kind()
        status = entry(*arguments, ctypes.byref(result))
        if status:
            raise _refused(name, status)
        return tuple(result) if code.count else result.value

    return ask


# machine code must stay where it is as long as something may call it
_engines: list[Any] = []


def _refused(name: str, status: int) -> Exception:
    if status == WRONG_ARGUMENT:
        return TypeError(f"{name} was given an array of another kind than it was compiled for")
    return RuntimeError(f"{name} failed with status {status}")
