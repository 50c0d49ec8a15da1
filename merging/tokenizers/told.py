"""What becomes of the parents' tokens, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from merging.planning.checks import Check
from merging.tokenizers import tensors
from merging.tokenizers.known import TITLE
from merging.tokenizers.read import SPLITTING, Tokenizer
from merging.wording import in_words, quoted

if TYPE_CHECKING:
    from merging.tokenizers.vocabulary import Vocabulary

# lacking more of the merge's tokens than this share is more than a few added ones
_FEW = 0.05


def tell(
    vocabulary: Vocabulary,
    known: Mapping[str, Tokenizer],
    *,
    base: str | None,
    wished: Collection[str] = (),
) -> Iterator[Check]:
    """What a user should know of a planned vocabulary.

    Args:
        vocabulary: the plan, with its rows.
        known: the parents' tokenizers.
        base: the recipe's base.
        wished: tokens whose embedding the recipe says itself.
    """
    tokens = vocabulary.tokens or {}
    found = [
        *_rows(vocabulary),
        *_lacking(vocabulary, known, base, wished),
        *_dropped(tokens, known),
        *_moved(tokens, known),
        *_without_rows(tokens, vocabulary.n_rows or 0),
        *_splitting(known, vocabulary.stem or ""),
    ]
    yield from found
    if all(check.title != TITLE for check in found) and len(known) > 1:
        yield Check(TITLE, "ok", "All have the same tokenizer.")


def _rows(vocabulary: Vocabulary) -> Iterator[Check]:
    counts = {name: tensors.n_rows(one) for name, one in vocabulary.parents.items()}
    if set(counts.values()) == {vocabulary.n_rows}:
        return
    told = in_words([f"{count} in {name}" for name, count in counts.items()], most=4)
    yield Check(
        "Vocabulary",
        "ok",
        f"The embeddings have these numbers of rows: {told}. The merge has {vocabulary.n_rows}.",
    )


def _lacking(
    vocabulary: Vocabulary,
    known: Mapping[str, Tokenizer],
    base: str | None,
    wished: Collection[str],
) -> Iterator[Check]:
    """Tokens of the result that some parents don't have."""
    tokens = vocabulary.tokens or {}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, one in known.items():
        if one.tokens is not tokens:
            lacking = tuple(
                token for token in tokens if token not in one.tokens and token not in wished
            )
            if lacking:
                groups.setdefault(lacking, []).append(name)
    for lacking, names in groups.items():
        few = len(lacking) <= _FEW * len(tokens)
        lack = "lacks" if len(names) == 1 else "lack"
        gets = "and gets" if len(names) == 1 else "and get"
        source = _source(lacking, known, names, base)
        yield Check(
            TITLE,
            "ok" if few else "warn",
            f"{in_words(names, most=4)} {lack} {_counted(lacking)} of the merge's tokenizer, "
            f"{gets} {source} there.",
            ""
            if few
            else "Models with so different tokenizers seldom merge well: look at the answers with "
            "care.",
        )

    if wished:
        yield Check(
            TITLE,
            "ok",
            f"The recipe says where {_counted(list(wished))} "
            f"{'gets its embedding' if len(wished) == 1 else 'get their embeddings'} from.",
        )


def _source(
    lacking: Sequence[str],
    known: Mapping[str, Tokenizer],
    names: Sequence[str],
    base: str | None,
) -> str:
    """Whose embedding rows stand in for missing tokens."""
    if base is not None and base in known and all(token in known[base].tokens for token in lacking):
        return f"the embedding of {base}"
    others = [name for name in known if name not in names]
    having = [name for name in others if any(token in known[name].tokens for token in lacking)]
    if len(having) == 1:
        return f"the embedding of {having[0]}"
    return f"the embedding of {in_words(having, most=3)} (the base's, or their mean)"


def _dropped(tokens: Mapping[str, int], known: Mapping[str, Tokenizer]) -> Iterator[Check]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, one in known.items():
        if one.tokens is not tokens:
            dropped = tuple(token for token in one.tokens if token not in tokens)
            if dropped:
                groups.setdefault(dropped, []).append(name)
    for dropped, names in groups.items():
        yield Check(
            TITLE,
            "warn",
            f"{in_words(names, most=4)} {'has' if len(names) == 1 else 'have'} "
            f"{_counted(dropped)} more, which the merge's tokenizer does not know.",
            f'Take the tokenizer of {names[0]}, or "union", if the merge shall know '
            f"{'it' if len(dropped) == 1 else 'them'}.",
        )


def _moved(tokens: Mapping[str, int], known: Mapping[str, Tokenizer]) -> Iterator[Check]:
    for name, one in known.items():
        if one.tokens is tokens:
            continue
        moved = [token for token, place in one.tokens.items() if tokens.get(token, place) != place]
        if moved:
            token = moved[0]
            yield Check(
                TITLE,
                "ok",
                f"{name} numbers {_counted(moved)} otherwise than the merge ({token!r} is "
                f"{one.tokens[token]}, there {tokens[token]}); its embeddings are put in the "
                "merge's order.",
            )


def _without_rows(tokens: Mapping[str, int], n_rows: int) -> Iterator[Check]:
    beyond = [token for token, place in tokens.items() if place >= n_rows]
    if beyond:
        yield Check(
            TITLE,
            "warn",
            f"The merge's tokenizer has {_counted(beyond)} without an embedding, as no parent has "
            f"{'one' if len(beyond) == 1 else 'any'}.",
            "Leave such tokens out of prompts, as with the parents, or give them a row by the "
            "recipe's tokens.",
        )


def _splitting(known: Mapping[str, Tokenizer], stem: str) -> Iterator[Check]:
    """The same vocabulary may still split text differently."""
    ours = known[stem]
    for name, one in known.items():
        if one is ours or ours.splitting is None or one.splitting is None:
            continue
        differing = [part for part in SPLITTING if ours.splitting[part] != one.splitting[part]]
        if ours.merges != one.merges:
            differing.append("merges")
        if differing:
            yield Check(
                TITLE,
                "warn",
                f"{stem} and {name} split text differently ({in_words(differing)}).",
                "Look at the merge's answers with care, and choose the tokenizer explicitly.",
            )


def _counted(tokens: Sequence[str]) -> str:
    """`2 tokens (<a> and <b>)`."""
    noun = "token" if len(tokens) == 1 else "tokens"
    texts = [
        token if token.isprintable() and token.strip() else quoted(token) for token in tokens[:4]
    ]
    return f"{len(tokens):,} {noun} ({in_words([*texts, *tokens[4:]], most=3)})"
