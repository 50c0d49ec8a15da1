"""DARE: drop random entries of each task vector, rescale the rest, then add up or elect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.compiled import MODELS, VECTOR, compiled
from merging.kernels.draws import ALL, fill_upper, lower, space_for, threshold
from merging.kernels.election import ELECTION, elect, election
from merging.kernels.masks import bits_below, bits_equal, keep_marked, sizes_marked, words_for
from merging.kernels.numbers import uint16, uint32
from merging.kernels.rows import of_rows
from merging.kernels.sums import BlockSums, fold
from merging.kernels.weighted import BLOCK, add_to_sum, place, singles, start_sum
from merging.methods.per_model import each
from merging.methods.sums import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = np.float32(0.0)
_DRAWS = "uint64[::1], int64[::1], int64, uint32[:, ::1]"
WORDS = words_for(BLOCK)
ALL_BITS = np.uint32(0xFFFFFFFF)
NO_MASKS: NDArray[np.uint32] = np.empty((0, 0), dtype=np.uint32)
# masks of larger tensors are drawn again, so that memory does not grow with the model
MASK_BYTES = 32 << 20


@dataclass(frozen=True)
class Dropping:
    """What DARE knows of a tensor before it is merged.

    Attributes:
        factors: K factors of what is kept.
        masks: `[K, words]` uint32, whole blocks, where finding the factors has drawn them already;
            else empty.
    """

    factors: Sequence[float]
    masks: NDArray[np.uint32]


def observe(whole: Whole, *, density: float | Sequence[float], rescale: str, **_: Any) -> Dropping:
    """For each expert the factor of what is kept."""
    count = whole.n_models
    shares = each(density, count)
    if rescale != "l1":
        return Dropping([1 / d if rescale == "1/d" else 1.0 for d in shares], NO_MASKS)
    blocks = -(-whole.n_elements // BLOCK)
    masks = NO_MASKS
    if 4 * count * blocks * WORDS <= MASK_BYTES:
        masks = np.empty((count, blocks * WORDS), dtype=np.uint32)
    sums = BlockSums(2 * count, 2 * count)
    for chunk in whole.chunks():
        draws = _draws(chunk, shares, masks)
        add_sizes(chunk.models, chunk.origin, *draws, whole.n_elements, sums.space, sums.lanes)
    totals = sums.totals()
    pairs = zip(totals[:count], totals[count:], strict=True)
    return Dropping([before / after if after > 0 else 1.0 for before, after in pairs], masks)


def dare_linear(
    chunk: Chunk,
    statistics: Dropping,
    *,
    density: float | Sequence[float],
    scale: float,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.dare.dare_linear`."""
    draws = _draws(chunk, each(density, len(chunk.weights)), statistics.masks)
    weights = divided(chunk.weights, normalize=normalize)
    products = [w * factor for w, factor in zip(weights, statistics.factors, strict=True)]
    drop_and_add(chunk.models, chunk.origin, *draws, singles(products), scale, chunk.out)


