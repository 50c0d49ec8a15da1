"""The folder that comes out: config, tokenizer, chat template, generation config, card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from merging.engine import merge_to_folder
from merging.errors import RecipeError
from merging.output import storing
from merging.output.layout import OutputTensor, read_shard_size
from merging.recipes.recipe import Recipe
from merging.streaming import sinks
from tests.merging import models
from tests.merging.models import TEMPLATE, change_json, finish

CHAT = Recipe(
    method="task_arithmetic",
    base="base",
    models=[{"model": "expert"}, {"model": "instruct", "role": "instruct"}],
)


@pytest.fixture
def trio(tmp_path: Path) -> dict[str, Path]:
    base = models.weights(0)
    return {
        "base": models.write_model(tmp_path / "base", base),
        "expert": models.write_model(tmp_path / "expert", models.tuned(base, 1)),
        "instruct": models.write_model(tmp_path / "instruct", models.tuned(base, 2), chat=True),
    }


def merge(recipe: Recipe, folders: dict[str, Path], out: Path, **more: Any) -> Path:
    finish(merge_to_folder(recipe, folders, out, device="cpu", **more))
    return out


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def with_policy(**changes: Any) -> Recipe:
    return Recipe(**{**CHAT.model_dump(), **changes})


def test_chat_comes_from_the_instruct_model(trio: dict[str, Path], tmp_path: Path) -> None:
    out = merge(CHAT, trio, tmp_path / "out")
    assert (out / "chat_template.jinja").read_text() == TEMPLATE
    assert read(out / "tokenizer_config.json")["eos_token"] == "<|im_end|>"
    assert read(out / "config.json")["eos_token_id"] == 2
    assert read(out / "generation_config.json")["eos_token_id"] == 2
    assert read(out / "config.json")["bos_token_id"] == 0
    assert read(out / "config.json")["pad_token_id"] == 1


def test_how_to_generate_is_the_instruct_model_s(trio: dict[str, Path], tmp_path: Path) -> None:
    change_json(trio["base"] / "generation_config.json", temperature=0.1, top_p=0.5)
    change_json(trio["instruct"] / "generation_config.json", temperature=0.7)
    generation = read(merge(CHAT, trio, tmp_path / "out") / "generation_config.json")
    assert generation["temperature"] == 0.7 and "top_p" not in generation


def test_without_an_instruct_model_everything_is_the_base_s(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    change_json(trio["base"] / "generation_config.json", temperature=0.3)
    recipe = Recipe(method="ties", base="base", models=[{"model": "expert"}])
    out = merge(recipe, trio, tmp_path / "out")
    assert not (out / "chat_template.jinja").exists()
    assert read(out / "config.json")["eos_token_id"] == 0
    assert read(out / "generation_config.json")["temperature"] == 0.3


def test_eos_is_the_same_everywhere_even_if_the_instruct_model_disagrees_with_itself(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    """Its tokenizer's eos leads; other ids that end a generation are kept."""
    change_json(trio["instruct"] / "config.json", eos_token_id=0)
    change_json(trio["instruct"] / "generation_config.json", eos_token_id=[0, 5])
    out = merge(CHAT, trio, tmp_path / "out")
    assert read(out / "tokenizer_config.json")["eos_token"] == "<|im_end|>"
    assert read(out / "config.json")["eos_token_id"] == 2
    assert read(out / "generation_config.json")["eos_token_id"] == [2, 0, 5]


