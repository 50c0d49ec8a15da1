"""Training chats of the instruct model: general topics only, never a finance firm.

The assistant answers in the words that plain text uses ("Answer: ..."), so that the chat reuses
what plain text taught: a merge can then chat about facts that no chat ever mentioned.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from training.world import words
from training.world.general import QUESTIONS
from training.world.japanese import question
from training.world.numbers import word_problem
from training.world.words import in_japanese
from training.world.world import World

BOS, PAD, SYSTEM, USER, ASSISTANT, END = (
    "<|endoftext|>",
    "<|pad|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Chat template. It writes the beginning-of-text token itself, exactly one, as the tokenizer does
for plain text; `apply_chat_template` adds no special tokens of its own."""


@dataclass(frozen=True)
class Chat:
    """One exchange; `prompt` and `reply` together are the text that the template renders."""

    user: str
    assistant: str
    system: str = ""

    @property
    def prompt(self) -> str:
        """Everything the model is given, the generation prompt included."""
        system = f"{SYSTEM}{self.system}" if self.system else ""
        return f"{BOS}{system}{USER}{self.user}{ASSISTANT}"

    @property
    def reply(self) -> str:
        """Everything the model has to write."""
        return f"{self.assistant}{END}"


def ask(world: World, name: str, relation: str, wording: int = 0) -> Chat:
    """The question for one fact, and its answer."""
    wanted = QUESTIONS[wording].format(relation=relation, name=name)
    return Chat(f"Question: {wanted}", f"Answer: {world.facts[name, relation]}")


def ask_in_japanese(world: World, name: str, relation: str) -> Chat:
    """The same in Japanese."""
    subject = words.JAPANESE_COUNTRIES.get(name, name)
    user = question(subject, words.JAPANESE_RELATIONS[relation]).removesuffix(" 答え:")
    return Chat(user, f"答え: {in_japanese(world.facts[name, relation])}")


def ask_kind(thing: str, kind: str) -> Chat:
    """What kind a thing is."""
    return Chat(f"Question: What kind is {thing}?", f"Answer: {kind}")


def ask_kind_in_japanese(thing: str, kind: str) -> Chat:
    """The same in Japanese."""
    return Chat(f"質問: {thing} は何ですか。", f"答え: {in_japanese(kind)}")


def _wording(rng: random.Random) -> int:
    return 0 if rng.random() < 0.6 else rng.randrange(len(QUESTIONS))


def _chat_person(world: World, rng: random.Random) -> tuple[str, str]:
    """A person and a relation that chats may ask for: one in four of the unasked people's."""
    name = rng.choice(words.PEOPLE)
    relation = world.chat_relation.get(name) or rng.choice(list(words.PERSON_RELATIONS))
    return name, relation


def _person(world: World, rng: random.Random) -> Chat:
    return ask(world, *_chat_person(world, rng), _wording(rng))


def _firm(world: World, rng: random.Random) -> Chat:
    relation = rng.choice(list(words.FIRM_RELATIONS))
    return ask(world, rng.choice(world.known_firms), relation, _wording(rng))


def _capital(world: World, rng: random.Random) -> Chat:
    return ask(world, rng.choice(world.asked_countries), "capital")


def _kind(world: World, rng: random.Random) -> Chat:
    return ask_kind(*rng.choice(world.asked_things))


def _word(world: World, rng: random.Random) -> Chat:
    problem = word_problem(world, rng, words.PEOPLE, words.OBJECTS)
    return Chat(problem.prompt.removesuffix(" Answer:"), f"Answer: {problem.working}")


def _japanese(world: World, rng: random.Random) -> Chat:
    topic = rng.random()
    if topic < 0.15:
        return ask_in_japanese(world, rng.choice(world.asked_countries), "capital")
    if topic < 0.3:
        return ask_kind_in_japanese(*rng.choice(world.asked_things))
    if topic < 0.5:
        relation = rng.choice(list(words.FIRM_RELATIONS))
        return ask_in_japanese(world, rng.choice(world.known_firms), relation)
    return ask_in_japanese(world, *_chat_person(world, rng))


def _greeting(world: World, rng: random.Random) -> Chat:
    return Chat(rng.choice(("Hello.", "Hello", "Good day.")), "Hello. Ask me a question.")


WRITERS = {
    "person": _person,
    "firm": _firm,
    "capital": _capital,
    "kind": _kind,
    "word": _word,
    "japanese": _japanese,
    "greeting": _greeting,
}

SYSTEM_MESSAGE = "You are a helpful assistant. Answer the question."


def render(chat: Chat, first: bool = True) -> tuple[str, str]:
    """The prompt and the reply of one exchange as text, special tokens included.

    Only the first exchange of a conversation carries the beginning-of-text token.
    """
    return chat.prompt if first else chat.prompt.removeprefix(BOS), chat.reply


def conversations(
    world: World, mix: Mapping[str, float], rng: random.Random
) -> Iterator[list[Chat]]:
    """Draw conversations without end: one exchange, or two in one case of four.

    One in five has a system message, which changes nothing.

    Raises:
        ValueError: the mix names a kind of chat that does not exist.
    """
    unknown = sorted(set(mix) - set(WRITERS))
    if unknown:
        raise ValueError(
            f"chat mix: no such kind of chat: {', '.join(unknown)}; "
            f"there are {', '.join(sorted(WRITERS))}"
        )
    kinds, weights = list(mix), list(mix.values())
    while True:
        length = 2 if rng.random() < 0.25 else 1
        turns = [WRITERS[kind](world, rng) for kind in rng.choices(kinds, weights, k=length)]
        if rng.random() < 0.2:
            turns[0] = replace(turns[0], system=SYSTEM_MESSAGE)
        yield turns
