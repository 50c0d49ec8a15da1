"""Scalar products of blocks in float64, written in LLVM's words so that the sums stay in registers.

Only compiling needs this module: `merging.kernels.sums` has the names for compiled functions.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from merging.kernels.sums import LANES
from merging.kernels.weighted import BLOCK


def _add_products(pairs: tuple[tuple[int, int], ...]) -> Any:
    """An operation that adds products of two vectors' blocks to `LANES` sums of float64 each.

    A product of two float32 is a float64 without rounding, so that multiplying and adding in one
    instruction, where the processor has it, changes nothing. Half of the lanes at a time, as the
    sums have to stay in registers.

    Args:
        pairs: which of the two vectors are multiplied: one pair for each row of sums.
    """
    half = LANES // 2
    wide = ir.VectorType(ir.DoubleType(), half)
    long = ir.IntType(64)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.fmuladd.v{half}f64"
        three = ir.FunctionType(wide, [wide, wide, wide])
        fused = cgutils.get_or_insert_function(builder.module, three, name)
        vectors = list(zip(signature.args, arguments, arguments[1:], strict=False))[0:4:2]
        used = sorted({one for pair in pairs for one in pair})
        data = context.make_array(signature.args[4])(context, builder, arguments[4]).data
        first = builder.mul(arguments[5], ir.Constant(long, LANES))
        for lanes in (0, half):
            kept = [cgutils.alloca_once_value(builder, ir.Constant(wide, [0.0] * half))
                    for _ in pairs]  # fmt: skip
            steps = ir.Constant(long, BLOCK // LANES)
            with cgutils.for_range(builder, steps) as step:
                place = builder.add(
                    builder.mul(step.index, ir.Constant(long, LANES)), ir.Constant(long, lanes)
                )
                found = {}
                for one in used:
                    kind, array, start = vectors[one]
                    index = builder.add(start, place)
                    loaded = _floats(context, builder, kind, array, index, half)
                    found[one] = builder.fpext(loaded, wide)
                for (x, y), sums in zip(pairs, kept, strict=True):
                    added = builder.call(fused, [found[x], found[y], builder.load(sums)])
                    builder.store(added, sums)
            for row, sums in enumerate(kept):
                index = builder.add(first, ir.Constant(long, LANES * row + lanes))
                target = builder.bitcast(builder.gep(data, [index]), wide.as_pointer())
                before = builder.load(target)
                before.align = 8
                builder.store(builder.fadd(before, builder.load(sums)), target).align = 8
        return context.get_dummy_value()

    def typed(typing: Any, x: Any, first: Any, y: Any, second: Any, lanes: Any, row: Any) -> Any:
        return types.void(x, types.int64, y, types.int64, lanes, types.int64), build

    return typed


def _floats(context: Any, builder: Any, kind: Any, array: Any, index: Any, count: int) -> Any:
    """Some numbers of an array from an index on, float32 or bfloat16; see `rows.single`."""
    data = context.make_array(kind)(context, builder, array).data
    singles = ir.VectorType(ir.FloatType(), count)
    is_wide = kind.dtype == types.float32
    stored = singles if is_wide else ir.VectorType(ir.IntType(16), count)
    loaded = builder.load(builder.bitcast(builder.gep(data, [index]), stored.as_pointer()))
    loaded.align = 4 if is_wide else 2
    if is_wide:
        return loaded
    wide = ir.VectorType(ir.IntType(32), count)
    shifted = builder.shl(builder.zext(loaded, wide), ir.Constant(wide, [16] * count))
    return builder.bitcast(shifted, singles)


add_product: Any = intrinsic(_add_products(((0, 1),)))
add_products_of_two: Any = intrinsic(_add_products(((0, 0), (1, 0), (1, 1))))
