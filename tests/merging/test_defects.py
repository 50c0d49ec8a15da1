"""The defects found in mergekit 0.1.5 by running it, one test each: what happens here instead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.engine import merge_to_folder
from merging.errors import MergeFailure, ModelError, RecipeError
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish, stored

PROJECT = Path(__file__).resolve().parents[2]


def merge(recipe: Recipe, folders: dict[str, Path], out: Path, **options: Any) -> Path:
    _, path = finish(merge_to_folder(recipe, folders, out, **options))
    return Path(path)


def read(folder: Path, name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / name).read_text())
    return data


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_01_the_donor_of_config_and_tokenizer_is_not_random(
    family: dict[str, Path], tmp_path: Path
) -> None:
    """It changed with PYTHONHASHSEED; here it is the first model, or the instruct model."""
    code = """
import sys
from pathlib import Path
from merging.engine import merge_to_folder
from merging.recipes.recipe import Recipe
root, out = map(Path, sys.argv[1:])
listed = [{"model": "math"}, {"model": "finance"}, {"model": "base"}]
recipe = Recipe(method="linear", models=listed)
list(merge_to_folder(recipe, {one["model"]: root / one["model"] for one in listed}, out))
"""
    for number, name in enumerate(("finance", "math", "base")):
        models.change_json(family[name] / "config.json", rope_theta=float(number))
    try:
        found = set()
        for seed in range(3):
            out = tmp_path / str(seed)
            root = str(family["base"].parent)
            subprocess.run(
                [sys.executable, "-c", code, root, str(out)],
                check=True,
                cwd=PROJECT,
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
            )
            found.add((read(out, "config.json")["rope_theta"], weights(out)))
        assert [theta for theta, _ in found] == [1.0]  # math's, which the recipe names first
    finally:
        for name in ("finance", "math", "base"):
            models.change_json(family[name] / "config.json", rope_theta=None)


def test_02_the_number_of_threads_is_not_ignored(
    family: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--write-threads had no effect; here that many tensors are merged side by side."""
    import threading

    from merging.streaming import on_cpu

    merge_step, meeting, seen = on_cpu.merge_step, threading.Barrier(3, timeout=60), set()

    def met(*arguments: Any) -> None:
        """The first tensor of each thread waits for those of two others."""
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            meeting.wait()
        merge_step(*arguments)

    monkeypatch.setattr(on_cpu, "merge_step", met)
    recipe = Recipe(method="linear", models=[{"model": "finance"}, {"model": "math"}])
    for _ in merge_to_folder(recipe, family, tmp_path / "out", threads=3):
        pass
    assert len(seen) == 3


def test_03_arcee_fusion_writes_the_dtype_it_says(family: dict[str, Path], tmp_path: Path) -> None:
    """It wrote float32 under a config that says bfloat16."""
    recipe = Recipe(
        method="arcee_fusion", base="base", models=[{"model": "finance"}], dtype="bfloat16"
    )
    out = merge(recipe, family, tmp_path / "out")
    assert {tensor.dtype for tensor in stored(out).values()} == {torch.bfloat16}
    assert read(out, "config.json")["dtype"] == "bfloat16"


def test_04_sce_keeps_its_weights_however_small_the_task_vectors(tmp_path: Path) -> None:
    """Below a mean square of 1e-6 it fell back to equal weights."""
    base = {name: tensor.float() for name, tensor in models.weights(0).items()}
    generator = torch.Generator().manual_seed(1)
    noise = [
        {name: torch.randn(tensor.shape, generator=generator) for name, tensor in base.items()}
        for _ in range(2)
    ]
    name = "model.layers.0.mlp.up_proj.weight"
    shares = []
    for scale in (1.0, 100.0):
        folders = {"base": models.write_model(tmp_path / f"base{scale}", base, dtype=torch.float32)}
        for model, size, drawn in zip(("a", "b"), (5e-4, 1e-4), noise, strict=True):
            tuned = {key: base[key] + size * scale * drawn[key] for key in base}
            folders[model] = models.write_model(
                tmp_path / f"{model}{scale}", tuned, dtype=torch.float32
            )
        recipe = Recipe(
            method="sce",
            base="base",
            models=[{"model": "a"}, {"model": "b"}],
            options={"select_topk": 1.0},
        )
        merged = stored(merge(recipe, folders, tmp_path / f"out{scale}"))[name]
        deltas = [stored(folders[one])[name] - base[name] for one in ("a", "b")]
        alike = deltas[0].sign() == deltas[1].sign()
        solution = torch.linalg.lstsq(
            torch.stack([delta[alike] for delta in deltas], 1), (merged - base[name])[alike, None]
        ).solution
        shares.append(float(solution[0] / solution.sum()))
    assert shares == [pytest.approx(25 / 26, abs=0.02)] * 2


