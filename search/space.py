"""The parameters of a search, and the recipe that values of them make.

A parameter is one number or word that a sampler chooses: an option of a method, a model's weight,
one point of a gradient, the method itself. Options that the chosen method does not have are not
asked for, so that nothing is searched that changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from merging.errors import RecipeError
from merging.methods import Method, get_method
from merging.recipes.recipe import Recipe
from search.errors import SearchError
from search.ranges import Range, tidy

if TYPE_CHECKING:
    from search.design import SearchDesign

METHOD = "method"
ARITHMETIC = "task_arithmetic"
REST = "rest"
MOST_COMBINATIONS = 20_000

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """What a sampler is asked for.

    Attributes:
        name: in Optuna and in tables.
        range: of its values.
        setting: what it belongs to; those of one gradient share it.
        methods: that have it.
        option: of the method; None for a weight.
        model: whose weight or own option it is; None for an option of the whole merge.
        whole: whether its values are whole numbers.
    """

    name: str
    range: Range
    setting: str
    methods: frozenset[str]
    option: str | None = None
    model: str | None = None
    whole: bool = False


class SearchSpace:
    """The space of a design.

    Args:
        design: whose rules were checked.
    """

    def __init__(self, design: SearchDesign) -> None:
        self.design = design
        self.space = design.space
        self.methods: tuple[str, ...] = self.space.methods or (str(design.recipe["method"]),)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All of them but the method, in the design's order."""
        found: list[Parameter] = []
        for name, one in self.space.options.items():
            found += self._of_option(name, one)
        for model, one in self.space.weights.items():
            who = frozenset(name for name in self.methods if get_method(name).uses_weights)
            found += _spread(f"weight {model}", one, who, None, model)
        for model, options in self.space.model_options.items():
            for option, one in options.items():
                who = self.having(option, per_model=True)
                found += _spread(f"{option} {model}", one, who, option, model)
        return tuple(found)

    @property
    def names(self) -> list[str]:
        """Every parameter's name, the method's first where it is searched."""
        first = [METHOD] if len(self.space.methods) > 1 else []
        return first + [one.name for one in self.parameters]

    def having(self, option: str, *, per_model: bool = False) -> frozenset[str]:
        """The methods of the search with an option."""
        return frozenset(
            name for name in self.methods
            if any(one.name == option and (one.per_model or not per_model)
                   for one in get_method(name).fields())
        )  # fmt: skip

    def active(self, method: str) -> Iterator[Parameter]:
        """The parameters that a method has."""
        return (one for one in self.parameters if method in one.methods)

    def recipe(self, params: Params) -> Recipe:
        """The recipe of a trial.

        Raises:
            RecipeError: values that make no sense together.
        """
        method = str(params.get(METHOD, self.methods[0]))
        data = self._common(method)
        settings: dict[tuple[str | None, str | None], Any] = {}
        for one in self.active(method):
            value = _value(one, params[one.name])
            place = (one.model, one.option)
            if one.range.groups is not None:
                group = one.name.rpartition("[")[2].rstrip("]")
                entry = {"value": value} if group == REST else {"filter": group, "value": value}
                settings.setdefault(place, []).append(entry)
            elif one.range.points is not None:
                settings.setdefault(place, []).append(value)
            else:
                settings[place] = value
        for (model, option), given in settings.items():
            value = _settled(given)
            if model is None:
                data["options"][option] = value
                continue
            for each in data["models"]:
                if each["model"] == model and option is None:
                    each["weight"] = value
                elif each["model"] == model:
                    each["options"] = {**each.get("options", {}), option: value}
        return Recipe(**data)

    def arithmetic(self, scale: float) -> Recipe:
        """Task arithmetic with all weights 1: a known good point.

        Raises:
            RecipeError: the recipe has no base.
        """
        data = self._common(ARITHMETIC)
        data["options"] = {"scale": scale}
        data.pop("slices", None)
        for one in data["models"]:
            one["weight"] = 1.0
            one.pop("options", None)
        return Recipe(**data)

    def merge(self, params: Params, scale: float | None) -> Recipe:
        """The recipe of a trial, or of a known good point outside of the space."""
        return self.recipe(params) if params or scale is None else self.arithmetic(scale)

    def params_of(self, scale: float) -> dict[str, Any] | None:
        """The parameters of `arithmetic(scale)`; None where it lies outside of the space."""
        if ARITHMETIC not in self.methods:
            return None
        found: dict[str, Any] = {METHOD: ARITHMETIC} if len(self.methods) > 1 else {}
        for one in self.active(ARITHMETIC):
            value = scale if one.option == "scale" else 1.0 if one.option is None else None
            if value is None or not one.range.holds(value):
                return None
            found[one.name] = value
        try:
            same = self.recipe(found).hash == self.arithmetic(scale).hash
        except RecipeError:
            return None
        return found if same else None

    def combinations(self) -> int | None:
        """How many points a grid has; None where a range without steps has no end of them."""
        total = 0
        for method in self.methods:
            points = 1
            for one in self.active(method):
                if one.range.n_values is None:
                    return None
                points *= one.range.n_values
            total += points
        return total

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every point of a grid, the last parameter fastest."""
        for method in self.methods:
            first = {METHOD: method} if len(self.methods) > 1 else {}
            mine = list(self.active(method))
            for values in product(*(one.range.all_values() or () for one in mine)):
                yield first | {one.name: value for one, value in zip(mine, values, strict=True)}

    def sample(self, method: str, end: str) -> dict[str, Any]:
        """The lowest or highest point of a method, to be checked."""
        found: dict[str, Any] = {METHOD: method}
        for one in self.active(method):
            values = one.range.values
            low, high = (values[0], values[-1]) if values else (one.range.low, one.range.top)
            found[one.name] = low if end == "low" else high
        return found

    def _of_option(self, name: str, one: Range) -> list[Parameter]:
        method, _, option = name.rpartition(".")
        who = frozenset([method]) if method else self.having(option)
        # what a method has a range of its own for is not searched in the common one
        own = {other.rpartition(".")[0] for other in self.space.options
               if not method and other.endswith(f".{option}")}  # fmt: skip
        return _spread(name, one, who - own, option, None, self._is_whole(option, who))

    def _is_whole(self, option: str, who: frozenset[str]) -> bool:
        fields = [one for name in who for one in get_method(name).fields() if one.name == option]
        return any(one.kind == "int" for one in fields)

    def _common(self, method: str) -> dict[str, Any]:
        """What all trials of a method share, as plain data."""
        data = {**self.design.recipe, "method": method}
        chosen: Method = get_method(method)
        names = {one.name for one in chosen.fields()}
        own = {one.name for one in chosen.fields() if one.per_model}
        alone = method == self.design.recipe["method"]
        options = dict(data.get("options") or {})
        # of another method only what this one has, too
        data["options"] = {k: v for k, v in options.items() if alone or k in names}
        data["models"] = [
            {**one, **({"options": {k: v for k, v in one["options"].items() if alone or k in own}}
                       if one.get("options") else {})}
            for one in data["models"]
        ]  # fmt: skip
        if chosen.needs_base == "forbidden":
            for key in ("base", "base_revision", "base_fingerprint"):
                data.pop(key, None)
        return data


def _spread(
    name: str, one: Range, who: frozenset[str], option: str | None, model: str | None,
    whole: bool = False,
) -> list[Parameter]:  # fmt: skip
    """One parameter, or one for each point of a gradient, or each group of tensors."""
    if one.points is not None:
        parts = [f"{name} [{at} of {one.points}]" for at in range(1, one.points + 1)]
    elif one.groups is not None:
        parts = [f"{name} [{group}]" for group in (*one.groups, REST)]
    else:
        parts = [name]
    return [Parameter(part, one, name, who, option, model, whole) for part in parts]


def _value(one: Parameter, value: Any) -> Any:
    """What a sampler said, as it stands in the recipe: without the dust of floating point."""
    if isinstance(value, bool | str | int):
        return value
    if one.range.values is not None:
        return value
    low, high = one.range.low, one.range.high
    assert low is not None and high is not None
    return min(max(tidy(value), low), high)


def _settled(value: Any) -> Any:
    """A gradient, or groups of tensors, that are the same everywhere are one value."""
    if not isinstance(value, list):
        return value
    parts = [one["value"] if isinstance(one, dict) else one for one in value]
    return parts[0] if all(one == parts[0] for one in parts) else value


def require(design: SearchDesign) -> SearchSpace:
    """The space, every corner of it a recipe that can be made.

    Raises:
        SearchError: naming the method.
    """
    found = SearchSpace(design)
    for method in found.methods:
        for end in ("low", "high"):
            try:
                found.recipe(found.sample(method, end))
            except RecipeError as error:
                who = f"With the method {method}: " if len(found.methods) > 1 else "The recipe: "
                raise SearchError(f"{who}{error}") from None
    return found
