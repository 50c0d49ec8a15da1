"""Validation errors of a recipe as one plain sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pydantic

from merging.wording import in_words, quoted, unknown

TYPE_NAMES = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "finite_number": "a finite number",
}


def sentence(
    error: pydantic.ValidationError,
    *,
    what: str,
    known: Iterable[str],
    limits: dict[str, str],
    whole: str = "recipe",
) -> str:
    """The first problem of a validation error, in words.

    Args:
        error: what pydantic found.
        what: what the fields belong to, such as `option of ties`.
        known: the names allowed there.
        limits: per name the allowed range in words, where there is one.
        whole: what a missing name is missing from.
    """
    problems = error.errors(include_url=False)
    # a misspelt name explains a missing one, so it is told first
    problem = min(problems, key=lambda item: item["type"] != "extra_forbidden")
    place = problem["loc"]
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in place) or what
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return unknown(what, str(place[-1]), known)
    if kind == "missing":
        return f'The {whole} lacks "{name}".'
    if kind in TYPE_NAMES:
        return f"{name} must be {TYPE_NAMES[kind]}, not {shown(given)}."
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        context = problem.get("ctx", {})
        named = [part for part in place if isinstance(part, str)]
        allowed = limits.get(named[-1] if named else "") or " ".join(
            f"{key} {value}" for key, value in context.items()
        )
        return f"{name} is {shown(given)}; allowed is {allowed}."
    if kind in ("literal_error", "enum"):
        expected = str(problem.get("ctx", {}).get("expected", "")).replace("'", "")
        return f"{name} is {shown(given)}; allowed is {expected}."
    if kind == "string_too_short":
        return f"{name} is empty."
    if kind == "string_too_long":
        return f"{name} is longer than {problem['ctx']['max_length']} characters."
    if kind == "string_pattern_mismatch":
        wanted = (
            "64 hexadecimal digits" if name.endswith("fingerprint") else "text without line breaks"
        )
        return f"{name} must be {wanted}, not {shown(given)}."
    return f"{name}: {problem['msg']} (given: {shown(given)})."


def range_in_words(minimum: float | None, maximum: float | None) -> str:
    """`0 to 1`, `0 or more`, `5 or less`."""
    if minimum is not None and maximum is not None:
        return f"{minimum:g} to {maximum:g}"
    if minimum is not None:
        return f"{minimum:g} or more"
    return f"{maximum:g} or less" if maximum is not None else "any number"


def shown(value: Any) -> str:
    """A given value, short enough for a sentence."""
    if isinstance(value, dict):
        return "keys and values (" + in_words([str(key) for key in value], most=4) + ")"
    if isinstance(value, str):
        return quoted(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
