"""A study before its start, against the real registry, suite and models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import cli
from db.engine import transaction
from db.queries import models as model_rows
from db.tables import Evaluation
from evaluation.configs import config_hash, task_configs
from evaluation.suites import load_suite
from jobs import devices
from jobs.models import registry
from jobs.studies import measured, planning
from merging.errors import ModelError
from studies.design import Design
from studies.errors import StudyError

PROJECT = Path(__file__).resolve().parents[2]
SANDBOX = PROJECT / "sandbox"
Values = dict[str, torch.Tensor]


def design(**values: Any) -> Design:
    given = {
        "name": "n",
        "base": "sandbox/base",
        "experts": {"finance": "sandbox/finance", "math": "sandbox/math"},
        "methods": [{"method": "ties", "grid": {"density": [0.2, 0.5]}}],
        "suite": "sandbox",
    }
    return Design(**{**given, **values})


def experts(folder: Path | str) -> dict[str, str]:
    return {"finance": "sandbox/finance", "mine": str(folder)}


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Values], Values]], Path]:
    """A copy of the math expert with other weights."""

    def make(change: Callable[[Values], Values]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(SANDBOX / "math", folder)
        file = folder / "model.safetensors"
        save_file(change(load_file(file)), file, metadata={"format": "pt"})
        return folder

    return make


def test_the_shipped_study_fits_here(home: Path) -> None:
    text = (PROJECT / "recipes" / "studies" / "sandbox-three-stages.yaml").read_text()
    made = planning.plan(Design.from_yaml(text))
    assert made.merges == 149 and made.parents == 5 and made.tasks == 24
    assert made.items == sum(made.reporting.items.values()) * 2
    assert made.unknown == () and made.warnings == ()
    assert made.ram_bytes is not None and made.ram_bytes < 2_000_000_000
    assert made.basis.startswith("a rough guess")
    assert made.reporting.mean is not None and 0.02 < made.reporting.mean < 0.08


def enter(model: str, task: str, seconds: float, n: int) -> None:
    with transaction() as opened:
        opened.add(Evaluation(
            model_id=registry.register_model(model), model_fingerprint="0" * 64, suite="sandbox",
            task=task, domain="d", task_version="1", metric="acc", value=0.5, stderr=0.1, n=n,
            config={}, config_hash=f"{model} {task} {n}", prompts_hash="p", seconds=seconds,
        ))  # fmt: skip


def test_times_are_those_measured_here(home: Path) -> None:
    registry.ensure_sandbox()
    for model, seconds in (("sandbox/base", 1.0), ("sandbox/math", 3.0), ("sandbox/finance", 2.0)):
        enter(model, "sandbox_math_words", seconds, 100)
    enter("sandbox/base", "sandbox_math_words", 9.0, 10)  # a short run: all overhead
    enter("sandbox/base", "sandbox_cross_finance_math", 4.0, 20)
    size = 1_537_440
    told = measured.task_seconds("sandbox", {"sandbox_math_words": 100}, size)
    assert told == {"sandbox_math_words": 2.0}
    told = measured.task_seconds("sandbox", {"sandbox_cross_finance_math": 40}, size)
    assert told == {"sandbox_cross_finance_math": pytest.approx(8.0)}
    assert measured.task_seconds("sandbox", {"sandbox_math_words": 100}, size * 3) == {}
    assert measured.task_seconds("other", {"sandbox_math_words": 100}, size) == {}
    near = measured.of_like_models(size * 5)
    assert near == (pytest.approx((1 + 3 + 2 + 9 + 4) / (300 + 10 + 20)), size)
    one = design(tasks=["sandbox_math_words", "sandbox_cross_finance_math"])
    assert planning.plan(one).basis.startswith("measured")


def test_models_of_another_kind_are_refused(
    home: Path, changed: Callable[[Callable[[Values], Values]], Path]
) -> None:
    torch.manual_seed(0)
    folder = changed(
        lambda values: {
            name: torch.randn(one.shape).to(one.dtype) if one.ndim > 1 else one
            for name, one in values.items()
        }
    )
    with pytest.raises(StudyError, match="has the shapes of sandbox/base but does not come from"):
        planning.plan(design(experts=experts(folder)))


def test_models_of_another_size_are_refused(
    home: Path, changed: Callable[[Callable[[Values], Values]], Path]
) -> None:
    folder = changed(
        lambda values: {
            name: one[..., : one.shape[-1] // 2].contiguous() for name, one in values.items()
        }
    )
    with pytest.raises(StudyError, match="Merge models of one size only"):
        planning.plan(design(experts=experts(folder)))


def test_one_model_under_two_names_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="finance and mine have the same folder"):
        planning.plan(design(experts=experts(SANDBOX / "finance")))
    shutil.copytree(SANDBOX / "finance", tmp_path / "copy")
    with pytest.raises(StudyError, match="finance and mine have the same weights"):
        planning.plan(design(experts=experts(tmp_path / "copy")))
    with pytest.raises(StudyError, match="base and mine have the same folder"):
        planning.plan(design(experts=experts(SANDBOX / "base")))


def test_models_that_are_nowhere(home: Path) -> None:
    with pytest.raises(ModelError, match='Did you mean the registered model "sandbox/math"?'):
        planning.plan(design(experts=experts("sandbox/mathe")))
    made = planning.plan(design(experts=experts("org/model-7b")))
    assert any("org/model-7b is not on this machine" in text for text in made.warnings)
    assert "guessed" not in " ".join(made.warnings)  # the base is here
    far = design(base="org/base-8B", experts={"a": "org/a", "b": "org/b"})
    made = planning.plan(far)
    assert "guessed from the size in the base's name" in made.warnings[0]
    assert made.ram_bytes is not None and made.ram_bytes > 32_000_000_000
    assert registry.names().keys() == {f"sandbox/{one}" for one in registry.SANDBOX_ORDER}


def test_one_item_is_too_few(home: Path) -> None:
    with pytest.raises(StudyError, match="Only 1 item is left to report on"):
        planning.plan(design(limit=2, tasks=["sandbox_math_words"]))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("meta-llama/Meta-Llama-3-8B", 8_000_000_000),
        ("rinna/nekomata-14b-instruction", 14_000_000_000),
        ("Qwen/Qwen2.5-0.5B", 500_000_000),
        ("EleutherAI/pythia-160m", 160_000_000),
        ("org/bert-base", None),
        ("org/model-v0.1", None),
    ],
)
def test_sizes_in_names(name: str, size: int | None) -> None:
    assert planning.size_in_name(name) == size


def test_the_plan_in_a_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "study.yaml"
    file.write_text(design().to_yaml())
    assert cli.main(["study", str(file), "--plan", "--json", str(home / "plan.json")]) == 0
    said = capsys.readouterr().out
    assert "6 (stage 1: 4, stage 2: 2)" in said
    assert "no checkpoint is written" in said and "smallest difference of the mean" in said
    assert '"merges": 6' in (home / "plan.json").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory."),
        ("name: [", "The study is not valid YAML"),
        ("method: ties\nmodels: []\n", "This is the recipe of one merge, not a study"),
        ("name: x\nbase: b\nexperts: {a: c, d: e}\nsuite: s\n", "neither methods nor an instruct"),
        (design(suite="sandbix").to_yaml(), "There is no suite 'sandbix'"),
        (design(suite="pfmt-bench-fin-ja").to_yaml(), "for reporting only"),
    ],
)
def test_bad_studies_in_a_terminal(
    home: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    file = home / "study.yaml"
    if text is not None:
        file.write_text(text)
    assert cli.main(["study", str(file)]) == 2
    err = capsys.readouterr().err.strip()
    assert said in err and len(err.splitlines()) == 1


def test_parents_are_scored_only_under_this_very_configuration(home: Path) -> None:
    registry.ensure_sandbox()
    one = design(tasks=["sandbox_math_words"])
    config = task_configs(load_suite("sandbox"), None, "float32")["sandbox_math_words"]
    for model, marks in (
        ("sandbox/base", (None, None)),
        ("sandbox/math", ("0" * 64, None)),  # its weights were others then
        ("sandbox/finance", (None, "another configuration")),
    ):
        row = model_rows.model(model)
        assert row is not None and row.fingerprint is not None
        with transaction() as opened:
            opened.add(Evaluation(
                model_id=row.id, model_fingerprint=marks[0] or row.fingerprint, suite="sandbox",
                task="sandbox_math_words", domain="d", task_version="1", metric="acc", value=0.5,
                stderr=0.1, n=100, config=config, config_hash=marks[1] or config_hash(config),
                prompts_hash="p", seconds=1.0,
            ))  # fmt: skip
    made = planning.plan(one)
    assert made.parents == 3 and made.parents_scored == (1 if devices.devices() == ["cpu"] else 0)
    assert planning.plan(design()).parents_scored == 0  # of all tasks none has every score
