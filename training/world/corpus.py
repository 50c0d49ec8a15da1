"""Corpora: a weighted mix of kinds of documents, drawn without end from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from training.world import finance, general, japanese, numbers, words
from training.world.world import World

Writer = Callable[[World, random.Random], str]


def _problem(make: Callable[..., numbers.Problem], **options: object) -> Writer:
    return lambda world, rng: make(world, rng, **options).text


def _sized(name: str, make: Callable[[numbers.Size], Writer]) -> dict[str, Writer]:
    """A kind of problem in its three sizes."""
    sizes = {"easy_": numbers.EASY, "": numbers.MEDIUM, "large_": numbers.LARGE}
    return {prefix + name: make(size) for prefix, size in sizes.items()}


_WORD = {"owners": words.PEOPLE, "objects": words.OBJECTS}
_QUANTITY = {"formulas": words.GENERAL_FORMULAS}

WRITERS: dict[str, Writer] = {
    # general
    "person": general.person,
    "profile": general.profile,
    "known_firm": general.known_firm,
    "mention": general.mention,
    "capital": general.capital,
    "category": general.category,
    "note": general.note,
    "greeting": general.greeting,
    "common_term": finance.common_term,
    # finance
    "firm": finance.firm,
    "term": finance.term,
    "headline": finance.headline,
    "finance_formula": partial(finance.formula, formulas=words.FINANCE_FORMULAS),
    "report": finance.report,
    # numbers: easy_ up to 5, plain up to 12, large_ up to 20
    "formula": partial(finance.formula, formulas=words.GENERAL_FORMULAS),
    "comparison": _problem(numbers.comparison),
    **_sized("arithmetic", lambda size: partial(numbers.arithmetic, size=size)),
    **_sized("quantity", lambda size: _problem(numbers.quantity, size=size, **_QUANTITY)),
    **_sized(
        "given_quantity",
        lambda size: _problem(numbers.quantity, size=size, formula_given=True, **_QUANTITY),
    ),
    **_sized("word", lambda size: _problem(numbers.word_problem, size=size, **_WORD)),
    **_sized("two_step", lambda size: _problem(numbers.two_step_problem, size=size)),
    # Japanese
    "japanese_person": japanese.person,
    "japanese_hobby": japanese.hobby,
    "japanese_firm": japanese.known_firm,
    "japanese_capital": japanese.capital,
    "japanese_dictionary": japanese.dictionary,
    "japanese_category": japanese.category,
    "japanese_word": _problem(numbers.japanese_problem, size=numbers.EASY),
}
"""Every kind of document by the name that `sandbox/family.yaml` uses in its mixes."""


def documents(world: World, mix: Mapping[str, float], rng: random.Random) -> Iterator[str]:
    """Draw documents without end; `mix` gives the weight of each kind.

    Raises:
        ValueError: the mix names a kind of document that does not exist.
    """
    unknown = sorted(set(mix) - set(WRITERS))
    if unknown:
        raise ValueError(
            f"mix: no such kind of document: {', '.join(unknown)}; "
            f"there are {', '.join(sorted(WRITERS))}"
        )
    kinds, weights = list(mix), list(mix.values())
    while True:
        for kind in rng.choices(kinds, weights, k=256):
            yield WRITERS[kind](world, rng)
