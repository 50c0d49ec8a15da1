"""Tokenizer, tokens and chat template of a mergekit recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from merging.errors import RecipeError
from merging.mergekit.document import Document
from merging.mergekit.references import read_reference
from merging.mergekit.refusals import cannot, cannot_say
from merging.recipes.errors import shown
from merging.tokenizers import templates
from merging.wording import in_words, unknown

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

TOKENIZER_KEYS = ("source", "tokens", "pad_to_multiple_of")


def read_vocabulary(data: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """The recipe's `tokenizer`, `tokens`, `pad_to_multiple_of` and `chat_template`.

    Raises:
        RecipeError: an unknown key, or what cannot be honoured.
    """
    source, block = data.get("tokenizer_source"), data.get("tokenizer")
    found: dict[str, Any] = {}
    if source is not None and block is not None:
        raise RecipeError(
            "The mergekit recipe has tokenizer_source and tokenizer; keep one of them."
        )
    if source is not None:
        found["tokenizer"] = _source(source, "tokenizer_source", document)
    elif block is not None:
        if not isinstance(block, Mapping):
            raise RecipeError('"tokenizer" of the mergekit recipe must be keys and values.')
        for key in block:
            if key not in TOKENIZER_KEYS:
                raise RecipeError(unknown("key of tokenizer", str(key), TOKENIZER_KEYS))
        found["tokenizer"] = _source(block.get("source", "union"), "tokenizer.source", document)
        if block.get("tokens"):
            found["tokens"] = _tokens(block["tokens"])
        if block.get("pad_to_multiple_of") is not None:
            found["pad_to_multiple_of"] = block["pad_to_multiple_of"]
    return {**found, **_template(data.get("chat_template"))}


def _source(source: Any, where: str, document: Document) -> str:
    if source == "union":
        return "union"
    if source == "base":
        if document.base is None:
            raise RecipeError(f'{where} is "base", and the mergekit recipe has no base_model.')
        return document.base.model
    reference = read_reference(source, where)
    if reference not in document.references():
        models = in_words(dict.fromkeys(one.model for one in document.references()), most=4)
        raise RecipeError(
            f"{where} is {shown(str(reference))}; allowed is base, union, or one of the recipe's "
            f"models: {models}."
        )
    return reference.model


def _tokens(tokens: Any) -> dict[str, Any]:
    """As it stands, models by what they are called here; `merging.tokenizers` reads it."""
    if not isinstance(tokens, Mapping):
        raise RecipeError("tokenizer.tokens of the mergekit recipe must be keys and values.")
    return {token: _token(token, entry) for token, entry in tokens.items()}


def _token(token: Any, entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    where, source = f"tokenizer.tokens.{token}.source", entry.get("source")
    if isinstance(source, str) or (isinstance(source, Mapping) and "kind" not in source):
        # keys without a kind are a model in mergekit's long form
        return {**entry, "source": read_reference(source, where).model}
    if isinstance(source, Mapping) and source.get("kind") == "model_token" and "model" in source:
        model = read_reference(source["model"], f"{where}.model").model
        return {**entry, "source": {**source, "model": model}}
    return dict(entry)


def _template(template: Any) -> dict[str, str]:
    """Nothing where the recipe says nothing, or "auto": a parent's template."""
    if template in (None, "auto", ""):
        return {}
    named = isinstance(template, str) and template in templates.NAMED
    if not named and not (isinstance(template, str) and templates.is_text(template)):
        raise cannot(
            f"chat_template {shown(template)}",
            f'Write "auto", one of {in_words(templates.NAMED)}, or a template in Jinja.',
        )
    return {"chat_template": template}


def write_vocabulary(recipe: Recipe, model: Callable[[str], Any]) -> dict[str, Any]:
    """`tokenizer_source` or `tokenizer`, and `chat_template`, of mergekit's recipe.

    Args:
        recipe: of ours.
        model: reference -> the model as mergekit is to know it.

    Raises:
        RecipeError: a chat template that mergekit has no word for.
    """
    instruct = next((one.model for one in recipe.models if one.role == "instruct"), None)
    donor = {
        "auto": instruct or recipe.config_donor,
        "base": recipe.base,
        "instruct": instruct,
    }.get(recipe.tokenizer, recipe.tokenizer)
    found: dict[str, Any] = {}
    if recipe.tokens or recipe.pad_to_multiple_of:
        block: dict[str, Any] = {"source": donor if donor == "union" else model(str(donor))}
        if recipe.tokens:
            tokens = recipe.tokens.items()
            block["tokens"] = {token: _written(entry, model) for token, entry in tokens}
        if recipe.pad_to_multiple_of:
            block["pad_to_multiple_of"] = recipe.pad_to_multiple_of
        found["tokenizer"] = block
    elif recipe.tokenizer != "auto" or donor != recipe.config_donor:
        # without it mergekit takes that of the base_model
        found["tokenizer_source"] = donor if donor == "union" else model(str(donor))
    return {**found, **_written_template(recipe, donor, instruct)}


def _written(entry: Any, model: Callable[[str], Any]) -> dict[str, Any]:
    """What a recipe says of a token, in the long form that mergekit knows."""
    if entry is None:
        return {}
    found, source = dict(entry), entry.get("source")
    if source == "zero":
        found["source"] = {"kind": "zero"}
    elif isinstance(source, str):
        found["source"] = model(source)
    elif isinstance(source, Mapping) and source.get("kind", "model_token") == "model_token":
        found["source"] = {"kind": "model_token", **source, "model": model(source["model"])}
    return found


def _written_template(recipe: Recipe, donor: Any, instruct: str | None) -> dict[str, str]:
    policy = recipe.chat_template
    giver = {"base": recipe.base, "instruct": instruct}.get(policy, policy)
    if policy == "auto" or giver == donor:
        # it comes with the tokenizer
        return {}
    if policy in templates.NAMED or templates.is_text(policy):
        return {"chat_template": policy}
    raise cannot_say(
        f"chat_template {policy}", "it takes the tokenizer's, a well-known one, or a text"
    )