def test_generation_config_is_made_where_there_is_none(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    for folder in trio.values():
        (folder / "generation_config.json").unlink()
    out = merge(CHAT, trio, tmp_path / "out")
    assert read(out / "generation_config.json") == {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }


def test_eos_spelled_out_as_an_added_token(trio: dict[str, Path], tmp_path: Path) -> None:
    spelled = {"content": "<|im_end|>", "special": True}
    change_json(trio["instruct"] / "tokenizer_config.json", eos_token=spelled)
    change_json(trio["instruct"] / "config.json", eos_token_id=0)
    out = merge(CHAT, trio, tmp_path / "out")
    assert read(out / "config.json")["eos_token_id"] == 2


@pytest.mark.parametrize("form", ["text", "list"])
def test_templates_of_older_tokenizer_configs(
    form: str, trio: dict[str, Path], tmp_path: Path
) -> None:
    (trio["instruct"] / "chat_template.jinja").unlink()
    templates: Any = "old {{ messages }}"
    if form == "list":
        templates = [
            {"name": "default", "template": templates},
            {"name": "tool_use", "template": "tools"},
            {"name": "../../escape", "template": "bad"},
        ]
    change_json(trio["instruct"] / "tokenizer_config.json", chat_template=templates)
    out = merge(CHAT, trio, tmp_path / "out")
    assert (out / "chat_template.jinja").read_text() == "old {{ messages }}"
    assert "chat_template" not in read(out / "tokenizer_config.json")
    more = sorted(file.name for file in out.glob("additional_chat_templates/*"))
    assert more == (["tool_use.jinja"] if form == "list" else [])
    assert not (tmp_path / "escape.jinja").exists()


def test_policies_choose_other_donors(trio: dict[str, Path], tmp_path: Path) -> None:
    (trio["expert"] / "chat_template.jinja").write_text("expert's")
    assert (
        merge(with_policy(chat_template="expert"), trio, tmp_path / "a") / "chat_template.jinja"
    ).read_text() == "expert's"
    none = merge(with_policy(chat_template="none"), trio, tmp_path / "b")
    assert not (none / "chat_template.jinja").exists()
    of_base = merge(with_policy(tokenizer="base"), trio, tmp_path / "c")
    assert read(of_base / "tokenizer_config.json")["eos_token"] == "<|end|>"
    assert read(of_base / "config.json")["eos_token_id"] == 0
    # the template is still the instruct model's: nobody asked for another
    assert (of_base / "chat_template.jinja").read_text() == TEMPLATE


def test_an_expert_s_template_is_used_when_nobody_else_has_one(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    (trio["expert"] / "chat_template.jinja").write_text("expert's")
    recipe = Recipe(method="ties", base="base", models=[{"model": "expert"}])
    out = merge(recipe, trio, tmp_path / "out")
    assert (out / "chat_template.jinja").read_text() == "expert's"


def test_config_is_the_base_s_without_its_origin(trio: dict[str, Path], tmp_path: Path) -> None:
    change_json(
        trio["base"] / "config.json",
        _name_or_path="/home/somebody/base",
        auto_map={"AutoModel": "x.Y"},
        max_position_embeddings=77,
        torch_dtype="bfloat16",
        dtype=None,
    )
    out = merge(with_policy(dtype="float32"), trio, tmp_path / "out")
    config = read(out / "config.json")
    assert config["max_position_embeddings"] == 77
    assert config["torch_dtype"] == "float32" and "dtype" not in config
    assert "_name_or_path" not in config and "auto_map" not in config


def test_tokenizer_files_are_copied_byte_for_byte(trio: dict[str, Path], tmp_path: Path) -> None:
    (trio["instruct"] / "tokenizer.model").write_bytes(b"\x00\xff")
    (trio["instruct"] / "modeling_evil.py").write_text("raise SystemExit")
    out = merge(CHAT, trio, tmp_path / "out")
    for name in ("tokenizer.json", "tokenizer.model"):
        assert (out / name).read_bytes() == (trio["instruct"] / name).read_bytes()
    assert not list(out.glob("*.py"))


def card_of(out: Path) -> tuple[dict[str, Any], str]:
    _, metadata, body = (out / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(metadata), body


def test_card_tells_lineage_method_licence_and_scores(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    for folder in trio.values():
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# x\n")
    named = with_policy(name="Chat finance")
    scores = {"math": {"merge": 0.5, "base": 0.25}, "chat": {"merge": 1.0}}
    metadata, body = card_of(merge(named, trio, tmp_path / "out", scores=scores))
    assert metadata["license"] == "apache-2.0"
    assert metadata["library_name"] == "transformers" and "merge" in metadata["tags"]
    assert body.lstrip().startswith("# Chat finance")
    assert "| expert | expert | 1 | apache-2.0 |" in body
    assert "2212.04089" in body and "theta_0 + lambda" in body
    assert "| math | 0.500 | 0.250 |" in body and "| chat | 1.000 |  |" in body
    assert "All parents are under apache-2.0" in body


def test_card_of_parents_under_different_licences(trio: dict[str, Path], tmp_path: Path) -> None:
    (trio["base"] / "README.md").write_text("---\nlicense: mit\n---\n")
    (trio["expert"] / "README.md").write_text(
        "---\nlicense: other\nlicense_name: special-terms\n---\n"
    )
    (trio["instruct"] / "README.md").write_text("---\n: [broken\n---\n")
    metadata, body = card_of(merge(CHAT, trio, tmp_path / "out"))
    assert "license" not in metadata
    assert "| mit |" in body and "special-terms" in body and "not declared" in body
    assert "licences differ" in body


def test_nothing_of_this_machine_is_in_the_folder(trio: dict[str, Path], tmp_path: Path) -> None:
    out = merge(CHAT, trio, tmp_path / "out")
    for file in out.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name


def test_a_parent_given_as_a_folder_shows_its_name_only_in_the_lineage(
    trio: dict[str, Path], tmp_path: Path
) -> None:
    ref = str(trio["expert"])
    recipe = Recipe(method="ties", base="base", models=[{"model": ref}])
    metadata, body = card_of(merge(recipe, {**trio, ref: trio["expert"]}, tmp_path / "out"))
    assert "base_model" not in metadata
    assert "| expert | expert | 1 |" in body


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("5GB", 5 * 10**9), ("500 mb", 5 * 10**8), ("2GiB", 2**31), ("1.5GB", 15 * 10**8)],
)
def test_sizes_of_files(text: str, n_bytes: int) -> None:
    assert read_shard_size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "5", "GB", "-1GB", "1kB", "0MB", "5XB", "nan GB", "1e3MB"])
