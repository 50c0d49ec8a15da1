"""Moving numbers between two ends to the front of an array, 16 at a time.

A loop that appends what it finds runs one element after the other. Processors have an instruction
for it, which LLVM offers as `vector.compress` (and spells out where there is none), but its
vectoriser does not use; so it is called here by hand.
"""

from __future__ import annotations

from typing import Any

from merging.kernels.compiled import Part

# numbers that are looked at together
LANES = 16


def _compress_between(
    typing: Any, values: Any, place: Any, low: Any, high: Any, out: Any, have: Any
) -> Any:
    """Append those of 16 numbers that are strictly between two ends, and count them.

    Args:
        typing: numba's own.
        values: int32 array.
        place: int64, index of the first number.
        low: int32.
        high: int32.
        out: int32 array. All 16 places from `have` on are written, the last ones with noise.
        have: int64, where to append.

    Returns:
        int64, how many there were.
    """
    from numba import types

    signature = types.int64(values, types.int64, types.int32, types.int32, out, types.int64)
    return signature, _build


def _intrinsic() -> Any:
    from numba.extending import intrinsic

    return intrinsic(_compress_between)


compress_between: Any = Part(_intrinsic)


def _build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """LLVM code of `compress_between`."""
    from llvmlite import ir
    from numba.core import cgutils

    values, place, low, high, out, have = arguments
    numbers = ir.VectorType(ir.IntType(32), LANES)
    flags = ir.VectorType(ir.IntType(1), LANES)
    nothing = ir.Constant(numbers, ir.Undefined)

    def sixteen(array_type: Any, array: Any, index: Any) -> Any:
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), numbers.as_pointer())

    def repeated(number: Any) -> Any:
        one = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, nothing, ir.Constant(numbers, [0] * LANES))

    found = builder.load(sixteen(signature.args[0], values, place))
    found.align = 4
    between = builder.and_(
        builder.icmp_signed(">", found, repeated(low)),
        builder.icmp_signed("<", found, repeated(high)),
    )
    compress = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(numbers, [numbers, flags, numbers]),
        f"llvm.experimental.vector.compress.v{LANES}i32",
    )
    moved = builder.call(compress, [found, between, nothing])
    stored = builder.store(moved, sixteen(signature.args[4], out, have))
    stored.align = 4
    bits = builder.bitcast(between, ir.IntType(LANES))
    return builder.zext(builder.ctpop(bits), ir.IntType(64))