@pytest.mark.parametrize("name", ["densty", "lamda"])
def test_05_a_misspelt_option_is_refused(name: str) -> None:
    """It ran with the default and said nothing."""
    with pytest.raises(RecipeError, match=name) as caught:
        Recipe(method="ties", base="base", models=[{"model": "a"}], options={name: 0.1})
    if name == "densty":
        assert "density" in str(caught.value)
    text = f"merge_method: ties\nbase_model: b\nparameters: {{{name}: 0.1}}\nmodels: [{{model: a}}]"
    with pytest.raises(RecipeError, match=name):
        Recipe.from_yaml(text)


def test_06_what_ends_an_answer_is_the_same_everywhere(
    family: dict[str, Path], tmp_path: Path
) -> None:
    """The tokenizer said <|im_end|>, the config the base's token, and the third file was gone."""
    listed = [{"model": "finance"}, {"model": "instruct", "role": "instruct"}]
    recipe = Recipe(method="task_arithmetic", base="base", models=listed)
    out = merge(recipe, family, tmp_path / "out")
    ends = 2
    assert models.VOCABULARY[ends] == read(out, "tokenizer_config.json")["eos_token"]
    assert read(out, "config.json")["eos_token_id"] == ends
    said = read(out, "generation_config.json")["eos_token_id"]
    assert said == ends or said[0] == ends


def test_07_the_chat_template_is_not_lost(family: dict[str, Path], tmp_path: Path) -> None:
    """With the same vocabulary, and a base without a template, the result had none."""
    listed = [{"model": "finance"}, {"model": "instruct", "role": "instruct"}]
    recipe = Recipe(method="task_arithmetic", base="base", models=listed)
    out = merge(recipe, family, tmp_path / "out")
    assert (out / "chat_template.jinja").read_text() == models.TEMPLATE


@pytest.mark.parametrize("tokenizer", ["auto", "base"])
def test_08_the_rows_of_the_embedding_are_kept(tokenizer: str, tmp_path: Path) -> None:
    """64 rows became as many as the tokenizer has tokens."""
    base = models.weights(0, vocabulary=64)
    tuned = models.tuned(base, 1)
    changes = {"vocab_size": 64}
    folders = {
        "base": models.write_model(tmp_path / "base", base, changes=changes),
        "tuned": models.write_model(tmp_path / "tuned", tuned, chat=True, changes=changes),
    }
    recipe = Recipe(
        method="task_arithmetic",
        base="base",
        models=[{"model": "tuned", "role": "instruct"}],
        tokenizer=tokenizer,
    )
    out = merge(recipe, folders, tmp_path / "out")
    assert stored(out)["model.embed_tokens.weight"].shape == (64, models.HIDDEN)
    assert read(out, "config.json")["vocab_size"] == 64


def test_09_a_merged_head_is_not_dropped(tmp_path: Path) -> None:
    """A tied base beside an untied model: the file had a head that loaders ignored."""
    transformers = pytest.importorskip("transformers")
    base = models.weights(0, tied=True)
    tuned = models.tuned(base, 1)
    tuned["lm_head.weight"] = models.weights(5)["lm_head.weight"]
    folders = {
        "base": models.write_model(tmp_path / "base", base),
        "tuned": models.write_model(tmp_path / "tuned", tuned),
    }
    recipe = Recipe(method="linear", models=[{"model": "tuned"}, {"model": "base"}])
    out = merge(recipe, folders, tmp_path / "out")
    assert read(out, "config.json")["tie_word_embeddings"] is False
    expected = (tuned["lm_head.weight"].bfloat16().float()
                + base["model.embed_tokens.weight"].bfloat16().float()) / 2  # fmt: skip
    loaded = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert torch.equal(loaded.lm_head.weight.detach(), expected.bfloat16())


