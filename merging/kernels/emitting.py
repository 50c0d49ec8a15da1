"""From a Python function to machine code that is called without numba: done once per machine.

numba gives LLVM's code of the function alone. An entry is put beside it which takes Python's
objects, looks at them and calls it, and the few functions of numba's memory management that
`np.empty` needs. What comes out is an object file for `merging.kernels.loading`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding

from merging.kernels.loading import ENTRY, WRONG_ARGUMENT, Code, dtype_symbol, target_machine

# numpy's PyArrayObject, whose layout every extension module relies on: byte offsets, flags
DATA, DIMENSIONS, SHAPE, STRIDES, DTYPE, FLAGS = 16, 24, 32, 40, 56, 64
CONTIGUOUS, WRITEABLE = 0x101, 0x400  # C order and aligned; may be written to

# What numba's compiled code asks of numba at run time, with the layout that `MEMORY` fills.
MEMORY_BLOCK = "{i64, i8*, i8*, i8*, i64}"
MEMORY = """
declare ptr @malloc(i64)
declare void @free(ptr)
define ptr @NRT_Allocate(i64 %size) {
  %found = call ptr @malloc(i64 %size)
  ret ptr %found
}
define void @NRT_Free(ptr %place) {
  call void @free(ptr %place)
  ret void
}
define void @NRT_MemInfo_call_dtor(ptr %block) {
  call void @free(ptr %block)
  ret void
}
define ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 %alignment) {
  %unit = zext i32 %alignment to i64
  %with_head = add i64 %size, 64
  %whole = add i64 %with_head, %unit
  %block = call ptr @malloc(i64 %whole)
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %none, label %fill
none:
  ret ptr null
fill:
  %start = ptrtoint ptr %block to i64
  %behind_head = add i64 %start, 64
  %last = sub i64 %unit, 1
  %further = add i64 %behind_head, %last
  %mask = sub i64 0, %unit
  %aligned = and i64 %further, %mask
  store i64 1, ptr %block
  %to_data = getelementptr i8, ptr %block, i64 24
  store i64 %aligned, ptr %to_data
  %to_size = getelementptr i8, ptr %block, i64 32
  store i64 %size, ptr %to_size
  ret ptr %block
}
"""


class NotAlone(Exception):
    """Machine code that cannot do without numba when it runs."""


def emit(dispatcher: Any) -> Code:
    """Machine code of a function that numba has compiled for one signature, without wrappers.

    Raises:
        NotAlone: it calls something of numba's that is not here.
    """
    (signature,) = dispatcher.nopython_signatures
    compiled = dispatcher.overloads[signature.args]
    module = binding.parse_assembly(dispatcher.inspect_llvm(signature.args))
    _require_alone(module)
    function = module.get_function(compiled.fndesc.llvm_func_name)
    parameters = [str(one.type) for one in function.arguments]
    module.link_in(binding.parse_assembly(MEMORY))
    module.link_in(binding.parse_assembly(_entry(function.name, parameters, signature)))
    for one in module.functions:
        if not one.is_declaration and one.name != ENTRY:
            one.linkage = "internal"
    module.verify()
    kinds = [_kind(one) for one in signature.args]
    result = signature.return_type
    count = getattr(result, "count", None)
    item = str(result.dtype if count else result)
    return Code(
        arguments=tuple(kinds),
        result=None if item == "none" else item,
        count=count,
        object_file=target_machine().emit_object(module),
    )


def _require_alone(module: Any) -> None:
    """Whether everything it calls is in `MEMORY` or in every Python process."""
    from numba.core.runtime import nrtdynmod

    if str(nrtdynmod._meminfo_struct_type) != MEMORY_BLOCK:
        raise NotAlone("numba's blocks of memory have changed")
    here = {one.name for one in binding.parse_assembly(MEMORY).functions}
    for one in [*module.functions, *module.global_variables]:
        name = one.name
        if not one.is_declaration or name in here or name.startswith("llvm."):
            continue
        if name.lower().startswith(("nrt_", "numba")) or not binding.address_of_symbol(name):
            raise NotAlone(name)


def _kind(argument: Any) -> str:
    """What a caller passes: `array`, or numba's name of a number."""
    return "array" if hasattr(argument, "ndim") else str(argument)


def _entry(function: str, parameters: list[str], signature: Any) -> str:
    """LLVM code of the entry: `int entry(objects and numbers ..., void *result)`."""
    takes: list[str] = []  # the entry's own parameters
    lines: list[str] = []
    symbols: list[str] = ["@crucible_ndarray = external global i8"]
    values: list[str] = []  # what the function is called with, in order
    rest = parameters[2:]  # behind the result and the exception
    for number, argument in enumerate(signature.args):
        own = f"%a{number}"
        if _kind(argument) == "array":
            takes.append(f"ptr {own}")
            symbol = dtype_symbol(str(argument.dtype))
            symbols.append(f"@{symbol} = external global i8")
            found = _array(own, number, argument, symbol, lines)
        else:
            kind = "i8" if rest[0] == "i1" else rest[0]
            takes.append(f"{kind} {own}")
            if rest[0] == "i1":
                lines.append(f"{own}.bit = trunc i8 {own} to i1")
            found = [f"i1 {own}.bit" if rest[0] == "i1" else f"{kind} {own}"]
        if [one.split()[0] for one in found] != rest[: len(found)]:
            raise NotAlone("numba passes arrays in another way")
        values += found
        rest = rest[len(found) :]
    if rest:
        raise NotAlone("numba passes arguments in another way")
    body = "\n  ".join(lines)
    # nothing is returned too: as a null pointer
    place = "%nothing" if str(signature.return_type) == "none" else "%result"
    return f"""
{chr(10).join(dict.fromkeys(symbols))}
declare i32 @{function}({", ".join(parameters)})
define i32 @{ENTRY}({", ".join([*takes, "ptr %result"])}) {{
  %exception = alloca ptr
  %nothing = alloca ptr
  {body}
  %status = call i32 @{function}({", ".join([f"ptr {place}", "ptr %exception", *values])})
  ret i32 %status
wrong:
  ret i32 {WRONG_ARGUMENT}
}}
"""


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

    require("type", "ptr", field("type", 8, "ptr"), "@crucible_ndarray")
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
