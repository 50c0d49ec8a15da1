"""The leaderboard's numbers, each worked out by hand from `tests/small_scores.py`."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest

from db.engine import transaction
from db.queries import answers, compare, leaderboard
from db.queries.board import Board, Row
from db.tables import Evaluation, Model
from evaluation.statistics.uncertainty import paired_difference
from jobs.scores import comparison
from jobs.scores.gains import constituent_ids, gains
from pages.components.scores.table import marks
from tests import small_scores as small


@pytest.fixture
def ids(home: Path) -> dict[str, int]:
    comparison.forget()
    return small.fill()


@pytest.fixture
def board(ids: dict[str, int]) -> Board:
    return leaderboard.board(small.SUITE)


def row(board: Board, name: str, place: int = 0) -> Row:
    return [r for r in board.rows if r.entry.name == name][place]


def test_nothing_scored(home: Path) -> None:
    assert leaderboard.suites_with_scores() == []
    assert leaderboard.board("sandbox").rows == ()


def test_macro_and_its_error(board: Board) -> None:
    assert {r.entry.name: r.macro for r in board.rows} == {
        "base": 0.25, "a": 0.25, "b": 0.375, "m": 0.625, "d": 0.0,
    }  # fmt: skip
    assert row(board, "m").macro_stderr == pytest.approx(sqrt(0.1**2 + 0.2**2) / 2)
    assert row(board, "m").domains == {"x": 0.75, "y": 0.5}
    assert row(board, "m").n_items == 8
    assert board.tasks == {"t1": "x", "t2": "y"}


def test_an_unknown_error_is_not_taken_for_none(ids: dict[str, int]) -> None:
    with transaction() as s:
        small.add_scores(s, ids["m"], "m", "t3", "11")  # its stderr is None
    assert row(leaderboard.board(small.SUITE), "m").macro_stderr is None


def test_mean_rank_shares_tied_places(board: Board) -> None:
    ranks = {r.entry.name: r.mean_rank for r in board.rows}
    # t1: m 1, a 2, base 3, b and d 4.5.  t2: b 1, m 2, base 3, a and d 4.5.
    assert ranks == {"m": 1.5, "b": 2.75, "a": 3.25, "base": 3.0, "d": 4.5}


def test_best_parent_and_difference(board: Board) -> None:
    m = row(board, "m")
    best = board.best_parent(m)
    assert best is not None and best.entry.name == "b"
    assert m.difference(best) == pytest.approx(0.25)
    assert board.best_parent(row(board, "a")) is None


def test_parents_without_scores_are_named(ids: dict[str, int]) -> None:
    with transaction() as s:
        never = small.add_model(s, "never", "expert")
        young = small.add_model(s, "young", "merge", [(ids["a"], "expert"), (never, "expert")])
        small.add_scores(s, young, "young", "t1", "11")
    board = leaderboard.board(small.SUITE)
    assert board.unscored_parents(row(board, "young")) == ["never"]
    assert marks(board, row(board, "young")) == ["partial: 1 of 2 tasks", "parents: 1 of 2 scored"]
    assert board.unscored_parents(row(board, "m")) == []
    assert board.unscored_parents(row(board, "a")) == []


def test_a_merge_below_every_parent_is_marked(board: Board) -> None:
    assert board.loses_to_every_parent(row(board, "d"))
    assert not board.loses_to_every_parent(row(board, "m"))
    assert not board.loses_to_every_parent(row(board, "a"))  # no parents, nothing to lose to


def test_partial_rows_say_what_is_missing(ids: dict[str, int]) -> None:
    with transaction() as s:
        half = small.add_model(s, "half", "merge", [(ids["a"], "expert"), (ids["b"], "expert")])
        small.add_scores(s, half, "half", "t2", "1000")
    board = leaderboard.board(small.SUITE, {"t1": "x", "t2": "y", "t9": "z"})
    assert row(board, "half").missing(board.tasks) == ("t1", "t9")
    assert row(board, "m").missing(board.tasks) == ("t9",)
    # Over t2 alone, which is all that they share: b has 0.75, a has 0.
    best = board.best_parent(row(board, "half"))
    assert best is not None and best.entry.name == "b"
    assert row(board, "half").difference(best) == pytest.approx(-0.5)
    assert board.loses_to_every_parent(row(board, "half")) is False  # above a


def test_tasks_that_left_the_suite_do_not_count(ids: dict[str, int]) -> None:
    board = leaderboard.board(small.SUITE, {"t2": "renamed"})
    assert row(board, "m").macro == 0.5
    assert board.domains == ("renamed",)


def test_configurations_are_kept_apart(ids: dict[str, int]) -> None:
    with transaction() as s:
        small.add_scores(s, ids["m"], "m", "t1", "11", limit=2)
    board = leaderboard.board(small.SUITE)
    whole, limited = board.rows_of(ids["m"])
    assert (whole.configuration, limited.configuration) == ("all items", "limit 2")
    assert (whole.macro, limited.macro) == (0.625, 1.0)
    assert limited.common_tasks(row(board, "b")) == ()
    assert limited.difference(row(board, "b")) is None
    assert board.best_parent(limited) is None
    assert limited.mean_rank == 1.0 and whole.mean_rank == 1.5
    assert board.configurations == ("all items", "limit 2")


def test_older_task_settings_stand_apart(ids: dict[str, int]) -> None:
    with transaction() as s:  # t1 is asked with five shots from now on; t2 as before
        small.add_scores(s, ids["m"], "m", "t1", "1111", num_fewshot=5, created=2000.0)
    board = leaderboard.board(small.SUITE)
    new, old = sorted(board.rows_of(ids["m"]), key=lambda r: leaderboard.EARLIER in r.configuration)
    assert set(new.scores) == {"t1", "t2"} and new.scores["t1"].value == 1.0
    assert set(old.scores) == {"t1"} and old.scores["t1"].value == 0.75


def test_weights_that_changed_since(ids: dict[str, int]) -> None:
    with transaction() as s:
        s.get_one(Model, ids["m"]).fingerprint = "other weights"
        small.add_scores(s, ids["m"], "m", "t1", "0000", fingerprint="other weights")
    board = leaderboard.board(small.SUITE)
    old, new = sorted(board.rows_of(ids["m"]), key=lambda r: not r.is_outdated)
    assert old.is_outdated and not new.is_outdated
    assert board.row_of(ids["m"], new.configuration) is new


def test_a_board_is_built_anew_when_something_changed(ids: dict[str, int]) -> None:
    first = leaderboard.board(small.SUITE)
    assert leaderboard.board(small.SUITE) is first
    with transaction() as s:
        s.get_one(Model, ids["m"]).name = "renamed"
    renamed = leaderboard.board(small.SUITE)
    assert row(renamed, "renamed").macro == 0.625
    with transaction() as s:
        s.delete(s.query(Evaluation).filter_by(model_id=ids["d"], task="t1").one())
    assert row(leaderboard.board(small.SUITE), "d").missing(["t1"]) == ("t1",)


def test_paired_sums(board: Board) -> None:
    m, b = row(board, "m"), row(board, "b")
    pairs = [(m.scores[t].evaluation_id, b.scores[t].evaluation_id) for t in ("t1", "t2")]
    t1, t2 = (answers.paired_sums(pairs)[pair] for pair in pairs)
    assert (t1.n, t1.total, t1.squares) == (4, 3.0, 3.0)
    assert (t2.n, t2.total, t2.squares) == (4, -1.0, 1.0)
    assert t1.mean == 0.75
    assert t1.variance_of_mean == pytest.approx(0.25 / 4)  # sample variance of 1 1 1 0


def test_items_with_another_content_are_not_paired(ids: dict[str, int], board: Board) -> None:
    m, b = row(board, "m").scores["t1"], row(board, "b").scores["t1"]
    with transaction() as s:
        answer = s.get_one(small.Answer, (m.evaluation_id, 0))
        answer.doc_hash = "rewritten"
    sums = answers.paired_sums([(m.evaluation_id, b.evaluation_id)])
    assert sums[m.evaluation_id, b.evaluation_id].n == 3


def test_macro_difference_with_a_paired_interval(board: Board) -> None:
    m, b = row(board, "m"), row(board, "b")
    found = comparison.macro_differences([(m, b)])[0]
    assert found is not None and found.paired
    # Bonett and Price: one invented item each way. t1: (5/6 - (3/6)^2) / 6, t2: (3/6 - (1/6)^2) / 6
    variance = (5 / 6 - 9 / 36) / 6 + (3 / 6 - 1 / 36) / 6
    half = 1.959964 * sqrt(variance) / 2
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=1e-5)
    assert found.verdict == "noise"


def test_without_answers_the_interval_is_of_independent_scores(ids: dict[str, int]) -> None:
    with transaction() as s:
        bare = small.add_model(s, "bare", "merge", [(ids["a"], "expert")])
        for task in ("t1", "t2"):
            small.add_scores(s, bare, "bare", task, "1111", answers=False)
    board = leaderboard.board(small.SUITE)
    found = comparison.macro_differences([(row(board, "bare"), row(board, "a"))])[0]
    assert found is not None and not found.paired
    half = 1.959964 * sqrt(2 * 0.1**2 + 2 * 0.2**2) / 2
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half), abs=1e-5)
    assert found.verdict == "better"


def test_rows_beyond_the_budget_are_not_paired(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PAIRED_ITEMS", 8)
    m, d, b = (row(board, name) for name in "mdb")
    first, second = comparison.macro_differences([(m, b), (d, b)])
    assert first is not None and first.paired
    assert second is not None and not second.paired
    again = comparison.macro_differences([(m, b), (d, b)])  # the next draw pairs as many more
    assert all(found is not None and found.paired for found in again)


def test_task_differences_are_exact_and_corrected(board: Board) -> None:
    t1, t2 = comparison.task_differences(row(board, "m"), row(board, "b"))
    assert (t1.fixed, t1.regressed, t1.n) == (3, 0, 4)
    assert (t2.fixed, t2.regressed) == (0, 1)
    assert (t1.p, t2.p) == (0.25, 1.0)  # McNemar: 2 / 2^3, and one disagreement
    assert (t1.p_holm, t2.p_holm) == (0.5, 1.0)
    assert t1.difference == pytest.approx(0.75) and t1.verdict == "noise"


def test_gain_and_gap_by_hand(board: Board) -> None:
    found = gains(board, row(board, "m"))
    assert [r.entry.name for r in found.constituents] == ["a", "b"]
    t1, t2 = found.tasks
    assert (t1.gain.value, t1.gap.value) == pytest.approx((0.5, 0.25))
    assert (t2.gain.value, t2.gap.value) == pytest.approx((0.125, -0.25))
    assert found.macro_gain is not None and found.macro_gap is not None
    assert (found.macro_gain.value, found.macro_gap.value) == pytest.approx((0.3125, 0.0))
    # Over the items: 1 1 1 0 against the mean of 1 1 0 0 and 0 0 0 0.
    test = paired_difference([1, 1, 1, 0], [0.5, 0.5, 0, 0])
    assert (t1.gain.low, t1.gain.high) == (test.low, test.high)
    with_base = gains(board, row(board, "m"), count_base=True)
    assert with_base.tasks[1].gain.value == pytest.approx(0.5 - (0.25 + 0 + 0.75) / 3)


def test_the_base_counts_beside_one_expert_only(ids: dict[str, int]) -> None:
    with transaction() as s:
        parents = [(ids["base"], "base"), (ids["a"], "expert")]
        small.add_scores(s, small.add_model(s, "r", "merge", parents), "r", "t1", "1111")
    board = leaderboard.board(small.SUITE)
    assert constituent_ids(row(board, "r")) == [ids["base"], ids["a"]]
    assert constituent_ids(row(board, "m")) == [ids["a"], ids["b"]]
    assert constituent_ids(row(board, "r"), count_base=False) == [ids["a"]]


def test_gain_names_the_constituents_without_scores(ids: dict[str, int]) -> None:
    with transaction() as s:
        new = small.add_model(s, "unscored", "expert")
        parents = [(new, "expert"), (ids["a"], "expert")]
        small.add_scores(s, small.add_model(s, "r", "merge", parents), "r", "t1", "1110")
    found = gains(leaderboard.board(small.SUITE), row(leaderboard.board(small.SUITE), "r"))
    assert found.unscored == ("unscored",)
    assert found.tasks[0].gain.value == pytest.approx(0.25)


def test_score_intervals(board: Board) -> None:
    score = row(board, "m").scores["t1"]  # 3 of 4, but with an error that is not binary's
    assert comparison.score_interval(score) == pytest.approx((0.554, 0.946), abs=1e-3)
    binary = leaderboard.Score(1, "t", "x", "acc", 0.75, sqrt(0.75 * 0.25 / 3), 4, "", "", 0, 0)
    assert comparison.score_interval(binary) == pytest.approx((0.3006, 0.9544), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all", {("t1", 0), ("t1", 1), ("t1", 2), ("t1", 3)}),
        ("different", {("t1", 0), ("t1", 1), ("t1", 2)}),
        ("fixed", {("t1", 0), ("t1", 1), ("t1", 2)}),
        ("regressed", set()),
        ("only", {("t1", 2)}),
        ("wrong", {("t1", 3)}),
        ("nonsense", {("t1", 0), ("t1", 1), ("t1", 2), ("t1", 3)}),
    ],
)
def test_filters_of_the_answer_sheet(
    board: Board, name: str, expected: set[tuple[str, int]]
) -> None:
    rows = [row(board, n) for n in ("a", "b", "m")]  # 1100, 0000, 1110
    items = compare.sheet({"t1": [r.scores["t1"].evaluation_id for r in rows]})
    kept = compare.select_items(items, name, focus=2, baseline=1)
    assert {(item.task, item.doc_id) for item in kept} == expected
    if name == "regressed":  # b against m instead: what m had right, b lost
        lost = compare.select_items(items, name, focus=1, baseline=2)
        assert {item.doc_id for item in lost} == {0, 1, 2}


def test_a_model_that_was_not_asked_is_no_wrong_answer(board: Board) -> None:
    m = row(board, "m").scores["t1"].evaluation_id
    items = compare.sheet({"t1": [m, None]})
    assert all(item.marks[1] is None for item in items)
    assert compare.select_items(items, "wrong", 0, 1) == []
    assert compare.select_items(items, "only", 0, 1) == []
    assert compare.select_items(items, "fixed", 0, 1) == []


def test_one_item_in_full(board: Board) -> None:
    m = row(board, "m").scores["t1"].evaluation_id
    (answer,) = answers.item([m], 3)
    assert answer.prompt == "Question 3 of t1? <img src=x>"
    assert (answer.target, answer.extracted, answer.correct) == ("yes", "no", False)
    assert answer.choices is not None and answer.choices[0]["loglikelihood"] == -3.0
