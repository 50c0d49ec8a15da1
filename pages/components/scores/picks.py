"""What the Compare page is about: which models, under which configuration, against which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import streamlit as st

from db.queries.board import Board, Row
from pages.components import presses, words
from pages.components.links import as_number
from pages.components.problems import as_text

MOST = 6
BEST_PARENT = "best parent"


@dataclass(frozen=True)
class Comparison:
    """The models chosen, those of them that have scores here, and who is held against whom."""

    board: Board
    ids: tuple[int, ...]
    rows: tuple[Row, ...]
    baseline: Row
    focus: Row
    """The model that the answer sheet's filters are about; never the baseline if it can be."""

    @property
    def others(self) -> list[Row]:
        """Every row but the baseline."""
        return [row for row in self.rows if row is not self.baseline]

    @cached_property
    def tasks(self) -> dict[str, str]:
        """Tasks (with their domain) that at least one of the rows has, in the suite's order."""
        return {
            task: domain
            for task, domain in self.board.tasks.items()
            if any(task in row.scores for row in self.rows)
        }

    @cached_property
    def outside(self) -> dict[str, str]:
        """Those of the tasks that are in no mean, with what their metric is called."""
        return {task: m for task, m in self.board.outside.items() if task in self.tasks}

    @cached_property
    def common(self) -> tuple[str, ...]:
        """Tasks that every row has under the very same settings."""
        first, *rest = self.rows
        return tuple(
            task for task in first.scores if all(task in first.common_tasks(r) for r in rest)
        )


def pick_models(board: Board) -> tuple[list[int], list[str]]:
    """The models' picker, kept in the address as `ids=1,2,3`.

    Returns:
        The chosen ids that exist, and the parts of the address that name no model.
    """
    if "ids" not in st.query_params and st.session_state.get("compared"):
        # Here again from the menu: go on with what was compared last.
        st.query_params["ids"] = ",".join(map(str, st.session_state.compared))
        st.session_state.compared = None
    asked = [part.strip() for part in st.query_params.get("ids", "").split(",") if part.strip()]
    numbers = {part: as_number(part) for part in asked}
    known = [number for number in numbers.values() if number in board.entries]
    known = list(dict.fromkeys(known))[:MOST]
    unknown = [part for part, number in numbers.items() if number not in board.entries]
    # The address wins whenever it is not what this very picker wrote into it. Streamlit forgets
    # the picker on another page, and an empty picker then must not pass for a cleared one.
    if st.session_state.get("compared") != known or "picked_models" not in st.session_state:
        st.session_state.picked_models = known
        st.session_state.compared = known
    scored = {row.entry.id for row in board.rows}
    names = {i: e.name for i, e in board.entries.items() if not e.archived or i in known}
    chosen = st.multiselect(
        "Models", sorted(names, key=lambda i: (i not in scored, names[i].casefold())),
        format_func=lambda i: names.get(i, f"model {i}"), key="picked_models",
        max_selections=MOST, placeholder="Choose two to six", wrap=True,
    )  # fmt: skip
    if chosen != known:
        st.session_state.compared = list(chosen)
        if chosen:
            st.query_params["ids"] = ",".join(map(str, chosen))
        else:
            st.query_params.pop("ids", None)
        unknown = []
    return list(chosen), unknown


def show(ids: Sequence[int]) -> NoReturn:
    """Go on with these models on this page."""
    st.query_params["ids"] = ",".join(map(str, ids))
    st.rerun()


def pick_configuration(board: Board, ids: Sequence[int]) -> str:
    """The configuration shown: the one most of the models have, unless another is chosen."""
    have = [c for c in board.configurations if any(board.row_of(i, c) for i in ids)]
    if not have:
        return board.configurations[0] if board.configurations else ""
    count = {c: sum(board.row_of(i, c) is not None for i in ids) for c in have}
    options = sorted(have, key=lambda c: -count[c])
    if len(options) == 1:
        return options[0]
    return st.selectbox(
        "Configuration", options, key="configuration", bind="query-params", width=200,
        help="Scores taken under different settings are never shown side by side.",
    )  # fmt: skip


def rows_under(
    board: Board, ids: Sequence[int], configuration: str
) -> tuple[list[Row], list[tuple[str, list[str]]]]:
    """The models' rows under a configuration; and (name, other configurations) of those without."""
    rows, absent = [], []
    for model_id in ids:
        row = board.row_of(model_id, configuration)
        if row is not None:
            rows.append(row)
        else:
            elsewhere = sorted({r.configuration for r in board.rows_of(model_id)})
            absent.append((board.entries[model_id].name, elsewhere))
    return rows, absent


