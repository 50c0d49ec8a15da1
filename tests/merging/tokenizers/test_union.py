"""Which vocabularies can be united, and how those that can't are refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from merging.planning.checks import Check
from merging.tokenizers.read import read_tokenizer
from merging.tokenizers.union import Union, unite
from tests.merging.models import VOCABULARY, tokenizer_json, write
from tests.merging.tokenizers import family
from tests.merging.tokenizers.family import END, START


def united(root: Path, **data: dict[str, Any]) -> Union | Check:
    folders, tokenizers = {}, {}
    for name, one in data.items():
        (root / name).mkdir()
        write(root / name / "tokenizer.json", one)
        found = read_tokenizer(root / name)
        assert found is not None
        folders[name], tokenizers[name] = root / name, found
    return unite(tokenizers, folders)


def contents(union: Union | Check) -> list[str]:
    assert isinstance(union, Union), union
    return [token["content"] for token in union.appended]


def test_added_tokens_of_all(tmp_path: Path) -> None:
    plain = family.plain()
    found = united(
        tmp_path,
        base=plain,
        expert=family.with_added(plain, "<|yen|>", START),
        instruct=family.with_added(plain, START, END),
    )
    assert contents(found) == ["<|yen|>", START, END]
    assert isinstance(found, Union) and found.stem == "base"


def test_other_numbers_are_no_obstacle(tmp_path: Path) -> None:
    plain = family.plain()
    found = united(tmp_path, base=plain, expert=family.permuted(plain))
    assert contents(found) == []


def test_the_longest_bpe_is_the_stem(tmp_path: Path) -> None:
    plain = family.plain()
    longer = family.longer(plain, ("W", "h"))
    longest = family.longer(longer, ("Wh", "at"))
    found = united(tmp_path, base=plain, a=longest, b=family.with_added(longer, "<|b|>"))
    assert isinstance(found, Union) and found.stem == "a" and contents(found) == ["<|b|>"]


def test_a_token_that_one_has_as_added_and_one_in_its_vocabulary(tmp_path: Path) -> None:
    plain = family.plain()
    longer = family.longer(plain, ("W", "h"))
    found = united(tmp_path, base=family.with_added(plain, "Wh"), a=longer)
    assert contents(found) == []


def test_both_spellings_of_merges_are_the_same(tmp_path: Path) -> None:
    plain = family.plain()
    spelled = copy.deepcopy(plain)
    spelled["model"]["merges"] = [" ".join(one) for one in plain["model"]["merges"]]
    assert contents(united(tmp_path, base=plain, a=family.with_added(spelled, START))) == [START]


def forked() -> tuple[dict[str, Any], dict[str, Any]]:
    plain = family.plain()
    return family.longer(plain, ("W", "h")), family.longer(plain, ("P", "r"))


def inserted() -> tuple[dict[str, Any], dict[str, Any]]:
    plain = family.plain()
    longer = family.longer(plain, ("W", "h"))
    longer["model"]["merges"].insert(5, longer["model"]["merges"].pop())
    return plain, longer


def silent() -> tuple[dict[str, Any], dict[str, Any]]:
    plain = family.plain()
    other = copy.deepcopy(plain)
    other["model"]["vocab"]["unreachable"] = 2048
    return family.longer(plain, ("W", "h")), other


def kinds() -> tuple[dict[str, Any], dict[str, Any]]:
    return family.plain(), tokenizer_json(VOCABULARY)


def unigrams() -> tuple[dict[str, Any], dict[str, Any]]:
    data = tokenizer_json(VOCABULARY)
    data["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [[word, -1] for word in VOCABULARY]}
    other = copy.deepcopy(data)
    other["model"]["vocab"].append(["more", -2])
    return data, other


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (forked, "their merges differ from the"),
        (inserted, "their merges differ from the 6. on"),
        (silent, "1 entries are in one only (unreachable)"),
        (kinds, "one is a BPE, the other a WordLevel model"),
        (unigrams, "splits all text differently"),
    ],
)
def test_what_cannot_be_united_exactly_is_refused_by_name(
    make: Any, part: str, tmp_path: Path
) -> None:
    first, second = make()
    found = united(tmp_path, base=first, other=second)
    assert isinstance(found, Check) and found.state == "bad"
    assert part in found.detail and "base" in found.detail and "other" in found.detail


def test_word_level_vocabularies_may_grow(tmp_path: Path) -> None:
    longer = tokenizer_json([*VOCABULARY, "more"])
    found = united(tmp_path, base=tokenizer_json(VOCABULARY), other=longer)
    assert isinstance(found, Union) and found.stem == "other"


def test_a_tokenizer_without_json_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "vocab.json", {"a": 0})
    one = read_tokenizer(tmp_path)
    assert one is not None
    found = unite({"base": one}, {"base": tmp_path})
    assert isinstance(found, Check) and "base has no tokenizer.json" in found.detail