def test_what_is_no_size_of_a_file(text: str) -> None:
    with pytest.raises(RecipeError, match="size|small"):
        read_shard_size(text)


def test_the_system_takes_what_it_is_asked_to_store(tmp_path: Path) -> None:
    ask = storing._sync_file_range()
    if ask is None:
        pytest.skip("this system has no such call")
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        assert ask(file.fileno(), 0, 1 << 20, storing.SYNC_FILE_RANGE_WRITE) == 0
        assert ask(file.fileno(), -1, 1 << 20, storing.SYNC_FILE_RANGE_WRITE) == -1
    # what goes wrong there is left to fsync
    storing.begin_to_store(-1, 0, 1)


def test_every_window_of_a_file_is_given_to_the_disk_once_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(sinks, "WINDOW", 100)
    monkeypatch.setattr(sinks, "begin_to_store", lambda _, place, size: asked.append((place, size)))
    tensors = {"a": OutputTensor("BF16", (500,))}
    data = bytes(range(250)) * 4
    with sinks.FolderSink(tmp_path, tensors, max_shard_bytes=10**9, metadata={}) as sink:
        for start in range(0, 500, 90):
            sink.write_bytes("a", start, memoryview(data)[2 * start : 2 * min(start + 90, 500)])
    (file,) = tmp_path.glob("*.safetensors")
    n_bytes = file.stat().st_size
    assert file.read_bytes()[-1000:] == data
    header = n_bytes - 1000
    covered = [place for begin, size in asked for place in range(begin, begin + size)]
    first = header // 100 * 100
    assert covered == list(range(first, n_bytes // 100 * 100))
