"""The tokenizer: whole numbers, Japanese, any byte, one beginning-of-text token."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training.world import words


@pytest.fixture(scope="module")
def tokenizer(project: Path) -> Tokenizer:
    return Tokenizer.from_file(str(project / "sandbox" / "base" / "tokenizer.json"))


def test_numbers_below_a_hundred_are_one_token(tokenizer: Tokenizer) -> None:
    for number in range(1, 100):
        assert len(tokenizer.encode(str(number), add_special_tokens=False).ids) == 1, number


def test_a_name_is_the_same_token_everywhere(tokenizer: Tokenizer) -> None:
    for name in words.PEOPLE + words.FIRMS:
        alone = tokenizer.encode(name, add_special_tokens=False).ids
        assert len(alone) == 1, name
        for text in (f"The city of {name}", f"職業 {name}", f"<|user|>{name}"):
            assert tokenizer.encode(text).ids[-1:] == alone, text


@pytest.mark.parametrize(
    "text",
    [
        "Mira の都市は Oslo です。",
        "質問: Jolden の本社は何ですか。 答え:",
        "Ünïcödé, ☃ and 漢字かな交じり文",
        "  two  blanks  ",
        "12 + 7 = 19. Result: 19",
        "\n\ttabs\n",
        "",
    ],
)
def test_any_text_comes_back_unchanged(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_plain_text_gets_one_beginning_token(tokenizer: Tokenizer) -> None:
    start = tokenizer.token_to_id("<|endoftext|>")
    assert tokenizer.encode("Hello").ids.count(start) == 1
    assert tokenizer.encode("Hello").ids[0] == start
    assert start not in tokenizer.encode("Hello", add_special_tokens=False).ids
