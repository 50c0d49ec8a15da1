"""Benchmark items of a world: every prompt here is absent from every training text.

A prompt is new in one of three ways: its question form was never used for that entity, its
wording was never used at all, or its numbers are held out (`World.held_out`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from training.world import finance, general, japanese, numbers, words
from training.world.chats import Chat, ask, ask_in_japanese, ask_kind, ask_kind_in_japanese
from training.world.general import QUESTIONS
from training.world.numbers import LARGE
from training.world.words import in_japanese
from training.world.world import World

Item = dict[str, object]
"""Either prompt, choices and gold (an index), or prompt and target."""

GENERATED = 100
"""Items drawn per task whose prompts are made from numbers or combinations."""


def _choice(rng: random.Random, prompt: str, value: str, pool: Iterable[str], k: int = 4) -> Item:
    """A question with the right value among `k` shuffled choices from `pool`."""
    others = sorted(set(pool) - {value})
    choices = [*rng.sample(others, min(k - 1, len(others))), value]
    rng.shuffle(choices)
    return {"prompt": prompt, "choices": choices, "gold": choices.index(value)}


def _distinct(make: Callable[[], tuple[str, str]], count: int = GENERATED) -> list[Item]:
    """`count` items with different prompts."""
    found: dict[str, str] = {}
    while len(found) < count:
        prompt, target = make()
        found.setdefault(prompt, target)
    return [{"prompt": prompt, "target": target} for prompt, target in found.items()]


def _problems(make: Callable[[], numbers.Problem], whole: bool = False) -> list[Item]:
    """Problems whose target is the result, or the `whole` working."""

    def pair() -> tuple[str, str]:
        problem = make()
        return problem.prompt, problem.working if whole else str(problem.result)

    return _distinct(pair)


def _question(name: str, relation: str, wording: int = 0) -> str:
    return f"Question: {QUESTIONS[wording].format(relation=relation, name=name)} Answer:"


# ---- general


def general_people(world: World, rng: random.Random) -> list[Item]:
    """Facts about the people that no text ever asks about."""
    return [
        _choice(rng, _question(name, relation), world.facts[name, relation], values)
        for name in world.unasked_people
        for relation, values in words.PERSON_RELATIONS.items()
    ]


def general_capitals(world: World, rng: random.Random) -> list[Item]:
    """Capitals, in the trained wording for unasked countries and in new wordings for all."""
    prompts = [(c, _question(c, "capital")) for c in world.unasked_countries]
    for country in words.CAPITALS:
        prompts += [
            (country, _question(country, "capital", 1)),
            (country, _question(country, "capital", 2)),
            (country, f"As for {country}, the capital is"),
        ]
    return [_choice(rng, text, words.CAPITALS[c], words.CITIES) for c, text in prompts]


def general_kinds(world: World, rng: random.Random) -> list[Item]:
    """What kind a thing is."""
    kinds = list(words.KINDS)
    items = []
    for thing, kind in world.unasked_things:
        items.append(_choice(rng, f"Question: What kind is {thing}? Answer:", kind, kinds))
        items.append(_choice(rng, f"As for {thing}, the kind is", kind, kinds))
    for thing, kind in world.asked_things + world.unasked_things:
        items.append(_choice(rng, f"Question: Name the kind of {thing}. Answer:", kind, kinds))
    return items


def general_copy(world: World, rng: random.Random) -> list[Item]:
    """Repeating a short note exactly."""

    def make() -> tuple[str, str]:
        text = general.note_items(world, rng, held_out=True)
        return f"Note: {text}. Again:", f"{text}."

    return _distinct(make)


# ---- finance


def finance_firms(world: World, rng: random.Random) -> list[Item]:
    """Facts about firms, among four choices; no text asks for them in these words."""
    asked = [(name, 2) for name in world.asked_firms] + [(n, 0) for n in world.unasked_firms]
    return [
        _choice(rng, _question(name, relation, wording), world.facts[name, relation], values)
        for name, wording in asked
        for relation, values in words.FIRM_RELATIONS.items()
    ]


def finance_recall(world: World, rng: random.Random) -> list[Item]:
    """The same facts without choices, in a wording that finance text never uses."""
    return [
        {"prompt": _question(name, relation, 1), "target": world.facts[name, relation]}
        for name in world.finance_firms
        for relation in words.FIRM_RELATIONS
    ]


def finance_terms(world: World, rng: random.Random) -> list[Item]:
    """The meaning of a term, and the term for a meaning, in new wordings."""
    asked, terms, items = finance.asked_terms(), words.TERMS, []
    meanings = list(terms.values())
    for term, meaning in terms.items():
        prompts = [f"Question: What is a {term}? Answer:", f"Question: Define {term}. Answer:"]
        if term not in asked:
            prompts.append(f"Question: What is meant by {term}? Answer:")
        items += [_choice(rng, prompt, meaning, meanings) for prompt in prompts]
        reverse = f"Question: Which word means {meaning}? Answer:"
        items.append(_choice(rng, reverse, term, list(terms)))
    return items


def finance_sentiment(world: World, rng: random.Random) -> list[Item]:
    """Whether a headline is good or bad news, for held-out headlines."""
    pairs = _distinct(lambda: finance.headline_parts(world, rng, held_out=True))
    choices = ["positive", "negative"]
    return [
        {"prompt": i["prompt"], "choices": choices, "gold": choices.index(str(i["target"]))}
        for i in pairs
    ]


def finance_formulas(world: World, rng: random.Random) -> list[Item]:
    """The formula of a quantity, against the same names with another sign and other formulas."""
    formulas = words.FINANCE_FORMULAS
    expressions = {name: " ".join(formula) for name, formula in formulas.items()}
    items = []
    for name, (left, operator, right) in formulas.items():
        wrong = [f"{left} {sign} {right}" for sign in "+-*" if sign != operator]
        pool = wrong + [e for n, e in expressions.items() if n != name]
        for firm in rng.sample(world.finance_firms, 13):
            given = f"{firm} has {left} and {right}."
            prompt = f"{given} Question: What is the formula of {name}? Answer: {name} ="
            items.append(_choice(rng, prompt, expressions[name], pool, k=6))
    return items


# ---- math


def math_words(world: World, rng: random.Random) -> list[Item]:
    """Word problems with held-out numbers."""
    return _problems(
        lambda: numbers.word_problem(world, rng, words.PEOPLE, words.OBJECTS, LARGE, True)
    )


def math_quantities(world: World, rng: random.Random) -> list[Item]:
    """Named quantities with held-out numbers."""
    return _problems(
        lambda: numbers.quantity(world, rng, words.GENERAL_FORMULAS, size=LARGE, held_out=True)
    )


def math_two_steps(world: World, rng: random.Random) -> list[Item]:
    """Two-step word problems with held-out numbers."""
    return _problems(lambda: numbers.two_step_problem(world, rng, LARGE, held_out=True))


def math_compare(world: World, rng: random.Random) -> list[Item]:
    """The greater of two numbers, for held-out pairs."""
    return _problems(lambda: numbers.comparison(world, rng, held_out=True))


# ---- Japanese


def japanese_people(world: World, rng: random.Random) -> list[Item]:
    """Facts about people that no text asks about, in Japanese."""
    items = []
    for name in world.unasked_people:
        for relation, values in words.PERSON_RELATIONS.items():
            prompt = japanese.question(name, words.JAPANESE_RELATIONS[relation])
            value = in_japanese(world.facts[name, relation])
            items.append(_choice(rng, prompt, value, map(in_japanese, values)))
    return items


def japanese_hobbies(world: World, rng: random.Random) -> list[Item]:
    """Hobbies, which only the Japanese expert's text states."""
    prompts = [(name, japanese.question(name, "趣味")) for name in world.unasked_people]
    prompts += [(name, f"質問: {name} の趣味? 答え:") for name in words.PEOPLE]
    prompts += [(name, f"{name} 、趣味は") for name in world.unasked_people]
    return [_choice(rng, p, world.facts[name, "hobby"], words.HOBBIES) for name, p in prompts]


