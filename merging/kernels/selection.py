"""Exact selection of the k-th largest magnitude of a tensor, without sorting, in one pass.

A sample of the tensor gives two magnitudes between which the k-th largest must lie but for bad
luck. One pass over the tensor counts what is above them, and collects what is strictly between. The
ends are counted apart: differences of bfloat16 numbers take few values, and mostly the one that is
sought is both ends. Where the luck was bad, two histograms of the bits find it (as
`merging.methods.selection` does, which is the definition).

The bits of a non-negative float32 order like the number itself, so all of this is done on int32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from merging.kernels.chunks import Chunk, Whole
from merging.kernels.counting import (
    SLACK,
    collect_between,
    count_lower,
    count_upper,
    kth_largest_of,
    magnitude_bits,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# tensors up to this size are collected whole and selected from
SMALL = 1 << 16
# a sample's pieces lie apart, as neighbours resemble each other; a piece is one read of a file
PIECES = 32
PIECE = 1024
# standard deviations from the sample's estimate to the ends; one search in 2000 misses, which costs
# two more passes
DEVIATIONS = 3.5
BELOW_ALL = -1
ABOVE_ALL = (1 << 31) - 1
HALF = 16
BINS = 1 << HALF

# the vectors whose magnitudes are sought, part by part: number of the vector, a model's values, and
# the base's or an empty array
Parts = Iterable["tuple[int, NDArray[np.float32], NDArray[np.float32]]"]


@dataclass
class Search:
    """One rank of one vector.

    Attributes:
        rank: 1 for the largest.
        low, high: bits of the magnitudes between which it should be.
        found: bits of the answer, once it is known.
    """

    rank: int
    low: int = BELOW_ALL
    high: int = ABOVE_ALL
    found: int | None = None

    def finish(self, counts: Sequence[int], collected: NDArray[np.int32]) -> None:
        """Find the answer in the counts of `collect_between` and what it collected, if there."""
        above, at_high, between, at_low = counts
        rank = self.rank - above
        if rank <= 0:
            return
        if rank <= at_high:
            self.found = self.high
            return
        rank -= at_high
        if rank <= between:
            if between + SLACK <= collected.size:
                self.found = int(kth_largest_of(collected[:between], rank))
        elif rank <= between + at_low:
            self.found = self.low


class Pass:
    """All searches in one vector, while the tensor is read once.

    Args:
        searches: with their ends.
        room: for what lies between two ends.
    """

    def __init__(self, searches: Sequence[Search], room: int) -> None:
        self._searches = searches
        self._lows = np.array([search.low for search in searches], dtype=np.int32)
        self._highs = np.array([search.high for search in searches], dtype=np.int32)
        self._collected: NDArray[np.int32] = np.empty((len(searches), room), dtype=np.int32)
        self._counts: NDArray[np.int64] = np.zeros((len(searches), 4), dtype=np.int64)

    def count(self, values: NDArray[np.float32], base: NDArray[np.float32]) -> None:
        """Count a part of the vector."""
        collect_between(values, base, self._lows, self._highs, self._collected, self._counts)

    def finish(self) -> None:
        """Find the answers that were between the ends."""
        for search, counts, collected in zip(
            self._searches, self._counts.tolist(), self._collected, strict=True
        ):
            search.finish(counts, collected)


def kth_largest_magnitudes(whole: Whole, ranks: Sequence[Sequence[int]]) -> list[list[float]]:
    """Magnitudes by rank in every task vector of a tensor, exact.

    Args:
        whole: the tensor; read once but for a sample, and twice more when that was misleading.
        ranks: for each model the ranks that are sought, 1 for the largest; none for none.

    Returns:
        For each model the magnitude at every one of its ranks.
    """

    def deltas(chunk: Chunk) -> Parts:
        return [(k, chunk.models[k], chunk.origin) for k, wanted in enumerate(ranks) if wanted]

    return kth_largest(whole, ranks, deltas)


def kth_largest(
    whole: Whole, ranks: Sequence[Sequence[int]], vectors: Callable[[Chunk], Parts]
) -> list[list[float]]:
    """As `kth_largest_magnitudes`, for the vectors that `vectors` makes of a chunk."""
    searches = [[Search(rank) for rank in wanted] for wanted in ranks]
    if any(searches):
        room = _bracket(whole, searches, vectors) + SLACK
        passes = [Pass(wanted, room) for wanted in searches]
        for vector, values, base in _parts(whole, vectors):
            passes[vector].count(values, base)
        for one in passes:
            one.finish()
        if any(search.found is None for search in _all(searches)):
            _by_histograms(whole, searches, vectors)
    return [[_number(search.found) for search in wanted] for wanted in searches]


def sample_spans(n_elements: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of the pieces of a sample: one at a place of its own in each equal part."""
    for piece in range(PIECES):
        first = piece * n_elements // PIECES
        room = (piece + 1) * n_elements // PIECES - first - PIECE
        # multiples of the golden ratio fall evenly, and into step with no row length
        start = first + int(piece * 0.6180339887498949 % 1.0 * (room + 1))
        yield start, start + PIECE


