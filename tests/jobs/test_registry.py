"""Models by name: registered once, kept current, found again, and never by accident."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from db.engine import transaction
from db.queries import models as model_rows
from db.tables import Model, Parent
from jobs.errors import JobError
from jobs.models import describe, names, registry
from merging.errors import HubError, ModelError

SANDBOX = registry.SANDBOX


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "my-finance-model"
    shutil.copytree(SANDBOX / "finance", copy)
    return copy


def test_the_sandbox_is_registered_once(home: Path) -> None:
    assert registry.ensure_sandbox() == 5
    first = model_rows.models()
    assert registry.ensure_sandbox() == 5
    assert model_rows.models() == first
    assert [(one.name, one.role, one.domain) for one in first] == [
        ("sandbox/base", "base", "general"),
        ("sandbox/finance", "expert", "finance"),
        ("sandbox/math", "expert", "math"),
        ("sandbox/japanese", "expert", "japanese"),
        ("sandbox/instruct", "instruct", "general"),
    ]
    assert all(one.fingerprint and one.n_parameters and one.architecture for one in first)
    assert [one.has_chat_template for one in first] == [False] * 4 + [True]
    assert registry.names()["sandbox/base"] == str(SANDBOX / "base")


def test_the_sandbox_of_another_checkout_takes_the_place_of_the_first(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for place in (old, new):
        for name in ("base", "finance"):
            shutil.copytree(SANDBOX / name, place / name)
    monkeypatch.setattr(registry, "SANDBOX", old)
    registry.ensure_sandbox()
    first = {one.name: one.id for one in model_rows.models()}
    monkeypatch.setattr(registry, "SANDBOX", new)
    registry.ensure_sandbox()
    assert registry.names()["sandbox/base"] == str(new / "base")
    assert {one.name: one.id for one in model_rows.models()} == first
    # what has other weights and is still there is another model
    shutil.rmtree(new / "base")
    shutil.copytree(SANDBOX / "math", new / "base")
    monkeypatch.setattr(registry, "SANDBOX", old)
    registry.ensure_sandbox()
    monkeypatch.setattr(registry, "SANDBOX", new)
    with pytest.raises(JobError, match="There is a model “sandbox/base” already"):
        registry.ensure_sandbox()
    shutil.rmtree(old)
    registry.ensure_sandbox()
    assert registry.names()["sandbox/base"] == str(new / "base")


def test_a_folder_is_known_by_its_name_and_again_by_its_place(folder: Path) -> None:
    first = registry.register_model(str(folder))
    assert registry.register_model(str(folder)) == first
    assert registry.register_model("my-finance-model") == first
    found = model_rows.model(first)
    assert found is not None
    assert (found.name, found.role, found.domain) == ("my-finance-model", "expert", "finance")
    assert found.source == str(folder)


def test_a_relative_folder_is_made_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    number = registry.register_model("my-finance-model")
    found = model_rows.model(number)
    assert found is not None and found.source == str(folder)


def test_a_folder_that_changes_gets_a_new_fingerprint(folder: Path) -> None:
    number = registry.register_model(str(folder))
    before = model_rows.model(number)
    shutil.copy(SANDBOX / "math" / "model.safetensors", folder / "model.safetensors")
    registry.register_model(str(folder))
    after = model_rows.model(number)
    assert before is not None and after is not None
    assert before.fingerprint != after.fingerprint


def test_an_unchanged_folder_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register_model(str(folder))

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(describe, "describe", fail)
    registry.register_model(str(folder))


def test_two_folders_of_one_name_get_two_names(folder: Path, tmp_path: Path) -> None:
    registry.register_model(str(folder))
    other = tmp_path / "other" / "my-finance-model"
    shutil.copytree(folder, other)
    number = registry.register_model(str(other))
    found = model_rows.model(number)
    assert found is not None and found.name == "my-finance-model-2"
    with pytest.raises(JobError, match="already"):
        registry.register_model(str(other), name="my-finance-model")


def test_a_hub_id_is_registered_by_name(home: Path) -> None:
    number = registry.register_model("org/Some-Model-7B-Instruct")
    found = model_rows.model(number)
    assert found is not None
    assert (found.source, found.role, found.fingerprint) == (
        "org/Some-Model-7B-Instruct", "instruct", None)  # fmt: skip


@pytest.mark.parametrize("ref", ["", "nothing", "/no/such/folder", "../x", "a/b/c", "sandbox/bas"])
def test_what_is_nowhere_is_refused(home: Path, ref: str) -> None:
    registry.ensure_sandbox()
    with pytest.raises((JobError, ModelError)) as caught:
        registry.register_model(ref)
    assert caught.value.exit_code == 2
    assert len(model_rows.models()) == 5


def test_a_folder_without_weights_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights"):
        registry.register_model(str(tmp_path))
    assert model_rows.models() == []


def test_delete_removes_only_what_is_ours(folder: Path, home: Path) -> None:
    registry.register_model(str(folder))
    registry.delete_model("my-finance-model", files=True)
    assert model_rows.models() == []
    assert folder.is_dir()
    merged = home / "models" / "m"
    shutil.copytree(folder, merged)
    with transaction() as opened:
        opened.add(Model(name="m", source=str(merged), role="merge"))
    registry.delete_model("m", files=True)
    assert not merged.exists()


def test_a_parent_is_not_deleted_under_its_child(home: Path) -> None:
    registry.ensure_sandbox()
    with transaction() as opened:
        opened.add(Model(id=9, name="child", source="", role="merge"))
        opened.flush()
        opened.add(Parent(child_id=9, position=0, parent_id=1, role="base"))
    with pytest.raises(JobError, match="went into the merge “child”"):
        registry.delete_model("sandbox/base")
    registry.archive("sandbox/base")
    assert "sandbox/base" not in [one.name for one in model_rows.models()]
    assert [one.name for one in model_rows.children(1)] == ["child"]
    registry.archive("sandbox/base", archived=False)
    assert "sandbox/base" in [one.name for one in model_rows.models()]


@pytest.mark.parametrize(
    ("name", "role", "domain"),
    [
        ("meta/Llama-3-8B", "base", None),
        ("meta/Llama-3-8B-Instruct", "instruct", None),
        ("org/model-it", "instruct", None),
        ("org/Llama-3-Swallow-8B", "expert", "japanese"),
        ("org/fin-llama-chat", "instruct", "finance"),
        ("org/CodeLlama-7b", "expert", "code"),
        ("org/gemma-2b-pt", "base", None),
    ],
)
def test_roles_and_domains_are_guessed(name: str, role: str, domain: str | None) -> None:
    assert (describe.guess_role(name, None), describe.guess_domain(name)) == (role, domain)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Finance + chat!", "Finance-chat"), ("金融 モデル", "金融-モデル"), ("..a..", "a"),
     ("../../etc/passwd", "etc-passwd"), ("x" * 500, "x" * 120), ("ａｂ", "ab")],
)  # fmt: skip
def test_folders_are_safe(name: str, expected: str) -> None:
    assert names.folder(name) == expected
    assert "/" not in names.folder(name)


def test_a_free_name_is_suggested() -> None:
    assert names.suggest("a", {"b"}) == "a"
    assert names.suggest("a", {"A", "a-2"}) == "a-3"
    assert names.suggest("///", set()) == "merge"


def test_a_hub_model_is_checked_under_the_name_it_was_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name stands for the Hub id: found in the cache, or said to be not here yet."""
    cached = {"some-org/expert": SANDBOX / "finance"}

    def from_hub(ref: str, *_: object, **__: object) -> Path:
        if ref not in cached:
            raise HubError(f"{ref} is nowhere", exit_code=1)
        return cached[ref]

    monkeypatch.setattr("merging.checkpoints.sources._from_hub", from_hub)
    registry.ensure_sandbox()
    registry.register_model("some-org/expert", name="my-expert")
    recipe = (
        "method: task_arithmetic\nbase: sandbox/base\n"
        "models:\n- {model: my-expert, role: expert, weight: 1.0}\n"
    )
    assert registry.compatibility(recipe).ok
    cached.clear()
    with pytest.raises(HubError, match="my-expert is not on this machine yet"):
        registry.compatibility(recipe)
