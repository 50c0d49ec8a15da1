"""Values of mergekit's parameters: one value, a gradient or filters, at several levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from merging.errors import RecipeError
from merging.mergekit.forms import Form, Parameter
from merging.mergekit.refusals import cannot
from merging.recipes import schedules
from merging.recipes.errors import shown
from merging.wording import unknown

Settings = Mapping[str, Any]
# beyond it a whole number may not even be a float
LARGEST = 1e9


def read(given: Any, where: str, form: Form, *, per_model: bool = False) -> dict[str, Any]:
    """The parameters of one level, checked, in the form of `merging.recipes.schedules`.

    Args:
        given: as it stands in the recipe.
        where: for messages.
        form: of the method.
        per_model: whether they are of one model.

    Raises:
        RecipeError: an unknown name, a value of the wrong kind, or one that cannot be honoured.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise RecipeError(f"{where} of the mergekit recipe must be keys and values.")
    known = form.names(per_model=per_model)
    found = {}
    for name, value in given.items():
        if name in form.only:
            _check_only(form, name, value)
        elif name in known:
            found[name] = _read(form[name], value, f"{where}.{name}")
        elif not form.passes_over(name) and not (per_model and name in form.names()):
            raise RecipeError(unknown(f"parameter of mergekit's {form.name}", str(name), known))
    return found


def _check_only(form: Form, name: str, value: Any) -> None:
    if isinstance(value, bool) != isinstance(form.only[name], bool) or value != form.only[name]:
        only = str(form.only[name]).lower()
        raise cannot(f"{name} {shown(value).lower()}", f"Only {only} can be.")


def _read(parameter: Parameter, given: Any, where: str) -> Any:
    if schedules.is_schedule(given) and parameter.steady:
        raise cannot(f"a list of values for {parameter.name}", "Give one value.")
    return schedules.settle(_own_filters(given, where), where, partial(_value, parameter, where))


def _value(parameter: Parameter, where: str, value: Any) -> Any:
    switch = parameter.kind == "switch"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (isinstance(value, bool) if switch else number):
        wanted = "true or false" if switch else "a number"
        raise RecipeError(f"{where} must be {wanted}, not {shown(value)}.")
    if switch:
        return value
    if abs(value) > LARGEST:
        raise RecipeError(f"{where} is {shown(value)}; that is no sensible number.")
    if parameter.kind == "whole" and value == int(value):
        return int(value)
    return float(value)


def _own_filters(given: Any, where: str) -> Any:
    """The setting with filters that mean here what they mean in mergekit: a part of a name."""
    if isinstance(given, Mapping):
        given = [given]
    if not isinstance(given, list) or not any(isinstance(one, Mapping) for one in given):
        return given
    return [_own_filter(one, where) if isinstance(one, Mapping) else one for one in given]


def _own_filter(condition: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "pattern" in condition:
        raise RecipeError(
            f'{where} has the key "pattern", which mergekit passes over today; write "filter".'
        )
    found = dict(condition)
    filter_ = found.get("filter")
    if filter_ in ("", "*"):
        del found["filter"]
    elif isinstance(filter_, str) and _means_more(filter_):
        found["filter"] = schedules.REGULAR + re.escape(filter_)
    return found


def _means_more(filter_: str) -> bool:
    """Whether a filter is more than a part of a tensor's name here."""
    return filter_ in schedules.GROUPS or filter_.startswith(schedules.REGULAR)


def together(levels: Iterable[Any]) -> Any:
    """One setting for several levels: what no filter of a level means, the next one decides.

    Args:
        levels: settings, the first one asked first; None for a level without one.
    """
    found: list[dict[str, Any]] = []
    for setting in levels:
        if setting is None:
            continue
        for condition in conditions_of(setting):
            found.append(condition)
            if "filter" not in condition:
                return found[0]["value"] if len(found) == 1 else found
    return found or None


def conditions_of(setting: Any) -> list[dict[str, Any]]:
    """The setting as filters; one that has none means everything."""
    filtered = isinstance(setting, list) and isinstance(setting[0], dict)
    return setting if filtered else [{"value": setting}]


def is_complete(setting: Any) -> bool:
    """Whether a setting has a value for every tensor."""
    return setting is not None and any("filter" not in one for one in conditions_of(setting))


def changed(setting: Any, change: Callable[[Any], Any]) -> Any:
    """The setting with every single value in it changed."""
    if isinstance(setting, dict):
        return {**setting, "value": changed(setting["value"], change)}
    if isinstance(setting, list):
        return [changed(one, change) for one in setting]
    return change(setting)
