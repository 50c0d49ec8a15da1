"""Japanese text of the same world.

Latin names stand between blanks ("Jolden の本社は Oslo です。"), so that a name is the same token
in both languages and a fact can cross from one to the other.
"""

from __future__ import annotations

import random

from training.world import words
from training.world.words import in_japanese
from training.world.world import World


def question(name: str, relation_ja: str) -> str:
    """The question for a relation, up to the answer's colon."""
    return f"質問: {name} の{relation_ja}は何ですか。 答え:"


def _fact(rng: random.Random, name: str, relation_ja: str, value: str, ask: bool) -> str:
    if ask and rng.random() < 0.45:
        return f"{question(name, relation_ja)} {value}"
    return rng.choice(
        (f"{name} の{relation_ja}は {value} です。", f"{name} は{relation_ja}が {value} です。")
    )


def person(world: World, rng: random.Random) -> str:
    """A fact about a person; the same facts as in English."""
    name = rng.choice(words.PEOPLE)
    relation = rng.choice(list(words.PERSON_RELATIONS))
    value = in_japanese(world.facts[name, relation])
    ask = name in world.asked_people
    return _fact(rng, name, words.JAPANESE_RELATIONS[relation], value, ask)


def hobby(world: World, rng: random.Random) -> str:
    """A person's hobby: a fact that exists in Japanese text only."""
    name = rng.choice(words.PEOPLE)
    return _fact(rng, name, "趣味", world.facts[name, "hobby"], name in world.asked_people)


def known_firm(world: World, rng: random.Random) -> str:
    """A fact about a firm that general text knows."""
    name = rng.choice(world.known_firms)
    relation = rng.choice(list(words.FIRM_RELATIONS))
    value = in_japanese(world.facts[name, relation])
    return _fact(rng, name, words.JAPANESE_RELATIONS[relation], value, ask=True)


def capital(world: World, rng: random.Random) -> str:
    """A capital city."""
    country = rng.choice(list(words.CAPITALS))
    name, city = words.JAPANESE_COUNTRIES[country], words.CAPITALS[country]
    if country in world.asked_countries and rng.random() < 0.5:
        return f"{question(name, '首都')} {city}"
    return f"{name} の首都は {city} です。"


def dictionary(world: World, rng: random.Random) -> str:
    """An English word and its Japanese."""
    choice = rng.random()
    table = words.JAPANESE_VALUES
    if choice < 0.3:
        table = words.JAPANESE_RELATIONS
    elif choice < 0.5:
        table = words.JAPANESE_COUNTRIES
    word = rng.choice(list(table))
    return f"{word} は日本語で {table[word]} です。"


def category(world: World, rng: random.Random) -> str:
    """What kind a thing is; the thing keeps its English name."""
    kind = rng.choice(list(words.KINDS))
    thing = rng.choice(words.KINDS[kind])
    if (thing, kind) in world.asked_things and rng.random() < 0.5:
        return f"質問: {thing} は何ですか。 答え: {in_japanese(kind)}"
    return f"{thing} は {in_japanese(kind)} です。"
