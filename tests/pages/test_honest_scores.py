"""Missing answers beside the score, parts and imports marked, the best of many told it is lucky."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from db.engine import session, transaction
from db.queries import leaderboard
from db.tables import Answer, Evaluation, Job
from jobs.scores import comparison, exchange_in, parts
from tests import small_scores as small
from tests.evaluation.exchange.conftest import old_finance
from tests.pages.test_leaderboard import names, said, table
from tests.pages.widgets import of

Open = Callable[..., AppTest]
SEARCH = {"part": "search", "split_seed": 1, "split_share": 0.5}


@pytest.fixture
def ids(home: Path) -> dict[str, int]:
    comparison.forget()
    return small.fill()


def unanswer(model_id: int) -> None:
    """Of the model's four written answers to t1, one is missing and one was cut off."""
    with transaction() as s:
        one = s.scalars(
            select(Evaluation).where(Evaluation.model_id == model_id, Evaluation.task == "t1")
        ).one()
        one.missing, one.truncated = 0.25, 0.25
        for doc, state in ((2, "missing"), (3, "truncated")):
            answer = s.get_one(Answer, (one.id, doc))
            answer.state, answer.correct, answer.score = state, False, 0.0


def column_order(app: AppTest) -> list[str]:
    return list(app.dataframe[0].proto.column_order)


def test_missing_answers_stand_beside_the_score(open_page: Open, ids: dict[str, int]) -> None:
    unanswer(ids["m"])
    app = open_page("leaderboard")
    order = column_order(app)
    assert order[order.index("±") + 1 : order.index("Δ")] == ["No answer", "Cut off"]
    data = table(app).set_index("Model")
    assert (data.loc["m", "No answer"], data.loc["m", "Cut off"]) == (25.0, 25.0)
    assert data["No answer"].isna().sum() == len(data) - 1  # nothing was written by the others


def test_a_board_without_missing_answers_has_no_such_column(
    open_page: Open, ids: dict[str, int]
) -> None:
    assert "No answer" not in column_order(open_page("leaderboard"))


def test_compare_says_which_answers_are_none(open_page: Open, ids: dict[str, int]) -> None:
    unanswer(ids["m"])
    both = f"{ids['m']},{ids['b']}"
    assert "m: no answer 25 %, cut off 25 % of the written answers" in said(
        open_page("compare", ids=both)
    )
    app = open_page("compare", ids=both, tab="Answers", filter="none")
    sheet = app.dataframe[0].value
    assert list(sheet["m"]) == ["∅ no answer", "✂ cut off"]
    assert all(value.startswith(("✓", "✗")) for value in sheet["b"])


def add_search(ids: dict[str, int]) -> None:
    with transaction() as s:
        for name, right in (("m", "11"), ("d", "01")):
            for task in small.DOMAINS:
                small.add_scores(s, ids[name], name, task, right, created=2000.0, **SEARCH)


def test_parts_stand_apart_and_are_marked(open_page: Open, ids: dict[str, int]) -> None:
    add_search(ids)
    app = open_page("leaderboard")
    both = table(app).set_index("Model").loc["m"]
    assert sorted(map(list, both["Marks"])) == [[], ["search items"]]
    part = both[both["Score"] == 100.0].iloc[0]
    assert part["Configuration"] == "search part (seed 1, 50 % search)"
    assert part["Verdict"] == ["no baseline"]  # never held against scores of all items


def test_the_best_of_several_is_told_it_is_lucky(open_page: Open, ids: dict[str, int]) -> None:
    text = said(open_page("leaderboard"))
    assert "**m** is the best of 2 merges on the same items" in text
    assert "No items were held out" in text
    alone = said(open_page("leaderboard", q="^m$"))
    assert "best of" not in alone


