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


_WORD = {"owners": words.PEOPLE, "objects": words.OBJECTS}

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
    # numbers; "easy" means numbers up to 5
    "formula": partial(finance.formula, formulas=words.GENERAL_FORMULAS),
    "easy_arithmetic": partial(numbers.arithmetic, small=True),
    "arithmetic": numbers.arithmetic,
    "easy_quantity": _problem(numbers.quantity, formulas=words.GENERAL_FORMULAS, small=True),
    "quantity": _problem(numbers.quantity, formulas=words.GENERAL_FORMULAS),
    "given_quantity": _problem(
        numbers.quantity, formulas=words.GENERAL_FORMULAS, formula_given=True
    ),
    "easy_word": _problem(numbers.word_problem, small=True, **_WORD),
    "word": _problem(numbers.word_problem, **_WORD),
    "two_step": _problem(numbers.two_step_problem),
    "comparison": _problem(numbers.comparison),
    # Japanese
    "japanese_person": japanese.person,
    "japanese_hobby": japanese.hobby,
    "japanese_firm": japanese.known_firm,
    "japanese_capital": japanese.capital,
    "japanese_dictionary": japanese.dictionary,
    "japanese_category": japanese.category,
    "japanese_word": _problem(numbers.japanese_problem, small=True),
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
