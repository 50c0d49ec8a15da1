"""Packing continuations of one context into a single row of tokens.

A row is ``[context | rest of choice 1 | rest of choice 2 | ...]``. A mask lets each choice see the
context and itself only, and each choice's positions continue the context's, so that the model
computes exactly what it would for ``context + choice`` alone, but runs the context once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from evaluation.scoring.encoding import common_prefix

# Choices share a row when that saves work: at least this many common tokens, or one context.
_MIN_SHARED = 8
_PORTION = 4096


@dataclass(frozen=True)
class Query:
    """One continuation to score.

    Attributes:
        index: of the request it answers.
        tokens: context and continuation; the last token is predicted, never fed.
        scored: how many of the last tokens are scored.
        group: queries of one group may share a row.
    """

    index: int
    tokens: list[int]
    scored: int
    group: Hashable

    @property
    def inputs(self) -> list[int]:
        """What the model is fed."""
        return self.tokens[:-1]


@dataclass
class Row:
    """Tokens that run together, and where in them each query is read.

    Attributes:
        shared: tokens that all queries of the row start with.
        branches: what follows for each distinct query.
        queries: the queries and the branch each belongs to.
    """

    shared: list[int]
    branches: list[list[int]] = field(default_factory=list)
    queries: list[tuple[Query, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.shared) + sum(map(len, self.branches))

    @property
    def depth(self) -> int:
        """The longest sequence in it, in tokens."""
        return len(self.shared) + max(map(len, self.branches), default=0)

    @property
    def is_plain(self) -> bool:
        """Nothing branches: an ordinary causal row."""
        return not any(self.branches)

    def positions_read(self) -> list[tuple[Query, list[int]]]:
        """For each query, the indices in the row whose logits predict its scored tokens."""
        starts = [len(self.shared)]
        for branch in self.branches:
            starts.append(starts[-1] + len(branch))
        read = []
        for query, number in self.queries:
            shift = starts[number] - len(self.shared)
            last = len(query.tokens) - 1  # predicts tokens[last] from position last - 1
            first = last - query.scored
            indices = [i if i < len(self.shared) else i + shift for i in range(first, last)]
            read.append((query, indices))
        return read


def portions(items: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Slices of some thousand requests that do not part an item: tokenized and sorted together."""
    start = 0
    while start < len(items):
        end = min(start + _PORTION, len(items))
        while end < len(items) and items[end] == items[end - 1]:
            end += 1
        yield start, end
        start = end


def pack(queries: Sequence[Query], *, share: bool, longest: int) -> list[Row]:
    """Rows for the queries, longest first.

    Args:
        queries: to score.
        share: put the queries of one group into one row; False: a row for each distinct input.
        longest: rows with branches are not made longer than this many tokens.

    Returns:
        Rows, by falling length.
    """
    groups: dict[Hashable, list[Query]] = {}
    for query in queries:
        groups.setdefault(query.group if share else tuple(query.inputs), []).append(query)
    rows = [row for group in groups.values() for row in _rows_of(group, longest)]
    return sorted(rows, key=len, reverse=True)


def _rows_of(group: list[Query], longest: int) -> list[Row]:
    shared = group[0].inputs
    for query in group[1:]:
        shared = shared[: common_prefix(shared, query.inputs)]
    if len(group) > 1 and len(shared) < _MIN_SHARED:
        # Little in common (an unconditional score beside a conditional one): no row together.
        by_context: dict[Hashable, list[Query]] = {}
        for query in group:
            by_context.setdefault(tuple(query.tokens[: -query.scored]), []).append(query)
        if len(by_context) > 1:
            return [row for part in by_context.values() for row in _rows_of(part, longest)]
    rows: list[Row] = []
    seen: dict[tuple[int, ...], tuple[Row, int]] = {}
    for query in group:
        branch = query.inputs[len(shared) :]
        if tuple(branch) not in seen:
            if not rows or len(rows[-1]) + len(branch) > max(longest, len(query.inputs)):
                rows.append(Row(shared))
            rows[-1].branches.append(branch)
            seen[tuple(branch)] = rows[-1], len(rows[-1].branches) - 1
        row, number = seen[tuple(branch)]
        row.queries.append((query, number))
    return rows


def common_start(rows: Sequence[Row]) -> int:
    """Leading tokens that all rows share and none reads from: a fixed few-shot prefix."""
    shared = rows[0].shared
    for row in rows[1:]:
        shared = shared[: common_prefix(shared, row.shared)]
    unread = min(len(query.tokens) - 1 - query.scored for row in rows for query, _ in row.queries)
    return max(0, min(len(shared), unread))


@dataclass(frozen=True)
class Packed:
    """A batch of rows as tensors; b rows of at most t tokens after a common prefix of p.

    Attributes:
        input_ids: shape (b, t).
        position_ids: shape (b, t); a choice continues its context's positions.
        mask: True where a token may look, shape (b, 1, t, p + t); None for plain causal rows.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    mask: torch.Tensor | None


def to_tensors(rows: Sequence[Row], prefix: int) -> Packed:
    """Tensors for rows whose first ``prefix`` tokens are already in the cache (on the CPU)."""
    width = max(map(len, rows)) - prefix
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    # 0: context, 1, 2 ...: the branch; padding gets a number of its own per row and sees itself.
    branch_of = torch.full((len(rows), width), -1, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = row.shared[prefix:] + [token for branch in row.branches for token in branch]
        places = [*range(prefix, len(row.shared))]
        marks = [0] * len(places)
        for number, branch in enumerate(row.branches, start=1):
            places += range(len(row.shared), len(row.shared) + len(branch))
            marks += [number] * len(branch)
        ids[i, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        positions[i, : len(tokens)] = torch.tensor(places, dtype=torch.long)
        branch_of[i, : len(tokens)] = torch.tensor(marks, dtype=torch.long)
    if prefix == 0 and all(row.is_plain for row in rows):
        return Packed(ids, positions, None)
    earlier = torch.ones(width, width, dtype=torch.bool).tril()
    same = branch_of[:, :, None] == branch_of[:, None, :]
    context = (branch_of == 0)[:, None, :]
    mask = (earlier & (same | context)).unsqueeze(1)
    if prefix:
        mask = torch.cat([mask.new_ones(len(rows), 1, width, prefix), mask], dim=-1)
    return Packed(ids, positions, mask)
