"""A recipe against its method: options in range, the right models, donors that take part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pydantic

from merging.errors import RecipeError
from merging.methods import Method
from merging.recipes import errors as recipe_errors
from merging.recipes import schedules
from merging.tokenizers import templates
from merging.tokenizers.wishes import read_wishes
from merging.wording import in_words, unknown

if TYPE_CHECKING:
    from merging.recipes.recipe import Constituent, Recipe
    from merging.recipes.slices import Slice, SliceSource

MOST_WEIGHT = 100
MOST_MODELS = 1000


def complete_options(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options, checked, with the defaults filled in.

    Raises:
        RecipeError: an unknown option or a value that is not allowed.
    """
    single = {name: value for name, value in given.items() if not schedules.is_schedule(value)}
    scheduled = {
        name: schedules.settle(value, name, partial(_option, method, name))
        for name, value in given.items()
        if name not in single
    }
    return {**_checked(method, single), **scheduled}


def settle_settings(one: Constituent | Slice | SliceSource, method: Method, where: str) -> None:
    """Check the options and the weight of a part of a recipe, and put them in their plain form.

    Args:
        one: has options for itself; a slice may set all of the method's, a model those that may
            differ between models.
        method: of the recipe.
        where: what to call it in messages.

    Raises:
        RecipeError: an unknown option or a value that is not allowed.
    """
    own = {}
    names = [field.name for field in method.fields() if is_slice(one) or field.per_model]
    for name, value in one.options.items():
        if name not in names:
            raise RecipeError(unknown(f"option of {where} for {method.name}", str(name), names))
        own[name] = schedules.settle(value, f"{where}.{name}", partial(_option, method, name))
    one.options.clear()
    one.options.update(own)
    weight = getattr(one, "weight", None)
    if weight is not None:
        settled = schedules.settle(weight, f"{where}.weight", lambda one: _weight(one, where))
        object.__setattr__(one, "weight", settled)


def is_slice(one: Constituent | Slice | SliceSource) -> bool:
    """Whether it is a whole slice, not one model."""
    return hasattr(one, "sources")


def _weight(value: Any, where: str) -> float:
    """One weight."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecipeError(f"{where}.weight must be a number, not {recipe_errors.shown(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{where}.weight must be a finite number, not {value}.")
    if abs(value) > MOST_WEIGHT:
        raise RecipeError(
            f"{where}.weight is {recipe_errors.shown(value)}; allowed is -{MOST_WEIGHT} to "
            f"{MOST_WEIGHT}."
        )
    return float(value)


def _option(method: Method, name: str, value: Any) -> Any:
    """One value of an option."""
    return _checked(method, {name: value})[name]


def _checked(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """Single values of options, with the defaults of the others."""
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
    if len(recipe.models) > MOST_MODELS:
        raise RecipeError(
            f"The recipe has {len(recipe.models):,} models; {MOST_MODELS:,} are the most."
        )
    if method.needs_base == "required" and recipe.base is None:
        raise RecipeError(f'{method.name} needs a base: add "base: MODEL" to the recipe.')
    if method.needs_base == "forbidden" and recipe.base is not None:
        raise RecipeError(
            f'{method.name} takes no base: move "{recipe.base}" to the models, or leave it out.'
        )
    for part in recipe.slices or [None]:
        _check_count(len(recipe.models if part is None else part.sources), method)
    _check_sources(recipe)
    roles = [constituent.role for constituent in recipe.models]
    if method.roles and (sorted(roles) != sorted(method.roles) or recipe.slices):
        raise RecipeError(
            f"{method.name} takes one model of each role {in_words(method.roles)}; the recipe "
            f"has {'slices' if recipe.slices else in_words(roles)}."
        )
    read_wishes(recipe.tokens, recipe.references)
    for name in ("tokenizer", "chat_template"):
        _check_donor(recipe, name, getattr(recipe, name), roles)


def _check_count(count: int, method: Method) -> None:
    """How many models a method takes."""
    most = method.max_models
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


def _check_donor(recipe: Recipe, name: str, policy: str, roles: Sequence[str]) -> None:
    """A tokenizer or template can only come from a model of the recipe."""
    if name == "chat_template" and templates.is_text(policy):
        templates.check_text(policy)
        return
    allowed = ["auto", *recipe.references]
    allowed += ["none", *templates.NAMED] if name == "chat_template" else ["union"]
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
