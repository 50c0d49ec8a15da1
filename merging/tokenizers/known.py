"""The tokenizers of a merge's parents, as far as their files can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from merging.planning.checks import Check
from merging.tokenizers.read import Tokenizer, read_tokenizer, tokenizer_file
from merging.wording import in_words

TITLE = "Tokenizer"
SAVE = "load the tokenizer once with transformers and save it"


def choose_stem(
    folders: Mapping[str, Path], policy: str, base: str | None, instruct: str | None
) -> str | None:
    """The parent whose tokenizer the merge has.

    Args:
        folders: of the parents, the one that gives the config first.
        policy: "auto", "union", "base", "instruct" or a parent.
        base: the recipe's base.
        instruct: the recipe's instruct model.

    Returns:
        The parent; None when it has no tokenizer file. For "auto" it is the first of instruct,
        config donor and the others that has one, for "union" of config donor and the others.
    """
    named = policy if policy in folders else {"base": base, "instruct": instruct}.get(policy)
    if named is not None and named in folders:
        order = [named]
    elif instruct is not None and instruct in folders and policy != "union":
        order = [instruct, *folders]
    else:
        order = list(folders)
    return next((one for one in order if tokenizer_file(folders[one]) is not None), None)


def read_all(folders: Mapping[str, Path], stem: str) -> dict[str, Tokenizer]:
    """The parents' tokenizers as far as they can be read.

    A parent without tokenizer files, or with the stem's, has the stem's tokenizer.
    """
    found = {}
    for name, folder in folders.items():
        tokenizer = read_tokenizer(folder)
        if tokenizer is None and _is_like(folders[stem], folder):
            tokenizer = read_tokenizer(folders[stem])
        if tokenizer is not None:
            found[name] = tokenizer
    return found


def check_files(
    folders: Mapping[str, Path], stem: str | None, known: Mapping[str, Tokenizer]
) -> Iterator[Check]:
    """Files that are missing, or that nobody can read."""
    if stem is None:
        having = [name for name in folders if tokenizer_file(folders[name]) is not None]
        if having:
            what = "The model that is to give the tokenizer has none."
            yield Check(TITLE, "warn", what, f"Take the tokenizer of {having[0]}.")
        else:
            what = "No parent has a tokenizer file."
            yield Check(TITLE, "warn", what, "The merge gets none either.")
        return
    without = [name for name in folders if tokenizer_file(folders[name]) is None]
    if without:
        yield Check(
            TITLE,
            "warn",
            f"{in_words(without, most=4)} has no tokenizer file, so its vocabulary is taken on "
            "trust.",
            f"Make sure that it uses the tokenizer of {stem}.",
        )
    for name, folder in folders.items():
        readable = name in known and stem in known
        ours, theirs = tokenizer_file(folders[stem]), tokenizer_file(folder)
        if readable or ours is None or theirs is None or _is_like(folders[stem], folder):
            continue
        yield Check(
            TITLE,
            "bad",
            f"The tokenizer files of {stem} ({ours.name}) and {name} ({theirs.name}) differ, and "
            f"{name if stem in known else stem}'s cannot be read.",
            f"Use models with a tokenizer.json: {SAVE}.",
        )
        return


def _is_like(stem: Path, other: Path) -> bool:
    """Whether another folder has the stem's tokenizer files, or none at all."""
    ours, theirs = tokenizer_file(stem), tokenizer_file(other)
    if ours is None or theirs is None:
        return theirs is None
    if ours.name != theirs.name or ours.stat().st_size != theirs.stat().st_size:
        return False
    return ours.samefile(theirs) or ours.read_bytes() == theirs.read_bytes()
