"""Operations on 32 numbers at once that numba has no words for, written in LLVM's.

Processors have instructions that compare many numbers and give a bit for each, and that move those
whose bit is set to the front; LLVM's vectoriser does not find them in loops. Only compiling needs
this module: `merging.kernels.masks` has the names for compiled functions.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORD = 32


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int) -> Any:
    """`WORD` numbers of an array from an index on."""
    numbers = ir.VectorType(ir.IntType(width), WORD)
    data = context.make_array(kind)(context, builder, array).data
    loaded = builder.load(builder.bitcast(builder.gep(data, [index]), numbers.as_pointer()))
    loaded.align = width // 8
    return loaded


def _repeated(builder: Any, number: Any, count: int = WORD) -> Any:
    """A vector of `count` times the same number."""
    nothing = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(one, nothing, places)


def _compare(condition: str, width: int) -> Any:
    """An operation that compares numbers of some bits with a limit."""

    def typed(typing: Any, numbers: Any, place: Any, limit: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, index, end = arguments
            found = _load(context, builder, signature.args[0], array, index, width)
            compared = builder.icmp_unsigned if width == 16 else builder.icmp_signed
            flags = compared(condition, found, _repeated(builder, end))
            return builder.bitcast(flags, ir.IntType(WORD))

        own = types.uint16 if width == 16 else types.int32
        return types.uint32(numbers, types.int64, own), build

    return typed


def _decide(typing: Any, numbers: Any, ends: Any, place: Any) -> Any:
    """Which numbers are below their two ends, and (above those bits) which lie between them."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, both, index = arguments
        found = _load(context, builder, signature.args[0], array, index, 16)
        pairs = _load(context, builder, signature.args[1], both, index, 32)
        halves = ir.VectorType(ir.IntType(16), WORD)
        lowest = builder.trunc(pairs, halves)
        high = _repeated(builder, ir.Constant(ir.IntType(32), 16))
        highest = builder.trunc(builder.lshr(pairs, high), halves)
        below = builder.icmp_unsigned("<", found, lowest)
        upto = builder.icmp_unsigned("<=", found, highest)
        unsure = builder.and_(upto, builder.icmp_unsigned(">=", found, lowest))
        wide = ir.IntType(64)
        one, two = (
            builder.zext(builder.bitcast(flags, ir.IntType(WORD)), wide)
            for flags in (below, unsure)
        )
        return builder.or_(one, builder.shl(two, ir.Constant(wide, WORD)))

    return types.uint64(numbers, ends, types.int64), build


def _append(
    context: Any, builder: Any, word: Any, numbers: Any, kind: Any, array: Any, index: Any
) -> Any:
    """Store those of `WORD` numbers whose bit is set at an index of an array, and count them."""
    half = WORD // 2  # what one instruction moves
    moving = ir.VectorType(ir.IntType(32), half)
    flags = ir.VectorType(ir.IntType(1), half)
    nothing = ir.Constant(moving, ir.Undefined)
    compress = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(moving, [moving, flags, moving]),
        f"llvm.experimental.vector.compress.v{half}i32",
    )
    data = context.make_array(kind)(context, builder, array).data
    for lanes in (list(range(half)), list(range(half, WORD))):
        chosen = ir.Constant(ir.VectorType(ir.IntType(32), half), lanes)
        own = builder.shuffle_vector(numbers, numbers, chosen)
        shifted = builder.lshr(word, ir.Constant(word.type, lanes[0]))
        marked = builder.trunc(shifted, ir.IntType(half))
        moved = builder.call(compress, [own, builder.bitcast(marked, flags), nothing])
        target = builder.bitcast(builder.gep(data, [index]), moving.as_pointer())
        builder.store(moved, target).align = 4
        index = builder.add(index, builder.zext(builder.ctpop(marked), index.type))
    return builder.zext(builder.ctpop(word), ir.IntType(64))


def _count_bits(typing: Any, word: Any) -> Any:
    """How many bits are set."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.ctpop(arguments[0]), ir.IntType(64))

    return types.int64(types.uint32), build


def _append_marked(typing: Any, bits: Any, numbers: Any, place: Any, out: Any, have: Any) -> Any:
    """Append those of `WORD` numbers from a place on whose bit is set, and count them.

    All `WORD` places of `out` from `have` on are written, the last ones with noise.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, array, index, out, have = arguments
        found = _load(context, builder, signature.args[1], array, index, 32)
        return _append(context, builder, word, found, signature.args[3], out, have)

    return types.int64(types.uint32, numbers, types.int64, out, types.int64), build


def _append_places(typing: Any, bits: Any, place: Any, out: Any, have: Any) -> Any:
    """Append `place` plus the number of every bit that is set, and count them.

    All `WORD` places of `out` from `have` on are written, the last ones with noise.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, first, array, index = arguments
        numbers = ir.VectorType(ir.IntType(32), WORD)
        start = _repeated(builder, builder.trunc(first, ir.IntType(32)))
        places = builder.add(start, ir.Constant(numbers, list(range(WORD))))
        return _append(context, builder, word, places, signature.args[2], array, index)

    return types.int64(types.uint32, types.int64, out, types.int64), build


def _single(typing: Any, numbers: Any, place: Any) -> Any:
    """A number of an array: a float32 as it is, a bfloat16 (its bits in a uint16) widened."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        found = builder.load(builder.gep(data, [index]))
        if signature.args[0].dtype == types.float32:
            return found
        wide = builder.zext(found, ir.IntType(32))
        return builder.bitcast(builder.shl(wide, ir.Constant(wide.type, 16)), ir.FloatType())

    return types.float32(numbers, types.int64), build


def _read(typing: Any, file: Any, place: Any, numbers: Any, index: Any, count: Any) -> Any:
    """The system's `pread` into an array: how many bytes it has read, or less than 0."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        descriptor, offset, array, first, n_bytes = arguments
        data = context.make_array(signature.args[2])(context, builder, array).data
        raw = builder.bitcast(data, ir.IntType(8).as_pointer())
        long = ir.IntType(64)
        kind = ir.FunctionType(long, [ir.IntType(32), raw.type, long, long])
        pread = cgutils.get_or_insert_function(builder.module, kind, "pread")
        return builder.call(pread, [descriptor, builder.gep(raw, [first]), n_bytes, offset])

    long = types.int64
    return long(types.int32, long, numbers, long, long), build


bits_below: Any = intrinsic(_compare("<", 16))
bits_equal: Any = intrinsic(_compare("==", 16))
bits_above: Any = intrinsic(_compare(">", 32))
decide: Any = intrinsic(_decide)
count_bits: Any = intrinsic(_count_bits)
append_marked: Any = intrinsic(_append_marked)
append_places: Any = intrinsic(_append_places)
single: Any = intrinsic(_single)
read: Any = intrinsic(_read)
