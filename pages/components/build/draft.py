"""What the Build form holds: a recipe in the making, which may still be incomplete.

The form and the YAML text are two views of one recipe. `Draft.to_recipe` and `Draft.from_recipe`
are the way between them; nothing here draws.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from merging.errors import RecipeError
from merging.methods import Method, OptionField, get_method
from merging.recipes.recipe import Recipe
from merging.recipes.slices import Slice, plain

MAX_SEED = 2**53 - 1  # the largest whole number that a browser holds exactly


class Slot(NamedTuple):
    """A place in a draft for a value or a schedule.

    `option` belongs to the chosen method, `weight` to a model, `own` is a model's own value of an
    option.
    """

    kind: Literal["option", "weight", "own"]
    option: str = ""
    model: str = ""


@dataclass
class Draft:
    """The form's values. Options are kept per method, so that trying another loses nothing.

    Wherever a recipe takes a schedule, the draft has one as a list, in the recipe's own form.
    """

    method: str
    base: str | None = None
    experts: list[str] = field(default_factory=list)
    instruct: str | None = None
    instruct_first: bool = False  # counts for methods that depend on the order
    weights: dict[str, Any] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    # a model's own values, by method, model and option
    own: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    dtype: str | None = None
    seed: int = 0
    tokenizer: str = "auto"
    tokens: dict[str, Any] = field(default_factory=dict)
    pad_to_multiple_of: int | None = None
    chat_template: str = "auto"
    name: str = ""
    pins: dict[str, dict[str, str]] = field(default_factory=dict)  # revision, fingerprint by model
    # how many drafts this tab had before, and how often single values were set: see `keys`
    number: int = field(default=0, compare=False)
    renewed: dict[str, int] = field(default_factory=dict, compare=False)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Draft:
        """The form's view of a recipe.

        Raises:
            RecipeError: a recipe that the form cannot show.
        """
        experts = [one.model for one in recipe.models if one.role == "expert"]
        instructs = [one.model for one in recipe.models if one.role == "instruct"]
        named = experts + instructs
        twice = next((ref for ref in named if named.count(ref) > 1), None)
        if twice:
            raise RecipeError(
                f"{twice} is among the models twice. Name it once, with the sum of its weights."
            )
        if len(instructs) > 1:
            raise RecipeError(
                f"The recipe has {len(instructs)} instruct models and the form shows one. Give the "
                'others the role "expert", or run the recipe in a terminal.'
            )
        if recipe.seed > MAX_SEED:
            raise RecipeError(f"seed is {recipe.seed}; the form takes at most {MAX_SEED}.")
        return cls(
            method=recipe.method,
            base=recipe.base,
            experts=experts,
            instruct=instructs[0] if instructs else None,
            instruct_first=bool(instructs) and recipe.models[0].role == "instruct",
            weights={one.model: copy.deepcopy(one.weight) for one in recipe.models},
            options={recipe.method: copy.deepcopy(recipe.options)},
            own={recipe.method: _own_options(recipe)},
            slices=recipe.slices,
            dtype=recipe.dtype,
            seed=recipe.seed,
            tokenizer=recipe.tokenizer,
            tokens=dict(recipe.tokens),
            pad_to_multiple_of=recipe.pad_to_multiple_of,
            chat_template=recipe.chat_template,
            name=recipe.name or "",
            pins=_pins(recipe),
        )

    @property
    def merge_method(self) -> Method:
        """The chosen method."""
        return get_method(self.method)

    @property
    def models(self) -> list[tuple[str, str]]:
        """Constituents besides the base with their roles, in the recipe's order."""
        models = [(ref, "expert") for ref in self.experts]
        if self.instruct:
            models.insert(0 if self.instruct_first else len(models), (self.instruct, "instruct"))
        return models

    @property
    def references(self) -> list[str]:
        """Every model that the form names, each once."""
        named = [self.base, *self.experts, self.instruct]
        return list(dict.fromkeys(ref for ref in named if ref))

    def option_values(self) -> dict[str, Any]:
        """Values of the chosen method's options: what was set, else the default."""
        return {f.name: self.get(Slot("option", f.name)) for f in self.merge_method.fields()}

    def get(self, slot: Slot) -> Any:
        """The value or schedule at a place; None for a model without its own."""
        if slot.kind == "weight":
            return self.weights.get(slot.model, 1.0)
        if slot.kind == "own":
            return self.own.get(self.method, {}).get(slot.model, {}).get(slot.option)
        default = next(f.default for f in self.merge_method.fields() if f.name == slot.option)
        return self.options.get(self.method, {}).get(slot.option, default)

    def set(self, slot: Slot, value: Any) -> None:
        """Put a value or schedule at a place; None takes a model's own value away."""
        if slot.kind == "weight":
            self.weights[slot.model] = value
        elif slot.kind == "option":
            self.options.setdefault(self.method, {})[slot.option] = value
        elif value is None:
            self.own.get(self.method, {}).get(slot.model, {}).pop(slot.option, None)
        else:
            of_model = self.own.setdefault(self.method, {}).setdefault(slot.model, {})
            of_model[slot.option] = value

    def per_model(self) -> list[OptionField]:
        """The chosen method's options that models may have values of their own for."""
        return [field for field in self.merge_method.fields() if field.per_model]

    def to_recipe(self) -> Recipe:
        """The recipe that the form describes.

        Raises:
            RecipeError: one sentence about what is missing or wrong.
        """
        method = self.merge_method
        base = None if method.needs_base == "forbidden" else self.base
        data: dict[str, Any] = {
            "name": self.name.strip() or None,
            "method": self.method,
            "base": base,
            "models": [self._constituent(ref, role, method) for ref, role in self.models],
            "options": copy.deepcopy(self.option_values()),
            "dtype": self.dtype,
            "seed": self.seed,
            "slices": [plain(one) for one in self.slices],
            "tokenizer": self.tokenizer,
            "tokens": dict(self.tokens),
            "pad_to_multiple_of": self.pad_to_multiple_of,
            "chat_template": self.chat_template,
        }
        for key, value in self.pins.get(base or "", {}).items():
            data[f"base_{key}"] = value
        return Recipe.from_mapping(data)

    def _constituent(self, ref: str, role: str, method: Method) -> dict[str, Any]:
        names = {field.name for field in self.per_model()}
        own = self.own.get(self.method, {}).get(ref, {})
        return {
            "model": ref,
            "role": role,
            "weight": copy.deepcopy(self.weights.get(ref, 1.0)) if method.uses_weights else 1.0,
            "options": {k: copy.deepcopy(v) for k, v in own.items() if k in names},
            **self.pins.get(ref, {}),
        }


def _own_options(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The options that the recipe's models have for themselves, by model."""
    return {one.model: copy.deepcopy(one.options) for one in recipe.models if one.options}


def _pins(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Revisions and fingerprints that the form does not show but must not lose."""
    pairs: list[tuple[str, Mapping[str, str | None]]] = [
        (one.model, {"revision": one.revision, "fingerprint": one.fingerprint})
        for one in recipe.models
    ]
    if recipe.base:
        pairs.append(
            (recipe.base, {"revision": recipe.base_revision,
                           "fingerprint": recipe.base_fingerprint})
        )  # fmt: skip
    pins = {ref: {k: v for k, v in pin.items() if v} for ref, pin in pairs}
    return {ref: pin for ref, pin in pins.items() if pin}
