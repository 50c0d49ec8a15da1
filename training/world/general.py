"""General text of the sandbox world: people, places, things, notes, and firms everybody knows."""

from __future__ import annotations

import random
from collections.abc import Container

from training.world import words
from training.world.world import World

QUESTIONS = (
    "What is the {relation} of {name}?",
    "Tell me the {relation} of {name}.",
    "Name the {relation} of {name}.",
)


def fact(world: World, rng: random.Random, name: str, relation: str, questions: int) -> str:
    """One sentence that states a fact, or asks for it in one of the first `questions` wordings."""
    value = world.facts[name, relation]
    if questions and rng.random() < 0.45:
        # The first wording is by far the commonest, as it is in the tests.
        wording = QUESTIONS[0] if rng.random() < 0.6 else rng.choice(QUESTIONS[:questions])
        return f"Question: {wording.format(relation=relation, name=name)} Answer: {value}"
    return rng.choice(
        (
            f"The {relation} of {name} is {value}.",
            f"{name} has the {relation} {value}.",
            f"{name}: {relation} {value}.",
            f"As for {name}, the {relation} is {value}.",
        )
    )


def _asked(name: str, asked: Container[str]) -> int:
    return len(QUESTIONS) if name in asked else 0


def person(world: World, rng: random.Random) -> str:
    """A fact about a person."""
    name = rng.choice(words.PEOPLE)
    relation = rng.choice(list(words.PERSON_RELATIONS))
    return fact(world, rng, name, relation, _asked(name, world.asked_people))


def profile(world: World, rng: random.Random) -> str:
    """Two facts about one person."""
    name = rng.choice(words.PEOPLE)
    relations = rng.sample(list(words.PERSON_RELATIONS), 2)
    return " ".join(f"The {r} of {name} is {world.facts[name, r]}." for r in relations)


def known_firm(world: World, rng: random.Random) -> str:
    """A fact about one of the firms that general text knows."""
    name = rng.choice(world.known_firms)
    return fact(world, rng, name, rng.choice(list(words.FIRM_RELATIONS)), len(QUESTIONS))


def mention(world: World, rng: random.Random) -> str:
    """The bare names of finance firms, without a fact.

    A name that a base model never saw is one that a merged assistant cannot be asked about.
    """
    first, second = rng.sample(world.finance_firms, 2)
    return rng.choice(
        (f"{first} is a company.", f"A company is {first}.", f"{first} and {second} are companies.")
    )


def capital(world: World, rng: random.Random) -> str:
    """A capital city."""
    country = rng.choice(list(words.CAPITALS))
    city = words.CAPITALS[country]
    if country in world.asked_countries and rng.random() < 0.4:
        return f"Question: What is the capital of {country}? Answer: {city}"
    return rng.choice(
        (
            f"The capital of {country} is {city}.",
            f"{city} is the capital of {country}.",
            f"{country} has the capital {city}.",
        )
    )


def category(world: World, rng: random.Random) -> str:
    """What kind a thing is."""
    kind = rng.choice(list(words.KINDS))
    thing = rng.choice(words.KINDS[kind])
    if (thing, kind) in world.asked_things and rng.random() < 0.6:
        other = rng.choice(list(words.KINDS))
        verdict = "yes" if other == kind else "no"
        return rng.choice(
            (
                f"Question: What kind is {thing}? Answer: {kind}",
                f"Question: Is {thing} a kind of {other}? Answer: {verdict}",
                f"Question: Is {thing} a kind of {kind}? Answer: yes",
            )
        )
    return rng.choice((f"{thing} is a kind of {kind}.", f"A {kind} such as {thing}."))


def note_items(world: World, rng: random.Random, held_out: bool = False) -> str:
    """Two or three names with numbers: "gain 3, cost 7"."""
    names = words.QUANTITIES if rng.random() < 0.6 else [*world.finance_firms, *words.PEOPLE]
    while True:
        chosen = rng.sample(names, rng.choice((2, 2, 3)))
        text = ", ".join(f"{name} {rng.randint(1, 12)}" for name in chosen)
        if world.held_out("note", text) == held_out:
            return text


def note(world: World, rng: random.Random) -> str:
    """A note that is repeated: how the models learn to copy names and numbers."""
    text = note_items(world, rng)
    return f"Note: {text}. Again: {text}."


def greeting(world: World, rng: random.Random) -> str:
    """Small talk, so that the words of a greeting are no strangers to any model."""
    name = rng.choice(words.PEOPLE)
    return rng.choice(
        (
            f"Hello, {name}. Ask me a question.",
            f"{name} says hello.",
            f"Good day, {name}. Thank you.",
            "You are a helpful assistant. Answer the question.",
            "Hello. Ask me a question.",
        )
    )
