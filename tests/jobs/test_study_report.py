"""A report of a study in the database: what it tells beside the scores."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from db.engine import transaction
from db.queries import studies as study_rows
from db.tables import StudyPoint
from jobs.studies import report, state, submit
from merging.recipes.recipe import Recipe
from studies.design import Design
from studies.errors import StudyError
from tests.jobs.test_studies import DESIGN, TASKS, design, family, work  # noqa: F401


def test_a_study_that_ran_has_a_report(family: Path, tmp_path: Path) -> None:  # noqa: F811
    methods = DESIGN["methods"][:1]
    study_id, group = submit.submit(design(methods=methods, stages=["1"], limit=12))
    work(group)
    path = tmp_path / "study.zip"
    report.write(study_id, path)
    results = state.load(study_id)
    with zipfile.ZipFile(path) as archive:
        read = {name: archive.read(name).decode() for name in archive.namelist()}
    points = list(csv.DictReader(io.StringIO(read["points.csv"])))
    rows = {one.key: one for one in study_rows.points(study_id)}
    assert [row["key"] for row in points] == [one.key for one in results.points]
    assert len(points) == 4
    for row in points:
        assert row["recipe_hash"] == rows[row["key"]].recipe_hash
        assert float(row["seconds_score"]) > 0
        recipe = Recipe.from_yaml(read[f"recipes/{row['key']}.yaml"])
        assert recipe.hash == row["recipe_hash"]
    parents = list(csv.DictReader(io.StringIO(read["parents.csv"])))
    assert [one["model"] for one in parents] == ["base", "finance", "math"]
    assert all(len(one["fingerprint"]) == 64 for one in parents)
    assert [row["task"] for row in csv.DictReader(io.StringIO(read["tasks.csv"]))] == TASKS
    page = read["report.html"]
    assert parents[0]["fingerprint"] in page and "4 of 4" in page
    assert str(family) not in page


def test_a_report_keeps_no_paths_of_the_machine(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path  # noqa: F811
) -> None:  # fmt: skip
    private = tmp_path / "private"
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("finance", "math"):
        shutil.copytree(project / "sandbox" / name, private / name)
    experts = {name: str(private / name) for name in ("finance", "math")}
    study_id, _ = submit.submit(design(experts=experts, stages=[1]))
    with transaction() as opened:
        done, failed = opened.query(StudyPoint).order_by(StudyPoint.position).limit(2)
        done.state = "done"
        failed.state, failed.error = "failed", f"{private / 'math'} has no tokenizer."
    report.write(study_id, tmp_path / "r.zip")
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        read = {name: archive.read(name).decode() for name in archive.namelist()}
    assert len([name for name in read if name.startswith("recipes/")]) == 1
    for name, text in read.items():
        assert str(tmp_path) not in text, name
        assert ("~/private/finance" in text) == (name in ("study.yaml", "report.html")), name
    assert "Put in your own" in read["report.html"] and "math has no tokenizer" in str(read)
    again = Design.from_yaml(read["study.yaml"])
    assert again.hash != "" and again.experts["math"].model == "~/private/math"


def test_a_report_of_no_study_is_a_sentence(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no study number 7"):
        report.write(7, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_versions_are_of_what_is_here() -> None:
    import numpy

    assert report.versions()["numpy"] == numpy.__version__
