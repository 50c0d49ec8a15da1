"""The texts that each model of a family is trained on, drawn from its specification and a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from training.packing import Segment
from training.spec import FamilySpec, ModelSpec
from training.world.chats import BOS, Chat, conversations, render
from training.world.corpus import documents
from training.world.world import World

Text = list[Segment]

NUMBER_LINES = 300
"""Copies of "0 1 ... 99" in the tokenizer's texts: they make every such number one token."""


def training_texts(family: FamilySpec, name: str, world: World) -> list[list[Text]]:
    """Every text that model `name` is trained on: one list per stage, in packing order."""
    spec = family.models[name]
    rng = random.Random(f"{family.name} {name} {world.seed}")
    stages: list[list[Text]] = []
    for stage in spec.stages:
        drawn = islice(documents(world, stage.mix, rng), stage.documents)
        stages.append([_document(text) for text in drawn])
    if spec.chats:
        drawn_chats = islice(conversations(world, spec.chats.mix, rng), spec.chats.documents)
        stages.append([_conversation(turns) for turns in drawn_chats])
    if spec.replay:
        count = round(spec.replay * len(stages[-1]))
        replayed = islice(documents(world, family.replay_mix, rng), count)
        stages[-1] += [_document(text) for text in replayed]
        rng.shuffle(stages[-1])
    return stages


def _document(text: str) -> Text:
    return [(BOS + text, True)]


def _conversation(turns: list[Chat]) -> Text:
    pieces = [render(chat, first=i == 0) for i, chat in enumerate(turns)]
    return [piece for prompt, reply in pieces for piece in ((prompt, False), (reply, True))]


def all_training_texts(family: FamilySpec, world: World) -> Iterator[tuple[str, str]]:
    """(model, text) for every text of the whole family, special tokens written out."""
    for name in family.models:
        for stage in training_texts(family, name, world):
            for text in stage:
                yield name, "".join(piece for piece, _ in text)


def tokenizer_texts(family: FamilySpec, world: World) -> Iterator[str]:
    """What the vocabulary is learned from: every mix alike, plain words only, and numbers."""
    count = family.tokenizer.documents_per_mix
    for name, spec in family.models.items():
        rng = random.Random(f"{family.name} tokenizer {name} {world.seed}")
        for stage in spec.stages:
            yield from islice(documents(world, stage.mix, rng), count)
        yield from _chat_words(spec, world, rng, count)
    yield from [" ".join(str(number) for number in range(100))] * NUMBER_LINES


def _chat_words(spec: ModelSpec, world: World, rng: random.Random, count: int) -> Iterator[str]:
    if spec.chats:
        for turns in islice(conversations(world, spec.chats.mix, rng), count):
            for chat in turns:
                yield f"{chat.system} {chat.user}"
                yield chat.assistant
