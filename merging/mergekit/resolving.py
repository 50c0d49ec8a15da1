"""The parameters that hold for one model in one part, as options here."""

from __future__ import annotations

from typing import Any

from merging.errors import RecipeError
from merging.mergekit.document import Document, Part, Source
from merging.mergekit.forms import Form
from merging.mergekit.refusals import cannot
from merging.mergekit.settings import changed, conditions_of, is_complete, together
from merging.recipes import schedules

# stands beside the options, though it is none
WEIGHT = "weight"


def resolved(document: Document, part: Part | None, source: Source | None) -> dict[str, Any]:
    """Weight and options of a source: its own come first, then its slice's, then the recipe's.

    Args:
        document: the recipe.
        part: None for what the recipe itself says; what it says nothing of is then left out.
        source: None as well.

    Raises:
        RecipeError: a parameter without default has no value for some tensor.
    """
    values = {}
    for parameter in document.form.parameters:
        levels = [part.parameters] if part else []
        levels += [source.parameters] if source and parameter.per_model else []
        chain = [level.get(parameter.name) for level in (*reversed(levels), *document.levels)]
        setting = together([*chain, parameter.default])
        if part is not None and source is not None and not is_complete(setting):
            raise _lacking(document.form, parameter.name, source, setting)
        if is_complete(setting):
            values[parameter.name] = setting
    return _as_options(document.form, values)


def _lacking(form: Form, name: str, source: Source, setting: Any) -> RecipeError:
    whose = f' for "{source.reference}"' if form[name].per_model else ""
    if setting is None:
        what = "a weight" if name == WEIGHT else f"the parameter {name}"
        return RecipeError(f"mergekit's {form.name} needs {what}{whose}.")
    return RecipeError(
        f"The filters of {name}{whose} in the mergekit recipe leave tensors without a value: add "
        "an entry without a filter."
    )


def _as_options(form: Form, values: dict[str, Any]) -> dict[str, Any]:
    """Settings by mergekit's names as options by ours."""
    found = {}
    for name, setting in values.items():
        parameter = form[name]
        if parameter.words:
            setting = changed(setting, parameter.words.__getitem__)
        if name == WEIGHT:
            found[WEIGHT] = setting
        elif name == "epsilon":
            found["epsilon"] = spread(values["density"], setting)
        elif parameter.option is not None:
            found[parameter.option] = setting
    if "nuslerp_flatten" in values:
        found["per"] = per(values["nuslerp_flatten"], values["nuslerp_row_wise"])
    return found


def per(flatten: bool, row_wise: bool) -> str:
    """What NuSLERP has one angle per; mergekit's row_wise means the first dimension."""
    return "tensor" if flatten else "column" if row_wise else "row"


def spread(density: Any, epsilon: Any) -> Any:
    """DELLA's spread here: twice mergekit's, which counts to both sides, and 0 at density 1.

    Args:
        density: a setting; where it is 1, mergekit keeps everything.
        epsilon: a setting.

    Raises:
        RecipeError: the two are scheduled in a way that has no spread of its own.
    """
    whole = [value >= 1 for value in schedules.values(density)]
    if not any(whole):
        return changed(epsilon, _doubled)
    if all(whole):
        return 0.0
    found = []
    for condition, own in side_by_side(density, epsilon):
        ones = {value >= 1 for value in schedules.values(condition["value"])}
        if len(ones) > 1:
            raise _crossed()
        value = 0.0 if ones == {True} else changed(own, _doubled)
        found.append({**condition, "value": value})
    return found


def side_by_side(density: Any, epsilon: Any) -> list[tuple[dict[str, Any], Any]]:
    """Every condition of the density with the epsilon that holds under it."""
    conditions = conditions_of(density)
    if not (isinstance(epsilon, list) and isinstance(epsilon[0], dict)):
        return [(condition, epsilon) for condition in conditions]
    if [one.get("filter") for one in conditions] != [one.get("filter") for one in epsilon]:
        raise _crossed()
    return [(one, other["value"]) for one, other in zip(conditions, epsilon, strict=True)]


def _crossed() -> RecipeError:
    return cannot(
        "a density of 1 in some tensors only together with that epsilon",
        "Give densities below 1, or 1 by a filter and one epsilon.",
    )


def _doubled(value: float) -> float:
    return 2.0 * value