def test_the_best_goes_to_the_held_out_items(
    open_page: Open, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_search(ids)
    app = open_page("leaderboard")
    text = said(app)
    assert "**m** is the best of 2 merges on the search items" in text
    assert "No items were held out" not in text
    asked: list[object] = []
    monkeypatch.setattr(
        parts, "benchmark", lambda models, suite, **more: asked.append((models, suite, more)) or "g"
    )
    next(b for b in app.button if b.label == "Score the best on held-out items").click().run()
    ((models, suite, more),) = asked  # type: ignore[misc]
    assert (models, suite) == (["m"], small.SUITE)
    assert (more["part"].name, more["part"].seed, more["limit"]) == ("held-out", 1, None)


def test_held_out_scores_are_shown_beside_the_search(open_page: Open, ids: dict[str, int]) -> None:
    add_search(ids)
    with transaction() as s:
        for task in small.DOMAINS:
            small.add_scores(s, ids["m"], "m", task, "10", **{**SEARCH, "part": "held-out"})
    text = said(open_page("leaderboard"))
    assert "On the held-out items m has **50.0**" in text and "(100.0 on the search items)" in text


def test_all_items_cannot_be_held_out(ids: dict[str, int]) -> None:
    from jobs.errors import JobError

    board = leaderboard.board(small.SUITE)
    with pytest.raises(JobError, match="scored on all items"):
        parts.score_held_out(board, board.rows[0])


def test_imported_rows_wear_a_badge(open_page: Open, ids: dict[str, int]) -> None:
    value = {"results": {"t1": {"acc": 0.9}, "t2": {"acc": 0.9}}}
    exchange_in.save(
        exchange_in.read_texts({"r.json": json.dumps(value).encode()}),
        model="<b>theirs", suite=small.SUITE,
    )  # fmt: skip
    app = open_page("leaderboard", baseline="m")
    row = table(app).set_index("Model").loc["<b>theirs"]
    assert list(row["Marks"]) == ["imported"]
    assert row["Configuration"] == "imported from lm-eval"
    assert len(row["Verdict"]) == 0  # no baseline that it could be held against
    compared = open_page("compare", ids=f"{ids['m']},{row_id('<b>theirs')}")
    assert not compared.exception


def row_id(name: str) -> int:
    return next(e.id for e in leaderboard.board(small.SUITE).entries.values() if e.name == name)


def test_a_file_on_this_machine_is_imported(open_page: Open, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(old_finance()))
    app = open_page("leaderboard")
    app.text_input(key="import_path").set_value(str(path)).run()
    assert "3 tasks from the Japanese financial harness" in said(app)
    app.button(key="import_now").click().run()
    assert not app.exception
    assert "3 scores" in str([s.value for s in app.success])
    assert names(app) == ["model-7b"]


@pytest.mark.parametrize("text", ["{", "{}", "\ufeff", '{"results": {"<img>": 1}}'])
def test_a_bad_file_gets_one_sentence(
    open_page: Open, home: Path, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "results_x.json"
    path.write_text(text, encoding="utf-8")
    app = open_page("leaderboard")
    app.text_input(key="import_path").set_value(str(path)).run()
    assert len(app.error) == 1
    assert not [button for button in app.button if button.key == "import_now"]
    with session() as s:
        assert s.scalars(select(Evaluation)).all() == []


def test_a_taken_name_is_refused(open_page: Open, ids: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(old_finance()))
    app = open_page("leaderboard")
    app.text_input(key="import_path").set_value(str(path)).run()
    app.text_input(key="import_as_result.json").set_value("m").run()
    app.button(key="import_now").click().run()
    assert "There is a model “m” already" in app.error[0].value


def test_what_a_run_can_tell_stands_before_it(open_page: Open, sandbox: None) -> None:
    app = open_page("build")
    assert "the smallest difference of the mean that can be told from noise is about" in said(app)
    app.number_input(key="build_limit").set_value(5).run()
    text = said(app)
    assert "With 120 items in 24 tasks" in text
    assert "Each task alone, with 5 items, tells no difference at all" in text
    app.selectbox(key="build_part").select("search").run()
    assert "With 120 items in 24 tasks" in said(app)  # the limit counts among the part's items


def test_a_part_goes_into_the_queue(open_page: Open, sandbox: None) -> None:
    app = open_page("build")
    app.selectbox(key="build_part").select("search").run()
    next(b for b in app.button if b.label == "Merge and benchmark").click().run()
    with session() as s:
        specs = [job.spec for job in s.scalars(select(Job).where(Job.kind == "evaluate"))]
    assert specs and all(
        spec["part"] == {"name": "search", "seed": 1, "share": 0.5} for spec in specs
    )


def test_a_model_of_scores_alone_is_not_offered_for_merging_or_talking(
    open_page: Open, sandbox: None
) -> None:
    done = exchange_in.save(exchange_in.read_texts({"r.json": json.dumps(old_finance()).encode()}))
    build = open_page("build")
    assert all(done.model not in box.options for box in [*build.selectbox, *build.multiselect])
    listed = open_page("model_list").dataframe[0].value.set_index("Name")
    assert listed.loc[done.model, "Place"] == "scores only"
    page = open_page("model_detail", id=str(done.model_id))
    assert "scores only, imported" in said(page)
    talk = open_page("talk", model=done.model)
    assert f"There is no model {done.model} to talk to" in said(talk).replace("\\", "")


def test_a_merge_that_is_being_made_is_linked(open_page: Open, sandbox: None) -> None:
    from jobs.running import api

    app = open_page("build")
    name = app.text_input(key=of(app, "build_form_name")).value
    job = api.submit("merge", {"name": name, "recipe": ""}, title="Merge it")
    again = open_page("build")
    assert "is being made right now" in said(again).replace("\\", "")
    assert str(job) in str(again.main)


def test_held_out_and_imported_scores_are_nobodys_ground_for_choosing(ids: dict[str, int]) -> None:
    with transaction() as s:
        for name in ("m", "d"):
            for task in small.DOMAINS:
                small.add_scores(s, ids[name], name, task, "10", **{**SEARCH, "part": "held-out"})
                small.add_scores(s, ids[name], name, task, "10", imported="lm-eval")
    board = leaderboard.board(small.SUITE)
    groups = parts.candidates(board, board.rows)
    assert [(group[0].part, group[0].imported, len(group)) for group in groups] == [
        ("all", None, 2)
    ]