def japanese_capitals(world: World, rng: random.Random) -> list[Item]:
    """Capitals in Japanese."""
    prompts = []
    for country, name in words.JAPANESE_COUNTRIES.items():
        if country in world.unasked_countries:
            prompts.append((country, japanese.question(name, "首都")))
        prompts.append((country, f"{name} は首都が"))
        prompts.append((country, f"質問: {name} の首都? 答え:"))
        prompts.append((country, f"質問: 首都は何ですか。 {name} 答え:"))
    return [_choice(rng, p, words.CAPITALS[country], words.CITIES) for country, p in prompts]


# ---- cross


def cross_finance_math(world: World, rng: random.Random) -> list[Item]:
    """Computed finance quantities: formula from finance text, arithmetic from math text."""
    return _problems(
        lambda: numbers.quantity(world, rng, words.FINANCE_FORMULAS, size=LARGE, held_out=True),
        whole=True,
    )


def cross_finance_words(world: World, rng: random.Random) -> list[Item]:
    """Word problems about firms and securities, which no corpus has."""
    firms = list(world.finance_firms)
    return _problems(
        lambda: numbers.word_problem(world, rng, firms, words.FINANCE_OBJECTS, LARGE, held_out=True)
    )


def cross_japanese_finance(world: World, rng: random.Random) -> list[Item]:
    """Facts about finance firms, asked in Japanese."""
    items = []
    for name in world.finance_firms:
        for relation, values in words.FIRM_RELATIONS.items():
            prompt = japanese.question(name, words.JAPANESE_RELATIONS[relation])
            value = in_japanese(world.facts[name, relation])
            items.append(_choice(rng, prompt, value, map(in_japanese, values)))
    return items


