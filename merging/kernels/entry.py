"""How Python calls machine code: LLVM code of a function like those written in C.

The entry (`METH_FASTCALL` to Python) looks at the objects it is given, leaves the interpreter to
other threads and calls the function. That takes a fifth of a microsecond; through ctypes it was
one.
"""

from __future__ import annotations

from typing import Any

from merging.kernels.loading import ARRAY_TYPE, ENTRY, dtype_symbol

# numpy's PyArrayObject, whose layout every extension module relies on: byte offsets, flags
DATA, DIMENSIONS, SHAPE, STRIDES, DTYPE, FLAGS = 16, 24, 32, 40, 56, 64
CONTIGUOUS, WRITEABLE = 0x101, 0x400  # C order and aligned; may be written to

# What the entry asks of Python.
PYTHON = """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_SetString(ptr, ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare i64 @PyLong_AsUnsignedLongLongMask(ptr)
declare i32 @PyObject_IsTrue(ptr)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyFloat_FromDouble(double)
declare void @Py_IncRef(ptr)
@PyExc_TypeError = external global ptr
@PyExc_RuntimeError = external global ptr
@_Py_NoneStruct = external global i8
"""
# Numbers that are taken: LLVM's type, Python's function, its type, what makes one of the other.
TAKEN = {
    "boolean": ("i8", "PyObject_IsTrue", "i32", "trunc"),
    "bool": ("i8", "PyObject_IsTrue", "i32", "trunc"),
    "int32": ("i32", "PyLong_AsLongLong", "i64", "trunc"),
    "int64": ("i64", "PyLong_AsLongLong", "i64", "bitcast"),
    "uint64": ("i64", "PyLong_AsUnsignedLongLongMask", "i64", "bitcast"),
    "float32": ("float", "PyFloat_AsDouble", "double", "fptrunc"),
    "float64": ("double", "PyFloat_AsDouble", "double", "bitcast"),
}
# Results: type in memory, what makes Python's type of it, that type, Python's function.
GIVEN = {
    "boolean": ("i8", "zext", "i64", "PyBool_FromLong"),
    "bool": ("i8", "zext", "i64", "PyBool_FromLong"),
    "int32": ("i32", "sext", "i64", "PyLong_FromLongLong"),
    "int64": ("i64", "bitcast", "i64", "PyLong_FromLongLong"),
    "float32": ("float", "fpext", "double", "PyFloat_FromDouble"),
    "float64": ("double", "bitcast", "double", "PyFloat_FromDouble"),
}


class NotAlone(Exception):
    """Machine code that cannot do without numba when it runs."""


def entry(name: str, function: str, parameters: list[str], signature: Any) -> str:
    """LLVM code of the entry: `PyObject *entry(PyObject *self, PyObject **given, i64 count)`.

    Args:
        name: of the function, for what it raises.
        function: its name in LLVM's code.
        parameters: LLVM's types of what that takes; the first two are for the result and for
            numba's exception.
        signature: numba's.

    Raises:
        NotAlone: it takes or returns what is not known here.
    """
    lines: list[str] = []
    symbols: list[str] = []
    values: list[str] = []  # what the function is called with, in order
    rest = parameters[2:]  # behind the result and the exception
    for number, argument in enumerate(signature.args):
        own = f"%a{number}"
        lines.append(f"{own}.at = getelementptr ptr, ptr %given, i64 {number}")
        lines.append(f"{own} = load ptr, ptr {own}.at")
        if hasattr(argument, "ndim"):
            symbol = dtype_symbol(str(argument.dtype))
            symbols.append(f"@{symbol} = external global i8")
            found = _array(own, number, argument, symbol, lines)
        else:
            found = [_number(own, number, str(argument), lines)]
        if [one.split()[0] for one in found] != rest[: len(found)]:
            raise NotAlone("numba passes arguments in another way")
        values += found
        rest = rest[len(found) :]
    if rest:
        raise NotAlone("numba passes arguments in another way")
    body = "\n  ".join(lines)
    kind, ending = _result(str(signature.return_type))
    texts = {
        "wrong": f"{name} was given an array of another kind than it was compiled for",
        "number": f"{name} takes {len(signature.args)} arguments",
        "failed": f"{name} failed",
    }
    said = "\n".join(_text(label, text) for label, text in texts.items())
    return f"""
{PYTHON}
{said}
@{ARRAY_TYPE} = external global i8
{chr(10).join(dict.fromkeys(symbols))}
declare i32 @{function}({", ".join(parameters)})
define ptr @{ENTRY}(ptr %self, ptr %given, i64 %count) {{
  %exception = alloca ptr
  %result = alloca {kind}
  %count.right = icmp eq i64 %count, {len(signature.args)}
  br i1 %count.right, label %counted, label %number
counted:
  {body}
  %others = call ptr @PyEval_SaveThread()
  %status = call i32 @{function}({", ".join(["ptr %result", "ptr %exception", *values])})
  call void @PyEval_RestoreThread(ptr %others)
  %done = icmp eq i32 %status, 0
  br i1 %done, label %give, label %failed
give:
  {ending}
raised:
  ret ptr null
{_raising("wrong", "TypeError")}
{_raising("number", "TypeError")}
{_raising("failed", "RuntimeError")}
}}
"""


