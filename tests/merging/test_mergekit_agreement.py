"""The same recipe by mergekit and by us: the same weights, element by element."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from merging import mergekit
from merging.recipes.recipe import Recipe
from tests.merging import adapters, mergekit_process
from tests.merging.mergekit_cases import CASES, text
from tests.merging.test_engine import merge

pytestmark = [
    pytest.mark.skipif(not mergekit_process.is_there(), reason="set MERGEKIT_PYTHON"),
    # mergekit merges eighty recipes before the first test
    pytest.mark.timeout(1800),
]
# share of the elements that may be further apart than one unit in the last place
AGREE = 0.0001
UNSURE = {
    # importances are compared with one of them, and mergekit takes them in float32, where small
    # divergences drown
    "arcee_fusion": 0.02,
    # mergekit iterates in float32 until a step is below 1e-5, which shows in weights near zero
    "karcher": 0.001,
}


ADAPTER = """
merge_method: task_arithmetic
base_model: {base}
models:
  - {{model: {a}+{lora}, parameters: {{weight: 0.7}}}}
  - {{model: {b}, parameters: {{weight: 0.4}}}}
dtype: float32
out_dtype: bfloat16
"""


class Merged(NamedTuple):
    """Results of mergekit by case, for the recipes as they are and for ours written out again."""

    names: dict[str, str]
    folders: dict[str, Path]
    problems: dict[str, str]


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Merged:
    root = tmp_path_factory.mktemp("mergekit")
    names = {name: str(path) for name, path in mergekit_process.family(root / "models").items()}
    adapters.train(Path(names["a"]), root / "lora")
    names["lora"] = str(root / "lora")
    recipes = {case: text(case, names) for case in CASES}
    recipes["adapter"] = ADAPTER.format(**names)
    for case in CASES:
        recipes[f"{case}, out"] = mergekit.export(Recipe.from_yaml(recipes[case]))
    return Merged(names, *mergekit_process.run(recipes, root))


@pytest.mark.parametrize("case", CASES)
def test_same_weights(case: str, merged: Merged, tmp_path: Path) -> None:
    recipe = Recipe.from_yaml(text(case, merged.names))
    assert case not in merged.problems
    ours = merge(recipe, {ref: Path(ref) for ref in recipe.references}, tmp_path / "out")
    apart, total = mergekit_process.disagreement(ours, merged.folders[case])
    assert apart <= UNSURE.get(case, AGREE) * total, f"{apart} of {total}"


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_out_means_the_same_to_mergekit(case: str, merged: Merged) -> None:
    assert f"{case}, out" not in merged.problems
    apart, _ = mergekit_process.disagreement(merged.folders[case], merged.folders[f"{case}, out"])
    assert apart == 0


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_is_the_same_recipe(case: str) -> None:
    names = {name: f"org/{name}" for name in ("base", "a", "b", "c")}
    recipe = Recipe.from_yaml(text(case, names))
    assert Recipe.from_yaml(mergekit.export(recipe)).hash == recipe.hash


def test_an_adapter_on_its_base(merged: Merged, tmp_path: Path) -> None:
    recipe = Recipe.from_yaml(ADAPTER.format(**merged.names))
    assert "adapter" not in merged.problems
    folders = {ref: Path(ref.rpartition("+")[2]) for ref in recipe.references}
    folders[merged.names["a"]] = Path(merged.names["a"])
    ours = merge(recipe, folders, tmp_path / "out")
    apart, total = mergekit_process.disagreement(ours, merged.folders["adapter"])
    assert apart <= AGREE * total
