"""The page Judge: asking, consent, reports side by side, and every answer as plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db.engine import transaction
from db.queries import jobs as job_rows
from db.tables import Judgement, Judging, Model, Reply
from evaluation.judge import summary
from evaluation.judge.sets import load_set
from tests.pages.conftest import Open

NASTY = "<script>alert(1)</script> :red[**x**] [[10]]"


def fill(*, selection: str = "allowed", judge: str = "big @ host") -> None:
    """Two graded models and one pair."""
    own = load_set("open-small")
    with transaction() as s:
        first = s.query(Model).filter_by(name="sandbox/instruct").one()
        other = s.query(Model).filter_by(name="sandbox/base").one()
        for model, scores in ((first, [8.0, 6.0, None]), (other, [3.0, 2.0, 4.0])):
            items = [
                {"question_id": str(i), "category": name, "turn": 0, "score": score,
                 "state": "ok" if score else "unparsed", "keys": [f"{model.id}{i}"],
                 "characters": [10]}
                for i, (name, score) in enumerate(
                    zip(("finance", "math", "japanese"), scores, strict=True), start=1)
            ]  # fmt: skip
            for item in items:
                s.add(Judgement(key=item["keys"][0], judge=judge, rubric="single-1", state="ok",
                                text=NASTY))  # fmt: skip
                s.add(Reply(model_id=model.id, model_fingerprint="f", set_hash=own.hash,
                            config_hash="c", question_id=item["question_id"], turn=0,
                            text=NASTY))  # fmt: skip
            add(s, own, model.id, None, "single", judge, selection, items, summary.single(items))
        pairs: list[dict[str, Any]] = [
            {"question_id": "1", "category": "finance", "turn": 0, "state": "ok", "outcome": "tie",
             "flipped": True, "orders": ["win", "loss"], "keys": [], "characters": [9, 5]}
        ]  # fmt: skip
        add(s, own, first.id, other.id, "pair", judge, selection, pairs, summary.pair(pairs))


def add(s: Any, own: Any, model: int, other: int | None, mode: str, judge: str, selection: str,
        items: list[Any], found: dict[str, Any]) -> None:  # fmt: skip
    s.add(Judging(model_id=model, model_fingerprint="f", other_id=other,
                  other_fingerprint="f" if other else None, set_name=own.name, set_hash=own.hash,
                  mode=mode, judge=judge, rubric=f"{mode}-1", config={"limit": None},
                  selection=selection, summary=found, items=items))  # fmt: skip


def test_empty(open_page: Open, sandbox: None) -> None:
    app = open_page("judge")
    assert "Nothing has been judged yet" in app.info[-1].value
    assert app.button(key="judge_start").disabled


def test_reports_side_by_side(open_page: Open, sandbox: None) -> None:
    fill()
    app = open_page("judge", set="open-small")
    assert [one.value for one in app.subheader] == ["Judged by big @ host"]
    table = app.dataframe[0].value
    assert list(table["Model"]) == ["sandbox/instruct", "sandbox/base"]  # the better one first
    assert list(table["Grade"]) == [7.0, 3.0] and list(table["No grade"]) == [1, 0]
    assert app.get("plotly_chart")
    assert any("1 could not be read" in one.value for one in app.caption) or app.selectbox(
        key="judge_report"
    )
    app.segmented_control(key="mode").set_value("pair").run()
    table = app.dataframe[0].value
    assert list(table["Flips %"]) == [100.0] and list(table["Length alone %"]) == [100.0]
    assert any("do not rely on this judge" in one.value for one in app.caption)


def test_reports_by_other_judges_stand_apart(open_page: Open, sandbox: None) -> None:
    fill()
    fill_again = load_set("open-small")
    with transaction() as s:
        row = s.query(Judging).filter_by(mode="single").first()
        add(s, fill_again, row.model_id, None, "single", "other @ host", "allowed", row.items,
            row.summary)  # fmt: skip
    app = open_page("judge", set="open-small")
    assert {one.value for one in app.subheader} == {
        "Judged by big @ host", "Judged by other @ host"
    }  # fmt: skip


def test_sets_for_reporting_only_say_so(open_page: Open, sandbox: None) -> None:
    fill(selection="forbidden")
    app = open_page("judge")
    assert any("never to pick one" in one.value for one in app.warning)
    app.selectbox(key="judge_set").set_value("pfmt-bench-fin-ja").run()
    assert any("Searches and sweeps refuse it" in one.value for one in app.warning)
    assert any("published at" in one.value for one in app.info)


def test_asking_a_model_on_this_machine(open_page: Open, sandbox: None) -> None:
    app = open_page("judge")
    app.multiselect(key="judge_models").set_value(["sandbox/finance"]).run()
    app.selectbox(key="judge_local").set_value("sandbox/instruct").run()
    app.number_input(key="judge_limit").set_value(1).run()
    app.button(key="judge_start").click().run()
    assert not app.exception
    (job,) = job_rows.recent()
    assert (job.kind, job.spec["limit"], job.spec["judge"]["model"]) == (
        "judge", 1, "sandbox/instruct")  # fmt: skip


def test_no_text_leaves_without_consent(
    open_page: Open, sandbox: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret")
    app = open_page("judge")
    app.multiselect(key="judge_models").set_value(["sandbox/finance"]).run()
    app.radio(key="judge_kind").set_value("An endpoint").run()
    app.text_input(key="judge_url").set_value("https://judge.example.com/v1").run()
    app.text_input(key="judge_variable").set_value("JUDGE_KEY").run()
    app.text_input(key="judge_model").set_value("big").run()
    assert app.button(key="judge_start").disabled
    assert "sent to judge.example.com, which is not this machine" in app.warning[0].value
    app.checkbox[0].check().run()
    assert not app.button(key="judge_start").disabled
    # consent to one host is none to another
    app.text_input(key="judge_url").set_value("https://else.example.com/v1").run()
    assert app.button(key="judge_start").disabled
    app.checkbox[0].check().run()
    app.button(key="judge_start").click().run()
    (job,) = job_rows.recent()
    assert "sk-very-secret" not in str(job.spec) and job.spec["judge"]["consent"] is True


def test_a_key_in_the_wrong_field_is_refused_and_not_repeated(
    open_page: Open, sandbox: None
) -> None:
    app = open_page("judge")
    app.multiselect(key="judge_models").set_value(["sandbox/finance"]).run()
    app.radio(key="judge_kind").set_value("An endpoint").run()
    app.text_input(key="judge_url").set_value("http://127.0.0.1:9/v1").run()
    app.text_input(key="judge_model").set_value("m").run()
    app.text_input(key="judge_variable").set_value("sk-very-secret").run()
    app.button(key="judge_start").click().run()
    assert "name of letters" in app.error[0].value and "secret" not in app.error[0].value
    assert job_rows.recent() == []


def test_nonsense_in_the_address(open_page: Open, sandbox: None) -> None:
    fill()
    app = open_page("judge", set="nothing", report="-1", mode="x")
    assert app.subheader


def test_signs_of_failure_on_the_model_page(open_page: Open, home: Path) -> None:
    """Empty answers of a merge, none of its parent's."""
    from tests.small_scores import SUITE, add_answer, add_model, add_scores

    with transaction() as s:
        parent = add_model(s, "parent", "expert")
        merge = add_model(s, "merge", "merge", [(parent, "expert")])
        for model, name, output in ((parent, "parent", "yes."), (merge, "merge", "")):
            number = add_scores(s, model, name, "t1", "1010101010", answers=False)
            for i in range(10):
                add_answer(s, number, "t1", i, i % 2 == 0, output=output, choices=None)
    app = open_page("model_detail", id=str(merge))
    told = [one.value for one in app.markdown if "Empty answers" in one.value]
    assert told and "10 of 10 generated replies" in told[0]
    assert "it comes from the merge" in told[0]
    labels = [one.proto.label for one in app.get("page_link")]
    assert "t1, item 0, beside the parents" in labels
    app = open_page("model_detail", id=str(parent))
    assert not any("Signs of failure" in one.value for one in app.markdown)
    app = open_page("leaderboard", suite=SUITE)
    table = app.dataframe[0].value
    marks = dict(zip(table["Model"], table["Marks"], strict=True))
    assert "signs: empty answers" in list(marks["merge"])
    assert not any("signs" in mark for mark in marks["parent"])
