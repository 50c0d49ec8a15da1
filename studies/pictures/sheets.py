"""Answer sheets: a row for each model, a column for each item, sorted by who has it right.

customdata of a cell is [key of the model, text, task, place of the item in the task, document].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from studies.analysis import sheets as analysis
from studies.analysis.chosen import picks
from studies.analysis.sheets import GROUPS, Sheet, groups_of, marks
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import BASE, Results, Scored

DIFFER = ("only merge", "some", "lost", "missed")
WORDS = {
    "only merge": "only the merge", "some": "merge and some", "all right": "all right",
    "lost": "lost in the merge", "missed": "missed by the merge", "all wrong": "all wrong",
}  # fmt: skip
ROW = 34
MOST_CELLS = 24_000
"""More cells than these are too narrow to be clicked; zoom in by a task."""
IN_REPORT = 4


@dataclass(frozen=True, eq=False)
class SheetsShown:
    """Sheets that are made when they are looked at.

    Attributes:
        results: of the study.
        merges: the best merge of every set of constituents, those first that have most items right
            which no constituent has.
    """

    results: Results
    merges: tuple[Scored, ...]

    def sheet(self, merge: str, task: str = "") -> Sheet:
        """The sheet of a merge, the base beside it."""
        return analysis.sheet(self.results, merge, others=[BASE], tasks=[task] if task else None)


def analyse(results: Results) -> SheetsShown:
    """The merges that sheets are offered of; any other can be asked for by its key."""
    found = []
    for pick in picks(results).values():
        beside = results.constituents(pick.model.point) if pick.model.point else []
        if beside:
            found.append((_alone(results, pick.model, beside), pick.model))
    return SheetsShown(results, tuple(one for _, one in sorted(found, key=lambda x: -x[0])))


def _alone(results: Results, one: Scored, beside: list[Scored]) -> int:
    total = 0
    rows = [results.row[each.key] for each in (one, *beside)]
    for task in results.tasks:
        right = marks(results.items(task.name)[rows]).T
        total += int((groups_of(right[:, 0], right[:, 1:]) == 0).sum())
    return total


def tables(found: SheetsShown) -> Mapping[str, Rows]:
    """Items by group for every merge that is offered; and the first one's whole sheet."""
    counts = []
    for one in found.merges:
        sheet = found.sheet(one.key)
        counts.append({"key": one.key, "merge": one.label} | sheet.counts)
    first = found.sheet(found.merges[0].key).table() if found.merges else []
    return {"answer_sheets": counts, "answer_sheet": first}


def choices(found: SheetsShown) -> tuple[Choice, ...]:
    """Which merge, which task, which items."""
    merges = {one.key: one.label for one in found.merges}
    named = dict(zip((one.name for one in found.results.tasks),
                     naming.tasks(found.results.tasks), strict=True))  # fmt: skip
    return (
        Choice("merge", "Merge", merges, tuple(merges)[:IN_REPORT]),
        Choice("items", "Items", {"differ": "Where they differ", "all": "All"}, ("differ",)),
        Choice("task", "Task", {"": "All tasks"} | named, ("",)),
    )


