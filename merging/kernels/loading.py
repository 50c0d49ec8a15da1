"""Machine code from a file into this process, without numba: a matter of milliseconds."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import binding

ENTRY = "crucible_entry"
ARRAY_TYPE = "crucible_ndarray"
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int32", "int64", "float32", "float64")
# of Python's, which machine code calls
FUNCTIONS = (
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyErr_Occurred",
    "PyErr_SetString",
    "PyLong_AsLongLong",
    "PyLong_AsUnsignedLongLongMask",
    "PyObject_IsTrue",
    "PyFloat_AsDouble",
    "PyBool_FromLong",
    "PyLong_FromLongLong",
    "PyFloat_FromDouble",
    "Py_IncRef",
)
OBJECTS = ("PyExc_TypeError", "PyExc_RuntimeError", "_Py_NoneStruct")
METH_FASTCALL = 0x80  # called with an array of objects and their number


class _Method(ctypes.Structure):
    """Python's PyMethodDef: what a function written in C is made from."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("about", ctypes.c_char_p),
    )


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
def _name_what_is_called() -> None:
    """Tell the linker where Python's functions and numpy's types lie: as long as the process."""
    for name in FUNCTIONS:
        function = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p)
        binding.add_symbol(name, function.value)
    for name in OBJECTS:
        held = ctypes.c_void_p.in_dll(ctypes.pythonapi, name)
        binding.add_symbol(name, ctypes.addressof(held))
    binding.add_symbol(ARRAY_TYPE, id(np.ndarray))
    for name in DTYPES:
        binding.add_symbol(dtype_symbol(name), id(np.dtype(name)))


def load(object_file: bytes, name: str) -> Callable[..., Any]:
    """The compiled function.

    Args:
        object_file: made by `merging.kernels.emitting` on this machine for this processor.
        name: of the function.

    Returns:
        A function that leaves the interpreter to other threads while it runs. It raises TypeError
        for arrays of another dtype or number of dimensions, not contiguous or read-only, and for
        another number of arguments.
    """
    _name_what_is_called()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(object_file))
    engine.finalize_object()
    method = _Method(name.encode(), engine.get_function_address(ENTRY), METH_FASTCALL, None)
    _kept.append((engine, method))
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    function: Callable[..., Any] = make(ctypes.addressof(method), None, None)
    return function


# must stay where it is as long as something may call it
_kept: list[tuple[Any, _Method]] = []