def pick_sides(board: Board, rows: Sequence[Row]) -> tuple[Row, Row]:
    """The baseline and the model in focus: a merge against its best parent unless chosen."""
    merge = default_focus(board, rows)
    parent = default_baseline(board, rows, merge)
    if len(rows) < 2:
        return rows[0], rows[0]
    by_name = {row.entry.name: row for row in rows}
    is_parent = any(p.model_id == parent.entry.id for p in merge.entry.parents)
    said = f"{BEST_PARENT if is_parent else 'best other'}: {parent.entry.name}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Baseline", [BEST_PARENT, *by_name], key="against", bind="query-params", width=270,
            format_func=lambda n: said if n == BEST_PARENT else n,
        )  # fmt: skip
        baseline = by_name.get(chosen, parent)
        candidates = [name for name, row in by_name.items() if row is not baseline]
        first = merge.entry.name if merge is not baseline else candidates[0]
        in_focus = st.selectbox(
            "Model in focus", candidates, index=candidates.index(first), key="focus",
            bind="query-params", width=270,
            help="Whose fixed and regressed answers, Gain and OG are shown.",
        )  # fmt: skip
    return baseline, by_name.get(in_focus, by_name[first])


def offer_parent(board: Board, ids: Sequence[int], focus: Row) -> None:
    """A merge without any of its parents beside it: one press adds the best of them."""
    parents = {p.model_id for p in focus.entry.parents}
    best = board.best_parent(focus)
    if best is None or parents & set(ids) or len(ids) >= MOST:
        return
    if presses.button(f"Add its best parent, {as_text(best.entry.name)}", icon=":material/add:",
                 key="add_parent"):  # fmt: skip
        show([*ids, best.entry.id])


def default_focus(board: Board, rows: Sequence[Row]) -> Row:
    """The best merge among the rows, or the best row."""
    merges = [row for row in rows if row.entry.role == "merge"]
    return max(merges or rows, key=lambda row: row.macro or 0.0)


def default_baseline(board: Board, rows: Sequence[Row], focus: Row) -> Row:
    """The best of the focus's parents among the rows, or the best other row."""
    parents = {p.model_id for p in focus.entry.parents}
    others = [row for row in rows if row is not focus]
    here = [row for row in others if row.entry.id in parents]
    return max(here or others or [focus], key=lambda row: row.macro or 0.0)


def warn(comparison: Comparison) -> None:
    """What keeps the numbers below from being compared at face value."""
    rows = comparison.rows
    if len(rows) > 1 and not comparison.common:
        st.warning("These models have no task in common under the same settings.",
                   icon=":material/rule:")  # fmt: skip
    elif len(rows) > 1 and len(comparison.common) < len(comparison.tasks):
        st.warning(
            f"Only {len(comparison.common)} of {len(comparison.tasks)} tasks were scored for "
            "every model under the same settings. Differences use what each pair shares.",
            icon=":material/rule:",
        )
    differ = [
        task
        for task in comparison.common
        if len({row.scores[task].prompts_hash for row in rows}) > 1
    ]
    if differ:
        st.caption(
            ":material/info: The prompts differ between models on "
            f"{words.plural(len(differ), 'task')} "
            f"({as_text(', '.join(differ[:4]))}{' …' if len(differ) > 4 else ''}): each model was "
            "asked in its own chat template."
        )
    for told in _left_out(rows):
        st.caption(f":material/filter_alt_off: {as_text(told)}")
    for row in rows:
        if row.is_outdated:
            st.caption(
                f":material/history: The weights of {as_text(row.entry.name)} have changed since "
                "it was scored."
            )


def _left_out(rows: Sequence[Row]) -> list[str]:
    """Of which tasks some items could not be asked or graded, model by model."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        each = [
            f"{task}: {words.plural(len(score.left_out), 'item')} "
            f"({', '.join(map(str, score.left_out[:5]))}{' …' if len(score.left_out) > 5 else ''})"
            for task, score in row.scores.items()
            if score.left_out
        ]
        if each:
            groups.setdefault("; ".join(each), []).append(row.entry.name)
    return [
        f"Left out of the scores of {', '.join(names)}, because they could not be asked or graded: "
        f"{told}. Only scores on the same items are compared."
        for told, names in groups.items()
    ]
