"""Inputs: right files with wrong things in them, trees of anything, and plain noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

# Values that have broken programs: limits, other types, markup, paths, patterns, formats.
NASTY: list[Any] = [
    None,
    True,
    "",
    " ",
    0,
    -1,
    10**30,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    "1e999",
    [],
    {},
    [[]],
    [{}],
    [None],
    {"": ""},
    {"a": {"b": {"c": []}}},
    "null",
    "~",
    "NaN",
    "\x00",
    "../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "/proc/self/environ",
    "~root",
    "a" * 5000,
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
    "-rf",
    "sandbox/../sandbox/base",
    "org/model",
    "<script>alert(1)</script>",
    "![x](http://198.51.100.1/x)",
    "{{ 1 }}",
    "{% for %}",
    "%s%n",
    "{0.__class__}",
    "re:(a+)+$",
    "re:(a|a)*b",
    "re:[",
    "re:(?:(?:){60000}){60000}",
    "re:" + "a?" * 40 + "a" * 40,
    "😀",
    "\u202e",
    "\ud800",
    "é" * 300,
    "1\n2",
    "'; drop table models; --",
    "!function os.system",
    "2024-99-99",
    "0x",
    "1_000",
    "=1+1",
    "sandbox/base",
    "@previous",
    "tasks:",
    "tasks:a+b",
    "a@b=1",
    2**63,
    -(2**63),
    [0.5] * 1001,
    list(range(300)),
    [1, "a", None],
    [[1, 2], [3]],
    {"filter": "mlp", "value": {"filter": "x", "value": 1}},
    [{"value": 1}, 2],
]

leaves = st.one_of(
    st.sampled_from(NASTY),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.booleans(),
    st.none(),
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=12) | st.sampled_from(["model", "value"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@st.composite
def broken(draw: st.DrawFn, right: Sequence[Any], keys: Sequence[str]) -> Any:
    """One of some right values with up to three places replaced, removed or added."""
    tree = json.loads(json.dumps(draw(st.sampled_from(list(right)))))
    for _ in range(draw(st.integers(1, 3))):
        tree = _change(draw, tree, keys)
    return tree


def _change(draw: st.DrawFn, tree: Any, keys: Sequence[str]) -> Any:
    """The tree with one place of it changed."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(tree, key=str)))
        return {**tree, key: _change(draw, tree[key], keys)}
    if isinstance(tree, list) and tree and draw(st.integers(0, 4)):
        place = draw(st.integers(0, min(len(tree) - 1, 20)))
        return [*tree[:place], _change(draw, tree[place], keys), *tree[place + 1 :]]
    if isinstance(tree, dict):
        how = draw(st.integers(0, 3))
        if how == 0 and tree:
            gone = draw(st.sampled_from(sorted(tree, key=str)))
            return {key: value for key, value in tree.items() if key != gone}
        if how in (1, 2):
            return {**tree, draw(st.sampled_from(list(keys)) | st.text(max_size=8)): draw(trees)}
    if isinstance(tree, list) and draw(st.booleans()):
        return [*tree, *draw(st.lists(trees, max_size=3))] if draw(st.booleans()) else tree * 50
    return draw(trees)


def as_yaml(tree: Any) -> str:
    """YAML of a tree, whatever is in it."""
    try:
        return str(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))
    except yaml.YAMLError:
        return repr(tree)


def bombs() -> list[str]:
    """Texts that are small and become large."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return [
        "\n".join(lines),
        "&a [*a]",
        "a: &a {b: *a}",
        "[" * 3000,
        "{a: " * 3000,
        "- " * 3000 + "x",
        "? " * 3000,
        "a: " + "9" * 5000,
        "a: 1" + "0" * 400 + ":59:59",
        "<<: {<<: {<<: [x]}}",
        "a: !!python/object/apply:os.system [id]",
        "a: !!binary " + "A" * 2000,
        "a: !!timestamp 1-1-1",
        "%YAML 9.9\n---\na: 1",
        "a: |\n" + " x\n" * 5000,
        "? [a, b]\n: c",
        "a: 1\n...\n---\nb: 2",
        "\ufeffa: 1",
        'a: "\\ud800"',
        "x" * 300_000,
    ]


@st.composite
def cut(draw: st.DrawFn, right: Sequence[str]) -> str:
    """A right text with a piece of it lost, doubled, or noise put in."""
    text = draw(st.sampled_from(list(right)))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    put = draw(
        st.text(max_size=10) | st.sampled_from(["&a ", "*a", "!!", "- ", ": ", "\t", "{", "["])
    )
    return text[:start] + put + text[end:]


def documents(right: Sequence[Any], keys: Sequence[str]) -> st.SearchStrategy[str]:
    """YAML documents near to the right ones, and far from them."""
    return st.one_of(
        broken(right, keys).map(as_yaml),
        cut([as_yaml(one) for one in right]),
        trees.map(as_yaml),
        st.sampled_from(bombs()),
        st.text(max_size=60),
    )
