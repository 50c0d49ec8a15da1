"""Options here as mergekit's parameters, and what of them mergekit has not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from merging.mergekit.forms import Form, Parameter
from merging.mergekit.refusals import cannot_say
from merging.mergekit.settings import changed, is_complete, together
from merging.recipes import schedules

# parts of names that the group of embeddings consists of, see `merging.recipes.schedules`
EMBEDDINGS = (
    "embed_tokens.",
    "wte.",
    "wpe.",
    "embed_in.",
    "word_embeddings.",
    "lm_head.",
    "embed_out.",
    "shared.",
)
ESCAPED = re.compile(r"\\(.)")
SPECIAL = re.compile(r"[.^$*+?{}\[\]|()\\]")
FLATTEN = {"tensor": (True, False), "row": (False, False), "column": (False, True)}


def parameters_of(form: Form, options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that say the same as these options.

    Args:
        form: of the method.
        options: here; those that `check_options` has found to be mergekit's need no parameter.

    Raises:
        RecipeError: a value, or a schedule, that mergekit does not have.
    """
    found: dict[str, Any] = {}
    for parameter in form.parameters:
        if parameter.option is not None and parameter.option in options:
            found[parameter.name] = _said(parameter, options[parameter.option])
    if form.has("nuslerp_flatten") and "per" in options:
        if schedules.is_schedule(options["per"]):
            raise cannot_say("a schedule of per", "nuslerp_flatten is one for the whole merge here")
        found["nuslerp_flatten"], found["nuslerp_row_wise"] = FLATTEN[options["per"]]
    return found


def completed(setting: Any, default: Any) -> Any:
    """The setting with a last entry for what its filters leave."""
    return setting if is_complete(setting) else together([setting, default])


def _said(parameter: Parameter, setting: Any) -> Any:
    if parameter.steady and schedules.is_schedule(setting):
        raise cannot_say(f"a schedule of {parameter.option}", "it has one value for all tensors")
    if parameter.words:
        back = {ours: theirs for theirs, ours in parameter.words.items()}
        # a value of ours that is not there is one that `check_options` has found to change nothing
        setting = changed(setting, lambda value: back.get(value, parameter.default))
    if parameter.name == "epsilon":
        setting = changed(setting, lambda value: value / 2)
    return said(setting, parameter.option or parameter.name)


def said(setting: Any, name: str) -> Any:
    """A setting whose filters are parts of tensor names, as all of mergekit's are.

    Raises:
        RecipeError: a regular expression that is more than a part of a name.
    """
    if not (isinstance(setting, list) and isinstance(setting[0], dict)):
        return setting
    found = []
    for condition in setting:
        filter_ = condition.get("filter")
        if filter_ in (None, "*"):
            found.append({"value": condition["value"]})
        else:
            parts = EMBEDDINGS if filter_ in schedules.GROUPS else [_part(filter_, name)]
            found += [{"filter": one, "value": condition["value"]} for one in parts]
    return found


def _part(filter_: str, name: str) -> str:
    if not filter_.startswith(schedules.REGULAR):
        return filter_
    pattern = filter_.removeprefix(schedules.REGULAR)
    if SPECIAL.search(ESCAPED.sub("", pattern)) or re.search(r"\\\w", pattern):
        raise cannot_say(f"the filter {filter_} of {name}", "its filters are parts of tensor names")
    return ESCAPED.sub(r"\1", pattern)
