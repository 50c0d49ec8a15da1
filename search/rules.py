"""What a search's design must hold by itself: each rule with its sentence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from merging.errors import RecipeError
from merging.methods import METHODS, OptionField, get_method
from merging.recipes.checks import MOST_WEIGHT
from merging.recipes.errors import range_in_words, shown
from merging.recipes.recipe import Constituent
from merging.wording import quoted, unknown
from search import space as spaces
from search.errors import SearchError, about
from search.ranges import Range

if TYPE_CHECKING:
    from search.design import SearchDesign

MOST_GRID = 200


def check(design: SearchDesign) -> None:
    """All of them.

    Raises:
        SearchError: the first that is broken.
    """
    with about("models"):
        _check_recipe(design)
    with about("space"):
        _check_methods(design)
        _check_options(design)
        _check_models(design)
    with about("objectives"):
        _check_objectives(design)
    with about("space"):
        found = spaces.require(design)
        if not found.names:
            raise SearchError(
                "The space is empty: name at least one option, weight or two methods to search, "
                "such as options: {lambda: {low: 0.2, high: 1.5}}."
            )
        if len(set(found.names)) < len(found.names):
            raise SearchError("Two parameters of the search have the same name; rename a group.")
    with about("sampler"):
        _check_sampler(design, found)
        _check_grid(design)


def _check_recipe(design: SearchDesign) -> None:
    recipe = design.recipe
    models = recipe.get("models")
    if not isinstance(recipe.get("method"), str):
        raise SearchError('The recipe of the search lacks "method".')
    if not isinstance(models, list | tuple) or not models:
        raise SearchError("The recipe of the search has no models; name one at least.")
    for one in models:
        if not isinstance(one, dict) or not isinstance(one.get("model"), str):
            raise SearchError("Each of the recipe's models is written as {model: NAME}.")
        for key in one:
            if key not in Constituent.model_fields:
                raise SearchError(
                    unknown("key of a model in the recipe", str(key), Constituent.model_fields)
                )
        if one.get("options") is not None and not isinstance(one["options"], dict):
            raise SearchError(f"The options of {one['model']} must be keys and values.")
    if recipe.get("options") is not None and not isinstance(recipe["options"], dict):
        raise SearchError("The recipe's options must be keys and values.")


def _check_methods(design: SearchDesign) -> None:
    names = design.space.methods
    for name in (*names, design.recipe["method"]):
        try:
            get_method(name)
        except RecipeError as error:
            raise SearchError(str(error)) from None
    if len(set(names)) < len(names):
        raise SearchError("The space names a method twice; remove one.")


def _check_options(design: SearchDesign) -> None:
    methods = design.space.methods or (str(design.recipe["method"]),)
    for name, one in design.space.options.items():
        method, _, option = name.rpartition(".")
        if method and method not in methods:
            if method in METHODS:
                raise SearchError(f"{name} is searched, but {method} is no method of the search.")
            raise SearchError(unknown("method", method, methods))
        who = (method,) if method else methods
        fields = [field for each in who for field in get_method(each).fields()]
        if option not in {field.name for field in fields}:
            what = f"option of {method}" if method else f"option of {' or '.join(methods)}"
            known = dict.fromkeys("lambda" if f.name == "scale" else f.name for f in fields)
            raise SearchError(unknown(what, option, known))
        one.check(f"The range of {name}")
        for field in fields:
            if field.name == option:
                _check_field(name, one, field)


def _check_field(name: str, one: Range, field: OptionField) -> None:
    """Whether every value of a range is one that the option takes."""
    if field.kind in ("float", "int"):
        values = [one.low, one.high] if one.values is None else list(one.values)
        for value in values:
            if isinstance(value, bool | str) or value is None:
                raise SearchError(f"{name} is a number, so {shown(value)} is no value of it.")
            low, high = field.minimum, field.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                allowed = range_in_words(low, high)
                raise SearchError(f"The range of {name} has {value:g}; allowed is {allowed}.")
            if field.kind == "int" and value != int(value):
                raise SearchError(f"{name} is a whole number, so {value:g} is no value of it.")
        return
    if one.values is None:
        raise SearchError(f"{name} is no number: give a list of its values.")
    words = field.choices if field.kind == "choice" else None
    for value in one.values:
        if field.kind == "bool" and not isinstance(value, bool):
            raise SearchError(f"{name} is true or false, not {shown(value)}.")
        if words is not None and value not in words:
            raise SearchError(unknown(f"value of {name}", str(value), words))
    if one.points or one.groups:
        raise SearchError(f"{name} is no number, so it has no points and no groups.")


def _check_models(design: SearchDesign) -> None:
    known = [str(one["model"]) for one in design.recipe["models"]]
    methods = design.space.methods or (str(design.recipe["method"]),)
    for model, one in design.space.weights.items():
        if model not in known:
            raise SearchError(unknown("model with a weight", model, known))
        one.check(f"The weight of {model}")
        if not any(get_method(name).uses_weights for name in methods):
            raise SearchError(f"{methods[0]} has no weights, so none can be searched.")
        for value in [one.low, one.high] if one.values is None else one.values:
            if isinstance(value, bool | str) or value is None or abs(value) > MOST_WEIGHT:
                raise SearchError(
                    f"The weight of {model} is {shown(value)} somewhere; allowed are numbers from "
                    f"-{MOST_WEIGHT} to {MOST_WEIGHT}."
                )
    for model, options in design.space.model_options.items():
        if model not in known:
            raise SearchError(unknown("model with options of its own", model, known))
        own = {f.name: f for name in methods for f in get_method(name).fields() if f.per_model}
        for option, one in options.items():
            if option not in own:
                raise SearchError(unknown("option that a model may have for itself", option, own))
            one.check(f"The range of {option} of {model}")
            _check_field(f"{option} of {model}", one, own[option])


def _check_objectives(design: SearchDesign) -> None:
    from search.design import MOST_OBJECTIVES

    if not design.objectives:
        raise SearchError("The search has no objective; score is the usual one.")
    if len(design.objectives) > MOST_OBJECTIVES:
        raise SearchError(f"{MOST_OBJECTIVES} objectives are the most a search can weigh.")
    if len({one.model_dump_json() for one in design.objectives}) < len(design.objectives):
        raise SearchError("Two objectives are the same; remove one.")
    if not any(one.is_score for one in design.objectives):
        raise SearchError(
            "The smallest change is no change at all: add a score to the objectives, such as "
            "objectives: [score, change]."
        )
    if any(one.of == "change" for one in design.objectives) and not design.recipe.get("base"):
        raise SearchError("The size of the change is against a base, and the recipe has none.")
    if design.prune is not None and len(design.objectives) > 1:
        raise SearchError(
            "Pruning needs one objective: of several, none says alone that a trial is bad. Take "
            "prune out, or keep one objective."
        )


def _check_sampler(design: SearchDesign, found: spaces.SearchSpace) -> None:
    name = design.sampler.name
    if name == "cmaes":
        words = [one.name for one in found.parameters if one.range.is_category]
        if len(found.methods) > 1 or words:
            what = "the method" if len(found.methods) > 1 else words[0]
            raise SearchError(
                f"CMA-ES searches numbers only, and {what} is a choice among values; take tpe, "
                "nsga2, grid or random, or give a range of numbers."
            )
        if len(design.objectives) > 1:
            raise SearchError("CMA-ES has one objective; for several take nsga2 or tpe.")
        if len(found.parameters) < 2:
            raise SearchError(
                "CMA-ES needs at least two parameters; with a single one take tpe or grid."
            )
    if name == "grid":
        count = found.combinations()
        if count is None:
            one = next(p for p in found.parameters if p.range.n_values is None)
            raise SearchError(f"A grid needs values: give {one.name} a step, or a list of values.")
        if count > spaces.MOST_COMBINATIONS:
            raise SearchError(
                f"The grid has {count:,} points; {spaces.MOST_COMBINATIONS:,} are the most. Take "
                "larger steps, or another sampler."
            )


def _check_grid(design: SearchDesign) -> None:
    if len(design.grid) > MOST_GRID:
        raise SearchError(f"The grid of known points has {len(design.grid)} scales; {MOST_GRID} "
                          "are the most.")  # fmt: skip
    if len(set(design.grid)) < len(design.grid):
        raise SearchError("The grid of known points names a scale twice; remove one.")
    if not design.recipe.get("base"):
        return  # no base, no task vectors: there is no such grid
    found = spaces.SearchSpace(design)
    for scale in design.grid:
        if not math.isfinite(scale):
            raise SearchError(f"{scale} is no scale of the grid of known points.")
        try:
            found.arithmetic(scale)
        except RecipeError as error:
            raise SearchError(f"The grid of known points at {quoted(f'{scale:g}')}: {error}") from (
                None
            )
