"""Where a recipe wants the embeddings of single tokens from: its `tokens`, as in mergekit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from merging.errors import RecipeError
from merging.wording import in_words, quoted, unknown

_FORMS = (
    'a model of the recipe, "zero", or {kind: model_token, model: MODEL, token: TOKEN} '
    "(or token_id: NUMBER)"
)


@dataclass(frozen=True)
class Wish:
    """What a recipe says of one token.

    Attributes:
        model: whose row it gets; None for zeros, or where only `token` stands in the recipe.
        zero: it gets zeros.
        token: the token of `model` whose row it is; None for the token itself.
        token_id: the row itself.
        force: every model gets it, those that know the token too.
    """

    model: str | None = None
    zero: bool = False
    token: str | None = None
    token_id: int | None = None
    force: bool = False

    @property
    def says_where(self) -> bool:
        """Whether the recipe names a source."""
        return self.zero or self.model is not None


def read_wishes(tokens: Mapping[str, Any], references: Sequence[str]) -> dict[str, Wish]:
    """The `tokens` of a recipe.

    Args:
        tokens: token -> `{source, force}`, both optional.
        references: of the recipe's models.

    Raises:
        RecipeError: of another form, or a model that is not in the recipe.
    """
    return {_token(token): _wish(token, entry, references) for token, entry in tokens.items()}


def _token(token: Any) -> str:
    if not isinstance(token, str) or not token:
        raise RecipeError(f"tokens has the key {token!r}; a key must be the text of a token.")
    return token


def _wish(token: str, entry: Any, references: Sequence[str]) -> Wish:
    where = f"tokens.{quoted(token)}"
    if entry is None:
        return Wish()
    if not isinstance(entry, Mapping):
        raise RecipeError(f"{where} must be keys and values: source and force.")
    for key in entry:
        if key not in ("source", "force"):
            raise RecipeError(unknown(f"key of {where}", str(key), ("source", "force")))
    force = entry.get("force", False)
    if not isinstance(force, bool):
        raise RecipeError(f"{where}.force must be true or false.")
    source = entry.get("source")
    if source is None:
        if force:
            raise RecipeError(f"{where} is forced, and has no source to take it from: add one.")
        return Wish()
    if source == "zero" or (isinstance(source, Mapping) and source.get("kind") == "zero"):
        return Wish(zero=True, force=force)
    if isinstance(source, str):
        return Wish(model=_model(source, where, references), force=force)
    if isinstance(source, Mapping) and source.get("kind", "model_token") == "model_token":
        return _model_token(source, where, references, force)
    raise RecipeError(f"{where}.source must be {_FORMS}.")


def _model_token(
    source: Mapping[str, Any], where: str, references: Sequence[str], force: bool
) -> Wish:
    allowed = ("kind", "model", "token", "token_id")
    for key in source:
        if key not in allowed:
            raise RecipeError(unknown(f"key of {where}.source", str(key), allowed))
    token, token_id = source.get("token"), source.get("token_id")
    right = (
        isinstance(source.get("model"), str)
        and (token is None) != (token_id is None)
        and (token is None or isinstance(token, str))
        and (token_id is None or (type(token_id) is int and token_id >= 0))
    )
    if not right:
        raise RecipeError(f"{where}.source must be {_FORMS}.")
    model = _model(source["model"], where, references)
    return Wish(model=model, token=token, token_id=token_id, force=force)


def _model(ref: str, where: str, references: Sequence[str]) -> str:
    if ref not in references:
        raise RecipeError(
            f"{where} takes its embedding from {quoted(ref)}, which is no model of the recipe. "
            f"Models of it: {in_words(references, most=4)}."
        )
    return ref
