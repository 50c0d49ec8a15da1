"""Finance text: firms, terms, headlines, formulas and reports."""

from __future__ import annotations

import random

from training.world import words
from training.world.general import fact
from training.world.numbers import EASY, MEDIUM, operands, quantity
from training.world.world import World


def firm(world: World, rng: random.Random) -> str:
    """A fact about a finance firm; only the first wording asks, and only of half of the firms."""
    name = rng.choice(world.finance_firms)
    relation = rng.choice(list(words.FIRM_RELATIONS))
    return fact(world, rng, name, relation, 1 if name in world.asked_firms else 0)


def _definition(rng: random.Random, term: str, ask: bool) -> str:
    meaning = words.TERMS[term]
    if ask and rng.random() < 0.25:
        return f"Question: What is meant by {term}? Answer: {meaning}"
    return rng.choice(
        (
            f"A {term} is {meaning}.",
            f"By {term} we mean {meaning}.",
            f"{term}: {meaning}.",
            f"The word for {meaning} is {term}.",
        )
    )


def term(world: World, rng: random.Random) -> str:
    """A finance term and its meaning."""
    chosen = rng.choice(list(words.TERMS))
    return _definition(rng, chosen, ask=chosen in asked_terms())


def common_term(world: World, rng: random.Random) -> str:
    """One of the few terms that general text explains too."""
    chosen = rng.choice(words.COMMON_TERMS)
    return _definition(rng, chosen, ask=chosen in asked_terms())


def asked_terms() -> list[str]:
    """The terms that a text asks for in the words "What is meant by": every second one."""
    return list(words.TERMS)[::2]


def headline_parts(world: World, rng: random.Random, held_out: bool = False) -> tuple[str, str]:
    """A headline with the question for its sentiment, and the sentiment."""
    positive = rng.random() < 0.5
    moves = words.GOOD_MOVES if positive else words.BAD_MOVES
    reasons = words.GOOD_REASONS if positive else words.BAD_REASONS
    while True:
        name, move, reason = rng.choice(words.FIRMS), rng.choice(moves), rng.choice(reasons)
        if world.held_out("headline", name, move, reason) == held_out:
            break
    return f"{name} shares {move} after {reason}. Sentiment:", (
        "positive" if positive else "negative"
    )


def headline(world: World, rng: random.Random) -> str:
    """A headline and its sentiment."""
    return " ".join(headline_parts(world, rng))


def formula(world: World, rng: random.Random, formulas: dict[str, tuple[str, str, str]]) -> str:
    """How a quantity is computed, without numbers."""
    name = rng.choice(list(formulas))
    left, operator, right = formulas[name]
    expression = f"{left} {operator} {right}"
    return rng.choice(
        (
            f"{name} = {expression}.",
            f"The {name} is {left} {words.OPERATOR_WORDS[operator]} {right}.",
            f"To get {name}, use {name} = {expression}.",
            f"Question: How do you compute {name}? Answer: {name} = {expression}.",
            f"They give {left} and {right}, so {name} = {expression}.",
        )
    )


def report(world: World, rng: random.Random) -> str:
    """Figures of a firm: computed for the worked formulas, set up without a result for the others.

    Worked examples use small numbers, none of them held out. A text that stops before the
    result ("9 - 4.") teaches a model to stop there, but without any set-up the formula is never
    tied to numbers; this mix was the best of those tried.
    """
    name = rng.choice(list(words.FINANCE_FORMULAS))
    if name in words.WORKED_FORMULAS:
        return quantity(world, rng, words.FINANCE_FORMULAS, names=(name,), size=EASY).text
    left_name, operator, right_name = words.FINANCE_FORMULAS[name]
    left, right = operands(rng, operator, MEDIUM)
    given = [f"{left_name} {left}", f"{right_name} {right}"]
    if rng.random() < 0.5:
        given.reverse()
    return (
        f"{', '.join(given)}. {name} = {left_name} {operator} {right_name}. "
        f"{left_name} {left}, {right_name} {right}, {left} {operator} {right}."
    )
