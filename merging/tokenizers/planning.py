"""Plans the vocabulary of a merge from tokenizer files and headers; no weight is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from merging.planning.checks import Check
from merging.tokenizers import tensors
from merging.tokenizers.known import SAVE, check_files, choose_stem, read_all
from merging.tokenizers.line_up import LineUp
from merging.tokenizers.read import tokenizer_file
from merging.tokenizers.union import Union, unite
from merging.tokenizers.vocabulary import Vocabulary
from merging.tokenizers.wishes import Wish, read_wishes
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint
    from merging.recipes.recipe import Recipe


def vocabulary_of(recipe: Recipe, parents: Sequence[Checkpoint]) -> Vocabulary:
    """The vocabulary of a merge, as its recipe wants it.

    Args:
        recipe: of the merge.
        parents: opened, the one that gives the config first.

    Raises:
        RecipeError: the recipe's `tokens` are of another form.
    """
    return plan_vocabulary(
        {one.label: one for one in parents},
        recipe.tokenizer,
        read_wishes(recipe.tokens, recipe.references),
        recipe.pad_to_multiple_of,
        base=recipe.base,
        instruct=next((one.model for one in recipe.models if one.role == "instruct"), None),
    )


def plan_vocabulary(
    parents: Mapping[str, Checkpoint],
    tokenizer: str = "auto",
    tokens: Mapping[str, Wish] | None = None,
    pad: int | None = None,
    *,
    base: str | None = None,
    instruct: str | None = None,
) -> Vocabulary:
    """Plan the vocabulary of a merge.

    Args:
        parents: by label, the one that gives the config first.
        tokenizer: "auto", "base", "instruct", a parent, or "union" for the tokens of all.
        tokens: what the recipe says of single tokens.
        pad: the result's embeddings get a multiple of so many rows.
        base: the recipe's base, whose rows are taken for tokens that others lack.
        instruct: the recipe's instruct model, whose special tokens a union has.

    Returns:
        The plan; one with a bad check is of no use for merging.
    """
    tokens = tokens or {}
    folders = {name: one.folder for name, one in parents.items()}
    stem = choose_stem(folders, tokenizer, base, instruct)
    known = {} if stem is None else read_all(folders, stem)
    checks = list(check_files(folders, stem, known))
    speaker = instruct if tokenizer == "union" and instruct in known else stem
    appended: tuple[Mapping[str, Any], ...] = ()
    if all(check.state != "bad" for check in checks) and stem in known and tokenizer == "union":
        own = {name: one for name, one in known.items() if tokenizer_file(folders[name])}
        united = unite({stem: known[stem], **own}, folders)
        if isinstance(united, Union):
            stem, appended = united.stem, united.appended
        else:
            checks.append(united)
    if any(check.state == "bad" for check in checks) or stem is None or stem not in known:
        checks += _as_they_are(parents, bool(tokens or pad or tokenizer == "union"))
        return Vocabulary(stem=stem, speaker=speaker, checks=tuple(checks), parents=parents)
    return LineUp(parents, known, stem, base, tokens).vocabulary(appended, pad, speaker, checks)


def _as_they_are(parents: Mapping[str, Checkpoint], changed: bool) -> Iterator[Check]:
    """Without a tokenizer that can be read nothing is lined up: rows must agree as they are."""
    rows = {name: tensors.n_rows(one) for name, one in parents.items()}
    if len(set(rows.values())) > 1:
        yield Check(
            "Vocabulary",
            "bad",
            f"The embeddings differ in their rows ({_counted(rows)}), and no tokenizer says which "
            "row is which token.",
            f"Give the models their tokenizer.json: {SAVE}.",
        )
    elif changed:
        yield Check(
            "Vocabulary",
            "bad",
            "The recipe changes the vocabulary, and there is no tokenizer that can be read.",
            f"Give the models their tokenizer.json: {SAVE}.",
        )


def _counted(rows: Mapping[str, int | None]) -> str:
    return in_words([f"{name} has {count}" for name, count in rows.items()], most=4)
