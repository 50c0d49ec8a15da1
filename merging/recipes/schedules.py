"""Options that change over the layers or with the kind of tensor.

Wherever a recipe takes a value it also takes

    [0, 0.5, 1]                                a gradient over the layers
    [{filter: mlp, value: 0.3}, {value: 0.5}]  the first filter that matches the tensor's name

and a filter's value may be a gradient. Written and meant as in mergekit: a gradient's points are
spread evenly from the first layer of a slice (or of the model) to its last one and interpolated
linearly, to a whole number between whole numbers; switches and words are not interpolated; tensors
outside of the layers take the first point. What no filter means keeps what it has without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from merging.errors import RecipeError
from merging.recipes.patterns import compile_pattern
from merging.wording import quoted, unknown

Scalar = bool | int | float | str
MOST_POINTS = 1000
# a word for what has no common part of a name
GROUPS = {
    "embeddings": re.compile(
        r"(^|\.)(embed_tokens|wte|wpe|embed_in|word_embeddings|lm_head|embed_out|shared)\."
    )
}
REGULAR = "re:"


def is_schedule(setting: Any) -> bool:
    """Whether a setting is more than one value."""
    return isinstance(setting, list | tuple | Mapping)


def settle(setting: Any, where: str, value_of: Callable[[Any], Any]) -> Any:
    """A setting as plain data, every single value in it checked.

    Args:
        setting: a value, a gradient, or filters.
        where: what it belongs to, for messages.
        value_of: checks one value and returns it as it is to be kept.

    Raises:
        RecipeError: an empty list, an unknown key, a pattern that cannot be read, or what
            `value_of` raises.
    """
    if isinstance(setting, Mapping):
        setting = [setting]
    if not is_schedule(setting):
        return value_of(setting)
    if not setting:
        raise RecipeError(f"{where} is an empty list; give a value, or a list of values.")
    if len(setting) > MOST_POINTS:
        raise RecipeError(f"{where} has {len(setting)} entries; {MOST_POINTS} are the most.")
    if not any(isinstance(entry, Mapping) for entry in setting):
        return [_point(entry, where, value_of) for entry in setting]
    return [_condition(entry, where, value_of) for entry in setting]


def resolve(setting: Any, tensor: str, position: float | None) -> Any:
    """The value for one tensor.

    Args:
        setting: what `settle` returned.
        tensor: its name.
        position: of its layer, from 0 (first) to 1 (last); None outside of the layers.

    Returns:
        The value; None when no filter matches.
    """
    if not isinstance(setting, list):
        return setting
    if isinstance(setting[0], dict):
        for condition in setting:
            if matches(condition.get("filter"), tensor):
                return resolve(condition["value"], tensor, position)
        return None
    place = (position or 0.0) * (len(setting) - 1)
    before = int(place)
    if isinstance(setting[0], bool | str):
        return setting[before]
    after = min(before + 1, len(setting) - 1)
    share = place - before
    first, second = setting[before], setting[after]
    value = (1 - share) * first + share * second
    if isinstance(first, int) and isinstance(second, int):
        return round(value)
    # rounding must not lead out of the range that the option allows
    return min(max(value, min(first, second)), max(first, second))


def matches(filter_: str | None, tensor: str) -> bool:
    """Whether a filter means a tensor: nothing or * all of them, else as `GROUPS` and `re:`."""
    if filter_ is None or filter_ == "*":
        return True
    if filter_.startswith(REGULAR):
        return re.search(filter_.removeprefix(REGULAR), tensor) is not None
    group = GROUPS.get(filter_)
    return group.search(tensor) is not None if group else filter_ in tensor


def filters(setting: Any) -> Iterator[str]:
    """The filters of a setting, but those that match everything."""
    if isinstance(setting, list):
        for entry in setting:
            if isinstance(entry, dict) and entry.get("filter") not in (None, "*"):
                yield entry["filter"]


def values(setting: Any) -> Iterator[Any]:
    """Every single value in a setting."""
    if not isinstance(setting, list):
        yield setting
        return
    for entry in setting:
        yield from values(entry["value"] if isinstance(entry, dict) else entry)


def in_words(setting: Any) -> str:
    """A setting on one line: `0.5`, `0 → 1`, `mlp 0.3, else 0.5`."""
    if isinstance(setting, bool):
        return str(setting).lower()
    if not isinstance(setting, list):
        return f"{setting:g}" if isinstance(setting, int | float) else str(setting)
    if not isinstance(setting[0], dict):
        return " → ".join(in_words(entry) for entry in setting)
    return ", ".join(
        f"{entry.get('filter') or 'else'} {in_words(entry['value'])}" for entry in setting
    )


def _point(entry: Any, where: str, value_of: Callable[[Any], Any]) -> Any:
    if is_schedule(entry):
        raise RecipeError(f"{where} has a list inside a list; a gradient is a list of values.")
    return value_of(entry)


def _condition(entry: Any, where: str, value_of: Callable[[Any], Any]) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise RecipeError(
            f"{where} mixes values and filters; give every entry the form {{filter, value}}."
        )
    for key in entry:
        if key not in ("filter", "value"):
            raise RecipeError(unknown(f"key in {where}", str(key), ("filter", "value")))
    if "value" not in entry:
        raise RecipeError(f"An entry of {where} lacks its value.")
    if isinstance(entry["value"], Mapping):
        raise RecipeError(f"{where} has a filter inside a filter.")
    found = {} if entry.get("filter") is None else {"filter": _filter(entry["filter"], where)}
    value = entry["value"]
    if is_schedule(value) and any(is_schedule(point) for point in value):
        raise RecipeError(f"{where} has a filter or a list inside a gradient.")
    return {**found, "value": settle(value, where, value_of)}


def _filter(given: Any, where: str) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > 200:
        raise RecipeError(
            f"A filter of {where} must be a part of a tensor's name, such as self_attn or mlp."
        )
    if given.startswith(REGULAR):
        try:
            compile_pattern(given.removeprefix(REGULAR))
        except ValueError as error:
            raise RecipeError(
                f"The filter {quoted(given)} of {where} cannot be used as a regular expression: "
                f"{error}."
            ) from None
    return given
