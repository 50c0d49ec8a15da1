"""mergekit's recipes, translated: an imported recipe means what mergekit 0.1.5 means by it.

Read are recipes of whole models (`models:`) with one value per parameter. mergekit's defaults are
written out, as they differ from the papers' forms that are the defaults here. What this version
cannot do in the same way is refused by name; ignored is only what mergekit ignores too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from merging.errors import RecipeError
from merging.mergekit_methods import FORMS, NOT_HERE, Form
from merging.recipe_errors import shown
from merging.wording import in_words, unknown

KEYS = (
    "merge_method",
    "models",
    "base_model",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "name",
)
# beyond it a whole number may not even be a float
LARGEST = 1e9
REFUSED = {
    "slices": "builds a model from ranges of layers",
    "modules": "merges the parts of a model by recipes of their own",
}


def translate(data: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's mapping from mergekit's.

    Raises:
        RecipeError: what is not a recipe of mergekit, or cannot be honoured here, in one sentence.
    """
    for key in data:
        if key in REFUSED:
            raise _cannot(f'"{key}", which {REFUSED[key]}', 'Use the form with "models".')
        if key not in KEYS:
            raise RecipeError(unknown("key of a mergekit recipe", key, KEYS))
    form = _form(data["merge_method"])
    base = None if data.get("base_model") is None else _reference(data["base_model"], "base_model")
    shared = _parameters(data.get("parameters"), "parameters", form, form.known)
    listed = _listed(data.get("models"), form)
    others = [(ref, own) for ref, own in listed if ref != base]
    constituents, takes_base = _arrange(form, base, [ref for ref, _ in listed], others)
    values = _values(form, shared, listed if form.base == "unused" else others)
    result: dict[str, Any] = {
        "name": data.get("name"),
        "method": form.name,
        "models": [{"model": ref, "revision": revision} for ref, revision in constituents],
        "options": form.options(values),
        "dtype": data.get("out_dtype") or data.get("dtype"),
        "tokenizer": _tokenizer(data, constituents[0] if base is None else base),
    }
    if takes_base and base is not None:
        result["base"], result["base_revision"] = base
    if "weight" in form.per_model:
        _set_weights(result["models"], form, shared, listed, values)
    if data.get("chat_template") not in (None, "auto"):
        raise _cannot(
            f"chat_template {shown(data['chat_template'])}",
            'Leave it out or write "auto" to get a parent\'s template.',
        )
    return {key: value for key, value in result.items() if value is not None}


Reference = tuple[str, str | None]
Listed = list[tuple[Reference, dict[str, Any]]]


def _cannot(what: str, advice: str) -> RecipeError:
    return RecipeError(
        f"The mergekit recipe uses {what}; this version cannot honour that. {advice}"
    )


def _form(method: Any) -> Form:
    """What mergekit's method takes, and what it is called here."""
    if isinstance(method, str) and method in NOT_HERE:
        raise _cannot(f"the method {method}", f"Methods that can be: {in_words(FORMS, most=20)}.")
    if not isinstance(method, str) or method not in FORMS:
        raise RecipeError(unknown("merge method of mergekit", str(method), FORMS))
    return FORMS[method]


def _reference(value: Any, where: str) -> Reference:
    """(model, revision) of `model` or `model@revision`."""
    if isinstance(value, Mapping):
        raise _cannot(f"keys and values as {where}", "Write the model as MODEL or MODEL@REVISION.")
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{where} of the mergekit recipe must be a model, not {shown(value)}.")
    if "+" in value:
        raise _cannot(f"the LoRA adapter in {shown(value)}", "Merge it into its model before.")
    model, _, revision = value.partition("@")
    return model, revision or None


def _listed(models: Any, form: Form) -> Listed:
    """Every entry of `models` with its own parameters."""
    if not isinstance(models, list) or not models:
        raise RecipeError('The mergekit recipe lacks a list "models".')
    found: Listed = []
    for place, entry in enumerate(models, 1):
        where = f"models.{place}"
        if not isinstance(entry, Mapping) or "model" not in entry:
            raise RecipeError(f'{where} of the mergekit recipe lacks "model".')
        for key in entry:
            if key not in ("model", "parameters"):
                what = "key of a model in a mergekit recipe"
                raise RecipeError(unknown(what, str(key), ("model", "parameters")))
        reference = _reference(entry["model"], f"{where}.model")
        if reference in [ref for ref, _ in found]:
            raise RecipeError(f"{reference[0]} stands in the mergekit recipe twice.")
        own = _parameters(
            entry.get("parameters"), f"{where}.parameters", form, tuple(form.per_model)
        )
        found.append((reference, own))
    return found


