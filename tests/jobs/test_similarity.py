"""Asking for a comparison: from the queue to the stored result, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from db.engine import close_databases, session
from db.queries import jobs as job_rows
from db.tables import Job
from jobs.errors import JobError
from jobs.kinds import similarity as kind
from jobs.models import independence, registry, similarity
from jobs.models.similarity_tables import Found
from jobs.running import inline, prepare, queue
from merging.errors import MergeFailure, ModelError
from tests.merging import models

NAMES = ["sandbox/finance", "sandbox/instruct", "sandbox/math"]


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CRUCIBLE_WARM", "0")
    monkeypatch.setenv("CRUCIBLE_LAUNCHER", "plain")
    registry.ensure_sandbox()
    yield home
    close_databases()


def work(choice: similarity.Choice) -> list[dict[str, Any]]:
    """Do what the worker would, in this process."""
    group = similarity.ask(choice)
    assert group is not None
    claim = queue.claim("test", "cpu", group=group)
    assert claim is not None
    events = list(kind.run(prepare.complete(claim)))
    queue.finish(claim, "done", result=events[-1])
    return events


def compared(models_: list[str], base: str | None = None) -> Found:
    choice = similarity.choose(models_, base)
    work(choice)
    return similarity.needed(choice)


def test_from_the_queue_to_the_result(home: Path) -> None:
    choice = similarity.choose(NAMES, "sandbox/base")
    assert similarity.find(choice) is None
    group = similarity.ask(choice)
    assert group is not None and len(group) <= 40
    assert similarity.ask(choice) == group  # asked twice, queued once
    (job,) = job_rows.group(group)
    assert job.title == "Compare the weights of sandbox/finance, sandbox/instruct and sandbox/math"
    (done,) = inline.run_group_inline(group, lambda rows: None)
    assert done.state == "done", done.error
    found = similarity.needed(choice)
    assert [row["model"] for row in found.models()] == NAMES
    # the smallest case of all: the same numbers as by transformers-free numpy in test_scan
    assert found.models()[0]["relative_norm"] == pytest.approx(0.1821, abs=1e-4)


def test_a_second_ask_is_answered_at_once_in_any_order(home: Path) -> None:
    work(similarity.choose(NAMES, "sandbox/base"))
    again = similarity.choose(NAMES[::-1], "sandbox/base")
    assert similarity.ask(again) is None
    found = similarity.find(again)
    assert found is not None
    pairs = {(row["first"], row["second"]): row for row in found.pairs()}
    assert pairs["sandbox/finance", "sandbox/math"]["task_cosine"] == pytest.approx(
        0.1143, abs=1e-4
    )
    assert similarity.find(similarity.choose(NAMES)) is None  # without the base: something else
    assert similarity.find(similarity.choose(NAMES[:2], "sandbox/base")) is None


def test_other_names_of_the_same_weights(home: Path, tmp_path: Path) -> None:
    work(similarity.choose(NAMES[:2], "sandbox/base"))
    copy = shutil.copytree(registry.SANDBOX / "finance", tmp_path / "renamed")
    found = similarity.find(similarity.choose([str(copy), NAMES[1]], "sandbox/base"))
    assert found is not None
    assert [row["model"] for row in found.models()] == ["renamed", "sandbox/instruct"]


def test_changed_weights_are_compared_again(home: Path, tmp_path: Path) -> None:
    base = models.weights(0)
    folders = [models.write_model(tmp_path / f"m{i}", models.tuned(base, i)) for i in range(2)]
    choice = similarity.choose([str(one) for one in folders])
    work(choice)
    assert similarity.find(choice) is not None
    shutil.rmtree(folders[0])
    models.write_model(folders[0], models.tuned(base, 7))
    assert similarity.find(choice) is None
    work(choice)
    assert similarity.find(choice) is not None
    shutil.rmtree(folders[0])
    with pytest.raises(ModelError, match="is gone"):
        similarity.find(choice)


def test_a_damaged_result_is_made_again(home: Path) -> None:
    choice = similarity.choose(NAMES[:2])
    file = similarity.folder_of_results() / work(choice)[-1]["file"]
    file.write_bytes(file.read_bytes()[:500])
    assert similarity.find(choice) is None
    work(choice)
    assert similarity.find(choice) is not None
    assert [one.name for one in similarity.folder_of_results().iterdir()] == [file.name]


def test_a_model_that_was_never_fingerprinted_is_not_read_for_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "READ_AT_ONCE_BYTES", 0)
    base = models.weights(0)
    folders = [models.write_model(tmp_path / f"m{i}", models.tuned(base, i)) for i in range(2)]
    choice = similarity.choose([str(one) for one in folders])
    assert [row.fingerprint for row in choice.models] == [None, None]
    monkeypatch.setattr("merging.checkpoints.fingerprints.fingerprint", lambda *_, **__: 1 / 0)
    work(choice)
    assert similarity.find(choice) is not None


def test_a_full_disk_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MergeFailure, match=r"cannot be written to .*No space left on device"):
        work(similarity.choose(NAMES[:2]))
    assert list(similarity.folder_of_results().iterdir()) == []


@pytest.mark.parametrize(
    ("given", "base", "part"),
    [
        (NAMES[:1], None, "Choose 2 to 8 different models"),
        ([NAMES[0], NAMES[0]], None, "there are 1"),
        ([], "sandbox/base", "Choose 2 to 8"),
        ([*NAMES, "sandbox/base"], "sandbox/base", "is the base and among the models"),
        (["sandbox/finanse", NAMES[0]], None, "There is no model “sandbox/finanse”"),
    ],
)
def test_what_is_refused(home: Path, given: list[str], base: str | None, part: str) -> None:
    with pytest.raises((JobError, ModelError), match=part.replace("(", r"\(")):
        similarity.choose(given, base)


def test_a_merge_in_memory_has_no_weights_to_read(home: Path) -> None:
    from db.engine import transaction

    with transaction() as opened:
        registry.add_row(opened, "thought", {"role": "merge", "source": ""})
    with pytest.raises(JobError, match="never written"):
        similarity.choose(["thought", NAMES[0]])


def test_models_that_do_not_fit_fail_the_job_in_one_sentence(home: Path, tmp_path: Path) -> None:
    other = models.write_model(tmp_path / "other", models.weights(0))
    group = similarity.ask(similarity.choose([str(other), NAMES[0]]))
    assert group is not None
    (row,) = inline.run_group_inline(group, lambda rows: None)
    assert row.state == "failed"
    assert row.error is not None and "Compare models of one" in row.error


def test_an_adapter_beside_its_base(home: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
              "base_model_name_or_path": "sandbox/base", "task_type": "CAUSAL_LM"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    shapes = json.loads((registry.SANDBOX / "base" / "config.json").read_text())
    hidden = shapes["hidden_size"]
    heads = shapes["num_attention_heads"] * shapes.get("head_dim", hidden // 1)
    at = "base_model.model.model.layers.0.self_attn.q_proj"
    generator = torch.Generator().manual_seed(0)
    pair = {f"{at}.lora_A.weight": torch.randn(2, hidden, generator=generator),
            f"{at}.lora_B.weight": torch.randn(heads, 2, generator=generator)}  # fmt: skip
    save_file(pair, folder / "adapter_model.safetensors")
    found = compared([str(folder), "sandbox/finance"], "sandbox/base")
    delta = 2.0 * pair[f"{at}.lora_B.weight"] @ pair[f"{at}.lora_A.weight"]
    norm = next(row["task_norm"] for row in found.models() if row["model"] == "adapter")
    assert norm == pytest.approx(float(delta.norm()), rel=1e-3)


def test_tables(home: Path) -> None:
    found = compared(NAMES, "sandbox/base")
    rows = found.numbers()
    n_tensors = len(found.similarity.names)
    # three pairs of models, three of a model and the base, and three models for themselves
    assert len(rows) == n_tensors * 9
    text = pd.DataFrame(rows).to_csv(index=False)
    again = list(csv.DictReader(io.StringIO(text)))
    assert {"tensor", "layer", "module", "first", "second", "task_cosine"} <= set(again[0])
    drawn = found.map(found.measures["task_cosine"], (1, 2))
    assert drawn.rows[0] == "embeddings" and drawn.rows[1] == "layer 0"
    cell = drawn.cells[1][drawn.columns.index("q_proj")]
    assert cell is not None and cell.tensor == "model.layers.0.self_attn.q_proj.weight"
    assert drawn.cells[0][0] is None
    ratio = found.measures["task_ratio"]
    values = {found.called(ratio, one): found.overall(ratio, one) for one in found.subjects(ratio)}
    assert list(values) == [
        "sandbox/finance / sandbox/instruct",
        "sandbox/finance / sandbox/math",
        "sandbox/instruct / sandbox/math",
    ]
    norms = {row["model"]: row["task_norm"] for row in found.models()}
    assert values["sandbox/finance / sandbox/math"] == pytest.approx(
        norms["sandbox/finance"] / norms["sandbox/math"]
    )
    assert json.loads(json.dumps(found.data(), allow_nan=False))["base"] == "sandbox/base"


def test_a_copy_of_the_base_has_no_direction(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(registry.SANDBOX / "base", tmp_path / "copy")
    found = compared([str(copy), NAMES[0]], "sandbox/base")
    (said,) = found.verdicts()
    assert said.verdict == "none"
    assert said.text.startswith("copy and sandbox/finance have no cosine")
    assert found.pairs()[0]["task_cosine"] is None


@pytest.mark.parametrize(
    ("cosine", "verdict"),
    [(0.0, "independent"), (-0.099, "independent"), (0.1, "partly"), (0.29, "partly"),
     (0.3, "alike"), (1.0, "alike"), (-0.1, "opposed"), (float("nan"), "none")],
)  # fmt: skip
def test_verdicts(cosine: float, verdict: str) -> None:
    assert independence.verdict(cosine) == verdict
    assert independence.sentence("a", "b", cosine).startswith("a and b ")


def test_a_cancelled_comparison_leaves_nothing(home: Path) -> None:
    choice = similarity.choose(NAMES[:2])
    group = similarity.ask(choice)
    assert group is not None
    claim = queue.claim("test", "cpu", group=group)
    assert claim is not None
    events = kind.run(prepare.complete(claim))
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert list(similarity.folder_of_results().iterdir()) == []
    with session() as opened:
        assert opened.get_one(Job, claim.job_id).state == "running"