def _text(label: str, text: str) -> str:
    """A constant of C's kind."""
    return f'@crucible_says_{label} = internal constant [{len(text) + 1} x i8] c"{text}\\00"'


def _raising(label: str, error: str) -> str:
    """The part of the entry that raises one of Python's exceptions."""
    return f"""{label}:
  %{label}.error = load ptr, ptr @PyExc_{error}
  call void @PyErr_SetString(ptr %{label}.error, ptr @crucible_says_{label})
  ret ptr null"""


def _result(name: str) -> tuple[str, str]:
    """Type of what the function returns, and the code that returns it to Python."""
    if name == "none":  # numba returns a null pointer
        return "ptr", "call void @Py_IncRef(ptr @_Py_NoneStruct)\n  ret ptr @_Py_NoneStruct"
    if name not in GIVEN:
        raise NotAlone(f"it returns {name}")
    stored, turn, kind, function = GIVEN[name]
    return (
        stored,
        f"""%found = load {stored}, ptr %result
  %turned = {turn} {stored} %found to {kind}
  %object = call ptr @{function}({kind} %turned)
  ret ptr %object""",
    )


def _number(own: str, number: int, name: str, lines: list[str]) -> str:
    """Take one of Python's numbers; what numba's functions take of it."""
    if name not in TAKEN:
        raise NotAlone(f"it takes {name}")
    kind, function, wide, turn = TAKEN[name]
    label = f"a{number}.taken"
    lines += [
        f"{own}.wide = call {wide} @{function}(ptr {own})",
        f"{own}.error = call ptr @PyErr_Occurred()",
        f"{own}.right = icmp eq ptr {own}.error, null",
        f"br i1 {own}.right, label %{label}, label %raised\n{label}:",
        f"{own}.number = {turn} {wide} {own}.wide to {kind}",
    ]
    return f"{kind} {own}.number"


def _array(own: str, number: int, argument: Any, symbol: str, lines: list[str]) -> list[str]:
    """Check one numpy array; what numba's functions take of it."""

    def field(name: str, offset: int, kind: str = "i64", of: str = own) -> str:
        value = f"{own}.{name}"
        lines.append(f"{value}.at = getelementptr i8, ptr {of}, i64 {offset}")
        lines.append(f"{value} = load {kind}, ptr {value}.at")
        return value

    def require(name: str, kind: str, value: str, wanted: str) -> None:
        lines.append(f"{own}.{name}.right = icmp eq {kind} {value}, {wanted}")
        label = f"a{number}.{name}.checked"
        lines.append(f"br i1 {own}.{name}.right, label %{label}, label %wrong\n{label}:")

    require("type", "ptr", field("type", 8, "ptr"), f"@{ARRAY_TYPE}")
    require("dtype", "ptr", field("dtype", DTYPE, "ptr"), f"@{symbol}")
    require("nd", "i32", field("nd", DIMENSIONS, "i32"), str(argument.ndim))
    flags = field("flags", FLAGS, "i32")
    wanted = CONTIGUOUS | (WRITEABLE if argument.mutable else 0)
    lines.append(f"{own}.wanted = and i32 {flags}, {wanted}")
    require("wanted", "i32", f"{own}.wanted", str(wanted))
    data = field("data", DATA, "ptr")
    shape, strides = field("shape", SHAPE, "ptr"), field("strides", STRIDES, "ptr")
    sizes, steps, product = [], [], "1"
    for axis in range(argument.ndim):
        sizes.append(field(f"size{axis}", 8 * axis, of=shape))
        steps.append(field(f"step{axis}", 8 * axis, of=strides))
        lines.append(f"{own}.items{axis} = mul i64 {product}, {sizes[-1]}")
        product = f"{own}.items{axis}"
    item = argument.dtype.bitwidth // 8
    return ["ptr null", "ptr null", f"i64 {product}", f"i64 {item}", f"ptr {data}",
            *(f"i64 {one}" for one in [*sizes, *steps])]  # fmt: skip
