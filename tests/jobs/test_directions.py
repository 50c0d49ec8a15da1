"""Where lower is better, and which items were left out: told right in every comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.engine import close_databases, transaction
from db.queries import compare
from db.queries.board import Board
from db.queries.leaderboard import board
from jobs.scores import comparison, gains, parts
from jobs.terminal import report, show
from pages.components.scores import differences as scores_differences
from pages.components.scores import gains as scores_gains
from pages.components.scores import table as scores_table
from tests import small_scores
from tests.small_scores import add_scores

# Bits per byte of four texts: lower is better, and their mean is the score.
BITS = {"base": [1.0, 1.0, 1.0, 1.0], "a": [0.8, 0.9, 1.0, 0.9], "b": [1.2, 1.2, 1.4, 1.4],
        "m": [0.5, 0.6, 0.7, 1.0], "d": [2.0, 2.0, 2.0, 2.0]}  # fmt: skip


@pytest.fixture
def ids(home: Path) -> Iterator[dict[str, int]]:
    """The board by hand, with a third task, `p`, where lower is better."""
    ids = small_scores.fill()
    with transaction() as s:
        for name, values in BITS.items():
            add_scores(s, ids[name], name, "p", "", values=values, metric="bits_per_byte,none")
    yield ids
    comparison.forget()
    close_databases()


def row_of(made: Board, name: str):
    return next(row for row in made.rows if row.entry.name == name)


def test_means_leave_it_out_and_ranks_turn_it_around(ids: dict[str, int]) -> None:
    made = board(small_scores.SUITE)
    found = {row.entry.name: row for row in made.rows}
    assert {n: row.macro for n, row in found.items()} == {
        "base": 0.25, "a": 0.25, "b": 0.375, "m": 0.625, "d": 0.0}  # fmt: skip
    assert found["m"].macro_stderr == pytest.approx((0.1**2 + 0.2**2) ** 0.5 / 2)
    assert found["m"].domains == {"x": 0.75, "y": 0.5}  # "other" has nothing to average
    # t1: m a base b=d (4.5); t2: b m base a=d (4.5); p: m 0.7, a 0.9, base 1, b 1.3, d 2
    assert found["m"].mean_rank == pytest.approx((1 + 2 + 1) / 3)
    assert found["a"].mean_rank == pytest.approx((2 + 4.5 + 2) / 3)
    assert made.outside == {"p": "bits_per_byte, lower is better"}
    assert found["m"].n_items == 12


def test_the_best_parent_and_the_mean_difference_leave_it_out(ids: dict[str, int]) -> None:
    made = board(small_scores.SUITE)
    merge = row_of(made, "m")
    assert made.best_parent(merge).entry.name == "b"  # with `p` counted upwards, b still; see below
    assert merge.difference(made.best_parent(merge)) == pytest.approx(0.25)
    (gap,) = comparison.macro_differences([(merge, made.best_parent(merge))])
    assert (gap.value, gap.n_tasks) == (pytest.approx(0.25), 2)
    assert made.loses_to_every_parent(row_of(made, "d"))
    best, found = parts.selection([merge, row_of(made, "d")])
    assert (best.entry.name, found.score, found.items) == ("m", pytest.approx(0.625), 8)


def test_with_nothing_to_average_the_best_is_the_one_with_the_lowest(home: Path) -> None:
    with transaction() as s:
        ids = {n: small_scores.add_model(s, n, "expert") for n in ("base", "a", "b")}
        ids["m"] = small_scores.add_model(s, "m", "merge", [(ids[n], "expert") for n in ids])
        for name in ids:
            add_scores(s, ids[name], name, "p", "", values=BITS[name], metric="bits_per_byte")
    made = board(small_scores.SUITE)
    merge = row_of(made, "m")
    assert merge.macro is None and merge.macro_stderr is None and merge.domains == {}
    assert made.best_parent(merge).entry.name == "a"
    assert comparison.macro_differences([(merge, made.best_parent(merge))]) == [None]
    data = report.as_data(made, made.rows)
    assert {row["model"]: row["macro"] for row in data["models"]} == dict.fromkeys(ids)
    assert report.greatest_gain(data, "m") is None
    assert parts.selection([merge, merge]) is None
    json.dumps(data)
    assert scores_table.frame(made, [scores_table.Line(merge, None, None)])["task: p"][0] == (
        pytest.approx(0.7)
    )


def test_a_task_s_difference_keeps_its_sign_and_says_what_is_better(ids: dict[str, int]) -> None:
    made = board(small_scores.SUITE)
    found = {d.task: d for d in comparison.task_differences(row_of(made, "m"), row_of(made, "a"))}[
        "p"
    ]
    assert (found.difference, found.higher_is_better) == (pytest.approx(-0.2), False)
    assert found.low < -0.2 < found.high
    assert (found.fixed, found.regressed) == (3, 1)  # three lower, one higher
    worse = {
        d.task: d for d in comparison.task_differences(row_of(made, "d"), row_of(made, "base"))
    }["p"]
    assert (worse.difference, worse.fixed, worse.regressed) == (pytest.approx(1.0), 0, 4)
    sure = comparison.TaskDifference(**{**worse.__dict__, "p_holm": 0.01})
    assert sure.verdict == "worse"
    assert comparison.TaskDifference(**{**found.__dict__, "p_holm": 0.01}).verdict == "better"
    up = {**found.__dict__, "p_holm": 0.01, "higher_is_better": True}
    assert comparison.TaskDifference(**up).verdict == "worse"
    data = scores_differences.frame([found, *comparison.task_differences(
        row_of(made, "m"), row_of(made, "a"))[:1]])  # fmt: skip
    assert list(data["Metric"]) == ["bits_per_byte, lower is better", "acc"]
    assert list(data["Score"]) == [pytest.approx(0.7), pytest.approx(75.0)]
    assert data["95 % interval"][0].startswith("−0.") and "…" in data["95 % interval"][0]


def test_items_of_a_perplexity_tell_no_interval_of_it(home: Path) -> None:
    with transaction() as s:
        ids = {n: small_scores.add_model(s, n, "expert") for n in ("x", "y")}
        for name, whole in (("x", 7.5), ("y", 9.0)):
            values = [2.0, 3.0, 40.0] if name == "x" else [3.0, 4.0, 41.0]
            add_scores(s, ids[name], name, "p", "", values=values, value=whole,
                       metric="word_perplexity")  # fmt: skip
    made = board(small_scores.SUITE)
    (found,) = comparison.task_differences(row_of(made, "x"), row_of(made, "y"))
    assert (found.difference, found.low, found.high, found.fixed) == (-1.5, None, None, 3)
    assert found.p is not None


def test_gain_is_turned_around(ids: dict[str, int]) -> None:
    made = board(small_scores.SUITE)
    found = gains.gains(made, row_of(made, "m"))
    one = {g.task: g for g in found.tasks}["p"]
    assert one.score == pytest.approx(0.7)
    assert one.constituents == (pytest.approx(0.9), pytest.approx(1.3))
    assert one.gain.value == pytest.approx((0.9 + 1.3) / 2 - 0.7)
    assert one.gap.value == pytest.approx(0.9 - 0.7) and one.best == 0
    assert one.gain.low <= one.gain.value <= one.gain.high
    plain = [g.gain.value for g in found.tasks if g.task != "p"]
    assert found.macro_gain.value == pytest.approx(sum(plain) / 2)
    data = scores_gains.frame(found).set_index("Task")
    assert data.loc["p", "Gain"] == pytest.approx(0.4)
    assert data.loc["t1", "Gain"] == pytest.approx(50.0)


def test_the_answer_sheet_turns_fixed_and_regressed_around(ids: dict[str, int]) -> None:
    made = board(small_scores.SUITE)
    places = [row_of(made, name).scores["p"].evaluation_id for name in ("m", "base")]
    items = compare.sheet({"p": places})
    assert [len(compare.select_items(items, name, 0, 1)) for name in ("fixed", "regressed")] == [
        3, 0]  # fmt: skip
    items = compare.sheet({"t1": [row_of(made, n).scores["t1"].evaluation_id for n in ("m", "d")]})
    assert len(compare.select_items(items, "fixed", 0, 1)) == 3


def test_the_terminal_shows_it_on_its_own_scale(
    ids: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    data = report.leaderboard(small_scores.SUITE)
    show.print_leaderboard(data)
    said = capsys.readouterr().out
    assert "p (bits_per_byte, lower is better)" in said and "in no mean" in said
    assert "62.5" in said and "0.7" in said and "70.0" not in said
    merge = next(row for row in data["models"] if row["model"] == "m")
    assert merge["scores"]["p"]["higher_is_better"] is False
    assert merge["scores"]["p"]["in_means"] is False and merge["scores"]["t1"]["in_means"] is True


def test_other_items_are_another_task(ids: dict[str, int]) -> None:
    """Two models whose left-out items differ were not asked the same, and are not compared."""
    with transaction() as s:
        for name, bad in (("m", [3]), ("a", [3]), ("b", [])):
            add_scores(s, ids[name], name, "q", "1101", left_out=bad)
    made = board(small_scores.SUITE)
    merge, a, b = (row_of(made, name) for name in ("m", "a", "b"))
    assert merge.scores["q"].left_out == (3,)
    assert (merge.scores["q"].n, merge.scores["q"].value) == (3, pytest.approx(2 / 3))
    assert (merge.n_left_out, b.n_left_out) == (1, 0)
    assert "q" in merge.common_tasks(a) and "q" not in merge.common_tasks(b)
    found = {d.task: d for d in comparison.task_differences(merge, a)}
    assert (found["q"].n, found["q"].difference) == (3, 0.0)
    assert "q" not in {d.task for d in comparison.task_differences(merge, b)}
    assert "left out: 1 of 16 items" in scores_table.marks(made, merge)
    assert not [mark for mark in scores_table.marks(made, b) if mark.startswith("left")]
    data = scores_table.frame(made, [scores_table.Line(merge, None, None)])
    scores_table.column_config(made, data, "base")  # every mark has a colour
    found = {row["model"]: row for row in report.as_data(made, made.rows)["models"]}
    assert found["m"]["scores"]["q"]["left_out"] == [3] and found["m"]["n_left_out"] == 1
