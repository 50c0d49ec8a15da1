"""The answer before anything starts: compatibility, and does it fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from merging.engine import merge_to_folder
from merging.errors import ModelError
from merging.planning.fit import Needs, check_fit
from merging.planning.plan import Plan, plan
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import VOCABULARY, change_json, finish, tokenizer_json

RECIPE = Recipe(method="task_arithmetic", base="base", models=[{"model": "expert"}])


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    base = models.weights(0)
    return {
        "base": models.write_model(tmp_path / "base", base),
        "expert": models.write_model(tmp_path / "expert", models.tuned(base, 1)),
    }


def states(found: Plan) -> dict[str, str]:
    return {check.title: check.state for check in found.checks}


def test_a_good_plan(pair: dict[str, Path], tmp_path: Path) -> None:
    found = plan(RECIPE, pair, tmp_path / "out", device="cpu")
    assert found.ok
    assert set(states(found).values()) == {"ok"}, found.checks
    assert {"Architecture", "Tensors", "Shapes", "Tokenizer", "Memory", "Disk"} <= set(
        states(found)
    )
    needs = found.needs
    assert needs.disk_bytes and needs.disk_bytes > 5000
    assert needs.ram_bytes < needs.ram_free_bytes
    assert needs.vram_bytes is None and 0 < needs.seconds < 5
    in_memory = plan(RECIPE, pair, None, device="cpu")
    assert in_memory.needs.disk_bytes is None
    assert in_memory.needs.ram_bytes > needs.ram_bytes


def other_architecture(folder: Path) -> None:
    change_json(folder / "config.json", architectures=["MistralForCausalLM"], model_type="mistral")


def fewer_tensors(folder: Path) -> None:
    rewrite(folder, {n: t for n, t in models.weights(0).items() if "layers.1.mlp.up" not in n})


def more_rows(folder: Path) -> None:
    tensors = models.weights(0)
    larger = models.weights(0, vocabulary=len(VOCABULARY) + 16)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = larger[name]
    rewrite(folder, tensors)


def other_shape(folder: Path) -> None:
    tensors = models.weights(0)
    tensors["model.layers.0.mlp.up_proj.weight"] = models.weights(0)["model.norm.weight"]
    rewrite(folder, tensors)


def other_heads(folder: Path) -> None:
    change_json(folder / "config.json", num_attention_heads=4)


def quantised(folder: Path) -> None:
    change_json(folder / "config.json", quantization_config={"quant_method": "gptq"})


def whole_numbers(folder: Path) -> None:
    tensors = models.weights(0)
    tensors["model.norm.weight"] = tensors["model.norm.weight"].int()
    rewrite(folder, tensors)


def moved_tokens(folder: Path) -> None:
    swapped = [*VOCABULARY[:3], VOCABULARY[4], VOCABULARY[3], *VOCABULARY[5:]]
    models.write(folder / "tokenizer.json", tokenizer_json(swapped))


def another_token(folder: Path) -> None:
    models.write(folder / "tokenizer.json", tokenizer_json([*VOCABULARY[:-1], "other"]))


def another_tokenizer_file(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"x")


def rewrite(folder: Path, tensors: Any) -> None:
    kept = (folder / "config.json").read_text()
    made = models.write_model(folder.parent / "made", tensors)
    (made / "model.safetensors").replace(folder / "model.safetensors")
    (folder / "config.json").write_text(kept)


def formless_tokenizer(folder: Path) -> None:
    models.write(folder / "tokenizer.json", {"model": "x", "added_tokens": 3})


BAD: list[tuple[Callable[[Path], None], str, list[str]]] = [
    (other_architecture, "Architecture", ["LlamaForCausalLM", "MistralForCausalLM"]),
    (fewer_tensors, "Tensors", ["expert lacks model.layers.1.mlp.up_proj.weight"]),
    (other_shape, "Shapes", ["model.layers.0.mlp.up_proj.weight", "[24, 16]", "[16]"]),
    (other_heads, "Config", ["num_attention_heads is 2 in base and 4 in expert"]),
    (quantised, "Weights", ["expert is quantised"]),
    (whole_numbers, "Data types", ["model.norm.weight", "I32"]),
    (formless_tokenizer, "Tokenizer", ["The tokenizer files of base", "differ"]),
    (another_tokenizer_file, "Tokenizer", ["tokenizer.model"]),
]


@pytest.mark.parametrize(("spoil", "title", "parts"), BAD, ids=[bad[0].__name__ for bad in BAD])
def test_parents_that_do_not_fit(
    spoil: Callable[[Path], None],
    title: str,
    parts: list[str],
    pair: dict[str, Path],
    tmp_path: Path,
) -> None:
    spoil(pair["expert"])
    found = plan(RECIPE, pair, tmp_path / "out", device="cpu")
    assert not found.ok
    bad = next(check for check in found.checks if check.state == "bad")
    assert bad.title == title
    assert all(part in bad.detail for part in parts), bad.detail
    assert bad.fix.endswith(".")
    # the engine refuses it in the same words, and leaves nothing
    with pytest.raises(ModelError) as caught:
        finish(merge_to_folder(RECIPE, pair, tmp_path / "out", device="cpu"))
    assert str(caught.value) == f"{bad.detail} {bad.fix}"
    assert not (tmp_path / "out").exists()


def more_context(folder: Path) -> None:
    change_json(folder / "config.json", max_position_embeddings=128)


def code(folder: Path) -> None:
    change_json(folder / "config.json", auto_map={"AutoModel": "x.Y"})


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def additional_token(folder: Path) -> None:
    models.write(folder / "tokenizer.json", tokenizer_json([*VOCABULARY, "<|new|>"]))


def other_splitting(folder: Path) -> None:
    change_json(folder / "tokenizer.json", pre_tokenizer={"type": "WhitespaceSplit"})


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (more_rows, "48 in base and 64 in expert. The merge has 48."),
        (moved_tokens, "expert numbers 2 tokens (word1 and word0) otherwise than the merge"),
        (another_token, "expert lacks 1 token (word44) of the merge's tokenizer, and gets"),
    ],
)
def test_vocabularies_are_lined_up(
    spoil: Callable[[Path], None], part: str, pair: dict[str, Path], tmp_path: Path
) -> None:
    spoil(pair["expert"])
    found = plan(RECIPE, pair, tmp_path / "out", device="cpu")
    assert found.ok
    assert any(part in check.detail for check in found.checks), found


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (more_context, "max_position_embeddings is 64 in base and 128 in expert"),
        (code, "code of its own"),
        (no_tokenizer, "expert has no tokenizer file"),
        (additional_token, "expert has 1 token (<|new|>) more"),
        (other_splitting, "split text differently (pre_tokenizer)"),
    ],
)
def test_what_only_deserves_a_warning(
    spoil: Callable[[Path], None], part: str, pair: dict[str, Path], tmp_path: Path
) -> None:
    spoil(pair["expert"])
    found = plan(RECIPE, pair, tmp_path / "out", device="cpu")
    assert found.ok
    assert any(part in check.detail for check in found.checks if check.state == "warn"), found
    events, _ = finish(merge_to_folder(RECIPE, pair, tmp_path / "out", device="cpu"))
    assert any(part in event.get("text", "") for event in events)


def test_chat_template_is_looked_for(pair: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(
        method="task_arithmetic", base="base", models=[{"model": "expert", "role": "instruct"}]
    )
    assert states(plan(recipe, pair, None, device="cpu"))["Chat template"] == "warn"
    (pair["base"] / "chat_template.jinja").write_text("x")
    assert states(plan(recipe, pair, None, device="cpu"))["Chat template"] == "ok"


def test_output_that_exists(pair: dict[str, Path], tmp_path: Path) -> None:
    assert not plan(RECIPE, pair, tmp_path, device="cpu").ok
    (tmp_path / "file").write_text("")
    assert not plan(RECIPE, pair, tmp_path / "file" / "out", device="cpu").ok


def test_it_blocks_only_what_certainly_does_not_fit() -> None:
    def needs(**changes: Any) -> Needs:
        some = {
            "ram_bytes": 100,
            "ram_free_bytes": 1000,
            "vram_bytes": None,
            "vram_free_bytes": None,
            "disk_bytes": 100,
            "disk_free_bytes": 1000,
            "seconds": 1.0,
        }
        return Needs(**{**some, **changes})

    def state(title: str, **changes: Any) -> str:
        return {check.title: check.state for check in check_fit(needs(**changes))}[title]

    assert state("Memory") == state("Disk") == "ok"
    assert state("Memory", ram_bytes=1500) == "warn"
    assert state("Memory", ram_bytes=2500) == "bad"
    assert state("Disk", disk_bytes=950) == "warn"
    assert state("Disk", disk_bytes=1001) == "bad"
    assert state("GPU memory", vram_bytes=2000, vram_free_bytes=1000) == "bad"


def test_headers_of_an_8b_model_take_less_than_a_second(tmp_path: Path) -> None:
    """Sparse files: only the headers have content."""
    import time

    header: dict[str, Any] = {}
    place = 0
    shapes = {"model.embed_tokens.weight": [128256, 4096], "lm_head.weight": [128256, 4096]}
    for layer in range(32):
        for part, shape in {
            "self_attn.q_proj": [4096, 4096],
            "self_attn.k_proj": [1024, 4096],
            "self_attn.v_proj": [1024, 4096],
            "self_attn.o_proj": [4096, 4096],
            "mlp.gate_proj": [14336, 4096],
            "mlp.up_proj": [14336, 4096],
            "mlp.down_proj": [4096, 14336],
            "input_layernorm": [4096],
            "post_attention_layernorm": [4096],
        }.items():
            shapes[f"model.layers.{layer}.{part}.weight"] = shape
    for name, shape in shapes.items():
        size = 2
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    folders = {}
    for ref in ("base", "expert"):
        folders[ref] = models.write_model(
            tmp_path / ref, {}, changes={"tie_word_embeddings": False}
        )
        with (tmp_path / ref / "model.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + place)
    started = time.perf_counter()
    found = plan(RECIPE, folders, tmp_path / "out", device="cpu")
    assert time.perf_counter() - started < 1.0
    assert found.needs.disk_bytes is not None and found.needs.disk_bytes > 16e9
    # bounded memory: far less than the model
    assert found.needs.ram_bytes < 700e6


def test_the_plan_says_whether_the_models_come_from_the_base(
    pair: dict[str, Path], tmp_path: Path
) -> None:
    found = [c for c in plan(RECIPE, pair, None, device="cpu").checks if c.title == "Origin"]
    assert [check.state for check in found] == ["ok"]
    assert "expert is derived from base" in found[0].detail
    rewrite(pair["expert"], models.weights(7))
    strange = plan(RECIPE, pair, None, device="cpu")
    assert not strange.ok and states(strange)["Origin"] == "bad"
    averaged = Recipe.from_yaml("method: linear\nmodels: [{model: base}, {model: expert}]\n")
    mean = plan(averaged, pair, None, device="cpu")
    assert mean.ok and states(mean)["Origin"] == "warn"
    parts = [{"sources": [{"model": one, "layers": [0, 1]}]} for one in ("base", "expert")]
    both = [{"model": "base"}, {"model": "expert"}]
    stacked = Recipe(method="passthrough", models=both, slices=parts)  # layers are not averaged
    assert "Origin" not in states(plan(stacked, pair, None, device="cpu"))
