"""Lines the parents' embedding rows up with the tokens of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merging.errors import RecipeError
from merging.planning.checks import Check
from merging.tokenizers import tensors
from merging.tokenizers.known import SAVE, TITLE
from merging.tokenizers.read import Tokenizer, added_token, tokenizer_json
from merging.tokenizers.rows import Gather, Place, choose_fills, gather
from merging.tokenizers.told import tell
from merging.tokenizers.vocabulary import Vocabulary
from merging.tokenizers.wishes import Wish
from merging.wording import in_words, quoted

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint
    from merging.tokenizers.rows import Rows


@dataclass(frozen=True)
class LineUp:
    """The parents with their tokenizers, and what is wanted.

    Attributes:
        parents: by label.
        known: the tokenizer of each of them.
        stem: the parent whose tokenizer the result's starts from.
        base: the recipe's base, whose rows stand in for tokens that others lack.
        wishes: what the recipe says of single tokens.
    """

    parents: Mapping[str, Checkpoint]
    known: Mapping[str, Tokenizer]
    stem: str
    base: str | None
    wishes: Mapping[str, Wish]

    def vocabulary(
        self,
        appended: tuple[Mapping[str, Any], ...],
        pad: int | None,
        speaker: str | None,
        checks: list[Check],
    ) -> Vocabulary:
        """The plan itself.

        Args:
            appended: tokens of other parents that are added to the stem's.
            pad: the result has a multiple of so many rows.
            speaker: the parent whose special tokens the result has.
            checks: what was found before; more are added.
        """
        before = self.known[self.stem].tokens
        appended += tuple(
            added_token(token, -1)
            for token in self.wishes
            if token not in before and token not in [one["content"] for one in appended]
        )
        tokens = before
        if appended:
            data = tokenizer_json(self.parents[self.stem].folder)
            if data is None:
                checks.append(_no_json(self.stem, appended))
            else:
                tokens = self._numbered(appended, checks)
        has_rows = [tensors.n_rows(one) for one in self.parents.values()]
        made: dict[str, Any] = {
            "tokens": tokens,
            "stem": self.stem,
            "speaker": speaker,
            "numbers": {name: one.tokens for name, one in self.known.items()},
            "appended": appended,
            "parents": self.parents,
        }
        if None in has_rows and any(one.tokens != tokens for one in self.known.values()):
            checks.append(_no_embedding(list(self.parents)[has_rows.index(None)]))
        if None in has_rows or any(check.state == "bad" for check in checks):
            return Vocabulary(**made, checks=tuple(checks))
        n_rows, own = self._lined_up(tokens, pad)
        try:
            gathers = self._gathers(tokens, own)
        except RecipeError as error:
            return Vocabulary(**made, checks=(*checks, Check(TITLE, "bad", str(error))))
        if gathers:
            checks += self._irregular()
        wished = [token for token, wish in self.wishes.items() if wish.says_where]
        made |= {"n_rows": n_rows, "gathers": gathers}
        checks += tell(Vocabulary(**made), self.known, base=self.base, wished=wished)
        return Vocabulary(**made, checks=tuple(checks))

    def _numbered(
        self, appended: tuple[Mapping[str, Any], ...], checks: list[Check]
    ) -> dict[str, int]:
        """The ids of all tokens once the file with the appended ones is loaded."""
        stem = self.known[self.stem]
        tokens = dict(stem.tokens)
        in_model = {place for place in tokens.values()}
        largest = max((tokens[one["content"]] for one in stem.added), default=-1)
        size = stem.n_model
        for one in appended:
            largest = max(largest + 1, size)
            tokens[one["content"]] = largest
        taken = [token for token in appended if tokens[token["content"]] in in_model]
        if taken:
            checks.append(
                Check(
                    TITLE,
                    "bad",
                    f"The vocabulary of {self.stem} has gaps in its numbers, so that no token can "
                    f"be added to it ({taken[0]['content']} could).",
                    "Take the tokenizer of one model as it is.",
                )
            )
        return tokens

    def _lined_up(self, tokens: Mapping[str, int], pad: int | None) -> tuple[int, list[Rows]]:
        """Rows of the result, and each parent's own row for each of them."""
        import numpy as np

        counts = [tensors.n_rows(one) or 0 for one in self.parents.values()]
        named = list(tokens)
        ids = np.fromiter(tokens.values(), dtype=np.int64, count=len(tokens))
        placed = []
        for name, count in zip(self.parents, counts, strict=True):
            theirs = self.known[name].tokens
            there = (
                ids
                if theirs is tokens
                else np.fromiter((theirs.get(one, -1) for one in named), np.int64, len(named))
            )
            placed.append(np.where(there < count, there, -1))
        has_row = np.zeros(len(named), np.bool_)
        if self.wishes:
            has_row[:] = [one in self.wishes for one in named]
        for there in placed:
            has_row |= there >= 0
        n_rows = int(ids[has_row].max(initial=-1)) + 1
        n_rows = max(n_rows, counts[list(self.parents).index(self.stem)])
        if pad:
            n_rows = -(-n_rows // pad) * pad
        inside = ids < n_rows
        own = []
        for name, count, there in zip(self.parents, counts, placed, strict=True):
            rows = np.arange(n_rows, dtype=np.int64)
            rows[rows >= count] = -1
            if self.known[name].tokens is not tokens:
                # a row whose token stands elsewhere in the result is not the row of this place
                items = self.known[name].tokens.items()
                used = (place for token, place in items if place < n_rows and token in tokens)
                rows[np.fromiter(used, np.int64)] = -1
            rows[ids[inside]] = there[inside]
            own.append(rows)
        return n_rows, own

    def _gathers(self, tokens: Mapping[str, int], own: list[Rows]) -> dict[str, Gather]:
        """Every parent whose rows are not the result's as they lie."""
        import numpy as np

        names = list(self.parents)
        n_rows = len(own[0])
        n_tokens = min(n_rows, max(tokens.values(), default=-1) + 1)
        wishes, forced = {}, []
        for token, wish in self.wishes.items():
            if wish.says_where:
                wishes[tokens[token]] = self._wished(token, wish, own, tokens)
                if wish.force:
                    forced.append(tokens[token])
            elif all(rows[tokens[token]] < 0 for rows in own):
                raise RecipeError(
                    f"tokens.{quoted(token)} has no source, and no model has that token: say where "
                    'its embedding is to come from, such as "zero".'
                )
        fills = choose_fills(
            own,
            n_tokens,
            base=names.index(self.base) if self.base in names else None,
            wishes=wishes,
            forced=forced,
        )
        as_it_is = np.arange(n_rows)
        found = {}
        for i, name in enumerate(names):
            whole = tensors.n_rows(self.parents[name]) == n_rows and not forced
            if not (whole and np.array_equal(own[i], as_it_is)):
                found[name] = gather(i, own[i], fills, n_tokens)
        return found

    def _wished(
        self, token: str, wish: Wish, own: list[Rows], tokens: Mapping[str, int]
    ) -> Place | None:
        """The row that a wish names; None for zeros."""
        if wish.model is None:
            return None
        parent = list(self.parents).index(wish.model)
        row: int | None = int(own[parent][tokens[token]])
        text = token
        if wish.token is not None:
            text = wish.token
            row = self.known[wish.model].tokens.get(wish.token, -1)
        elif wish.token_id is not None:
            text = f"number {wish.token_id}"
            row = wish.token_id
        if row is None or not 0 <= row < (tensors.n_rows(self.parents[wish.model]) or 0):
            raise RecipeError(
                f"tokens.{quoted(token)} takes the embedding of {quoted(text)} from {wish.model}, "
                "which has no such token."
            )
        return Place(parent, row)

    def _irregular(self) -> Iterator[Check]:
        for name, one in self.parents.items():
            tensor = tensors.irregular(one)
            if tensor is not None:
                yield Check(
                    "Vocabulary",
                    "bad",
                    f"{tensor} of {name} has other rows than its input embedding, so its tokens "
                    "cannot be lined up with the other models'.",
                    "Merge models with the same tokenizer and as many rows.",
                )
                return


def _no_embedding(name: str) -> Check:
    return Check(
        "Vocabulary",
        "bad",
        f"The parents' tokens differ, and {name} has no embedding of a known name to line them up "
        "in.",
        "Merge models that share one tokenizer.",
    )


def _no_json(stem: str, appended: tuple[Mapping[str, Any], ...]) -> Check:
    names = in_words([one["content"] for one in appended], most=3)
    return Check(
        TITLE,
        "bad",
        f"{stem} has no tokenizer.json, so {names} cannot be added to its tokenizer.",
        f"Give it one: {SAVE}.",
    )
