"""What a terminal tells of a study, from scores made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.terminal import studies, study_tables
from studies.points import Point
from studies.results import Task
from tests.studies.made import design, results, task

# items 0-3 are for choosing, 4-7 are reported
HELD_OUT = [False] * 4 + [True] * 4
SCORES = {
    "base": [0] * 8,
    "finance": [1, 0, 0, 0, 1, 0, 0, 0],
    "math": [1, 1, 0, 0, 1, 1, 0, 0],
}


def items(key: str, point: Point | None, one: Task) -> list[int]:
    """The merge by scale 0.5 looks best where it is chosen, that by 1.0 where it is reported."""
    if point is None:
        return SCORES[key]
    searched, reported = (4, 3) if point.options["scale"] == 0.5 else (3, 4)
    return [1] * searched + [0] * (4 - searched) + [1] * reported + [0] * (4 - reported)


def made(**more: object) -> study_tables.Data:
    found = results(
        design(("finance", "math"), split={"seed": 1, "share": 0.5}),
        [task("a", 8, held_out=HELD_OUT)], items, **more,
    )  # fmt: skip
    return {"study": "made", **study_tables.outcome(found)}


def test_the_best_is_chosen_on_one_part_and_reported_on_the_other() -> None:
    data = made()
    assert data["scored"] == data["planned"] == 6
    assert data["split"] is True and data["tasks"] == ["a"]
    assert {name: one["score"] for name, one in data["parents"].items()} == {
        "base": 0.0, "finance": 0.25, "math": 0.5,
    }  # fmt: skip
    best = data["best"]["2"]
    assert best["merge"] == "finance + math · Task arithmetic, scale 0.5"
    assert (best["score_choosing"], best["score"]) == (1.0, 0.75)
    assert best["macro_gain_value"] == pytest.approx(0.75 - (0.25 + 0.5) / 2)
    assert best["macro_og_value"] == pytest.approx(0.75 - 0.5)
    assert len(data["merges"]) == 6 and len(data["findings"]) == 8
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    study_tables.print_outcome(made(failed={"k": "Shard 2 is truncated."}))
    said = capsys.readouterr().out
    assert "finance + math · Task arithmetic, scale 0.5" in said
    assert "+37.5" in said and "+25.0" in said
    assert "Chosen on one part of the items" in said
    assert "Failed: Shard 2 is truncated." in said
    assert "cannot tell" in said


def test_a_study_without_any_score_has_no_best(capsys: pytest.CaptureFixture[str]) -> None:
    data = made(some=[])
    assert data["best"] == {"1": None, "2": None} and data["merges"] == []
    study_tables.print_outcome(data)
    assert "0 of 0 merges" in capsys.readouterr().out


def test_durations_are_estimates() -> None:
    told = [studies.duration(one) for one in (0.2, 45, 600, 3 * 3600 + 300, 5 * 86400)]
    assert told == ["1 s", "45 s", "10 min", "3 h 5 min", "5 days"]


def test_reports_are_checked_before_the_study_runs(home: Path) -> None:
    file = home / "s.yaml"
    file.write_text(design().to_yaml())
    for name, said in (("r.pdf", "a file .html or .zip, not r.pdf"), ("no/r.html", "no folder")):
        with pytest.raises(JobError, match=said):
            studies.run(file, plan_only=True, json=None, report=file.parent / name)
