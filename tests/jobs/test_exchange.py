"""Results in and out of the database: marked, apart, whole or not at all, the same numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.engine import close_databases, session
from db.queries import exchange, leaderboard, models
from db.queries.board import Board, Row
from db.tables import Answer, Evaluation, Model
from jobs.errors import JobError
from jobs.models import registry
from jobs.scores import exchange_in, exchange_out
from jobs.terminal import report
from tests import small_scores as small
from tests.evaluation.conftest import sandbox_pair  # noqa: F401
from tests.evaluation.exchange.conftest import first_04, harness_folder, old_finance  # noqa: F401


@pytest.fixture(autouse=True)
def fresh(home: Path) -> Iterator[None]:
    yield
    close_databases()


def texts(value: Any) -> dict[str, bytes]:
    return {"results_1.json": json.dumps(value).encode()}


def board(suite: str) -> Board:
    return leaderboard.board(suite)


def row(suite: str, name: str) -> Row:
    return next(r for r in board(suite).rows if r.entry.name == name)


def whole(suite: str, name: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    scores = exchange.scores(s.evaluation_id for s in row(suite, name).scores.values())
    return [(score, exchange.answers(score["id"])) for score in scores]


def count() -> tuple[int, ...]:
    with session() as opened:
        tables = (Model, Evaluation, Answer)
        return tuple(opened.scalar(select(func.count()).select_from(t)) or 0 for t in tables)


def test_lm_eval_comes_in_goes_out_and_comes_in_the_same(
    harness_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    exchange_in.save(exchange_in.read_path(harness_folder), model="first")
    out = tmp_path / "out"
    exchange_out.write(exchange_out.files([row("imported", "first")], "imported", "lm-eval"), out)
    exchange_in.save(exchange_in.read_path(out), model="second")
    one, two = whole("imported", "first"), whole("imported", "second")
    assert len(one) == len(two) == 4
    apart = {"id", "model", "created", "config", "config_hash"}  # it came from us the second time
    for (score, answers), (again, answers_again) in zip(one, two, strict=True):
        assert {k: v for k, v in score.items() if k not in apart} == {
            k: v for k, v in again.items() if k not in apart
        }
        assert answers == answers_again
    assert row("imported", "second").imported == "Crucible"


def test_our_own_scores_survive_the_way_out_and_in(tmp_path: Path) -> None:
    small.fill()
    with small.transaction() as s:
        model = models.model("m")
        assert model is not None
        for task in small.RIGHT["m"]:
            small.add_scores(s, model.id, "m", task, "10", part="search", split_seed=3,
                             split_share=0.25, created=2000.0)  # fmt: skip
    ours = next(r for r in board(small.SUITE).rows if r.entry.name == "m" and r.part == "search")
    exchange_out.write(exchange_out.files([ours], small.SUITE, "lm-eval"), tmp_path / "out")
    done = exchange_in.save(exchange_in.read_path(tmp_path / "out"), model="copy")
    assert (done.suite, done.tasks, done.answers) == (small.SUITE, 2, 4)
    copy = row(small.SUITE, "copy")
    assert (copy.part, copy.split, copy.imported) == ("search", (3, 0.25), "Crucible")
    assert {t: (s.value, s.stderr, s.n, s.prompts_hash) for t, s in copy.scores.items()} == {
        t: (s.value, s.stderr, s.n, s.prompts_hash) for t, s in ours.scores.items()
    }
    for task, score in ours.scores.items():
        assert exchange.answers(score.evaluation_id) == exchange.answers(
            copy.scores[task].evaluation_id
        )
    # never paired with, or averaged into, what was scored here
    assert copy.common_tasks(ours) == () and copy.difference(ours) is None
    assert copy.configuration != ours.configuration
    assert "imported from Crucible" in copy.configuration


def test_a_new_name_is_a_model_without_a_folder() -> None:
    done = exchange_in.save(exchange_in.read_texts(texts(old_finance())))
    found = models.model(done.model)
    assert found is not None
    assert (found.name, found.source, found.n_evaluations) == ("model-7b", "", 3)
    assert "model-7b" not in models.names()  # nothing that could be merged or talked to


def test_the_same_file_again_takes_the_place_of_the_first() -> None:
    exchange_in.save(exchange_in.read_texts(texts(old_finance())))
    before = count()
    changed = old_finance()
    changed["results"]["fp2-1.0-0.1.2"] = {"acc": 0.4}
    exchange_in.save(exchange_in.read_texts(texts(changed)))
    assert count() == before
    assert row("imported", "model-7b").scores["fp2-1.0-0.1.2"].value == 0.4


def test_a_registered_model_gets_scores_only_when_the_user_says_so() -> None:
    registry.ensure_sandbox()
    result = exchange_in.read_texts(texts(old_finance()))
    before = count()
    with pytest.raises(JobError, match="There is a model “sandbox/base” already"):
        exchange_in.save(result, model="sandbox/base")
    with pytest.raises(JobError, match="nobody"):
        exchange_in.save(result, model="nobody", known=True)
    with pytest.raises(JobError, match="no slashes"):
        exchange_in.save(result, model="a/../../b")
    assert count() == before
    exchange_in.save(result, model="sandbox/base", known=True)
    assert row("imported", "sandbox/base").is_outdated is False


def test_nothing_half_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    result = exchange_in.read_texts({k: v.encode() for k, v in first_04().items()})
    before = count()

    def broken(*_: Any) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(exchange_in, "add_answers", broken)
    with pytest.raises(RuntimeError):
        exchange_in.save(result)
    assert count() == before


def test_tasks_of_a_suite_of_ours_stand_there() -> None:
    value = {"results": {"sandbox_finance_firms": {"acc,none": 0.5}}}
    result = exchange_in.read_texts(texts(value))
    from evaluation.suites import load_suite

    known = load_suite("sandbox").tasks
    expected = "sandbox" if "sandbox_finance_firms" in known else "imported"
    assert exchange_in.suggested_suite(result) == expected


def test_llm_comparator_has_two_models_side_by_side() -> None:
    small.fill()
    a, b = row(small.SUITE, "m"), row(small.SUITE, "b")
    (content,) = exchange_out.files([a, b], small.SUITE, "llm-comparator").values()
    value = json.loads(content)
    assert [model["name"] for model in value["models"]] == ["m", "b"]
    assert {"source_path", "custom_fields_schema"} <= set(value["metadata"])
    assert len(value["examples"]) == 8
    first = value["examples"][0]
    assert first["tags"] == ["t1"] and first["input_text"].startswith("Question 0 of t1")
    scores = [example["score"] for example in value["examples"]]
    assert scores == [1, 1, 1, 0, 0, 0, -1, 0]  # 1110 against 0000, 1100 against 1110
    names = {field["name"] for field in value["metadata"]["custom_fields_schema"]}
    assert all(set(example["custom_fields"]) == names for example in value["examples"])


def test_csv_has_every_score_and_no_formula() -> None:
    small.fill()
    with small.transaction() as s:
        answer = s.scalars(select(Answer).limit(1)).one()
        answer.output, answer.extracted = '=HYPERLINK("http://x")', "-5"
    found = exchange_out.files(list(board(small.SUITE).rows), small.SUITE, "csv")
    scores = list(csv.DictReader(io.StringIO(found["scores-by-hand.csv"])))
    answers = list(csv.DictReader(io.StringIO(found["answers-by-hand.csv"])))
    assert (len(scores), len(answers)) == (10, 40)
    assert {r["task"]: float(r["value"]) for r in scores if r["model"] == "m"} == {
        "t1": 0.75, "t2": 0.5,
    }  # fmt: skip
    assert not any(r["output"].startswith("=") for r in answers)
    assert any(r["extracted"] == "-5" for r in answers)  # a number is no formula


def test_a_task_named_like_a_path_stays_in_the_folder(tmp_path: Path) -> None:
    value = {"results": {"../../evil": {"acc": 1.0}},
             "samples": {"../../evil": [{"doc_id": 0, "acc": 1.0, "target": "x",
                                         "arguments": [["Q"]], "resps": [["-1.0"]]}]}}  # fmt: skip
    exchange_in.save(exchange_in.read_texts(texts(value)), model="evil", suite="../../suite")
    shown = row("../../suite", "evil")
    for to in ("lm-eval", "csv"):
        named = exchange_out.files([shown], "../../suite", to)
        written = exchange_out.write(named, tmp_path / to)
        assert all(path.resolve().parent == tmp_path / to for path in written)
    again = exchange_in.read_path(tmp_path / "lm-eval")
    assert [task.task for task in again.tasks] == ["../../evil"]


def test_wrong_numbers_of_models_and_files_that_exist(tmp_path: Path) -> None:
    small.fill()
    rows = list(board(small.SUITE).rows)
    wrong: list[tuple[str, list[Row], str]] = [
        ("lm-eval", rows, "of one model"), ("csv", [], "no scores"),
        ("llm-comparator", rows[:1], "name two"), ("pdf", rows, "no format"),
    ]  # fmt: skip
    for to, given, word in wrong:
        with pytest.raises(JobError, match=word):
            exchange_out.files(given, small.SUITE, to)
    named = exchange_out.files(rows, small.SUITE, "csv")
    exchange_out.write(named, tmp_path)
    with pytest.raises(JobError, match="exists already"):
        exchange_out.write(named, tmp_path)


def test_imported_rows_are_marked_in_the_report() -> None:
    exchange_in.save(exchange_in.read_texts(texts(old_finance())))
    data = report.leaderboard("imported")
    (found,) = data["models"]
    assert found["imported"] == "the Japanese financial harness"
    assert (found["part"], found["best_parent"]) == ("all", None)
