"""Recipes as YAML text: a bounded, strict reader and a plain writer."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from merging.errors import RecipeError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses aliases (no bombs), repeated keys and deep nesting."""

    depth = 0
    what = "recipe"

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise RecipeError(
                f"The {self.what} uses a YAML alias (*) in line {mark.line + 1}; "
                "write the value out."
            )
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise RecipeError(f"The {self.what} is nested more than {MAX_DEPTH} levels deep.")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError(
                    f"A key of the {self.what} in line {key_node.start_mark.line + 1} is not a "
                    "word."
                )
            if key_node.value in seen:
                raise RecipeError(
                    f'"{key_node.value}" appears twice in the {self.what}, the second time in line '
                    f"{key_node.start_mark.line + 1}. Keep one of them."
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


# YAML 1.1 takes 1e-3 for text because it has no point; people mean a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str | bytes, what: str = "recipe") -> dict[str, Any]:
    """Parse a recipe's text into a mapping.

    Args:
        text: YAML, at most 256 KB.
        what: what the text is called in messages.

    Raises:
        RecipeError: not YAML, too large, an alias, a repeated key, or not a mapping.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise RecipeError(f"The {what} is not a UTF-8 text file.") from None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RecipeError(f"The {what} is larger than 256 KB; it is a page of text at most.")
    loader = None
    try:
        loader = _Loader(text)
        loader.what = what
        data = loader.get_single_data()
    except yaml.YAMLError as error:
        raise RecipeError(_syntax(error, what)) from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        # the constructors of dates and numbers (their words are Python's), and keys that are lists
        raise RecipeError(f"The {what} holds a number, date or key that cannot be read.") from None
    finally:
        if loader is not None:
            loader.dispose()
    if data is None:
        raise RecipeError(f"The {what} is empty.")
    if not isinstance(data, dict):
        raise RecipeError(
            f"The {what} must be keys and values, one a line, such as 'base: sandbox/base'."
        )
    for key in data:
        if not isinstance(key, str):
            raise RecipeError(f"The {what}'s key {key!r} is not a word.")
    return data


def write_yaml(data: Mapping[str, Any]) -> str:
    """Recipe data as YAML, in the order given; models one per line where they fit."""
    return yaml.dump(
        dict(data),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )


class _Dumper(yaml.SafeDumper):
    """Writes nested block style, with list items indented under their key, and no aliases.

    A list of single values, such as a gradient, stands on one line: `[0.0, 0.5, 1.0]`.
    """

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        simple = bool(sequence) and not any(isinstance(one, dict | list) for one in sequence)
        return super().represent_sequence(tag, sequence, flow_style=simple or flow_style)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _syntax(error: yaml.YAMLError, what: str) -> str:
    """A sentence for a syntax error, with its line where the parser knows it."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be parsed"
    if problem == "but found another document":
        return f"The file holds several documents; give each {what} by itself."
    where = f" in line {mark.line + 1}" if mark is not None else ""
    return f"The {what} is not valid YAML{where}: {problem}."
