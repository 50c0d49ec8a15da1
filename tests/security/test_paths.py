"""Names never become paths unchecked; archives, links and references lead nowhere else."""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from evaluation.errors import SuiteError
from evaluation.exchange import given
from evaluation.published import tables
from evaluation.suites import load_suite
from jobs.errors import JobError
from jobs.models import names, registry
from jobs.suites import own_suites
from merging.checkpoints.sources import resolve
from merging.engine import merge_to_folder
from merging.errors import MergingError
from merging.recipes.recipe import Recipe
from tests.security.conftest import PROJECT

EVIL = [
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "a\x00b",
    "\u202ea",
    "....//x",
    "%2e%2e/x",
    "a\nb",
    "．．／x",
    "-rf/..",
    "x" * 5000,
]


@pytest.mark.parametrize("name", EVIL)
def test_names_of_models_stay_below_their_folder(name: str) -> None:
    try:
        folder = names.folder(names.check(name))
    except JobError:
        return
    assert Path(os.path.normpath(f"/home/models/{folder}")).parent == Path("/home/models")
    assert not folder.startswith((".", "-"))


@pytest.mark.parametrize("name", EVIL)
def test_names_of_suites_stay_in_the_home(home: Path, name: str) -> None:
    before = _files(home.parent)
    with contextlib.suppress(JobError, SuiteError):
        own_suites.save(name, ["arc_easy"], {})
    for made in _files(home.parent) - before:
        assert made.is_relative_to(home)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "ref",
    [
        *EVIL[:3],
        "org/../../x",
        "org/model/../../..",
        "-x/y",
        "a/b/c",
        "https://evil.example/x",
        "org/mo del",
        "file:///etc",
        "org/m?x=1",
    ],
)
def test_hub_ids_are_ids(home: Path, ref: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is ever asked of the Hub."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", asked)
    with pytest.raises(MergingError):
        resolve(ref, {})
    if not Path(ref).exists():
        with pytest.raises(JobError):
            registry.register_model(ref)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/../../b", "..", "con\x00"])
def test_tasks_and_samples_make_no_paths(name: str) -> None:
    """Names of tasks come from results files of strangers and become parts of exported names."""
    text = given.safe(name)
    assert "/" not in text and "\x00" not in text and "\\" not in text


def test_references_to_suites_open_no_devices(tmp_path: Path) -> None:
    for ref in ("/dev/zero", "/dev/../dev/zero.yaml", "/proc/self/environ", str(tmp_path)):
        with pytest.raises(SuiteError):
            load_suite(ref)
    fifo = tmp_path / "x.yaml"
    os.mkfifo(fifo)
    with pytest.raises(SuiteError):
        load_suite(str(fifo))


LINKED = [
    "chat_template.jinja",
    "merges.txt",
    "vocab.json",
    "special_tokens_map.json",
    "generation_config.json",
    "tokenizer.model",
    "additional_chat_templates/x.jinja",
]


def linked(tmp_path: Path, file: str, target: Path) -> tuple[Recipe, dict[str, Path]]:
    """Two parents, one of which has a link in place of a file."""
    folders = {name: tmp_path / "family" / name for name in ("base", "instruct")}
    for name, folder in folders.items():
        shutil.copytree(PROJECT / "sandbox" / name, folder)
    place = folders["instruct"] / file
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)
    recipe = Recipe(
        method="linear",
        tokenizer="instruct",
        chat_template="instruct",
        models=[{"model": "base"}, {"model": "instruct", "role": "instruct"}],
    )
    return recipe, folders


@pytest.mark.parametrize("file", LINKED)
def test_a_link_beside_the_weights_takes_no_secret_along(tmp_path: Path, file: str) -> None:
    """A merge copies tokenizer and template, and people share it."""
    secret = tmp_path / "id_secret"
    secret.write_text('{"x": "CanaryPrivateKey"}')
    recipe, folders = linked(tmp_path, file, secret)
    with pytest.raises(MergingError, match="is a link to"):
        list(merge_to_folder(recipe, folders, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_links_that_people_make_are_followed(tmp_path: Path) -> None:
    """To a file of the same name, and into the blobs of the Hub's cache."""
    file = "chat_template.jinja"
    text = (PROJECT / "sandbox" / "instruct" / file).read_text()
    recipe, folders = linked(tmp_path, file, PROJECT / "sandbox" / "instruct" / file)
    list(merge_to_folder(recipe, folders, tmp_path / "out"))
    assert (tmp_path / "out" / file).read_text() == text
    cache = tmp_path / "models--org--m"
    snapshot = cache / "snapshots" / "c0ffee"
    shutil.copytree(folders["instruct"], snapshot, symlinks=True)
    (cache / "blobs").mkdir()
    for path in snapshot.iterdir():
        os.replace(path, cache / "blobs" / f"sha-{path.name}")
        path.symlink_to(Path("../../blobs") / f"sha-{path.name}")
    (cache / "blobs" / f"sha-{file}").unlink()
    (cache / "blobs" / f"sha-{file}").write_text(text)
    folders["instruct"] = snapshot
    list(merge_to_folder(recipe, folders, tmp_path / "again"))
    assert (tmp_path / "again" / file).read_text() == text


def test_archives_are_bounded_and_never_unpacked_to_disk(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.csv", "a,b\n1,2\n")
        archive.writestr("x.csv", "a\n")
    with zipfile.ZipFile(bomb) as archive:  # what its directory says is what is believed
        assert archive.getinfo("x.csv").file_size == 2
    assert tables.member(bomb, r"evil\.csv") == b"a,b\n1,2\n"
    assert _files(tmp_path) == {bomb}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "_MOST_BYTES", 3)
        with pytest.raises(ValueError, match="unpacks to more"):
            tables.member(bomb, r"evil\.csv")
        with pytest.raises(ValueError, match="unpacks to more"):
            list(tables.members(bomb, r"evil"))


def test_nothing_of_ours_unpacks_unpickles_or_runs_text() -> None:
    """Calls by which a file of a stranger becomes code, or lands outside of its folder."""
    shut = {
        "extractall",
        "unpack_archive",
        "eval",
        "exec",
        "unsafe_load",
        "full_load",
        "system",
        "popen",
    }
    found = []
    for part in (
        "pages",
        "jobs",
        "studies",
        "search",
        "chat",
        "training",
        "merging",
        "evaluation",
        "db",
    ):
        for path in sorted((PROJECT / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    shell = any(one.arg == "shell" for one in node.keywords)
                    owner = getattr(getattr(node.func, "value", None), "id", None)
                    plain = isinstance(node.func, ast.Name) or owner == "os"
                    if (
                        (name in shut and (plain or name not in ("eval", "exec", "system")))
                        or shell
                        or _pickles(node, name)
                    ):
                        found.append(f"{path.relative_to(PROJECT)}:{node.lineno} {name}")
    # the annotations of our own methods, read when the registry is made
    assert [one for one in found if not one.startswith("merging/methods/registry.py")] == []


def _pickles(node: ast.Call, name: str) -> bool:
    """torch.load without weights_only=True, and pickle itself."""
    owner = getattr(getattr(node.func, "value", None), "id", "")
    if owner in ("pickle", "dill", "joblib", "marshal"):
        return name in ("load", "loads")
    if owner == "torch" and name == "load":
        return not any(
            one.arg == "weights_only" and getattr(one.value, "value", False) is True
            for one in node.keywords
        )
    return owner == "yaml" and name == "load" and len(node.args) + len(node.keywords) < 2
