"""A model's mean score as one figure, with the difference to its best parent."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from db.queries import leaderboard
from db.queries.board import Board, Row
from db.queries.models import ModelRow
from jobs.scores import comparison
from pages.components import links, problems, words
from pages.components.scores import unanswered as scores_unanswered


def boards() -> list[Board]:
    """The boards of every suite that has scores."""
    return [leaderboard.board(suite) for suite in leaderboard.suites_with_scores()]


def newest(model_id: int, among: Sequence[Board]) -> tuple[Board, Row] | None:
    """The model's most recently scored row."""
    found = [(board, row) for board in among for row in board.rows_of(model_id)]
    return max(found, key=lambda pair: pair[1].scored, default=None)


def figure(name: str, board: Board, scored: Row) -> None:
    """Mean score with its standard error, and the difference to the best parent, if any."""
    best = board.best_parent(scored)
    gap = comparison.macro_differences([(scored, best)])[0] if best else None
    missing = len(scored.missing(board.tasks))
    st.metric(
        problems.as_text(name),
        "–" if scored.macro is None else f"{100 * scored.macro:.1f} %",
        delta=None if gap is None else words.points(gap.value),
        # a difference that could be noise is grey, and says so
        delta_color="normal" if gap and gap.verdict in ("better", "worse") else "off",
        delta_description=_beside(gap, best),
        help=f"Mean over {words.plural(len(scored.averaged), 'task')} of the suite {board.suite}. "
        "The difference is to the best parent, on the tasks that both have."
        + (f" {words.plural(missing, 'task')} missing so far." if missing else ""),
    )
    error = scored.macro_stderr
    said = [] if error is None else [f"± {100 * error:.1f} points standard error"]
    if missing:
        said.append(f"partial: {len(scored.scores)} of {words.plural(len(board.tasks), 'task')}")
    if scored.n_left_out:
        said.append(f"{words.plural(scored.n_left_out, 'item')} left out")
    said += [
        f"{problems.as_text(task)}: {scored.scores[task].value:.4g} ({metric})"
        for task, metric in board.outside.items()
        if task in scored.scores
    ]
    if scored.part != "all":
        said.append(f"{scored.part} items only")
    if scored.imported:
        said.append(f"imported from {problems.as_text(scored.imported)}")
    if unanswered := scores_unanswered.said(scored):
        said.append(unanswered)
    if said:
        st.caption(" · ".join(said))


def _beside(gap: comparison.MacroDifference | None, best: Row | None) -> str | None:
    if gap is None or best is None:
        return None
    noise = "≈ noise, " if gap.verdict == "noise" else ""
    return f"{noise}vs {problems.as_text(best.entry.name)}"


def compare_link(row: ModelRow, label: str, board: Board | None = None) -> None:
    """A link that compares a merge with its parents."""
    ids = list(dict.fromkeys([row.id, *(parent.model_id for parent in row.parents)]))
    if len(ids) > 1:
        more = {"suite": board.suite} if board else {}
        links.link("compare", label, icon=":material/compare_arrows:",
                   ids=",".join(map(str, ids[:6])), **more)  # fmt: skip
