"""A recipe against its method: options in range, the right models, donors that take part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from merging import recipe_errors
from merging.errors import RecipeError
from merging.methods import Method
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.recipe import Recipe


def complete_options(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options, checked, with the defaults filled in.

    Raises:
        RecipeError: an unknown option or a value that is not allowed.
    """
    fields = {field.name: field for field in method.fields()}
    try:
        return method.options(**given).model_dump()
    except pydantic.ValidationError as error:
        limits = {
            name: recipe_errors.range_in_words(field.minimum, field.maximum)
            for name, field in fields.items()
        }
        text = recipe_errors.sentence(
            error, what=f"option of {method.name}", known=fields, limits=limits
        )
        raise RecipeError(text) from None


def check_models(recipe: Recipe, method: Method) -> None:
    """Base, count, roles and donors against what the method needs.

    Raises:
        RecipeError: the first thing that does not fit.
    """
    if method.needs_base == "required" and recipe.base is None:
        raise RecipeError(f'{method.name} needs a base: add "base: MODEL" to the recipe.')
    if method.needs_base == "forbidden" and recipe.base is not None:
        raise RecipeError(
            f'{method.name} takes no base: move "{recipe.base}" to the models, or leave it out.'
        )
    count, most = len(recipe.models), method.max_models
    if count < method.min_models or (most is not None and count > most):
        wanted = (
            str(method.min_models)
            if method.min_models == most
            else f"at least {method.min_models}"
            if most is None
            else f"{method.min_models} to {most}"
        )
        beside = " besides the base" if method.needs_base == "required" else ""
        raise RecipeError(f"{method.name} takes {wanted} model(s){beside}; the recipe has {count}.")
    _check_sources(recipe)
    roles = [constituent.role for constituent in recipe.models]
    if method.roles and sorted(roles) != sorted(method.roles):
        raise RecipeError(
            f"{method.name} takes one model of each role {in_words(method.roles)}; the recipe "
            f"has {in_words(roles)}."
        )
    for name in ("tokenizer", "chat_template"):
        _check_donor(recipe, name, getattr(recipe, name), roles)


def _check_donor(recipe: Recipe, name: str, policy: str, roles: Sequence[str]) -> None:
    """A tokenizer or template can only come from a model of the recipe."""
    allowed = ["auto", *recipe.references]
    if name == "chat_template":
        allowed.append("none")
    if recipe.base is not None:
        allowed.append("base")
    if "instruct" in roles:
        allowed.append("instruct")
    if policy not in allowed:
        raise RecipeError(f'{name} is "{policy}"; allowed is {in_words(allowed)}.')


def _check_sources(recipe: Recipe) -> None:
    """One reference means one model: not two revisions or two fingerprints of it."""
    seen: dict[str, tuple[str | None, str | None]] = {}
    if recipe.base is not None:
        seen[recipe.base] = (recipe.base_revision, recipe.base_fingerprint)
    for one in recipe.models:
        if seen.setdefault(one.model, (one.revision, one.fingerprint)) != (
            one.revision,
            one.fingerprint,
        ):
            raise RecipeError(
                f"{one.model} stands in the recipe twice with different revisions or fingerprints. "
                "Give both the same, or copy one of them to another folder."
            )
