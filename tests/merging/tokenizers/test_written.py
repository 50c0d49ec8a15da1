"""What lies beside the weights of a merge of different vocabularies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from merging.engine import merge_to_folder
from merging.errors import MergeFailure, ModelError
from merging.in_memory import merge_to_model
from merging.planning.plan import plan
from merging.recipes.recipe import Recipe
from merging.tokenizers.read import read_tokenizer
from tests.merging.models import change_json, finish
from tests.merging.tokenizers import family
from tests.merging.tokenizers.family import END, START, N

PLAIN = family.plain()


@pytest.fixture
def trio(tmp_path: Path) -> dict[str, Path]:
    """Base, an expert with a token and other ids, an instruct model with chat tokens."""
    base = family.make(tmp_path / "base", 0, PLAIN, rows=N)
    tokenizer = family.with_added(family.permuted(PLAIN), "<|yen|>")
    family.make(tmp_path / "expert", 1, tokenizer, rows=N + 1, base=base)
    chat = family.with_added(PLAIN, START, END)
    family.make(tmp_path / "instruct", 2, chat, rows=N + 2, base=base, chat=True)
    return {name: tmp_path / name for name in ("base", "expert", "instruct")}


def recipe(**settings: Any) -> Recipe:
    models = [{"model": "expert"}, {"model": "instruct", "role": "instruct"}]
    return Recipe(method="task_arithmetic", base="base", models=models, **settings)


def merge(made: Recipe, folders: dict[str, Path], out: Path) -> Path:
    return Path(finish(merge_to_folder(made, folders, out, device="cpu"))[1])


def read(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return data


def test_a_donor_s_files_are_copied_byte_for_byte(trio: dict[str, Path], tmp_path: Path) -> None:
    out = merge(recipe(), trio, tmp_path / "out")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (trio["instruct"] / name).read_bytes()
    assert read(out / "config.json")["vocab_size"] == N + 2


def test_a_union_has_everybody_s_tokens_and_the_instruct_model_s_ends(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    change_json(trio["instruct"] / "generation_config.json", eos_token_id=[N + 1, 0], top_k=7)
    change_json(trio["base"] / "tokenizer_config.json", add_bos_token=True)
    out = merge(recipe(tokenizer="union"), trio, tmp_path / "out")
    tokenizer = read_tokenizer(out)
    assert tokenizer is not None
    assert [tokenizer.tokens[one] for one in ("<|yen|>", START, END)] == [N, N + 1, N + 2]
    config = read(out / "tokenizer_config.json")
    assert config["eos_token"] == END and config["add_bos_token"] is True
    assert config["added_tokens_decoder"][str(N + 2)]["content"] == END
    assert read(out / "config.json")["eos_token_id"] == N + 2
    generation = read(out / "generation_config.json")
    assert generation["eos_token_id"] == [N + 2, 0] and generation["top_k"] == 7
    assert not (out / "special_tokens_map.json").exists()


def test_ids_of_the_config_follow_their_tokens(trio: dict[str, Path], tmp_path: Path) -> None:
    """The base's sep token, say, has another number in the result."""
    change_json(trio["base"] / "config.json", sep_token_id=3, decoder_start_token_id=[4, 99_999])
    out = merge(recipe(tokenizer="expert"), trio, tmp_path / "out")
    numbers = family.ids(read(trio["expert"] / "tokenizer.json"))
    by_id = {place: token for token, place in family.ids(PLAIN).items()}
    config = read(out / "config.json")
    assert config["sep_token_id"] == numbers[by_id[3]]
    assert config["decoder_start_token_id"] == [numbers[by_id[4]]]
    assert config["eos_token_id"] == numbers["<|endoftext|>"]
    assert read(out / "generation_config.json")["bos_token_id"] == numbers["<|endoftext|>"]