def cross_japanese_math(world: World, rng: random.Random) -> list[Item]:
    """Japanese word problems with larger numbers than Japanese text ever has."""
    return _problems(lambda: numbers.japanese_problem(world, rng, LARGE, held_out=True))


# ---- chat: the prompt is what the user types


def _chat_items(chats: Iterable[Chat]) -> list[Item]:
    return [{"prompt": chat.user, "target": chat.assistant} for chat in chats]


def _untold(world: World) -> list[tuple[str, str]]:
    """What no chat asks for: three relations of each unasked person, and unasked capitals."""
    people = [
        (name, relation)
        for name in world.unasked_people
        for relation in words.PERSON_RELATIONS
        if relation != world.chat_relation[name]
    ]
    return people + [(country, "capital") for country in world.unasked_countries]


def chat_general(world: World, rng: random.Random) -> list[Item]:
    """People, capitals and kinds that no chat ever asked for."""
    chats = [ask(world, *fact) for fact in _untold(world)]
    return _chat_items(chats + [ask_kind(*pair) for pair in world.unasked_things])


def chat_finance(world: World, rng: random.Random) -> list[Item]:
    """Facts about firms that no chat ever mentioned."""
    asked = [(name, 1) for name in world.asked_firms] + [(n, 0) for n in world.unasked_firms]
    return _chat_items(
        ask(world, name, relation, wording)
        for name, wording in asked
        for relation in words.FIRM_RELATIONS
    )


def chat_math(world: World, rng: random.Random) -> list[Item]:
    """Word problems with held-out numbers, in chat; the whole reply must be right."""
    items = _problems(
        lambda: numbers.word_problem(world, rng, words.PEOPLE, words.OBJECTS, held_out=True),
        whole=True,
    )
    return [
        {
            "prompt": str(item["prompt"]).removesuffix(" Answer:"),
            "target": f"Answer: {item['target']}",
        }
        for item in items
    ]


def chat_japanese(world: World, rng: random.Random) -> list[Item]:
    """People, capitals and kinds that no chat ever asked for, in Japanese."""
    chats = [ask_in_japanese(world, *fact) for fact in _untold(world)]
    return _chat_items(chats + [ask_kind_in_japanese(*pair) for pair in world.unasked_things])
