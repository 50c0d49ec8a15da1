"""Where every embedding row of a result comes from, per parent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

# in place of a parent's number: rows that no single parent has
ZERO = -1  # zeros
MEAN = -2  # the mean of several parents' rows, listed in `means`
OWN_MEAN = -3  # the mean of this parent's rows of tokens


class Place(NamedTuple):
    """A row of a parent."""

    parent: int
    row: int


class Piece(NamedTuple):
    """Consecutive rows of a result that lie consecutively in one parent, or in none.

    Attributes:
        start: first row of the result.
        stop: the one behind the last.
        parent: its number, or ZERO, MEAN, OWN_MEAN.
        row: first row there.
    """

    start: int
    stop: int
    parent: int
    row: int


@dataclass(frozen=True)
class Gather:
    """The rows of one parent in the order of the result.

    Attributes:
        parents: `[rows]`, number of the parent that a row is read from, or ZERO, MEAN, OWN_MEAN.
        rows: `[rows]`, the row there.
        means: row of the result -> the rows whose mean it is.
        n_tokens: rows of the result below this one may hold tokens; those behind are padding.
    """

    parents: NDArray[np.int16]
    rows: Rows
    means: Mapping[int, tuple[Place, ...]]
    n_tokens: int

    def __len__(self) -> int:
        return len(self.rows)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Rows `start` to `stop` as runs that can be read in one go."""
        import numpy as np

        parents, rows = self.parents[start:stop], self.rows[start:stop]
        same = parents[1:] == parents[:-1]
        follows = (rows[1:] == rows[:-1] + 1) | (parents[1:] < 0)
        cuts = (np.flatnonzero(~(same & follows)) + 1).tolist()
        for first, last in zip([0, *cuts], [*cuts, stop - start], strict=True):
            if last > first:
                yield Piece(start + first, start + last, int(parents[first]), int(rows[first]))

    def sources(self) -> set[int]:
        """Every parent that is read, and ZERO, MEAN, OWN_MEAN where they occur."""
        import numpy as np

        found = {int(one) for one in np.unique(self.parents)}
        return found | {place.parent for several in self.means.values() for place in several}


@dataclass(frozen=True)
class Fills:
    """What a parent gets for a row that it lacks; the same for every parent.

    Attributes:
        parents: `[rows]`, as in `Gather`.
        rows: `[rows]`, as in `Gather`.
        means: as in `Gather`.
        forced: `[rows]`, rows that every parent gets, those that have their own too.
    """

    parents: NDArray[np.int16]
    rows: Rows
    means: Mapping[int, tuple[Place, ...]]
    forced: NDArray[np.bool_]


def choose_fills(
    own: Sequence[Rows],
    n_tokens: int,
    *,
    base: int | None,
    wishes: Mapping[int, Place | None],
    forced: Sequence[int] = (),
) -> Fills:
    """Fill what parents lack, as mergekit does.

    A token's row comes from the base where it has one, else it is the mean of those that have
    one (with a single one that row itself, so that its task vector counts in full); zeros where
    nobody has it. Rows of padding likewise; where nobody has one, the mean of a parent's rows, as
    in https://nlp.stanford.edu/~johnhew/vocab-expansion.html.

    Args:
        own: of every parent its own row for each row of the result, -1 where it lacks it.
        n_tokens: rows from here on are padding.
        base: number of the base.
        wishes: row of the result -> where to take it from, None for zeros.
        forced: rows of the result that all parents get from `wishes`.
    """
    import numpy as np

    n_rows = len(own[0])
    has = np.stack([rows >= 0 for rows in own])
    count = has.sum(axis=0)
    giver = has.argmax(axis=0)  # the first that has it
    if base is not None:
        giver = np.where(has[base], base, giver)
    parents = giver.astype(np.int16)
    rows = np.stack(own)[giver, np.arange(n_rows)]
    nobody = count == 0
    padding = np.arange(n_rows) >= n_tokens
    parents[nobody], rows[nobody] = ZERO, -1
    parents[nobody & padding] = OWN_MEAN
    several = (count > 1) & (count < len(own))
    if base is not None:
        several &= ~has[base]
    means = {}
    for row in np.flatnonzero(several).tolist():
        means[row] = tuple(Place(i, int(one[row])) for i, one in enumerate(own) if one[row] >= 0)
        parents[row], rows[row] = MEAN, -1
    for row, place in wishes.items():
        means.pop(row, None)
        parents[row], rows[row] = (ZERO, -1) if place is None else place
    mask = np.zeros(n_rows, dtype=np.bool_)
    mask[list(forced)] = True
    return Fills(parents, rows, means, mask)


def gather(number: int, own: Rows, fills: Fills, n_tokens: int) -> Gather:
    """The rows of one parent, what it lacks filled in.

    Args:
        number: of the parent.
        own: its row for each row of the result, -1 where it lacks it.
        fills: for the rows that it lacks, and for those that are forced.
        n_tokens: rows from here on are padding.
    """
    import numpy as np

    keeps = (own >= 0) & ~fills.forced
    return Gather(
        parents=np.where(keeps, np.int16(number), fills.parents),
        rows=np.where(keeps, own, fills.rows),
        means={row: places for row, places in fills.means.items() if not keeps[row]},
        n_tokens=n_tokens,
    )
