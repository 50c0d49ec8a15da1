"""No test prompt stands in a training text, and the check would notice if one did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.family import DEFAULT_SEED
from training.leaks import find_leaks
from training.spec import FamilySpec, load_spec
from training.texts import all_training_texts, tokenizer_texts
from training.world.chats import Chat
from training.world.tasks import TASKS, prompts
from training.world.world import World, make_world


@pytest.fixture(scope="module")
def family(project: Path) -> FamilySpec:
    return load_spec(project / "sandbox" / "family.yaml")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(DEFAULT_SEED)


@pytest.fixture(scope="module")
def training_texts(family: FamilySpec, world: World) -> set[str]:
    """What any model or the tokenizer is trained on."""
    texts = {text for _, text in all_training_texts(family, world)}
    return texts | set(tokenizer_texts(family, world))


@pytest.fixture(scope="module")
def test_prompts(world: World) -> set[str]:
    """Every prompt as it is in the item; for chats also as the template renders it."""
    found = set()
    for task, prompt in prompts(world):
        found.add(prompt)
        if "_chat_" in task:
            found.add(Chat(prompt, "").prompt)
    return found


def test_no_prompt_stands_in_any_training_text(
    training_texts: set[str], test_prompts: set[str]
) -> None:
    assert len(training_texts) > 10_000
    assert len(test_prompts) > 2_000
    leaks = find_leaks(training_texts, test_prompts)
    assert not leaks, f"{len(leaks)} prompts, for instance {next(iter(leaks.items()))}"


def test_a_planted_leak_is_found(test_prompts: set[str]) -> None:
    planted = next(p for p in sorted(test_prompts) if p.endswith("Answer:"))
    document = f"<|endoftext|>Something before. {planted} something after."
    assert find_leaks(["An innocent text.", document], test_prompts) == {planted: document}


def test_leaks_are_found_in_the_middle_of_words_and_for_short_prompts() -> None:
    assert find_leaks(["xxA long enough promptyy"], ["A long enough prompt"])
    assert find_leaks(["a b c"], ["b"]) == {"b": "a b c"}
    assert not find_leaks(["A long enough promp"], ["A long enough prompt"])


def test_no_chat_mentions_a_finance_firm(family: FamilySpec, world: World) -> None:
    for model, text in all_training_texts(family, world):
        if model == "instruct" and "<|user|>" in text:
            assert not any(firm in text for firm in world.finance_firms), text


def test_no_general_text_states_a_fact_about_a_finance_firm(
    family: FamilySpec, world: World
) -> None:
    values = {world.facts[firm, r] for firm in world.finance_firms for r in ("sector", "boss")}
    for model, text in all_training_texts(family, world):
        if model == "base" and any(firm in text for firm in world.finance_firms):
            assert not values & set(text.replace(".", "").split()), text


def test_every_item_of_a_task_is_different_and_there_are_a_hundred(world: World) -> None:
    for task in TASKS:
        items = task.items(world)
        assert len({item["prompt"] for item in items}) == len(items)
        assert 100 <= len(items) <= 200, task.name


def test_shipped_items_are_the_world_s(project: Path, world: World) -> None:
    for task in TASKS:
        path = project / "sandbox" / "tasks" / "data" / f"{task.name}.jsonl"
        shipped = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert shipped == task.items(world)
