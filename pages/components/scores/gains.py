"""Compare, second tab: Gain and Outperform Gap of the merges over what they were made of."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from db.queries.board import Row
from db.queries.metrics import label as metric_label
from jobs.scores.estimate import Estimate
from jobs.scores.gains import Gains, gains
from pages.components.problems import as_text
from pages.components.scores import plots as scores_plots
from pages.components.scores import words as scores_words
from pages.components.scores.picks import Comparison

COUNT_BASE = {"as usual": None, "always": True, "never": False}


def draw(comparison: Comparison) -> None:
    """Macro values, two heat maps, and the numbers behind them."""
    merges = [row for row in comparison.rows if row.entry.parents]
    if not merges:
        st.info("Gain and OG are about merges; none of these models is one.",
                icon=":material/info:")  # fmt: skip
        return
    choice = st.segmented_control(
        "Count the base as a constituent", list(COUNT_BASE), default="as usual", required=True,
        key="count_base", bind="query-params",
        help="As usual: the base counts when a merge is made of it and one expert, and does not "
        "when experts are combined on top of it.",
    )  # fmt: skip
    found = [gains(comparison.board, row, count_base=COUNT_BASE[choice]) for row in merges]
    for each in found:
        _missing(each)
    found = [each for each in found if each.tasks]
    if not found:
        return
    _macros(found)
    _maps(comparison, found)
    _tables(found)
    st.caption(
        "Gain: the merge minus the mean of its constituents. OG (Outperform Gap): the merge minus "
        "the best constituent of each task. 95 % intervals from paired answers; ▲ ▼ where they "
        "exclude zero, ≈ where it could be noise. The best constituent is chosen on the same "
        "items, which makes OG a little pessimistic. Not corrected for the number of tasks."
    )
    if comparison.outside:
        st.caption(
            "Of metrics where lower is better Gain and OG are turned around, so that plus is "
            "always better. Metrics on a scale of their own are in the tables, and in no mean or "
            f"map: {as_text(', '.join(comparison.outside))}."
        )


def _missing(each: Gains) -> None:
    if each.unscored:
        st.warning(
            f"{as_text(each.merge.entry.name)}: no scores under this configuration for "
            f"{as_text(', '.join(each.unscored))}. "
            + ("Gain and OG below leave them out." if each.constituents else "No Gain without."),
            icon=":material/rule:",
        )
    if each.constituents and not each.tasks:
        st.warning(
            f"{as_text(each.merge.entry.name)} shares no task with all of its constituents.",
            icon=":material/rule:",
        )


def _macros(found: list[Gains]) -> None:
    with st.grid(min(2 * len(found), 4), min_column_width=190):
        for each in found:
            name = as_text(scores_plots.short(each.merge.entry.name))
            n = sum(g.in_means for g in each.tasks)
            _macro(f"Macro-Gain · {name}", each.macro_gain, n)
            _macro(f"Macro-OG · {name}", each.macro_gap, n)


def _macro(label: str, estimate: Estimate | None, n_tasks: int) -> None:
    if estimate is None:
        return
    st.metric(
        label,
        scores_words.signed(estimate.value),
        delta=scores_words.interval(estimate.low, estimate.high),
        delta_arrow="off",
        delta_color="off",
        delta_description=scores_words.VERDICTS[estimate.verdict],
        border=True,
        height="stretch",
        help=f"Mean over {n_tasks} tasks, in points, with its 95 % interval.",
    )


def _maps(comparison: Comparison, found: list[Gains]) -> None:
    tasks = [t for t in comparison.tasks if t not in comparison.outside
             and any(t == g.task for each in found for g in each.tasks)]  # fmt: skip
    if not tasks:
        return
    names = [each.merge.entry.name for each in found]
    short = scores_words.task_labels(comparison.tasks)
    # With the domain, because two domains may have a task of the same short name.
    labels = {t: f"{domain}: {short[t]}" for t, domain in comparison.tasks.items()}
    left, right = st.columns(2)
    for column, title, pick in ((left, "Gain", "gain"), (right, "OG", "gap")):
        cells = [{g.task: getattr(g, pick) for g in each.tasks} for each in found]
        values = [[cell[t].value if t in cell else None for cell in cells] for t in tasks]
        marks = [[_mark(cell[t]) if t in cell else "" for cell in cells] for t in tasks]
        with column:
            st.subheader(title, anchor=False)
            st.plotly_chart(
                scores_plots.heatmap([labels[t] for t in tasks], names, values, marks, "points"),
                key=f"map-{pick}",
                config=scores_plots.CONFIG,
                alt=f"{title} in points by task, for {', '.join(names)}",
            )


def _mark(estimate: Estimate) -> str:
    return scores_words.VERDICTS[estimate.verdict][0]


def _tables(found: list[Gains]) -> None:
    for each in found:
        data = frame(each)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.markdown(f"**{as_text(each.merge.entry.name)}** and its constituents")
            st.download_button(
                "CSV", lambda data=data: data.to_csv(index=False),
                f"gain-{each.merge.entry.id}.csv", "text/csv", key=f"gain-csv-{each.merge.key}",
                on_click="ignore", type="tertiary", icon=":material/download:",
            )  # fmt: skip
        number = st.column_config.NumberColumn
        digits = "%.4g" if "Metric" in data else "%.1f"  # some on a scale of their own
        st.dataframe(
            data,
            hide_index=True,
            height="content",
            key=f"gain-{each.merge.key}",
            column_config={
                "Task": st.column_config.TextColumn(pinned=True),
                **{row.entry.name: number(format=digits) for row in _columns(each)},
                "Gain": number(format=digits.replace("%", "%+")),
                "OG": number(format=digits.replace("%", "%+")),
            },
            alt=f"Scores of {each.merge.entry.name} and its constituents, with Gain and OG",
        )


def _columns(each: Gains) -> list[Row]:
    return [each.merge, *each.constituents]


def frame(each: Gains) -> pd.DataFrame:
    """A row per task: shares in points, other metrics as they are, named."""
    scaled = scores_words.on_scale
    scores = {each.merge.entry.name: [scaled(g.score, share=g.in_means) for g in each.tasks]}
    for place, row in enumerate(each.constituents):
        scores[row.entry.name] = [
            scaled(g.constituents[place], share=g.in_means) for g in each.tasks
        ]
    named = [metric_label(g.metric, higher_is_better=g.higher_is_better) for g in each.tasks]
    alike = all(g.in_means for g in each.tasks)
    return pd.DataFrame(
        {
            "Task": [g.task for g in each.tasks],
            **({} if alike else {"Metric": named}),
            **scores,
            "Gain": [scaled(g.gain.value, share=g.in_means) for g in each.tasks],
            "Gain, 95 % interval": [_said(g.gain, share=g.in_means) for g in each.tasks],
            "OG": [scaled(g.gap.value, share=g.in_means) for g in each.tasks],
            "OG, 95 % interval": [_said(g.gap, share=g.in_means) for g in each.tasks],
            "Best constituent": [each.constituents[g.best].entry.name for g in each.tasks],
        }
    )


def _said(estimate: Estimate, *, share: bool) -> str:
    return f"{_mark(estimate)} {scores_words.interval(estimate.low, estimate.high, share=share)}"
