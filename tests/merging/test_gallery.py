"""The example recipes: each tells its story, is valid, and merges the shipped family."""

from __future__ import annotations

from pathlib import Path

import pytest

from merging.engine import merge_to_folder
from merging.methods import METHODS
from merging.planning.plan import plan
from merging.recipes.recipe import Recipe
from tests.merging.models import finish, stored

PROJECT = Path(__file__).resolve().parents[2]
GALLERY = sorted((PROJECT / "recipes").glob("*.yaml"))


def test_there_is_one_of_every_kind() -> None:
    methods = {Recipe.from_yaml(file.read_text()).method for file in GALLERY}
    assert methods <= set(METHODS)
    assert methods >= {"linear", "slerp", "task_arithmetic", "instruction_residual", "ties"}
    assert any(METHODS[method].random for method in methods)
    recipes = [Recipe.from_yaml(file.read_text()) for file in GALLERY]
    settings = [one.weight for recipe in recipes for one in recipe.models]
    settings += [value for recipe in recipes for value in recipe.options.values()]
    schedules = [setting for setting in settings if isinstance(setting, list)]
    assert any(isinstance(one[0], float) for one in schedules)  # a gradient
    assert any(isinstance(one[0], dict) for one in schedules)  # filters
    assert any(recipe.slices for recipe in recipes)


@pytest.mark.parametrize("file", GALLERY, ids=[file.stem for file in GALLERY])
def test_example(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    title, story = text.splitlines()[:2]
    assert title.startswith("# Title: ") and story.startswith("# Story: ")
    assert story.endswith((".", "?")) and len(story) <= 120
    recipe = Recipe.from_yaml(text)
    assert recipe.name
    folders = {ref: PROJECT / ref for ref in recipe.references}
    if not all(folder.is_dir() for folder in folders.values()):
        pytest.skip("the sandbox is not built yet")
    found = plan(recipe, folders, tmp_path / "out", device="cpu")
    assert found.ok, found.checks
    assert {check.state for check in found.checks} == {"ok"}, found.checks
    finish(merge_to_folder(recipe, folders, tmp_path / "out"))
    names = stored(tmp_path / "out").keys()
    whole = stored(folders[recipe.references[0]]).keys()
    if recipe.slices:
        layers = {name.split(".")[2] for name in names if ".layers." in name}
        assert layers == {str(layer) for layer in range(sum(one.count for one in recipe.slices))}
        assert whole <= names
    else:
        assert names == whole
