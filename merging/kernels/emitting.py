"""From a Python function to machine code that is called without numba: done once per machine.

numba gives LLVM's code of the function alone. Beside it are put an entry for Python
(`merging.kernels.entry`) and the few functions of numba's memory management that `np.empty` needs.
What comes out is an object file for `merging.kernels.loading`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding

from merging.kernels.entry import NotAlone, entry
from merging.kernels.loading import ENTRY, target_machine

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


def emit(dispatcher: Any) -> bytes:
    """An object file of a function that numba has compiled for one signature, without wrappers.

    Raises:
        NotAlone: it calls something of numba's that is not here, or takes or returns what the
            entry does not know.
    """
    (signature,) = dispatcher.nopython_signatures
    compiled = dispatcher.overloads[signature.args]
    module = binding.parse_assembly(dispatcher.inspect_llvm(signature.args))
    _require_alone(module)
    function = module.get_function(compiled.fndesc.llvm_func_name)
    parameters = [str(one.type) for one in function.arguments]
    name = dispatcher.py_func.__name__
    module.link_in(binding.parse_assembly(MEMORY))
    module.link_in(binding.parse_assembly(entry(name, function.name, parameters, signature)))
    for one in module.functions:
        if not one.is_declaration and one.name != ENTRY:
            one.linkage = "internal"
    module.verify()
    made: bytes = target_machine().emit_object(module)
    return made


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