def test_tokens_of_the_recipe_are_added(trio: dict[str, Path], tmp_path: Path) -> None:
    tokens = {
        "<|new|>": {"source": {"model": "base", "token": "A"}},
        "<|zero|>": {"source": "zero"},
    }
    out = merge(recipe(tokens=tokens), trio, tmp_path / "out")
    numbers = family.ids(read(out / "tokenizer.json"))
    assert (numbers["<|new|>"], numbers["<|zero|>"]) == (N + 2, N + 3)
    assert read(out / "config.json")["vocab_size"] == N + 4
    ours = load_file(out / "model.safetensors")["model.embed_tokens.weight"]
    base = load_file(trio["base"] / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(ours[N + 2], base[family.ids(PLAIN)["A"]])
    assert not ours[N + 3].any()


def test_a_named_template_ends_generation_with_its_own_token(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Whatever the tokenizer's own end is."""
    change_json(trio["instruct"] / "tokenizer_config.json", eos_token="<|endoftext|>")
    change_json(trio["instruct"] / "config.json", eos_token_id=0)
    change_json(trio["instruct"] / "generation_config.json", eos_token_id=0)
    out = merge(recipe(chat_template="chatml"), trio, tmp_path / "out")
    assert "<|im_start|>" in (out / "chat_template.jinja").read_text()
    assert read(out / "generation_config.json")["eos_token_id"] == [0, N + 1]
    assert read(out / "config.json")["eos_token_id"] == 0


def test_a_template_of_the_recipe_s_own(trio: dict[str, Path], tmp_path: Path) -> None:
    out = merge(recipe(chat_template="{{ messages[0].content }}"), trio, tmp_path / "out")
    assert (out / "chat_template.jinja").read_text() == "{{ messages[0].content }}"


def test_a_template_of_another_model_brings_its_ends_in_the_result_s_numbers(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    union = family.with_added(PLAIN, "<|other|>", END, START)
    base = load_file(trio["base"] / "model.safetensors")
    family.make(tmp_path / "wide", 0, union, rows=N + 3, base=base)
    made = Recipe(
        method="task_arithmetic",
        base="wide",
        models=[{"model": "instruct", "role": "instruct"}],
        tokenizer="base",
    )
    folders = {**trio, "wide": tmp_path / "wide"}
    out = merge(made, folders, tmp_path / "out")
    # END is N + 2 - 1 in the base's numbers, and the tokenizer's own end comes first
    assert read(out / "generation_config.json")["eos_token_id"] == [0, N + 1]
    assert read(out / "tokenizer_config.json")["eos_token"] == "<|endoftext|>"


@pytest.mark.parametrize(
    ("settings", "state", "part"),
    [
        ({"tokenizer": "base"}, "warn", "writes <|im_start|> and <|im_end|>, which"),
        ({"chat_template": "llama3"}, "warn", "writes <|start_header_id|>"),
        ({"chat_template": "chatml"}, "ok", "Taken is chatml"),
        ({"chat_template": "{{ messages }}"}, "ok", "the recipe's own"),
        ({"chat_template": "base"}, "warn", "base has no chat template"),
        ({}, "ok", "Taken from instruct"),
    ],
)
def test_the_plan_says_where_the_template_is_from(
    settings: dict[str, Any], state: str, part: str, trio: dict[str, Path]
) -> None:
    found = plan(recipe(**settings), trio, None, "cpu")
    told = [(one.state, one.detail) for one in found.checks if one.title == "Chat template"]
    assert len(told) == 1 and told[0][0] == state and part in told[0][1], told


def test_the_plan_says_what_becomes_of_the_tokens(trio: dict[str, Path]) -> None:
    def told(**settings: Any) -> list[str]:
        checks = plan(recipe(**settings), trio, None, "cpu").checks
        return [one.detail for one in checks if one.title in ("Tokenizer", "Vocabulary")]

    assert told() == [
        "The embeddings have these numbers of rows: 2048 in base, 2049 in expert and 2050 in "
        "instruct. The merge has 2050.",
        "base and expert lack 2 tokens (<|im_start|> and <|im_end|>) of the merge's tokenizer, "
        "and get the embedding of instruct there.",
        "expert has 1 token (<|yen|>) more, which the merge's tokenizer does not know.",
        told()[3],
    ]
    assert told()[3].startswith("expert numbers 2,04")
    assert not any("does not know" in one for one in told(tokenizer="union"))


def test_a_union_that_cannot_be_is_refused_before_anything_is_written(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    data = read(trio["expert"] / "tokenizer.json")
    data["model"]["merges"] = data["model"]["merges"][::-1]
    (trio["expert"] / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(ModelError, match="base and expert cannot be united exactly"):
        merge(recipe(tokenizer="union"), trio, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not plan(recipe(tokenizer="union"), trio, None, "cpu").ok
    assert plan(recipe(), trio, None, "cpu").ok


def test_tokens_that_cannot_be_added_without_a_tokenizer_json(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    for folder in trio.values():
        vocabulary = family.ids(read(folder / "tokenizer.json"))
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ModelError, match=r"instruct has no tokenizer\.json, so <\|new\|>"):
        merge(recipe(tokens={"<|new|>": {"source": "zero"}}), trio, tmp_path / "out")
    merge(recipe(), trio, tmp_path / "out")


def test_a_written_tokenizer_is_loaded_before_the_merge_is_called_done(
    trio: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merging.tokenizers.write._added", lambda vocabulary, stem: [])
    with pytest.raises(MergeFailure, match="otherwise than planned"):
        merge(recipe(tokenizer="union"), trio, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_into_memory_it_is_the_same_model(trio: dict[str, Path], tmp_path: Path) -> None:
    made = recipe(tokenizer="union", pad_to_multiple_of=32)
    out = merge(made, trio, tmp_path / "out")
    model, tokenizer = finish(merge_to_model(made, trio, device="cpu"))[1]
    assert model.get_input_embeddings().weight.shape[0] == N + 32 == model.config.vocab_size
    for name, tensor in load_file(out / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert tokenizer.convert_tokens_to_ids(END) == N + 2
    assert model.generation_config.eos_token_id == N + 2


@pytest.mark.parametrize("method", ["linear", "ties", "dare_ties", "slerp", "model_stock"])
def test_chunks_and_threads_change_no_byte(
    method: str, trio: dict[str, Path], tmp_path: Path
) -> None:
    models = [{"model": "expert"}, {"model": "instruct", "role": "instruct"}]
    base = {} if method in ("linear", "slerp") else {"base": "base"}
    made = Recipe(method=method, models=models, tokenizer="union", pad_to_multiple_of=64, **base)
    files = []
    for threads, chunk in ((1, 1 << 20), (2, 777)):
        events = merge_to_folder(
            made, trio, tmp_path / str(chunk), device="cpu", threads=threads, chunk_elements=chunk
        )
        files.append((Path(finish(events)[1]) / "model.safetensors").read_bytes())
    assert files[0] == files[1]