def test_10_masks_belong_to_model_and_tensor(family: dict[str, Path], tmp_path: Path) -> None:
    """Two runs differed; with a seed, a third model of weight 0 changed the result."""
    listed = [{"model": "finance"}, {"model": "math"}]
    options = {"density": 0.5}
    two = Recipe(method="dare_linear", base="base", models=listed, options=options)
    turned = Recipe(method="dare_linear", base="base", models=listed[::-1], options=options)
    three = Recipe(
        method="dare_linear",
        base="base",
        models=[*listed, {"model": "instruct", "weight": 0.0}],
        options=options,
    )
    found = [
        stored(merge(recipe, family, tmp_path / str(i)))
        for i, recipe in enumerate((two, two, turned, three))
    ]
    for other in found[1:]:
        assert all(torch.equal(found[0][name], other[name]) for name in found[0])


def test_11_della_takes_density_and_rows_of_one_element(tmp_path: Path) -> None:
    """Density 0.9 was refused with the default epsilon; rows of length 1 gave NaN."""
    base = {**models.weights(0), "model.layers.0.self_attn.gate.weight": torch.randn(16, 1)}
    folders = {"base": models.write_model(tmp_path / "base", base)}
    for seed, name in enumerate(("a", "b"), 1):
        folders[name] = models.write_model(tmp_path / name, models.tuned(base, seed))
    for density in (0.5, 0.9, 1.0):
        recipe = Recipe(
            method="della",
            base="base",
            models=[{"model": "a"}, {"model": "b"}],
            options={"density": density},
        )
        out = merge(recipe, folders, tmp_path / f"out{density}")
        assert all(bool(tensor.isfinite().all()) for tensor in stored(out).values())


@pytest.mark.parametrize("weights_", [(1.0, -1.0), (0.0, 0.0)])
def test_12_weights_that_sum_to_zero_are_refused(
    weights_: tuple[float, float], family: dict[str, Path], tmp_path: Path
) -> None:
    """A file of NaN was written, without an error."""
    listed = [
        {"model": name, "weight": weight}
        for name, weight in zip(("finance", "math"), weights_, strict=True)
    ]
    with pytest.raises(RecipeError, match="sum|zero|0"):
        merge(Recipe(method="linear", models=listed), family, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_12_nan_in_a_parent_is_an_error(family: dict[str, Path], tmp_path: Path) -> None:
    bad = models.weights(3)
    bad["model.norm.weight"][2] = float("nan")
    folders = {**family, "bad": models.write_model(tmp_path / "bad", bad)}
    recipe = Recipe(method="linear", models=[{"model": "finance"}, {"model": "bad"}])
    with pytest.raises(ModelError, match="bad holds NaN in tensor model.norm.weight"):
        merge(recipe, folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_13_a_model_may_be_merged_with_itself(family: dict[str, Path], tmp_path: Path) -> None:
    """It was refused as a duplicate."""
    recipe = Recipe(
        method="linear",
        models=[{"model": "finance", "weight": 0.25}, {"model": "finance", "weight": 0.75}],
    )
    out = merge(recipe, family, tmp_path / "out")
    parent = stored(family["finance"])
    assert all(torch.equal(tensor, parent[name]) for name, tensor in stored(out).items())


def test_14_an_output_folder_is_never_written_over(family: dict[str, Path], tmp_path: Path) -> None:
    """Old shards stayed beside the new ones, and a crash left some without an index."""
    out = tmp_path / "out"
    recipe = Recipe(method="linear", models=[{"model": "finance"}, {"model": "math"}])
    merge(recipe, family, out, max_shard_bytes=2000)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(MergeFailure, match="exists already"):
        merge(recipe, family, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    events = merge_to_folder(recipe, family, tmp_path / "crashed", max_shard_bytes=2000)
    next(event for event in events if event["kind"] == "progress")
    events.close()
    assert list(tmp_path.iterdir()) == [out]
