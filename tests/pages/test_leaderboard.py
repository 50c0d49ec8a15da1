"""The Leaderboard page: what it shows, what it hides, and what it does with nonsense."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.tables import Model
from jobs.scores import comparison
from pages.components.scores import filters as scores_filters
from pages.components.scores import table as scores_table
from pages.components.scores import words as scores_words
from tests import small_scores as small

Open = Callable[..., AppTest]


@pytest.fixture
def ids(home: Path) -> dict[str, int]:
    comparison.forget()
    return small.fill()


def table(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value


def names(app: AppTest) -> list[str]:
    return list(table(app)["Model"])


def said(app: AppTest) -> str:
    kinds = (app.main.markdown, app.main.caption, app.main.warning, app.main.error, app.main.info)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_empty_offers_the_example(open_page: Open) -> None:
    app = open_page("leaderboard")
    assert "Nothing has been scored yet" in said(app)
    assert app.main.button[0].label == "Run the two-minute example"


def test_scores_in_points_best_first(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("leaderboard")
    data = table(app)
    assert names(app) == ["m", "b", "base", "a", "d"]
    assert list(data["Score"]) == [62.5, 37.5, 25.0, 25.0, 0.0]
    first = data.iloc[0]
    assert first["Δ"] == pytest.approx(25.0)
    assert list(first["Verdict"]) == ["≈ noise"]
    assert first["95 % interval of Δ"] == "−16.1 … +66.1"
    assert first["Baseline"] == "b"
    assert first["Mean rank"] == 1.5
    assert (first["x"], first["y"]) == (75.0, 50.0)


def test_merges_below_every_parent_are_marked_not_hidden(
    open_page: Open, ids: dict[str, int]
) -> None:
    data = table(open_page("leaderboard")).set_index("Model")
    assert list(data.loc["d", "Marks"]) == ["below every parent"]
    assert list(data.loc["m", "Marks"]) == []


def test_any_model_can_be_the_baseline(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("leaderboard", baseline="base")
    data = table(app).set_index("Model")
    assert data.loc["m", "Δ"] == pytest.approx(37.5)
    assert data.loc["b", "Δ"] == pytest.approx(12.5)
    assert list(data.loc["base", "Verdict"]) == [scores_words.BASELINE]


def test_partial_rows_are_marked_and_stand_last(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        half = small.add_model(s, "half", "merge", [(ids["a"], "expert")])
        small.add_scores(s, half, "half", "t2", "1111")
    app = open_page("leaderboard")
    assert names(app)[-1] == "half"
    assert list(table(app).iloc[-1]["Marks"]) == ["partial: 1 of 2 tasks"]
    hidden = open_page("leaderboard", complete="true")
    assert "half" not in names(hidden)


def test_configurations_are_told_apart(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        small.add_scores(s, ids["m"], "m", "t1", "11", limit=2)
    app = open_page("leaderboard")
    assert "2 configurations" in said(app)
    both = table(app).set_index("Model").loc["m"]
    assert sorted(both["Configuration"]) == ["all items", "limit 2"]
    limited = both[both["Configuration"] == "limit 2"].iloc[0]
    assert list(limited["Verdict"]) == [scores_words.NO_BASELINE]
    assert pd.isna(limited["Δ"])


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"q": "^b$"}, ["m", "b", "d"]),  # b and the merges of it
        ({"q": "^base$|^a$", "role": "merge"}, ["m", "d"]),
        ({"q": "TASK_arith"}, ["m", "d"]),
        ({"q": "base"}, ["m", "base", "d"]),  # merges of it, too
        ({"role": "expert"}, ["b", "a"]),
        ({"method": "task_arithmetic"}, ["m", "d"]),
        ({"sort": "name"}, ["a", "b", "base", "d", "m"]),
        ({"sort": "y"}, ["b", "m", "base", "a", "d"]),
        ({"sort": "mean rank"}, ["m", "b", "base", "a", "d"]),
        ({"sort": "difference"}, ["m", "d", "b", "base", "a"]),
    ],
)
def test_filters_and_order_come_from_the_address(
    open_page: Open, ids: dict[str, int], parameters: dict[str, str], expected: list[str]
) -> None:
    assert names(open_page("leaderboard", **parameters)) == expected


@pytest.mark.parametrize("text", ["[", "*", "(?P<", "a(", "\\"])
def test_a_broken_pattern_is_plain_text(open_page: Open, ids: dict[str, int], text: str) -> None:
    with transaction() as s:
        small.add_scores(s, small.add_model(s, f"odd{text}name", "expert"), "odd", "t1", "1111")
    app = open_page("leaderboard", q=text)
    assert names(app) == [f"odd{text}name"]
    assert "not a valid pattern" in said(app)


def test_nonsense_in_the_address_is_harmless(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("leaderboard", suite="gone", baseline="nobody", role="king", sort="luck",
                    since="never", columns="soup", tasks="none", pick="x,99,-1,7.7.7", config="?",
                    complete="maybe")  # fmt: skip
    assert len(names(app)) == 5


def test_nothing_fits_and_the_way_back(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("leaderboard", q="no such thing")
    assert "No model fits" in said(app)
    clear = next(button for button in app.button if button.label == "Clear filters")
    clear.click().run()
    assert not app.exception
    assert len(names(app)) == 5


def test_archived_models_are_hidden_until_asked_for(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        s.get_one(Model, ids["d"]).archived = True
    assert "d" not in names(open_page("leaderboard"))
    shown = table(open_page("leaderboard", archived="true")).set_index("Model")
    assert list(shown.loc["d", "Marks"]) == ["below every parent", "archived"]


def test_old_scores_can_be_filtered_away(home: Path, ids: dict[str, int]) -> None:
    from db.queries import leaderboard

    board = leaderboard.board(small.SUITE)  # all scored at second 1000
    recent = scores_filters.Filters(since_seconds=60.0)
    assert scores_filters.apply(board, recent, now=1030.0) == list(board.rows)
    assert scores_filters.apply(board, recent, now=time.time()) == []


def test_compare_wants_two_to_six_ticks(open_page: Open, ids: dict[str, int]) -> None:
    def button(pick: str):
        app = open_page("leaderboard", pick=pick)
        return next(b for b in app.button if b.label.startswith("Compare"))

    assert button("").disabled and button(str(ids["m"])).disabled
    two = button(f"{ids['m']},{ids['b']}")
    assert (two.label, two.disabled) == ("Compare 2 models", False)


def test_ticks_survive_a_filter_that_hides_them(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("leaderboard", pick=f"{ids['m']},{ids['b']}", q="^m$")
    assert names(app) == ["m"]
    assert any(b.label == "Compare 2 models" for b in app.button)


def test_columns_and_single_tasks_can_be_chosen(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("leaderboard", columns="size", tasks="t1")
    order = list(app.dataframe[0].proto.column_order)
    assert "task: t1" in order and "Size" in order and "Method" not in order
    assert list(table(app)["task: t1"])[0] == 75.0
    assert list(table(app)["Size"])[0] == 2.0


def test_export_says_everything_unrounded(ids: dict[str, int]) -> None:
    from db.queries import leaderboard
    from pages.components.scores.table import Line

    board = leaderboard.board(small.SUITE)
    row = next(r for r in board.rows if r.entry.name == "m")
    parent = board.best_parent(row)
    assert parent is not None
    lines = [Line(row, parent, comparison.macro_differences([(row, parent)])[0])]
    (record,) = scores_table.export(board, lines)
    assert record["model"] == "m" and record["macro"] == 0.625 and record["baseline"] == "b"
    assert record["difference"] == 0.25 and record["verdict"] == "noise"
    assert record["task/t1"] == 0.75 and record["tasks_of_suite"] == 2


def test_markup_in_a_name_stays_text(open_page: Open, ids: dict[str, int]) -> None:
    from pages.components.scores import plots as scores_plots

    with transaction() as s:
        s.get_one(Model, ids["m"]).name = "<img src=x onerror=alert(1)>"
    app = open_page("leaderboard")
    assert "<img" not in said(app).replace("\\<", "")  # only ever with its markup taken away
    assert scores_plots.plain("<b>&") == "&lt;b&gt;&amp;"


def test_words() -> None:
    assert [scores_words.signed(v) for v in (0.0234, -0.004, 0.0001, None)] == [
        "+2.3", "−0.4", "0.0", "–",
    ]  # fmt: skip
    assert scores_words.interval(-0.003, 0.021) == "−0.3 … +2.1"
    assert scores_words.interval(-0.031, -0.0004) == "−3.1 … −0.04"
    assert scores_words.right_or_wrong(None, 0.5) == "0.50"


def test_labels_lose_what_all_tasks_share() -> None:
    tasks = {"box_finance_firms": "finance", "box_finance_terms": "finance", "box_chat": "chat",
             "box_x_sum": "cross"}  # fmt: skip
    assert list(scores_words.task_labels(tasks).values()) == ["firms", "terms", "chat", "x_sum"]
    assert scores_words.task_labels({"t1": "x", "t2": "y"}) == {"t1": "t1", "t2": "t2"}
    assert scores_words.task_labels({"one_task": "x"}) == {"one_task": "one_task"}
    assert scores_words.task_labels({"a_b": "x", "a": "y"}) == {"a_b": "a_b", "a": "a"}
    assert scores_words.task_labels({}) == {}
