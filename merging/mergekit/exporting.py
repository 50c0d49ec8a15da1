"""mergekit's recipe from one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merging.errors import RecipeError
from merging.mergekit.fixed import check_options
from merging.mergekit.forms import FORMS, Form
from merging.mergekit.parameters import completed, parameters_of, said
from merging.mergekit.references import write_reference
from merging.mergekit.refusals import cannot_say
from merging.mergekit.settings import together
from merging.mergekit.vocabulary import write_vocabulary
from merging.recipes.text import write_yaml
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.recipes.recipe import Constituent, Recipe
    from merging.recipes.slices import Slice, SliceSource


def export(recipe: Recipe, names: Mapping[str, str] | None = None) -> str:
    """The recipe as mergekit 0.1.5 reads it; merged by mergekit it gives the same weights.

    Masks of random methods are mergekit's own there: its recipes have no seed. Fingerprints are
    left out as well.

    Args:
        recipe: what to write.
        names: reference -> what mergekit is to know the model by, such as its folder; a reference
            that is not among them is written as it is.

    Raises:
        RecipeError: what mergekit cannot express, in one sentence.
    """
    return write_yaml(as_mapping(recipe, names))


def as_mapping(recipe: Recipe, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """As plain data; see `export`."""
    form = _form(recipe)
    check_options(recipe, form)
    writer = _Writer(recipe, form, names or {})
    fields = recipe.merge_method.fields()
    options = {one.name: completed(recipe.options[one.name], one.default) for one in fields}
    data: dict[str, Any] = {"name": recipe.name, "merge_method": form.name}
    data["base_model"] = writer.base_model()
    if recipe.slices:
        data["slices"] = [writer.slice(place) for place in range(len(recipe.slices))]
    else:
        data["models"] = writer.models()
    data["parameters"] = parameters_of(form, options) or None
    if recipe.dtype is not None:
        data["dtype"] = "float32"
        data["out_dtype"] = recipe.dtype
    data |= write_vocabulary(recipe, writer.model)
    return {key: value for key, value in data.items() if value is not None}


def _form(recipe: Recipe) -> Form:
    """The method of mergekit that does the same."""
    if recipe.method == "instruction_residual":
        # theta_0 + lambda delta_expert + alpha delta_instruct is a sum of task vectors
        return FORMS["task_arithmetic"]
    if recipe.method not in FORMS:
        raise RecipeError(
            f"mergekit 0.1.5 has no method {recipe.method}; it has {in_words(FORMS, most=20)}."
        )
    return FORMS[recipe.method]


@dataclass(frozen=True)
class _Writer:
    """Writes the models of a recipe."""

    recipe: Recipe
    form: Form
    names: Mapping[str, str]

    def model(self, ref: str) -> str | dict[str, Any]:
        """A model as mergekit is to know it."""
        if ref in self.names:
            return write_reference(self.names[ref], None, adapted="+" in ref)
        recipe = self.recipe
        revisions = {one.model: one.revision for one in recipe.models}
        if recipe.base is not None:
            revisions[recipe.base] = recipe.base_revision
        return write_reference(ref, revisions[ref])

    def base_model(self) -> str | dict[str, Any] | None:
        """The base, or the model that config and tokenizer come from."""
        if self.recipe.base is not None:
            return self.model(self.recipe.base)
        if self.form.base == "first":
            return self.model(self.recipe.models[0].model)
        # an optional base would be one that task vectors are taken against
        return self.model(self.recipe.config_donor) if self.form.base == "unused" else None

    def models(self) -> list[dict[str, Any]]:
        """The whole models."""
        base = [] if self.recipe.base is None else [self.recipe.base]
        _check_once([*base, *(one.model for one in self.recipe.models)], "a recipe")
        return [self._entry(one, one.options, one.weight) for one in self.recipe.models]

    def slice(self, place: int) -> dict[str, Any]:
        """One slice."""
        part = self.recipe.slices[place]
        base = part.base_model(self.recipe.base)
        models = [one.model for one in part.sources]
        _check_once([base, *models] if base is not None else models, f"slices.{place + 1}")
        data: dict[str, Any] = {"sources": [self._source(part, one) for one in part.sources]}
        if base is not None:
            layers = list(part.base_layers())
            data["sources"].append({"model": self.model(base), "layer_range": layers})
        if self.form.base == "first":
            base = models[0]
        if base is not None and self.model(base) != self.base_model():
            data["base_model"] = self.model(base)
        if parameters := parameters_of(self.form, part.options):
            data["parameters"] = parameters
        return data

    def _source(self, part: Slice, own: SliceSource) -> dict[str, Any]:
        one = next(model for model in self.recipe.models if model.model == own.model)
        options = {
            name: together([own.options.get(name), part.options.get(name), one.options.get(name)])
            for name in dict.fromkeys([*own.options, *one.options])
        }
        weight = together([own.weight, one.weight])
        return {**self._entry(one, options, weight), "layer_range": list(own.layers)}

    def _entry(self, one: Constituent, options: Mapping[str, Any], weight: Any) -> dict[str, Any]:
        parameters = parameters_of(self.form, options)
        if self.form.has("weight"):
            if self.recipe.method == "instruction_residual":
                name = "alpha" if one.role == "instruct" else "expert_scale"
                weight = self.recipe.options[name]
            parameters = {"weight": said(completed(weight, 1.0), "weight"), **parameters}
        data: dict[str, Any] = {"model": self.model(one.model)}
        return {**data, "parameters": parameters} if parameters else data


def _check_once(models: list[str], where: str) -> None:
    for one in models:
        if models.count(one) > 1:
            raise cannot_say(f"{one} more than once in {where}", "it takes every model once")
