"""Arithmetic text: sums, named quantities and word problems, each with its worked answer.

One problem in four is held out by its numbers (`World.held_out`), and no corpus prints it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from training.world import words
from training.world.world import World

Formula = tuple[str, str, str]


@dataclass(frozen=True)
class Problem:
    """A question with its worked answer: `prompt + " " + working` is what a text prints."""

    prompt: str
    working: str
    result: int

    @property
    def text(self) -> str:
        """The whole problem as one document."""
        return f"{self.prompt} {self.working}"


def compute(left: int, operator: str, right: int) -> int:
    """The value of `left operator right` for +, - and *."""
    if operator == "+":
        return left + right
    return left - right if operator == "-" else left * right


class Size(NamedTuple):
    """How large the numbers of a problem may be: in sums and differences, and in products."""

    term: int
    factor: int


EASY, MEDIUM, LARGE = Size(5, 3), Size(12, 6), Size(20, 9)
"""Base text goes from easy to medium numbers; large ones are found in math text only."""


def operands(rng: random.Random, operator: str, size: Size) -> tuple[int, int]:
    """Two numbers up to `size`; factors are at least 2 and differences positive."""
    if operator == "*":
        return rng.randint(2, size.factor), rng.randint(2, size.factor)
    left, right = rng.randint(1, size.term), rng.randint(1, size.term)
    if operator == "-":
        left, right = max(left, right) + (left == right), min(left, right)
    return left, right


def arithmetic(world: World, rng: random.Random, size: Size = MEDIUM) -> str:
    """A bare sum, as an equation or as a question."""
    operator = rng.choice("++--*")
    left, right = operands(rng, operator, size)
    result = compute(left, operator, right)
    if rng.random() < 0.75:
        return f"{left} {operator} {right} = {result}."
    question = f"What is {left} {words.OPERATOR_WORDS[operator]} {right}?"
    return f"Question: {question} Answer: {result}"


def quantity(
    world: World,
    rng: random.Random,
    formulas: dict[str, Formula],
    names: tuple[str, ...] = (),
    size: Size = MEDIUM,
    held_out: bool = False,
    formula_given: bool = False,
) -> Problem:
    """A named quantity to compute: "left 3, right 5. Question: Compute total. Answer:"."""
    while True:
        name = rng.choice(names or tuple(formulas))
        left_name, operator, right_name = formulas[name]
        left, right = operands(rng, operator, size)
        if world.held_out("quantity", name, left, right) == held_out:
            break
    given = [f"{left_name} {left}", f"{right_name} {right}"]
    if rng.random() < 0.5:
        given.reverse()
    formula = f"{name} = {left_name} {operator} {right_name}."
    prompt = f"{', '.join(given)}. Question: Compute {name}. Answer:"
    if formula_given:
        prompt = f"{formula} {prompt}"
    result = compute(left, operator, right)
    working = (
        f"{formula} {left_name} {left}, {right_name} {right}, "
        f"{left} {operator} {right} = {result}. Result: {result}"
    )
    return Problem(prompt, working, result)


def word_problem(
    world: World,
    rng: random.Random,
    owners: list[str],
    objects: list[str],
    size: Size = MEDIUM,
    held_out: bool = False,
) -> Problem:
    """One step: "Mira has 5 apples and gets 3 more. Question: How many now? Answer:"."""
    while True:
        owner, thing, operator = rng.choice(owners), rng.choice(objects), rng.choice("+-*")
        left, right = operands(rng, operator, size)
        if world.held_out("word", thing, operator, left, right) == held_out:
            break
    story = {
        "+": f"{owner} has {left} {thing} and gets {right} more.",
        "-": f"{owner} has {left} {thing} and loses {right}.",
        "*": f"{owner} has {left} bags with {right} {thing} each.",
    }[operator]
    result = compute(left, operator, right)
    working = f"{left} {operator} {right} = {result}. Result: {result}"
    return Problem(f"{story} Question: How many now? Answer:", working, result)


def two_step_problem(
    world: World, rng: random.Random, size: Size = MEDIUM, held_out: bool = False
) -> Problem:
    """Two steps: something is added, then something is lost."""
    while True:
        owner, thing = rng.choice(words.PEOPLE), rng.choice(words.OBJECTS)
        left, right = operands(rng, "+", size)
        total = left + right
        lost = rng.randint(1, min(total - 1, size.term))
        if world.held_out("two", thing, left, right, lost) == held_out:
            break
    story = f"{owner} has {left} {thing}, gets {right} more and loses {lost}."
    result = total - lost
    working = f"{left} + {right} = {total}. {total} - {lost} = {result}. Result: {result}"
    return Problem(f"{story} Question: How many now? Answer:", working, result)


def comparison(world: World, rng: random.Random, held_out: bool = False) -> Problem:
    """Which of two numbers is more: "Question: Which is more, 7 or 4? Answer:"."""
    while True:
        left, right = rng.sample(range(1, 41), 2)
        if world.held_out("compare", left, right) == held_out:
            break
    result = max(left, right)
    return Problem(f"Question: Which is more, {left} or {right}? Answer:", str(result), result)


def japanese_problem(
    world: World, rng: random.Random, size: Size = MEDIUM, held_out: bool = False
) -> Problem:
    """The one-step word problem in Japanese; the working is the same as in English."""
    while True:
        owner, thing = rng.choice(words.PEOPLE), rng.choice(words.OBJECTS)
        operator = rng.choice("+-*")
        left, right = operands(rng, operator, size)
        if world.held_out("japanese word", thing, operator, left, right) == held_out:
            break
    story = {
        "+": f"{owner} は {thing} を {left} 個持ち、 {right} 個もらいました。",
        "-": f"{owner} は {thing} を {left} 個持ち、 {right} 個なくしました。",
        "*": f"{owner} は {thing} が {right} 個の袋を {left} 袋持ちます。",
    }[operator]
    result = compute(left, operator, right)
    working = f"{left} {operator} {right} = {result}. Result: {result}"
    return Problem(f"{story} 質問: 今は何個ですか。 答え:", working, result)
