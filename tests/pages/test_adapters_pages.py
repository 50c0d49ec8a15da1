"""Extracting a LoRA from a model's page, and adding adapters and pickles where a model is added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from streamlit.testing.v1 import AppTest

from db.queries import jobs as job_rows
from db.queries import models as model_rows
from jobs.models import registry
from tests.merging import models
from tests.pages.test_shell import text_of

Open = Callable[..., AppTest]


def test_a_lora_is_asked_for_on_the_page_of_a_model(open_page: Open, sandbox: None) -> None:
    app = open_page("model_detail", name="sandbox/finance")
    assert app.selectbox(key="extract_base").value == "sandbox/base"
    assert "sandbox/finance" not in app.selectbox(key="extract_base").options
    app.number_input(key="extract_rank").set_value(4)
    app.radio(key="extract_others").set_value("whole")
    app.button(key="extract_start").click().run()
    job = job_rows.recent(1)[0]
    assert (job.kind, job.title) == ("extract", "Extract finance-lora-4")
    assert (job.spec["rank"], job.spec["others"]) == (4, "whole")
    assert job.spec["base"]["name"] == "sandbox/base"


def test_a_name_that_is_taken_is_said(open_page: Open, sandbox: None) -> None:
    app = open_page("model_detail", name="sandbox/finance")
    app.text_input(key="extract_name").set_value("sandbox")
    app.button(key="extract_start").click().run()
    app = open_page("model_detail", name="sandbox/finance")
    app.text_input(key="extract_name").set_value("a/b")
    app.button(key="extract_start").click().run()
    assert "cannot be used" in app.error[0].value


def test_an_adapter_is_added_and_has_a_page(open_page: Open, sandbox: None, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "my-lora")
    app = open_page("model_list")
    app.text_input(key="models_add_ref").set_value(str(folder))
    button(app, "Add model").click().run()
    assert not app.error, [one.value for one in app.error]
    row = model_rows.model("my-lora")
    assert row is not None and row.role == "expert"
    app = open_page("model_detail", name="my-lora")
    assert "LoRA of rank 2" in text_of(app)
    assert not [one for one in app.button if one.key == "extract_start"]


def test_a_broken_adapter_is_refused_in_a_sentence(
    open_page: Open, sandbox: None, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "my-lora")
    models.change_json(folder / "adapter_config.json", peft_type="IA3")
    app = open_page("model_list")
    app.text_input(key="models_add_ref").set_value(str(folder))
    button(app, "Add model").click().run()
    assert "only LoRA can be applied" in app.error[0].value
    assert model_rows.model("my-lora") is None


def test_a_pickle_needs_its_tick(open_page: Open, sandbox: None, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    models.write_model(folder, {})
    (folder / "model.safetensors").unlink()
    torch.save(models.weights(0), folder / "pytorch_model.bin")
    app = open_page("model_list")
    app.text_input(key="models_add_ref").set_value(str(folder))
    button(app, "Add model").click().run()
    assert "tick it where you add the model" in app.error[0].value
    app.checkbox(key="models_add_pickle").check()
    button(app, "Add model").click().run()
    assert not app.error, [one.value for one in app.error]
    row = model_rows.model("old")
    assert row is not None
    assert set(load_file(Path(row.source) / "model.safetensors")) == set(models.weights(0))


def adapter(folder: Path) -> Path:
    """A LoRA on the sandbox's base, made by hand."""
    folder.mkdir()
    base = registry.SANDBOX / "base"
    weight = load_file(base / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{module}.lora_A.weight": torch.ones(2, weight.shape[1]),
        f"{module}.lora_B.weight": torch.ones(weight.shape[0], 2),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    models.write(folder / "adapter_config.json", {**config, "base_model_name_or_path": str(base)})
    return folder


def button(app: AppTest, label: str):  # type: ignore[no-untyped-def]
    return next(one for one in app.button if one.label == label)
