"""Health and rebuilds through registry and terminal: parents are found, reports are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from db.queries import models as model_rows
from jobs.errors import JobError
from jobs.kinds import merge as merge_kind
from jobs.models import health, registry
from jobs.running.prepare import complete
from jobs.running.queue import Claim
from jobs.terminal import direct

RECIPE = """\
method: task_arithmetic
base: {base}
models:
  - {{model: {finance}}}
  - {{model: sandbox/instruct, role: instruct}}
"""


@pytest.fixture
def parents(home: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies of two sandbox models, so that a test may move them."""
    registry.ensure_sandbox()
    return {
        name: Path(shutil.copytree(registry.SANDBOX / name, tmp_path / name))
        for name in ("base", "finance")
    }


@pytest.fixture
def made(parents: dict[str, Path], tmp_path: Path) -> Path:
    """A merge of models named by their folders, registered."""
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(**parents))
    list(direct.merge(str(file), tmp_path / "made"))
    return tmp_path / "made"


def last(events: Any) -> dict[str, Any]:
    return dict(list(events)[-1])


def test_parents_that_moved_are_found_by_their_content(
    made: Path, parents: dict[str, Path]
) -> None:
    assert last(health.verify(str(made), device="cpu"))["same"]
    shutil.rmtree(parents["base"])  # sandbox/base holds the same weights
    assert last(health.verify("made", device="cpu"))["same"]


def test_a_look_is_kept_and_changes_nothing_that_the_model_is_known_by(made: Path) -> None:
    from jobs.models.describe import signature

    before = signature(made)
    row = model_rows.model("made")
    assert row is not None
    first = health.find(row)
    assert first is not None and "Tensors" not in {one["title"] for one in first["checks"]}
    result = last(health.check("made", generate=True, device="cpu"))
    assert result["state"] == "ok"
    found = health.find(row)
    assert found is not None and found["checks"] == result["checks"]
    assert "**Generation.**" in (made / "README.md").read_text()
    assert signature(made) == before
    assert [path.name for path in made.iterdir() if path.name.startswith(".")] == []


def test_nothing_is_written_into_the_folder_of_somebody_elses_model(
    parents: dict[str, Path],
) -> None:
    before = {path.name for path in parents["base"].iterdir()}
    registry.register_model(str(parents["base"]), name="mine")
    row = model_rows.model("mine")
    assert row is not None and health.find(row) is None
    last(health.check("mine", generate=False, device="cpu"))
    assert {path.name for path in parents["base"].iterdir()} == before
    assert health.find(row) is not None


def test_the_job_of_a_merge_ends_with_its_health(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.ensure_sandbox()
    text = RECIPE.format(base="sandbox/base", finance="sandbox/finance")
    for smoke in ("0", "1"):
        monkeypatch.setenv("CRUCIBLE_SMOKE", smoke)
        given = {"recipe": text, "name": f"m{smoke}", "device": "cpu"}
        spec = complete(Claim(1, 1, "merge", "m", given)) | {"made": {}}
        result = last(merge_kind.run(spec))
        assert result["health"] == "ok"
        report = json.loads((home / "models" / f"m{smoke}" / "health.json").read_text())
        titles = {one["title"] for one in report["checks"]}
        assert ({"Tensors", "Generation"} <= titles) is (smoke == "1")


def test_models_that_cannot_be_looked_at(home: Path) -> None:
    with pytest.raises(JobError, match="nonsense!"):
        list(health.check("nonsense!", generate=False, device="cpu"))