def _bracket(
    whole: Whole, searches: Sequence[Sequence[Search]], vectors: Callable[[Chunk], Parts]
) -> int:
    """Set the ends of every search; how many magnitudes there may be between them."""
    n = whole.n_elements
    if n <= max(SMALL, PIECES * PIECE):
        return n
    samples: list[NDArray[np.int32]] = [np.empty((PIECES, PIECE), dtype=np.int32) for _ in searches]
    for piece, (start, stop) in enumerate(sample_spans(n)):
        for vector, values, base in vectors(whole.piece(start, stop)):
            magnitude_bits(values, base, samples[vector][piece])
    for sample, wanted in zip(samples, searches, strict=True):
        for search in wanted:
            search.low, search.high = _ends(sample, search.rank / n)
    return n // 16


def _ends(sample: NDArray[np.int32], share: float) -> tuple[int, int]:
    """Two magnitudes that have the one above which lies `share` of the tensor between them.

    The estimate's deviation is that of independent draws, or that between the pieces where it is
    larger: rows of a matrix differ in size.

    Args:
        sample: `[PIECES, PIECE]`.
        share: 0 to 1.
    """
    size = sample.size
    rank = share * size
    estimate = _ranked(sample, rank)
    by_piece = np.count_nonzero(sample >= estimate, axis=1) / PIECE
    deviation = max((share * (1 - share) / size) ** 0.5, float(by_piece.std()) / PIECES**0.5)
    margin = DEVIATIONS * deviation * size + 2
    low, high = rank + margin, rank - margin
    return (
        _ranked(sample, low) if low <= size else BELOW_ALL,
        _ranked(sample, high) if high >= 1 else ABOVE_ALL,
    )


def _ranked(sample: NDArray[np.int32], rank: float) -> int:
    """The magnitude at about this rank of a sample."""
    return int(kth_largest_of(sample.ravel(), min(max(int(rank), 1), sample.size)))


def _by_histograms(
    whole: Whole, searches: Sequence[Sequence[Search]], vectors: Callable[[Chunk], Parts]
) -> None:
    """Find what is still missing by its upper 16 bits, then by its lower ones."""
    missing = [[search for search in wanted if search.found is None] for wanted in searches]
    upper = [np.zeros(BINS, dtype=np.int64) for _ in missing]
    for vector, values, base in _parts(whole, vectors):
        if missing[vector]:
            count_upper(values, base, upper[vector])
    lower: list[list[tuple[Search, int, int, NDArray[np.int64]]]] = []
    for counts, wanted in zip(upper, missing, strict=True):
        lower.append([])
        for search in wanted:
            upper_bits, rank = _place(counts, search.rank)
            lower[-1].append((search, upper_bits, rank, np.zeros(BINS, dtype=np.int64)))
    for vector, values, base in _parts(whole, vectors):
        for _, upper_bits, _, counts in lower[vector]:
            count_lower(values, base, upper_bits, counts)
    for search, upper_bits, rank, counts in (one for each in lower for one in each):
        search.found = upper_bits << HALF | _place(counts, rank)[0]


def _place(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bin that holds the `rank`-th largest, and its rank within that bin (from 1)."""
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, rank))
    before = int(above[place - 1]) if place else 0
    return BINS - 1 - place, rank - before


def _number(bits: int | None) -> float:
    """The float32 of these bits."""
    return float(np.array(bits, dtype=np.int32).view(np.float32))


def _parts(whole: Whole, vectors: Callable[[Chunk], Parts]) -> Parts:
    return (part for chunk in whole.chunks() for part in vectors(chunk))


def _all(searches: Sequence[Sequence[Search]]) -> Iterator[Search]:
    return (search for wanted in searches for search in wanted)