def dare_ties(
    chunk: Chunk,
    statistics: Dropping,
    *,
    density: float | Sequence[float],
    scale: float,
    election_weights: bool,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.dare.dare_ties`."""
    draws = _draws(chunk, each(density, len(chunk.weights)), statistics.masks)
    how = election(chunk.weights, election_weights=election_weights, normalize=normalize)
    # a factor that all share is applied afterwards: changes that cancel exactly still do then
    factors = statistics.factors
    shared = len(set(factors)) == 1
    common = factors[0] if shared else 1.0
    own = singles([1.0] * len(factors) if shared else factors)
    drop_and_elect(
        chunk.models, chunk.origin, *draws, own, common * scale, chunk.out, *how.arrays()
    )


def _draws(
    chunk: Chunk, shares: Sequence[float], masks: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], int, NDArray[np.uint32]]:
    """Keys, thresholds of the random numbers, the place of the first one, and the masks."""
    keys = np.array(chunk.keys, dtype=np.uint64)
    limits = np.array([threshold(share) for share in shares], dtype=np.int64)
    return keys, limits, chunk.start, masks


@compiled("void(uint64, int64, int64, uint32[::1], uint32[::1])")
def draw(
    key: int, limit: int, first: int, space: NDArray[np.uint32], bits: NDArray[np.uint32]
) -> None:
    """Which elements of a block are kept.

    Args:
        key: uint64 of the draws.
        limit: int64, an element is kept when its number is below.
        first: place of the block in the tensor.
        space: uint32, `space_for(BLOCK)`.
        bits: `[WORDS]` uint32, filled.
    """
    if limit == ALL:
        bits[:] = ALL_BITS
        return
    upper = fill_upper(key, first, space, BLOCK)
    below, rest = uint16(limit >> 16), limit & 0xFFFF
    equal = uint32(0)
    for word in range(WORDS):
        bits[word] = bits_below(upper, 32 * word, below)
        equal |= bits_equal(upper, 32 * word, below)
    if equal and rest:
        for i in range(BLOCK):
            if upper[i] == below and lower(key, first + i) < rest:
                bits[i // 32] |= uint32(uint32(1) << uint32(i % 32))


@of_rows(f"void({MODELS}, {VECTOR}, {_DRAWS}, float32[::1], float32, float32[::1])")
def drop_and_add(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    limits: NDArray[np.int64],
    first: int,
    masks: NDArray[np.uint32],
    factors: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """All of DARE linear, block by block of the tensor."""
    kept = np.empty(BLOCK, dtype=np.float32)
    space, own = np.empty(space_for(BLOCK), dtype=np.uint32), np.empty(WORDS, dtype=np.uint32)
    position = first
    while position < first + out.size:
        offset = position % BLOCK
        stop = min(position - offset + BLOCK, first + out.size)
        origin, part = base[position - first : stop - first], out[position - first : stop - first]
        for k in range(models.shape[0]):
            bits = own
            if masks.size:
                bits = masks[k, position // BLOCK * WORDS : (position // BLOCK + 1) * WORDS]
            else:
                draw(keys[k], limits[k], position - offset, space, own)
            keep_marked(models[k, position - first : stop - first], origin, bits, offset, kept)
            if k == 0:
                start_sum(kept, factors[k], part)
            else:
                add_to_sum(kept, factors[k], part)
        place(origin, scale, part)
        position = stop


@of_rows(f"void({MODELS}, {VECTOR}, {_DRAWS}, float32[::1], float32, float32[::1], {ELECTION})")
def drop_and_elect(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    limits: NDArray[np.int64],
    first: int,
    masks: NDArray[np.uint32],
    factors: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
    votes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    counts: NDArray[np.float32],
    divide: bool,
) -> None:
    """All of DARE-TIES, block by block of the tensor."""
    kept = np.empty((models.shape[0], BLOCK), dtype=np.float32)
    space, own = np.empty(space_for(BLOCK), dtype=np.uint32), np.empty(WORDS, dtype=np.uint32)
    position = first
    while position < first + out.size:
        offset = position % BLOCK
        stop = min(position - offset + BLOCK, first + out.size)
        origin, part = base[position - first : stop - first], out[position - first : stop - first]
        for k in range(models.shape[0]):
            bits, row = own, kept[k]
            if masks.size:
                bits = masks[k, position // BLOCK * WORDS : (position // BLOCK + 1) * WORDS]
            else:
                draw(keys[k], limits[k], position - offset, space, own)
            keep_marked(models[k, position - first : stop - first], origin, bits, offset, row)
            if factors[k] != np.float32(1.0):
                start_sum(row[: part.size], factors[k], row[: part.size])
        elect(kept, votes, coefficients, counts, divide, part)
        place(origin, scale, part)
        position = stop


@of_rows(f"void({MODELS}, {VECTOR}, {_DRAWS}, int64, float32[:, ::1], float64[:, ::1])")
def add_sizes(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    limits: NDArray[np.int64],
    first: int,
    masks: NDArray[np.uint32],
    end: int,
    sizes: NDArray[np.float32],
    lanes: NDArray[np.float64],
) -> None:
    """Sums of the magnitudes of all K task vectors, then of what is kept of them, and the masks.

    `end` is the number of the tensor's elements; sizes and lanes are those of `BlockSums`.
    """
    n_models, n = models.shape
    space, own = np.empty(space_for(BLOCK), dtype=np.uint32), np.empty(WORDS, dtype=np.uint32)
    position = first
    while position < first + n:
        offset = position % BLOCK
        stop = min(position - offset + BLOCK, first + n)
        origin = base[position - first : stop - first]
        upto = offset + stop - position
        for k in range(n_models):
            bits = own
            if masks.size:
                bits = masks[k, position // BLOCK * WORDS : (position // BLOCK + 1) * WORDS]
            draw(keys[k], limits[k], position - offset, space, bits)
            delta, kept = sizes[k], sizes[n_models + k]
            model = models[k, position - first : stop - first]
            sizes_marked(model, origin, bits, offset, delta[offset:upto], kept[offset:upto])
            if upto == BLOCK or stop == end:
                delta[upto:] = _ZERO
                kept[upto:] = _ZERO
                fold(delta, lanes[k])
                fold(kept, lanes[n_models + k])
        position = stop


KERNELS = {
    "dare_linear": Kernel(dare_linear, observe),
    "dare_ties": Kernel(dare_ties, observe),
}
