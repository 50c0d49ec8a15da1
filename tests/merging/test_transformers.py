"""The merged folder in plain transformers, in a process of its own that has nothing of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from merging.engine import merge_to_folder
from merging.errors import ModelError
from merging.in_memory import merge_into, merge_to_model
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish, stored

PROJECT = Path(__file__).resolve().parents[2]
SANDBOX = PROJECT / "sandbox"

# loads a folder, and computes the same model from tensors merged without our code
CHECK = """
import json, sys
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
out, base, finance, instruct = sys.argv[1:5]
merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(out)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
b, f, i = (load_file(folder + "/model.safetensors") for folder in (base, finance, instruct))
state = {n: (b[n].double() + (f[n].double() - b[n].double()) + (i[n].double() - b[n].double()))
         .to(torch.bfloat16).float() for n in b}
problems = model.load_state_dict(state, strict=False)
assert not problems.unexpected_keys, problems
ids = torch.arange(3, 35)[None]
with torch.no_grad():
    difference = (merged(ids).logits - model(ids).logits).abs().max().item()
    spread = merged(ids).logits.std().item()
chat = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
answer = merged.generate(ids, max_new_tokens=3, do_sample=False)
print(json.dumps({"difference": difference, "spread": spread, "chat": chat,
  "eos": [merged.config.eos_token_id, merged.generation_config.eos_token_id,
          tokenizer.eos_token_id], "length": answer.shape[1], "ours": "merging" in sys.modules,
  "tied": merged.lm_head.weight.data_ptr() == merged.model.embed_tokens.weight.data_ptr()}))
"""


def check(folders: dict[str, Path], out: Path) -> dict[str, object]:
    places = [str(out), *(str(folders[name]) for name in ("base", "finance", "instruct"))]
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *places],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=out,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def recipe_for(prefix: str = "") -> Recipe:
    return Recipe(
        method="instruction_residual",
        base=f"{prefix}base",
        models=[
            {"model": f"{prefix}finance"},
            {"model": f"{prefix}instruct", "role": "instruct"},
        ],
        dtype="bfloat16",
    )


def test_a_tiny_llama(family: dict[str, Path], tmp_path: Path) -> None:
    finish(merge_to_folder(recipe_for(), family, tmp_path / "out", max_shard_bytes=5000))
    found = check(family, tmp_path / "out")
    assert found["eos"] == [2, 2, 2]
    assert found["chat"] == "user: hello<|im_end|>"
    assert found["difference"] < 2e-2 * float(str(found["spread"])), found
    assert found["ours"] is False and found["tied"] is False


@pytest.mark.skipif(not (SANDBOX / "instruct").is_dir(), reason="the sandbox is not built yet")
def test_the_sandbox_family(tmp_path: Path) -> None:
    recipe = recipe_for("sandbox/")
    folders = {ref: PROJECT / ref for ref in recipe.references}
    finish(merge_to_folder(recipe, folders, tmp_path / "out"))
    found = check({Path(ref).name: folder for ref, folder in folders.items()}, tmp_path / "out")
    config, generation, tokenizer = found["eos"]  # type: ignore[misc]
    assert config == tokenizer
    assert tokenizer in (generation if isinstance(generation, list) else [generation])
    assert "hello" in str(found["chat"])
    assert found["difference"] < 2e-2 * float(str(found["spread"])), found
    assert found["tied"] is True


def test_a_merge_in_memory_is_the_merge_on_disk(tmp_path: Path) -> None:
    base = models.weights(0, tied=True)
    folders = {"base": models.write_model(tmp_path / "base", base)}
    for seed, name in enumerate(("finance", "instruct"), 1):
        folders[name] = models.write_model(
            tmp_path / name, models.tuned(base, seed), chat=name == "instruct"
        )
    recipe = Recipe(
        method="ties", base="base", models=[{"model": "finance"}, {"model": "instruct"}]
    )
    finish(merge_to_folder(recipe, folders, tmp_path / "out"))
    events, (model, tokenizer) = finish(merge_to_model(recipe, folders, device="cpu"))
    on_disk = stored(tmp_path / "out")
    in_memory = dict(model.named_parameters())
    assert set(in_memory) == set(on_disk)
    for name, tensor in on_disk.items():
        assert in_memory[name].data.equal(tensor), name
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.training and model.dtype == torch.bfloat16
    assert tokenizer("word1 word2").input_ids == [4, 5]
    assert events[-1]["kind"] == "result"
    # another dtype than the recipe's, for a machine that wants it
    _, (wide, _) = finish(merge_to_model(recipe, folders, device="cpu", dtype="float32"))
    assert wide.dtype == torch.float32
    with torch.no_grad():
        ids = torch.arange(3, 20)[None]
        torch.testing.assert_close(
            wide(ids).logits, model(ids).logits.float(), rtol=0.05, atol=0.05
        )


def test_a_merge_into_a_model_in_memory_is_the_merge_on_disk(
    family: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    recipe = recipe_for()
    finish(merge_to_folder(recipe, family, tmp_path / "out"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    places = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    events, _ = finish(merge_into(recipe, family, model))
    assert events[-1]["kind"] == "result"
    for name, tensor in stored(tmp_path / "out").items():
        assert model.state_dict()[name].equal(tensor), name
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == places


def test_a_model_in_memory_of_another_shape_is_refused(
    family: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    finish(merge_to_folder(recipe_for(), family, tmp_path / "out"))
    config = AutoConfig.from_pretrained(tmp_path / "out")
    for key, text in (
        ("num_hidden_layers", "has no tensor"),
        ("vocab_size", "in the model in memory"),
    ):
        other = AutoConfig.from_pretrained(tmp_path / "out", **{key: getattr(config, key) - 1})
        with pytest.raises(ModelError, match=text):
            finish(merge_into(recipe_for(), family, AutoModelForCausalLM.from_config(other)))
    config.num_hidden_layers += 1
    with pytest.raises(ModelError, match="has no tensor for model.layers"):
        finish(merge_into(recipe_for(), family, AutoModelForCausalLM.from_config(config)))
