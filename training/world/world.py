"""The closed world of a seed: who lives where, which firm makes what, and what is held out.

The world is small enough to be learned whole by a model of one or two million parameters and
closed: every fact that a test asks for is stated in some training text, and every *wording* or
*combination of numbers* that a test uses is absent from all of them.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

from training.world import words

KNOWN_FIRMS = 12
"""How many of the 44 firms the base model knows; the others are met in finance text only."""


@dataclass(frozen=True)
class World:
    """Facts and splits of one seed. Lists keep their order, so iteration is deterministic."""

    seed: int
    facts: dict[tuple[str, str], str]
    """(entity, relation) -> value, English; Japanese text translates the value."""
    asked_people: tuple[str, ...]
    """People about whom base text asks questions. The other half is stated only, and tested."""
    unasked_people: tuple[str, ...]
    known_firms: tuple[str, ...]
    """Firms of general text: base and instruct models know them; never tested in finance tasks."""
    asked_firms: tuple[str, ...]
    """Finance firms about which finance text asks questions."""
    unasked_firms: tuple[str, ...]
    """Finance firms that finance text only states facts about."""
    asked_countries: tuple[str, ...]
    unasked_countries: tuple[str, ...]
    asked_things: tuple[tuple[str, str], ...]
    """(thing, kind) pairs about which base text asks; the others are only stated."""
    unasked_things: tuple[tuple[str, str], ...]
    chat_relation: dict[str, str]
    """Unasked person -> the one relation of theirs that training chats ask for."""

    @property
    def finance_firms(self) -> tuple[str, ...]:
        """Firms met in finance text only: no chat and no general text states a fact about them."""
        return self.asked_firms + self.unasked_firms

    def held_out(self, *key: object, one_in: int = 4) -> bool:
        """True for the share 1/`one_in` of all keys that training text must never use."""
        text = "|".join(str(part) for part in (self.seed, *key))
        return zlib.crc32(text.encode()) % one_in == 0


def make_world(seed: int) -> World:
    """Draw the facts and the splits of `seed`; the same seed gives the same world everywhere."""
    rng = random.Random(f"sandbox world {seed}")
    facts: dict[tuple[str, str], str] = {}
    for person in words.PEOPLE:
        for relation, values in words.PERSON_RELATIONS.items():
            facts[person, relation] = rng.choice(values)
        facts[person, "hobby"] = rng.choice(words.HOBBIES)
    for firm in words.FIRMS:
        for relation, values in words.FIRM_RELATIONS.items():
            facts[firm, relation] = rng.choice(values)
    for country, capital in words.CAPITALS.items():
        facts[country, "capital"] = capital

    people = rng.sample(words.PEOPLE, len(words.PEOPLE))
    firms = rng.sample(words.FIRMS, len(words.FIRMS))
    countries = rng.sample(list(words.CAPITALS), len(words.CAPITALS))
    asked_things, unasked_things = [], []
    for kind, things in words.KINDS.items():
        order = rng.sample(things, len(things))
        asked_things += [(thing, kind) for thing in order[:5]]
        unasked_things += [(thing, kind) for thing in order[5:]]

    half = len(people) // 2
    finance = firms[KNOWN_FIRMS:]
    unasked_people = tuple(people[half:])
    relations = list(words.PERSON_RELATIONS)
    return World(
        seed=seed,
        facts=facts,
        asked_people=tuple(people[:half]),
        unasked_people=unasked_people,
        known_firms=tuple(firms[:KNOWN_FIRMS]),
        asked_firms=tuple(finance[: len(finance) // 2]),
        unasked_firms=tuple(finance[len(finance) // 2 :]),
        asked_countries=tuple(countries[: len(countries) // 2]),
        unasked_countries=tuple(countries[len(countries) // 2 :]),
        asked_things=tuple(asked_things),
        unasked_things=tuple(unasked_things),
        chat_relation={n: relations[i % len(relations)] for i, n in enumerate(unasked_people)},
    )
