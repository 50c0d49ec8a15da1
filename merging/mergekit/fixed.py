"""What a recipe must be like for mergekit's methods, which are one form of ours each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

from merging.errors import RecipeError
from merging.mergekit.forms import Form
from merging.mergekit.refusals import cannot_say
from merging.mergekit.resolving import side_by_side
from merging.mergekit.settings import together
from merging.recipes import schedules

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

WHY = {
    "election_weights": "its weights vote, which is the same only where all models have one weight",
    "clamp": "its model_stock has no limits",
    "fence": "it is fixed at 1.5 there",
}


def check_options(recipe: Recipe, form: Form) -> None:
    """Every option is mergekit's form of the method, or changes nothing.

    Raises:
        RecipeError: the first one that is not, by name.
    """
    for name, value in form.fixed.items():
        for given in _values(recipe, name):
            if given != value and not (name == "election_weights" and _equal_weights(recipe)):
                raise cannot_say(f"{name} {_shown(given)}", WHY[name])
    if form.has("rescale"):
        _check_rescale(recipe, form)
    if form.has("epsilon"):
        for density, epsilon in _pairs(recipe):
            _check_spread(density, epsilon)
    if recipe.method == "karcher" and not _equal_weights(recipe, positive=False):
        raise cannot_say("weights of karcher", "its models all count alike")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _settings(recipe: Recipe, name: str) -> Iterator[Any]:
    """An option at every level."""
    owners: list[Any] = [recipe, *recipe.models, *recipe.slices]
    owners += [one for part in recipe.slices for one in part.sources]
    for one in owners:
        if name in one.options:
            yield one.options[name]


def _values(recipe: Recipe, name: str) -> Iterator[Any]:
    for setting in _settings(recipe, name):
        yield from schedules.values(setting)


def _equal_weights(recipe: Recipe, *, positive: bool = True) -> bool:
    """Whether all models have one weight everywhere."""
    weights = [one.weight for one in recipe.models]
    weights += [one.weight for part in recipe.slices for one in part.sources]
    given = [one for one in weights if one is not None]
    if any(map(schedules.is_schedule, given)):
        return False
    return len(set(given)) <= 1 and (not positive or all(one > 0 for one in given))


def _check_rescale(recipe: Recipe, form: Form) -> None:
    """Only l1 and none are mergekit's; where nothing is dropped all are the same."""
    dropped = any(value < 1 for value in _values(recipe, "density"))
    known = form["rescale"].words.values()
    for value in _values(recipe, "rescale"):
        if value not in known and dropped:
            raise cannot_say(
                f"rescale {value}", "it keeps the sum of magnitudes (l1) or rescales nothing"
            )


def _pairs(recipe: Recipe) -> Iterator[tuple[Any, Any]]:
    """Density and epsilon of every model in every part."""
    own: list[list[dict[str, Any]]] = [[one.options] for one in recipe.models]
    if recipe.slices:
        by_name = {one.model: one.options for one in recipe.models}
        own = [
            [one.options, part.options, by_name[one.model]]
            for part in recipe.slices
            for one in part.sources
        ]
    for levels in own:
        chain = [*levels, recipe.options]
        yield (
            together([*(one.get("density") for one in chain), 0.5]),
            together([*(one.get("epsilon") for one in chain), 0.3]),
        )


def _check_spread(density: Any, epsilon: Any) -> None:
    """DELLA of mergekit keeps all at density 1, and wants every probability between 0 and 1."""
    if all(value < 1 for value in schedules.values(density)):
        pairs = [({"value": density}, epsilon)]
    else:
        try:
            pairs = side_by_side(density, epsilon)
        except RecipeError:
            raise cannot_say(
                "a density of 1 by a filter with an epsilon by others", "it keeps all at density 1"
            ) from None
    for condition, spread in pairs:
        shares, widths = list(schedules.values(condition["value"])), list(schedules.values(spread))
        for share, width in product(shares, widths):
            all_kept = share >= 1 and width == 0
            if not all_kept and not width / 2 < share < 1 - width / 2:
                raise cannot_say(
                    f"density {share:g} with epsilon {width:g}",
                    "it keeps all at density 1, and wants epsilon/2 to lead neither to 0 nor to 1 "
                    "elsewhere",
                )
