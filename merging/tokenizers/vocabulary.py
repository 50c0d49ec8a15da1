"""The vocabulary of a merge: its tokens, its embedding rows, and where each row comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from merging.checkpoints.views import TensorView
from merging.planning.checks import Check
from merging.tokenizers import tensors
from merging.tokenizers.rows import Gather
from merging.tokenizers.view import RowsView

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class Vocabulary:
    """What the merge's vocabulary is.

    Attributes:
        tokens: token -> id in the result; None where no parent's tokenizer can be read.
        n_rows: of the result's embeddings; None where they are those of every parent.
        stem: the parent whose tokenizer files the result's are made from; None without any.
        speaker: the parent whose special tokens (the end of a turn, say) the result has.
        numbers: parent -> its own token -> id, where it is known.
        appended: tokens added to the stem's, in the form of a tokenizer.json; without any the
            stem's files are the result's as they are.
        gathers: parent -> where its rows come from; a parent that isn't in it is read as it lies.
        checks: what was found, in words.
        parents: all of them, by label, in the order in which gathers number them.
    """

    tokens: Mapping[str, int] | None = None
    n_rows: int | None = None
    stem: str | None = None
    speaker: str | None = None
    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    appended: tuple[Mapping[str, Any], ...] = ()
    gathers: Mapping[str, Gather] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    parents: Mapping[str, Checkpoint] = field(default_factory=dict)

    def rows_view(self, parent: Checkpoint, name: str) -> RowsView | None:
        """A tensor of a parent in the order of the result's rows.

        Args:
            parent: one of the parents.
            name: of a tensor there.

        Returns:
            None where the tensor is read as it lies: it has no row per token, or its rows are those
            of the result.
        """
        rows = self.gathers.get(parent.label)
        if rows is None or not tensors.by_token(parent, name):
            return None
        listed = list(self.parents.values())
        inner = {one: TensorView(listed[one], name) for one in rows.sources() if one >= 0}
        return RowsView(parent.label, inner, rows)

    def shape(self, parent: Checkpoint, name: str) -> tuple[int, ...]:
        """The shape that a tensor of a parent has in the result."""
        shape = parent.tensors[name].shape
        if self.n_rows is None or not tensors.by_token(parent, name):
            return shape
        return (self.n_rows, *shape[1:])

    def translate(self, parent: str, token_id: int) -> int | None:
        """The id that a parent's token has in the result; None when it isn't there."""
        numbers = self.numbers.get(parent)
        if self.tokens is None or numbers is None or numbers == self.tokens:
            return token_id
        token = next((one for one, place in numbers.items() if place == token_id), None)
        return None if token is None else self.tokens.get(token)