def _parameters(given: Any, where: str, form: Form, known: Sequence[str]) -> dict[str, Any]:
    """The parameters of one level: single values of the right kind, under known names."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise RecipeError(f"{where} of the mergekit recipe must be keys and values.")
    found = {}
    for name, value in given.items():
        if name in form.idle:
            continue
        if name not in known:
            raise RecipeError(unknown(f"parameter of mergekit's {form.mergekit}", str(name), known))
        if isinstance(value, list):
            filters = any(isinstance(item, Mapping) for item in value)
            kind = "a list of filters" if filters else "a gradient over the layers"
            raise _cannot(f"{kind} for {name}", "Give one value.")
        wants_bool = form.is_switch(name)
        if isinstance(value, bool) != wants_bool or not isinstance(value, bool | int | float):
            wanted = "true or false" if wants_bool else "a number"
            raise RecipeError(f"{where}.{name} must be {wanted}, not {shown(value)}.")
        if not isinstance(value, bool) and abs(value) > LARGEST:
            raise RecipeError(f"{where}.{name} is {shown(value)}; that is no sensible number.")
        if name in form.only and value != form.only[name]:
            only = str(form.only[name]).lower()
            raise _cannot(f"{name} {shown(value).lower()}", f"Only {only} can be.")
        found[name] = value
    return found


def _arrange(
    form: Form, base: Reference | None, listed: Sequence[Reference], others: Listed
) -> tuple[list[Reference], bool]:
    """The constituents in their order, and whether the base is one besides them."""
    rest = [ref for ref, _ in others]
    if base is None:
        if form.base in ("required", "first"):
            raise RecipeError(f"mergekit's {form.mergekit} needs a base_model.")
        return rest, False
    if form.base in ("required", "optional"):
        if not rest:
            raise RecipeError("The mergekit recipe has no model besides its base_model.")
        return rest, True
    if form.base == "unused" and base not in listed:
        raise _cannot(
            f"a base_model of which mergekit's {form.mergekit} takes config and tokenizer alone",
            "Leave it out, or add it to the models.",
        )
    # config and tokenizer come from the first model
    return [base, *rest], False


def _values(form: Form, shared: Mapping[str, Any], merged: Listed) -> dict[str, Any]:
    """Every parameter but the weights of what is merged: what is given, else mergekit's default."""
    values = {name: shared.get(name, default) for name, default in form.shared.items()}
    for name, default in form.per_model.items():
        if name == "weight":
            continue
        each = {ref[0]: own.get(name, shared.get(name, default)) for ref, own in merged}
        if len(set(each.values())) > 1:
            told = in_words([f"{value:g} for {ref}" for ref, value in each.items()], most=4)
            raise _cannot(
                f"a {name} of its own for each model ({told})", f"Give all models one {name}."
            )
        values[name] = next(iter(each.values()), default)
    for name, value in values.items():
        if value is None:
            raise RecipeError(f"mergekit's {form.mergekit} needs the parameter {name}.")
    return values


def _set_weights(
    models: list[dict[str, Any]],
    form: Form,
    shared: Mapping[str, Any],
    listed: Listed,
    values: Mapping[str, Any],
) -> None:
    """Give every model its weight; mergekit has no default for it."""
    own = {ref[0]: parameters for ref, parameters in listed}
    for model in models:
        weight = own[model["model"]].get("weight", shared.get("weight", form.per_model["weight"]))
        if weight is None:
            raise RecipeError(
                f"mergekit's {form.mergekit} needs a weight for {shown(model['model'])}."
            )
        model["weight"] = float(weight)
    if form.divides_weights and values["normalize"]:
        total = sum(model["weight"] for model in models)
        for model in models:
            model["weight"] /= total if abs(total) >= 1e-8 else 1.0


def _tokenizer(data: Mapping[str, Any], base: Reference) -> str | None:
    """The model whose tokenizer is taken; None where the recipe says nothing of it."""
    source, where = data.get("tokenizer_source"), "tokenizer_source"
    block = data.get("tokenizer")
    if block is not None:
        if not isinstance(block, Mapping) or set(block) - {"source"} or source is not None:
            keys = in_words([str(key) for key in block]) if isinstance(block, Mapping) else "a word"
            raise _cannot(f"a tokenizer block with {keys}", "Only its source can be.")
        source, where = block.get("source"), "tokenizer.source"
    if source is None:
        return None
    if source == "union":
        raise _cannot(f'{where} "union"', 'Write "base" or one of the models.')
    return base[0] if source == "base" else _reference(source, where)[0]
