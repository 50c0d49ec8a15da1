"""Compare, first tab: headline numbers, per-task bars, and paired differences."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from db.queries.board import Row
from db.queries.metrics import label as metric_label
from jobs.scores import comparison as compared
from jobs.scores.comparison import MacroDifference, TaskDifference
from pages.components.problems import as_text
from pages.components.scores import plots as scores_plots
from pages.components.scores import unanswered as scores_unanswered
from pages.components.scores import words as scores_words
from pages.components.scores.picks import Comparison

VERDICT_OPTIONS = list(scores_words.VERDICTS.values())
VERDICT_COLUMN_COLOURS = [scores_words.VERDICT_COLOURS[v] for v in VERDICT_OPTIONS]


def headlines(comparison: Comparison) -> None:
    """A card per model: its score, and the difference from the baseline in words."""
    others = comparison.others
    found = dict(
        zip(
            [row.key for row in others],
            compared.macro_differences([(row, comparison.baseline) for row in others]),
            strict=True,
        )
    )
    with st.grid(len(comparison.rows), min_column_width=190):
        for row in comparison.rows:
            _headline(comparison, row, found.get(row.key))
    _unanswered_line(comparison)


def _unanswered_line(comparison: Comparison) -> None:
    """No answer and cut off, apart from wrong, for every model that has such answers."""
    told = [
        f"{as_text(scores_plots.short(row.entry.name))}: {said}"
        for row in comparison.rows
        if (said := scores_unanswered.said(row))
    ]
    if told:
        st.caption(f":material/speaker_notes_off: {'; '.join(told)}.")


def _headline(comparison: Comparison, row: Row, difference: MacroDifference | None) -> None:
    sure = difference is not None and difference.verdict in ("better", "worse")
    error = scores_words.points(row.macro_stderr)
    st.metric(
        as_text(scores_plots.short(row.entry.name)),
        scores_words.points(row.macro) + ("" if row.macro_stderr is None else f" ± {error}"),
        # A plain hyphen: Streamlit reads the direction from the sign.
        delta=None if difference is None else f"{difference.value * scores_words.POINTS:+.1f}",
        delta_color="normal" if sure else "off",
        delta_arrow="auto" if sure else "off",
        delta_description=_told(comparison, row, difference),
        border=True,
        height="stretch",
        help=f"{as_text(row.entry.name)}: mean over {len(row.averaged)} tasks, {row.n_items} "
        "items, ± one standard error. The difference is over the tasks shared with the baseline; "
        "in brackets its 95 % interval from paired answers.",
    )


def _told(comparison: Comparison, row: Row, difference: MacroDifference | None) -> str | None:
    """The verdict; a mean over fewer tasks than the suite has must not pass for the whole."""
    n, missing = len(row.scores), len(row.missing(comparison.board.tasks))
    partial = f"partial: {n} of {n + missing} tasks" if missing else None
    part = f"{row.part} items" if row.part != "all" else None
    origin = f"imported from {row.imported}" if row.imported else None
    told = [_verdict(comparison, row, difference), partial, part, origin]
    return " · ".join(filter(None, told)) or None


def _verdict(comparison: Comparison, row: Row, difference: MacroDifference | None) -> str | None:
    if row is comparison.baseline:
        return "baseline" if len(comparison.rows) > 1 else None
    if difference is None:
        common = row.common_tasks(comparison.baseline)
        return "no mean to compare" if common else "no task in common with the baseline"
    word = scores_words.VERDICTS[difference.verdict][2:]
    return f"{word} ({scores_words.interval(difference.low, difference.high)})"


def draw(comparison: Comparison) -> None:
    """Bars with intervals, then the table of differences."""
    if not comparison.tasks:
        st.info("None of these models has a score on this suite.")
        return
    _bars(comparison)
    for row in sorted(comparison.others, key=lambda r: r is not comparison.focus):
        differences = compared.task_differences(row, comparison.baseline)
        if not differences:
            continue
        if row is comparison.focus:
            st.markdown(_against(comparison, row))
            _table(comparison, row, differences)
        else:
            with st.expander(_against(comparison, row)):
                _table(comparison, row, differences)
    _unanswered(comparison)
    if comparison.others:
        st.caption("p: exact McNemar test on right or wrong answers, paired bootstrap on other "
                   "scores; corrected by Holm over the tasks of one table. Better or worse where "
                   "the corrected p is below 0.05, noise otherwise.")  # fmt: skip


def _bars(comparison: Comparison) -> None:
    """Scores by task; those on a scale of their own stand in the tables alone."""
    outside = comparison.outside
    tasks = {t: domain for t, domain in comparison.tasks.items() if t not in outside}
    if tasks:
        st.plotly_chart(
            scores_plots.task_bars(tasks, comparison.rows),
            key="task_bars",
            config=scores_plots.CONFIG,
            alt="Score of each model on each task, grouped by domain, with 95 % intervals",
        )
        st.caption("95 % intervals of single scores (Wilson's for right or wrong). Whether two "
                   "models differ is decided below, from the same items: single intervals overlap "
                   "more often than differences are noise.")  # fmt: skip
    if outside:
        told = ", ".join(f"{task} ({metric})" for task, metric in outside.items())
        st.caption(f":material/straighten: In no mean and no bar, because only shares where more "
                   f"is better can be averaged: {as_text(told)}. In the tables below they are on "
                   "their own scale, and *better* goes their own way.")  # fmt: skip


def _unanswered(comparison: Comparison) -> None:
    """Per task, how many answers were none: a low score that is mostly those says another thing."""
    tasks = [
        task
        for task in comparison.tasks
        if any(s.missing or s.truncated for r in comparison.rows if (s := r.scores.get(task)))
    ]
    if not tasks:
        return
    data: dict[str, list[str]] = {"Task": tasks}
    for row in comparison.rows:
        found = [row.scores.get(task) for task in tasks]
        data[f"{scores_plots.short(row.entry.name)}: no answer"] = [
            scores_unanswered.share(s.missing if s else None) for s in found
        ]
        data[f"{scores_plots.short(row.entry.name)}: cut off"] = [
            scores_unanswered.share(s.truncated if s else None) for s in found
        ]
    with st.expander("Missing and cut-off answers by task"):
        st.dataframe(
            pd.DataFrame(data),
            hide_index=True,
            height="content",
            key="unanswered",
            alt="Share of items without an answer and of items cut off, by task",
        )
        st.caption(
            "Both count as wrong in the score. Many of them say more about the prompt, the limit "
            "of new tokens or the chat template than about what a model knows."
        )


def _against(comparison: Comparison, row: Row) -> str:
    return f"**{as_text(row.entry.name)}** against {as_text(comparison.baseline.entry.name)}"


def _table(comparison: Comparison, row: Row, differences: list[TaskDifference]) -> None:
    data = frame(differences)
    digits = "%.4g" if "Metric" in data else "%.1f"  # some on a scale of their own
    c = st.column_config
    st.dataframe(
        data,
        hide_index=True,
        key=f"differences-{row.key}",
        height="content",
        column_order=["Task", "Domain", *(["Metric"] if "Metric" in data else []), "Score",
                      "Baseline", "Δ", "95 % interval", "Verdict", "p", "p (Holm)", "Fixed",
                      "Regressed", "Items"],
        column_config={
            "Task": c.TextColumn(pinned=True),
            "Score": c.NumberColumn(format=digits, width=60),
            "Baseline": c.NumberColumn(format=digits, width=75),
            "Δ": c.NumberColumn(format=digits.replace("%", "%+"), width=60),
            "Verdict": c.MultiselectColumn(
                options=VERDICT_OPTIONS, color=VERDICT_COLUMN_COLOURS, width=100
            ),
            "p": c.NumberColumn(format="%.2g", width=75),
            "p (Holm)": c.NumberColumn(format="%.2g", width=80),
            "Fixed": c.NumberColumn(help="Items that only this model gets right.", width=60),
            "Regressed": c.NumberColumn(help="Items that only the baseline gets right.", width=85),
            "Items": c.NumberColumn(help="Items both answered.", width=60),
        },
        alt=f"Differences of {row.entry.name} from {comparison.baseline.entry.name} by task",
    )  # fmt: skip
    st.download_button(
        "CSV", lambda: data.to_csv(index=False), f"differences-{row.entry.id}.csv", "text/csv",
        key=f"csv-{row.key}", on_click="ignore", type="tertiary", icon=":material/download:",
    )  # fmt: skip


def frame(differences: list[TaskDifference]) -> pd.DataFrame:
    """The differences, a row per task: shares in points, other metrics as they are, named."""
    scaled = scores_words.on_scale
    shares = [d.is_share and d.higher_is_better for d in differences]
    both = list(zip(differences, shares, strict=True))
    named = [metric_label(d.metric, higher_is_better=d.higher_is_better) for d in differences]
    return pd.DataFrame(
        {
            "Task": [d.task for d in differences],
            "Domain": [d.domain for d in differences],
            **({} if all(shares) else {"Metric": named}),
            "Score": [scaled(d.score, share=share) for d, share in both],
            "Baseline": [scaled(d.baseline, share=share) for d, share in both],
            "Δ": [scaled(d.difference, share=share) for d, share in both],
            "95 % interval": [
                scores_words.interval(d.low, d.high, share=share) for d, share in both
            ],
            "Verdict": [[scores_words.VERDICTS[d.verdict]] for d in differences],
            "p": [d.p for d in differences],
            "p (Holm)": [d.p_holm for d in differences],
            "Fixed": [d.fixed for d in differences],
            "Regressed": [d.regressed for d in differences],
            "Items": [d.n for d in differences],
        }
    )
