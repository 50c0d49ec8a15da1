"""The health report: right figures, and every fault found by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging.checkpoints.checkpoint import Checkpoint
from merging.engine import merge_to_folder
from merging.health import loading, report, weights
from merging.health.examine import examine
from merging.health.report import Health
from merging.health.tally import Numbers
from merging.output.card import with_health
from merging.planning.checks import Check
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish, stored

TIES = Recipe(method="ties", base="base", models=[{"model": "finance"}, {"model": "math"}])


def merged(family: dict[str, Path], out: Path, recipe: Recipe = TIES, **changes: Any) -> Path:
    options = {key: changes.pop(key) for key in ("chunk_elements", "device") if key in changes}
    recipe = Recipe(**{**recipe.model_dump(), **changes})
    _, path = finish(merge_to_folder(recipe, family, out, **options))
    return Path(path)


def look(folder: Path, **options: Any) -> dict[str, Check]:
    _, health = finish(examine(folder, **{"load": False, **options}))
    return {check.title: check for check in health.checks}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("method", ["ties", "task_arithmetic", "sce"])
def test_the_figures_are_those_of_the_tensors(
    method: str, dtype: str, family: dict[str, Path], tmp_path: Path
) -> None:
    """Counted while merging; here again from the float32 merge of the same recipe."""
    recipe = Recipe(**{**TIES.model_dump(), "method": method, "options": {}})
    # of the size that bfloat16 loses: half of its spacing around these weights
    small = {name: dict(load_file(family[name] / "model.safetensors")) for name in family}
    folders = {"base": family["base"]}
    for name in ("finance", "math"):
        near = {
            key: base.float() + 2**-7 * (small[name][key].float() - base.float())
            for key, base in small["base"].items()
        }
        folders[name] = models.write_model(tmp_path / name, near, dtype=torch.float32)
    exact = stored(merged(folders, tmp_path / "exact", recipe, dtype="float32"))
    out = merged(folders, tmp_path / "out", recipe, dtype=dtype)
    found = json.loads((out / "health.json").read_text())["tensors"]
    target = getattr(torch, dtype)
    lost = changed = 0
    for name, base in stored(family["base"]).items():
        values, base = exact[name], base.float()
        differs = values != base
        back = differs & (values.to(target) == base.to(target))
        assert found[name]["norm"] == pytest.approx(float(values.double().norm()), rel=1e-6)
        assert found[name]["reference"] == pytest.approx(float(base.double().norm()), rel=1e-6)
        assert (found[name]["changed"], found[name]["lost"]) == (int(differs.sum()),
                                                                 int(back.sum()))  # fmt: skip
        lost, changed = lost + int(back.sum()), changed + int(differs.sum())
    assert (lost > 0.1 * changed) == (dtype == "bfloat16")
    check = {one.title: one for one in report.read(out).checks}["Rounding"]  # type: ignore[union-attr]
    assert check.detail.startswith("None" if lost == 0 else f"{100 * lost / changed:.2g}"[:2])


def test_the_figures_are_the_same_on_a_torch_device(
    family: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = merged(family, tmp_path / "plain")
    monkeypatch.setattr("merging.engine.choose_devices", lambda device: ["cpu", "cpu"])
    device = merged(family, tmp_path / "device", chunk_elements=50)
    assert (plain / "health.json").read_text() == (device / "health.json").read_text()


def test_without_a_base_norms_are_those_beside_the_first_model(
    family: dict[str, Path], tmp_path: Path
) -> None:
    recipe = Recipe(method="linear", models=[{"model": "math"}, {"model": "finance"}])
    out = merged(family, tmp_path / "out", recipe)
    data = json.loads((out / "health.json").read_text())
    # the order of the computation goes by content, not by name
    assert data["reference"] in ("math", "finance")
    first = stored(family[data["reference"]])["model.norm.weight"].double().norm()
    assert data["tensors"]["model.norm.weight"]["reference"] == pytest.approx(float(first), 1e-6)
    assert "Rounding" not in {one["title"] for one in data["checks"]}


def test_a_merge_carries_its_report_and_its_card_says_it(
    family: dict[str, Path], tmp_path: Path
) -> None:
    out = merged(family, tmp_path / "out")
    health = report.read(out)
    assert health is not None and health.state == "ok"
    card = (out / "README.md").read_text()
    assert report.in_words(health) in card
    bad = health.with_checks([Check("Generation", "bad", "It fails: $1 \\1.", "Try another.")])
    again = with_health(card, bad)
    assert "✗ **Generation.** It fails: $1 \\1. Try another." in again
    assert with_health(again, health) == card
    assert with_health("# somebody's own card", health) == "# somebody's own card"


def test_a_later_look_keeps_what_only_the_merge_could_count(
    family: dict[str, Path], tmp_path: Path
) -> None:
    out = merged(family, tmp_path / "out")
    assert "rounded back" in look(out)["Rounding"].detail
    tensors = load_file(out / "model.safetensors")
    tensors["model.norm.weight"] *= 1.5
    save_file(tensors, out / "model.safetensors")
    with Checkpoint.open(family["base"]) as base:
        checks = look(out, reference=base)
    assert "Rounding" not in checks
    assert checks["Norms"].state == "warn" and "model.norm.weight (1." in checks["Norms"].detail


def test_a_report_that_is_damaged_is_no_report(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"version": 1, "checks": [{}], "tensors": {}}', "\x00"):
        (tmp_path / "health.json").write_text(text)
        assert report.read(tmp_path) is None


@pytest.fixture
def model(family: dict[str, Path], tmp_path: Path) -> Path:
    """A model with a chat template that a test may spoil."""
    return Path(shutil.copytree(family["instruct"], tmp_path / "model"))


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    found = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        found.pop(name, None)
        if tensor is not None:
            found[name] = tensor
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_sound_model(model: Path) -> None:
    _, health = finish(examine(model))
    # weights drawn at random say something at random, perhaps over and over
    assert {one.title for one in health.checks if one.state != "ok"} <= {"Generation"}
    assert health.reply
    assert [check.title for check in health.checks] == [
        title for title in report.ORDER if title != "Rounding"
    ]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_nan_and_infinity_are_counted(value: float, dtype: torch.dtype, model: Path) -> None:
    wrong = torch.ones(models.HIDDEN, dtype=dtype)
    wrong[3], wrong[7] = value, value
    change(model, **{"model.norm.weight": wrong})
    check = look(model)["Numbers"]
    assert check.state == "bad"
    assert check.detail == "NaN or infinity in model.norm.weight: 2 entries."


def test_a_tensor_of_zeros(model: Path) -> None:
    change(model, **{"model.norm.weight": torch.zeros(models.HIDDEN)})
    assert look(model)["Norms"].detail == "All of model.norm.weight is zero."


def test_outliers_by_hand() -> None:
    ratios = {f"t{i}": 1.0 + i / 1000 for i in range(20)}
    assert weights.outliers(ratios) == {}
    assert list(weights.outliers({**ratios, "a": 1.2})) == []  # within a quarter
    assert list(weights.outliers({**ratios, "a": 1.3, "b": 0.4})) == ["b", "a"]
    wide = {f"t{i}": 1.0 + i / 20 for i in range(20)}
    assert list(weights.outliers({**wide, "a": 2.1})) == ["a"]  # 2 is the limit for all


def test_a_merge_that_changes_nothing_says_so() -> None:
    numbers = {"t": Numbers(4, 1.0, 1.0, changed=0.0, lost=0.0)}
    checks = weights.checks(numbers, reference="base", dtype="bfloat16", wrong={})
    assert checks[-1].state == "warn" and "changes nothing" in checks[-1].detail


@pytest.mark.parametrize(
    "file, changes, title, state, words",
    [
        ("config.json", {"eos_token_id": 48}, "Token ids", "bad", "has 48 rows, and eos_token_id"),
        ("config.json", {"pad_token_id": 99}, "Token ids", "bad", "pad_token_id of the config is"),
        ("config.json", {"vocab_size": 50}, "Token ids", "bad", "vocab_size is 50"),
        ("generation_config.json", {"bos_token_id": 50}, "Token ids", "bad", "generation config"),
        ("config.json", {"eos_token_id": 0}, "End of text", "warn", "different ends"),
        ("tokenizer_config.json", {"eos_token": "word4"}, "End of text", "bad", "do not agree"),
        ("generation_config.json", {"eos_token_id": [7, 2]}, "End of text", "ok", "Token 2 ends"),
        ("config.json", {"tie_word_embeddings": True}, "Output head", "bad", "which loaders drop"),
    ],
)
def test_files_that_do_not_agree(
    file: str, changes: dict[str, Any], title: str, state: str, words: str, model: Path
) -> None:
    models.change_json(model / file, **changes)
    check = look(model)[title]
    assert (check.state, words in check.detail) == (state, True), check


def test_a_tokenizer_larger_than_the_embedding(model: Path) -> None:
    models.write(model / "tokenizer.json", models.tokenizer_json([*models.VOCABULARY, "new"]))
    check = look(model)["Token ids"]
    assert check.detail == 'The embedding has 48 rows, and token "new" is 48.'


def test_heads(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    change(model, **{"lm_head.weight": None})
    assert "is not there" in look(model)["Output head"].detail
    models.change_json(model / "config.json", tie_word_embeddings=True)
    assert look(model)["Output head"].detail == "The output head is the embedding."
    change(model, **{"lm_head.weight": tensors["model.embed_tokens.weight"]})
    check = look(model)["Output head"]
    assert check.state == "ok" and "is a copy" in check.detail


@pytest.mark.parametrize(
    "template, state, words",
    [
        ("{{ messages[0].content", "bad", "It does not render: "),
        ("{% for m in messages %}{{ m.nothing.deep }}{% endfor %}", "bad", "It does not render: "),
        ("{{ raise_exception('never') }}", "bad", "It refuses a plain conversation: never"),
        (
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}"
            "{% endif %}{{ m.content }}{% endfor %}",
            "ok",
            "refuses a system message",
        ),
        (
            "{% for m in messages if m.role != 'user' %}{{ m.content }}{% endfor %}",
            "bad",
            "leaves out what the user says",
        ),
        (
            "{{ bos_token }}{% for m in messages %}{% generation %}{{ m.content | tojson }}"
            "{% endgeneration %}{% if loop.last %}{% break %}{% endif %}{% endfor %}"
            "{{ strftime_now('%Y') }}",
            "ok",
            "It renders",
        ),
        ("{{ ''.__class__.__mro__ }}", "bad", "It does not render: "),
    ],
)
def test_templates(template: str, state: str, words: str, model: Path) -> None:
    (model / "chat_template.jinja").write_text(template)
    check = look(model)["Chat template"]
    assert (check.state, words in check.detail) == (state, True), check


def test_tensors_that_are_missing_or_too_many(model: Path) -> None:
    change(model, **{"model.norm.weight": None, "model.extra.weight": torch.ones(2)})
    _, health = finish(examine(model, generate=False))
    check = {one.title: one for one in health.checks}["Tensors"]
    assert check.state == "bad" and "lacks model.norm.weight" in check.detail
    change(model, **{"model.norm.weight": torch.ones(models.HIDDEN)})
    _, health = finish(examine(model, generate=False))
    check = {one.title: one for one in health.checks}["Tensors"]
    assert check.state == "warn" and "model.extra.weight" in check.detail
    change(model, **{"model.norm.weight": torch.ones(models.HIDDEN + 1)})
    _, health = finish(examine(model, generate=False))
    check = {one.title: one for one in health.checks}["Tensors"]
    assert check.state == "bad" and "another shape" in check.detail


def test_an_architecture_that_nobody_knows(model: Path) -> None:
    models.change_json(model / "config.json", model_type="nonesuch")
    _, health = finish(examine(model, generate=False))
    check = {one.title: one for one in health.checks}["Tensors"]
    assert check.state == "bad" and "cannot load it" in check.detail


def test_replies_that_are_suspicious() -> None:
    assert loading.judge([5] * 32, "a a a", chat=True).state == "warn"
    assert loading.judge([1, 2, 3] * 10, "a b c", chat=False).state == "warn"
    assert loading.judge(list(range(32)), "fine", chat=True).state == "ok"
    assert loading.judge([2], "", chat=True).detail.endswith("it says nothing.")
    assert loading.judge([9] * 5, "no no", chat=True).state == "ok"  # short: nothing to tell from


def test_a_model_too_large_to_be_tried() -> None:
    assert "are free" in loading.too_large(10**9, "cpu", 10**9)
    assert "on a CPU" in loading.too_large(10**10, "cpu", 10**12)
    assert loading.too_large(10**10, "cuda:0", 10**12) == ""


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    health = Health(
        (Check("Numbers", "ok", "Fine.", ""), Check("Norms", "bad", "Odd – “ß”.", "Do.")),
        {"t": Numbers(4, 2.25, 4.0, changed=3.0, lost=1.0), "u": Numbers(1, 1.0)},
        "base",
        "hello",
    )
    health.write(tmp_path)
    assert report.read(tmp_path) == health
    assert [path.name for path in tmp_path.iterdir()] == ["health.json"]
