"""Adapters through the app: extracted, registered, merged, scored; and pickles after consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from chat.errors import ChatError
from db.queries import jobs as job_rows
from db.queries import models as model_rows
from db.queries.jobs import JobRow
from jobs import chat
from jobs.errors import JobError
from jobs.models import extracting, pickles, registry
from jobs.running import api
from jobs.running.inline import run_group_inline
from jobs.terminal import direct
from merging.errors import MergingError, ModelError
from tests.merging.models import change_json


@pytest.fixture
def adapter(home: Path) -> str:
    """A LoRA of the sandbox's finance model, in the registry as "finance-lora"."""
    registry.ensure_sandbox()
    out = home.parent / "finance-lora"
    events = list(
        extracting.extract(
            "sandbox/finance", "sandbox/base", out, rank=999, others="whole", dtype="float32"
        )
    )
    assert events[-1]["name"] == "finance-lora"
    assert events[-1]["captured"] == pytest.approx(1)
    return "finance-lora"


def finish(group: str) -> list[JobRow]:
    rows = run_group_inline(group, lambda rows: None)
    assert [row.state for row in rows] == ["done"] * len(rows), [row.error for row in rows]
    return list(rows)


def recipe(*refs: str, base: str | None = "sandbox/base", method: str = "task_arithmetic") -> str:
    lines = [f"method: {method}", *([f"base: {base}"] if base else []), "models:"]
    return "\n".join([*lines, *(f"  - model: {ref}" for ref in refs), ""])


def weights(row: JobRow) -> dict[str, torch.Tensor]:
    assert row.result is not None
    return load_file(Path(row.result["out"]) / "model.safetensors")


def test_an_adapter_is_registered_as_an_expert(adapter: str) -> None:
    row = model_rows.model(adapter)
    assert row is not None
    assert (row.role, row.fingerprint, row.architecture) == ("expert", None, "LoRA of rank 999")
    assert row.n_parameters and row.size_bytes


def test_an_adapter_is_merged_and_scored_like_the_expert(adapter: str) -> None:
    """Of full rank, the merge is the one of the expert itself, up to rounding."""
    group = api.merge_and_benchmark(
        recipe(adapter, "sandbox/math"), name="with-lora", suite="sandbox", limit=2
    )
    rows = finish(group)
    assert {row.kind for row in rows} == {"merge", "evaluate"}
    plain = finish(api.merge_and_benchmark(recipe("sandbox/finance", "sandbox/math"), name="plain"))
    found, expected = weights(rows[0]), weights(plain[0])
    assert set(found) == set(expected)
    for name, value in expected.items():
        step = 2.0**-7 * value.float().abs().max()
        assert (found[name].float() - value.float()).abs().max() <= step
    again = api.merge_and_benchmark(recipe(adapter, "sandbox/math"), name="again")
    assert "used again" in finish(again)[0].stage or (weights_are_reused(again))


def weights_are_reused(group: str) -> bool:
    return bool((job_rows.group(group)[0].result or {}).get("reused"))


def test_base_plus_adapter(adapter: str) -> None:
    ref = f"sandbox/base+{adapter}"
    plan = registry.compatibility(recipe(ref))
    assert plan.ok and any("applied to sandbox/base" in check.detail for check in plan.checks)
    rows = finish(api.merge_and_benchmark(recipe(ref, base=None, method="passthrough"), name="p"))
    expert = load_file(registry.SANDBOX / "finance" / "model.safetensors")
    for name, value in weights(rows[0]).items():
        torch.testing.assert_close(value.float(), expert[name].float(), rtol=1e-2, atol=1e-3)
    with pytest.raises(JobError, match="no LoRA adapter"):
        api.merge_and_benchmark(recipe("sandbox/base+sandbox/math"))


@pytest.mark.parametrize(
    ("ref", "part"),
    [
        ("sandbox/bse+finance-lora", "Did you mean sandbox/base"),
        ("sandbox/base+sandbox/math", "no LoRA adapter"),
        ("sandbox/base+/nowhere", "There is no model"),
    ],
)
def test_a_misspelt_pair_in_the_terminal(adapter: str, tmp_path: Path, ref: str, part: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(recipe(ref))
    with pytest.raises(JobError, match=part):
        list(direct.merge(str(file), tmp_path / "out"))


def test_a_pair_in_the_terminal(adapter: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(recipe(f"sandbox/base+{adapter}"))
    assert list(direct.merge(str(file), tmp_path / "out"))[-1]["name"] == "out"


def test_the_base_that_is_named_is_gone(adapter: str) -> None:
    """Then the recipe's base serves; without one a sentence says what to do."""
    row = model_rows.model(adapter)
    assert row is not None
    change_json(Path(row.source) / "adapter_config.json", base_model_name_or_path="/nowhere/base")
    job = finish(api.merge_and_benchmark(recipe(adapter), name="served"))[0]
    assert "is not to be had" in " ".join((job.result or {})["warnings"])
    with pytest.raises(ModelError, match=r"BASE\+ADAPTER"):
        registry.compatibility(recipe(adapter, base=None, method="passthrough"))


def test_one_does_not_chat_with_a_bare_adapter(adapter: str) -> None:
    with pytest.raises(ChatError, match="merge it first"):
        chat.folder_of(adapter)


def test_an_extraction_in_the_queue(home: Path) -> None:
    registry.ensure_sandbox()
    row = model_rows.model("sandbox/finance")
    assert row is not None and extracting.likely_base(row) == "sandbox/base"
    number = extracting.ask("sandbox/finance", "sandbox/base", rank=4)
    job = job_rows.job(number)
    assert job is not None and job.group is not None
    done = finish(job.group)[0]
    assert done.result is not None and 0 < done.result["captured"] < 1
    made = model_rows.model("finance-lora-4")
    assert made is not None and made.role == "expert"
    with pytest.raises(JobError, match="already"):
        extracting.ask("sandbox/finance", "sandbox/base", rank=4, name="finance-lora-4")


def pickled(folder: Path, content: Any) -> Path:
    folder.mkdir()
    for file in (registry.SANDBOX / "finance").iterdir():
        if file.suffix in (".json", ".jinja"):
            (folder / file.name).write_bytes(file.read_bytes())
    torch.save(content, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_is_registered_after_consent_only(home: Path, tmp_path: Path) -> None:
    content = load_file(registry.SANDBOX / "finance" / "model.safetensors")
    folder = pickled(tmp_path / "old-finance", content)
    with pytest.raises(ModelError, match="tick it where you add the model"):
        registry.register_model(str(folder))
    number = registry.register_model(str(folder), convert_pickle=True)
    row = model_rows.model(number)
    assert row is not None and row.name == "old-finance"
    assert Path(row.source).is_relative_to(home)
    copy = load_file(Path(row.source) / "model.safetensors")
    assert all(copy[name].equal(value) for name, value in content.items())
    assert registry.register_model(str(folder), convert_pickle=True) == number
    assert pickles.place(folder) == Path(row.source)


def test_a_malicious_pickle_is_not_registered(home: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "was-here",)

    folder = pickled(tmp_path / "evil", {"a": torch.ones(2), "b": Evil()})
    with pytest.raises(MergingError, match="was not run"):
        registry.register_model(str(folder), convert_pickle=True)
    assert not (tmp_path / "was-here").exists()
    assert model_rows.model("evil") is None