def figure(
    found: SheetsShown, theme_: Theme = "light", *, merge: str = "", items: str = "differ",
    task: str = "",
) -> go.Figure:  # fmt: skip
    """The sheet of one merge."""
    key = merge or (found.merges[0].key if found.merges else "")
    if not key:
        return theme.empty("No merge and constituent of it are scored on the same items.", theme_)
    sheet = found.sheet(key, task)
    wanted = [GROUPS.index(one) for one in (DIFFER if items == "differ" else GROUPS)]
    kept = np.flatnonzero(np.isin(sheet.group, wanted))
    if not kept.size:
        return theme.empty("The models answer all of these items alike.", theme_)
    right = sheet.right[kept].T
    y = np.arange(len(sheet.models))
    result = go.Figure()
    result.add_heatmap(
        z=right.astype(np.int8), x=np.arange(kept.size), y=y, hoverinfo="skip", zmin=-1, zmax=1,
        showscale=False, ygap=3,
        colorscale=[[0, theme.CLEAR], [0.33, theme.CLEAR], [0.34, theme.WARM_FAINT],
                    [0.66, theme.WARM_FAINT], [0.67, theme.COLD_FULL], [1, theme.COLD_FULL]],
    )  # fmt: skip
    for name, shade in (("right", theme.COLD_FULL), ("wrong", theme.WARM_FAINT)):
        result.add_scatter(x=[None], y=[None], mode="markers", name=name,
                           marker={"symbol": "square", "size": 12, "color": shade})  # fmt: skip
    result.add_trace(_clickable(found, sheet, kept, right))
    last = _groups(result, sheet, kept, theme_)
    focus = [i == 0 for i in range(len(sheet.models))]
    labels = [theme.label(one, 30) for one in sheet.labels]
    result.update_yaxes(
        range=[len(labels) - 0.4, -0.6], tickvals=y, showgrid=False, zeroline=False,
        ticktext=[f"<b>{x}</b>" if mine else x for x, mine in zip(labels, focus, strict=True)],
    )  # fmt: skip
    result.update_xaxes(range=[-0.5, last + 0.5], title={"text": f"{kept.size:,} items"},
                        showgrid=False, zeroline=False, showticklabels=False,
                        ticks="")  # fmt: skip
    height = 132 + ROW * len(labels)
    return theme.finish(
        result, theme_, height, hoverdistance=-1, margin={"l": 8, "r": 8, "t": 66, "b": 40},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0},
    )  # fmt: skip


def _groups(result: go.Figure, sheet: Sheet, kept: Any, theme_: Theme) -> float:
    """Lines between the groups, and each group's name and number above it."""
    group = sheet.group[kept]
    total = kept.size
    level, reach = 0, -1.0
    for number in np.unique(group):
        places = np.flatnonzero(group == number)
        start, end = float(places[0]) - 0.5, float(places[-1]) + 0.5
        result.add_vline(x=start, line={"color": theme.QUIET[theme_], "width": 1})
        text = f"<b>{places.size}</b> {WORDS[GROUPS[number]]}"
        # names of narrow groups stand one above the other
        level = level + 1 if start < reach else 0
        reach = start + total * 0.026 * max(8, len(text) - 7) / 2
        result.add_annotation(x=start, y=1, yref="paper", yshift=2 + 15 * (level % 3), text=text,
                              showarrow=False, xanchor="left", yanchor="bottom",
                              font={"size": 11})  # fmt: skip
        last = end
    return last


def _clickable(found: SheetsShown, sheet: Sheet, kept: Any, right: Any) -> Any:
    """Marks over the cells; where there are too many of them, over the merge's row only."""
    rows = range(len(sheet.models)) if right.size <= MOST_CELLS else range(1)
    words = {1: "right", 0: "wrong", -1: "not asked"}
    names = [theme.plain(one) for one in sheet.labels]
    tasks = [theme.plain(one) for one in sheet.tasks]
    data = [
        [sheet.models[row],
         f"{names[row]}<br>{tasks[sheet.task[i]]}, document {sheet.doc[i]}: {words[int(mark)]}",
         sheet.tasks[sheet.task[i]], int(sheet.item[i]), int(sheet.doc[i])]
        for row in rows for i, mark in zip(kept, right[row], strict=True)
    ]  # fmt: skip
    n = len(rows)
    return theme.marks(
        np.tile(np.arange(kept.size, dtype=np.int32), n),
        np.repeat(np.arange(n, dtype=np.int32), kept.size), data,
        {"symbol": "square", "size": 10, "opacity": 0, "color": "rgba(128,128,128,0.6)"},
        many=len(data) > theme.MANY, name="", showlegend=False,
        hovertemplate="%{customdata[1]}<extra></extra>",
        selected={"marker": {"opacity": 0.7}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip
